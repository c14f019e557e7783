"""The writes of one page of a batch: to Salesforce together, in one call; to Hint one by one, few at a time.

Each record of a page runs its own exchange.  Its first write of a Contact waits in a ``Gathering`` until every record
of the page has either come to its own or passed on without one; then all go in one call, filled up with the stamps
that earlier pages left over.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from hintd.core.contact import PATIENT_ID, contact_after
from hintd.core.errors import RemoteDown, RemoteError, Retryable
from hintd.core.fields import Book
from hintd.core.model import Contact, Patient
from hintd.ports import (
    Call,
    ContactChange,
    ContactPage,
    ContactWrite,
    HintPractice,
    PatientPage,
    SalesforceOrg,
    Saved,
    WriteResult,
)
from hintd.service.rehearsal import blank_contact

MOST = 200  # records of each kind that one call of a page writes
_SMALLER = (MOST, 20, 1)
"""A locked row fails the whole chunk of its parent account, so what was locked is sent again in smaller ones."""


class Stopped(Retryable):
    """The batch was aborted before this record was written."""

    def __init__(self) -> None:
        super().__init__("the batch was aborted")


@dataclass(slots=True)
class _Wish:
    key: str  # the Contact id, or the patient id of a Contact to be made
    fields: Mapping[str, Any]
    creates: bool
    answer: asyncio.Future[ContactWrite]
    trouble: RemoteError = field(default_factory=lambda: Retryable("the Contacts of this page were not written"))

    def fail(self, error: Exception) -> None:
        """Unless it is answered, or nobody waits for it any more."""
        if not self.answer.done():
            self.answer.set_exception(error)

    def take(self, result: Saved) -> bool:
        """True when it is answered by that, false when it may be tried again."""
        if isinstance(result, ContactWrite):
            if not self.answer.done():
                self.answer.set_result(result)
            return True
        if isinstance(result, RemoteDown) or not isinstance(result, Retryable):
            self.fail(result)
            return True
        self.trouble = result
        return False


@dataclass(slots=True)
class Gathering:
    """``expected``: records that have neither written nor passed.  ``stamps``: written along where there is room;
    ``stamped``: those that were.  ``flushed`` is set once everybody's first write is done."""

    org: SalesforceOrg
    call: Call
    expected: int
    stamps: Sequence[ContactChange] = ()
    stamped: list[str] = field(default_factory=list)
    calls: int = 0
    flushed: asyncio.Event = field(default_factory=asyncio.Event)
    _wishes: list[_Wish] = field(default_factory=list)
    _sending: asyncio.Task[None] | None = None

    async def update(self, contact_id: str, fields: Mapping[str, Any]) -> ContactWrite:
        return await self._wait(contact_id, fields, creates=False)

    async def create(self, patient_id: str, fields: Mapping[str, Any]) -> ContactWrite:
        return await self._wait(patient_id, fields, creates=True)

    def passed(self) -> None:
        """One record less to wait for."""
        self.expected -= 1
        self._send_if_complete()

    async def _wait(self, key: str, fields: Mapping[str, Any], *, creates: bool) -> ContactWrite:
        wish = _Wish(key, fields, creates, asyncio.get_running_loop().create_future())
        self._wishes.append(wish)
        self.passed()
        return await wish.answer

    def _send_if_complete(self) -> None:
        if self.expected <= 0 and self._sending is None:
            self._sending = asyncio.create_task(self._send_all(), name="batch writes")

    async def close(self) -> None:
        """Ends what is still to be sent, when the page is given up; of what is being sent nobody knows what came of
        it."""
        if self._sending is not None:
            self._sending.cancel()
            await asyncio.wait({self._sending})
        for wish in self._wishes:
            wish.fail(Stopped())

    async def _send_all(self) -> None:
        try:
            await self._send_wishes()
            await self._send_stamps()
        except Exception as error:  # unforeseen: each record of the page fails with it, and says so in its row
            for wish in self._wishes:
                wish.fail(error)
        finally:
            self.flushed.set()
            for wish in self._wishes:
                wish.fail(wish.trouble)

    async def _send_wishes(self) -> None:
        """Serially: rows of one parent account lock each other."""
        waiting = self._wishes
        for size in _SMALLER:
            locked: list[_Wish] = []
            for start in range(0, len(waiting), size):
                some = waiting[start : start + size]
                locked += await self._save(some, self._stamps_beside(some) if size == MOST else ())
            waiting = locked

    def _stamps_beside(self, wishes: Sequence[_Wish]) -> Sequence[ContactChange]:
        updated = {wish.key for wish in wishes if not wish.creates}
        return [stamp for stamp in self._stamps_left() if stamp[0] not in updated][: MOST - len(updated)]

    def _stamps_left(self) -> list[ContactChange]:
        return [stamp for stamp in self.stamps if stamp[0] not in self.stamped]

    async def _save(self, wishes: Sequence[_Wish], stamps: Sequence[ContactChange]) -> list[_Wish]:
        """In one call; the wishes that may be tried again."""
        updates, creations = [w for w in wishes if not w.creates], [w for w in wishes if w.creates]
        try:
            updated, created = await self.org.save_contacts(
                [*((w.key, w.fields) for w in updates), *stamps], [(w.key, w.fields) for w in creations], self.call
            )
        except RemoteError as error:
            for wish in wishes:
                wish.fail(error)
            return []
        self.calls += 1
        told = zip(stamps, updated[len(updates) :], strict=True)
        self.stamped += [stamp[0] for stamp, result in told if isinstance(result, ContactWrite)]
        results = (*updated[: len(updates)], *created)
        again = []
        for wish, result in zip((*updates, *creations), results, strict=True):
            if not wish.take(result):
                again.append(wish)
            await asyncio.sleep(0)  # each goes on at once: in one go they would hold up everything else for a while
        return again

    async def _send_stamps(self) -> None:
        """Those for which no call of the page had room, once they fill a call of their own."""
        left = self._stamps_left()
        for start in range(0, len(left) - MOST + 1, MOST):
            await self._save([], left[start : start + MOST])


@dataclass(slots=True)
class Seat:
    """One record's place in a gathering: it is waited for until its first write of a Contact, or until it passes."""

    gathering: Gathering
    taken: bool = False

    def take(self) -> bool:
        """True the first time."""
        if self.taken:
            return False
        self.taken = True
        return True

    def leave(self) -> None:
        if self.take():
            self.gathering.passed()


@dataclass(frozen=True, slots=True)
class PageOrg:
    """``SalesforceOrg`` for one record of a page: ``contacts`` are in hand, its first write goes with the others'.
    ``stamp``: the fields that say which batch it was; ``stamped`` is called when they are written."""

    org: SalesforceOrg
    seat: Seat
    contacts: Mapping[str, Contact]
    stamp: Mapping[str, Any]
    stopping: Callable[[], bool]
    stamped: Callable[[], None]

    async def book(self, *, fresh: bool = False) -> Book:
        return await self.org.book(fresh=fresh)

    async def get_contacts(self, contact_ids: Sequence[str], call: Call) -> Mapping[str, Contact]:
        return await self.org.get_contacts(contact_ids, call)

    async def find_fate(self, contact_id: str, call: Call) -> Contact | None:
        return await self.org.find_fate(contact_id, call)

    async def write_contact(
        self, contact_id: str, fields: Mapping[str, Any], unmodified_since: datetime | None, call: Call
    ) -> ContactWrite:
        sent, before = {**fields, **self.stamp}, self.contacts.get(contact_id)
        self.stamped()
        if before is None or not self.seat.take():
            return await self.org.write_contact(contact_id, sent, unmodified_since, call)
        return await self._shown(await self._gathered(self.seat.gathering.update(contact_id, sent)), before, sent)

    async def upsert_contact(self, patient_id: str, fields: Mapping[str, Any], call: Call) -> ContactWrite:
        sent = {**fields, **self.stamp}
        self.stamped()
        if not self.seat.take():
            return await self.org.upsert_contact(patient_id, sent, call)
        answer = await self._gathered(self.seat.gathering.create(patient_id, sent))
        made = blank_contact(answer.contact_id or "", await self.book())
        return await self._shown(answer, made, {**sent, PATIENT_ID: patient_id})

    async def _gathered(self, waiting: Any) -> ContactWrite:
        if self.stopping():
            self.seat.gathering.passed()
            waiting.close()
            raise Stopped
        answer: ContactWrite = await waiting
        return answer

    async def _shown(self, answer: ContactWrite, before: Contact, sent: Mapping[str, Any]) -> ContactWrite:
        if answer.result is not WriteResult.WRITTEN:
            return answer
        after = contact_after(before, sent, await self.book())
        return ContactWrite(WriteResult.WRITTEN, answer.contact_id, after=after)

    async def save_contacts(
        self, updates: Sequence[ContactChange], creations: Sequence[ContactChange], call: Call
    ) -> tuple[Sequence[Saved], Sequence[Saved]]:
        return await self.org.save_contacts(updates, creations, call)

    async def calls_left(self, call: Call) -> int | None:
        return await self.org.calls_left(call)

    async def changed_contacts(self, call: Call, *, since: datetime | None, next: str | None = None) -> ContactPage:
        return await self.org.changed_contacts(call, since=since, next=next)


@dataclass(frozen=True, slots=True)
class PageHint:
    """``HintPractice`` for one record of a page: a write to Hint means that the record's Contact needed none, or has
    had it.  ``lanes`` bounds how many are under way; ``wrote`` is called once per write."""

    hint: HintPractice
    seat: Seat
    lanes: asyncio.Semaphore
    stopping: Callable[[], bool]
    wrote: Callable[[], None]

    async def get_patient(self, patient_id: str, call: Call) -> Patient | None:
        return await self.hint.get_patient(patient_id, call)

    async def find_by_contact(self, contact_id: str, call: Call) -> Patient | None:
        return await self.hint.find_by_contact(contact_id, call)

    async def list_patients(
        self,
        call: Call,
        *,
        offset: int,
        limit: int = 100,
        updated_since: datetime | None = None,
        everyone: bool = False,
    ) -> PatientPage:
        return await self.hint.list_patients(
            call, offset=offset, limit=limit, updated_since=updated_since, everyone=everyone
        )

    async def update_patient(self, patient_id: str, attributes: Mapping[str, Any], call: Call) -> Patient | None:
        async with self._lane():
            self.wrote()
            return await self.hint.update_patient(patient_id, attributes, call)

    async def create_patient(self, attributes: Mapping[str, Any], call: Call) -> Patient:
        async with self._lane():
            self.wrote()
            return await self.hint.create_patient(attributes, call)

    def _lane(self) -> _Lane:
        self.seat.leave()
        return _Lane(self)


@dataclass(frozen=True, slots=True)
class _Lane:
    page: PageHint

    async def __aenter__(self) -> None:
        await self.page.lanes.acquire()
        if self.page.stopping():
            self.page.lanes.release()
            raise Stopped

    async def __aexit__(self, *_: object) -> None:
        self.page.lanes.release()
