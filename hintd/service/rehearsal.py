"""Doing as if: the same service code, planned and taken to its end, with nothing written to a remote or a store.

Reads are real.  What a write would make of a record is worked out from what was written, so a rehearsal cannot show
what a trigger or a flow of the org would add.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from hintd.core.contact import contact_after
from hintd.core.fields import Book
from hintd.core.model import Contact, HistoryEntry, Link, LinkState, Patient, Side, Values
from hintd.core.patient import patient_after
from hintd.ports import (
    AlreadyLinked,
    Busy,
    Call,
    ContactChange,
    ContactPage,
    ContactWrite,
    Cursors,
    HintPractice,
    Links,
    LinkUpdate,
    PatientPage,
    SalesforceOrg,
    Saved,
    Settlement,
    Taken,
    ToPark,
    WriteResult,
)
from hintd.service.linking import link_by_person
from hintd.service.work import Remotes, Work

TO_BE_MADE = "to be made"
"""In place of the id of a record that a rehearsal would have created."""

LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


def blank_contact(contact_id: str, book: Book) -> Contact:
    """A Contact as it is before anything was written to it; older than whatever Salesforce will tell of it."""
    return Contact(contact_id, LONG_AGO, dict.fromkeys((f.name for f in book.fields), None))


@dataclass(slots=True)
class RehearsedOrg:
    """``SalesforceOrg`` without writes.  ``known``: Contacts in hand, by id; ``writes``: how many would be written."""

    org: SalesforceOrg
    known: dict[str, Contact] = field(default_factory=dict)
    writes: int = 0

    async def book(self, *, fresh: bool = False) -> Book:
        return await self.org.book(fresh=fresh)

    async def get_contacts(self, contact_ids: Sequence[str], call: Call) -> Mapping[str, Contact]:
        missing = [each for each in contact_ids if each not in self.known]
        if missing:
            self.known.update(await self.org.get_contacts(missing, call))
        return {each: self.known[each] for each in contact_ids if each in self.known}

    async def find_fate(self, contact_id: str, call: Call) -> Contact | None:
        return await self.org.find_fate(contact_id, call)

    async def write_contact(
        self, contact_id: str, fields: Mapping[str, Any], unmodified_since: datetime | None, call: Call
    ) -> ContactWrite:
        before = (await self.get_contacts([contact_id], call)).get(contact_id)
        if before is None:
            return ContactWrite(WriteResult.GONE, contact_id)
        return await self._as_written(before, fields)

    async def upsert_contact(self, patient_id: str, fields: Mapping[str, Any], call: Call) -> ContactWrite:
        return await self._as_written(blank_contact(TO_BE_MADE, await self.org.book()), fields)

    async def _as_written(self, before: Contact, fields: Mapping[str, Any]) -> ContactWrite:
        self.writes += 1
        after = self.known[before.id] = contact_after(before, fields, await self.org.book())
        return ContactWrite(WriteResult.WRITTEN, after.id, after=after)

    async def save_contacts(
        self, updates: Sequence[ContactChange], creations: Sequence[ContactChange], call: Call
    ) -> tuple[Sequence[Saved], Sequence[Saved]]:
        updated = [await self.write_contact(contact_id, fields, None, call) for contact_id, fields in updates]
        return updated, [await self.upsert_contact(patient_id, fields, call) for patient_id, fields in creations]

    async def calls_left(self, call: Call) -> int | None:
        return await self.org.calls_left(call)

    async def changed_contacts(self, call: Call, *, since: datetime | None, next: str | None = None) -> ContactPage:
        return await self.org.changed_contacts(call, since=since, next=next)


@dataclass(slots=True)
class RehearsedHint:
    """``HintPractice`` without writes."""

    hint: HintPractice
    book: Book
    known: dict[str, Patient] = field(default_factory=dict)
    writes: int = 0

    async def get_patient(self, patient_id: str, call: Call) -> Patient | None:
        if patient_id not in self.known:
            patient = await self.hint.get_patient(patient_id, call)
            if patient is None:
                return None
            self.known[patient_id] = patient
        return self.known[patient_id]

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
        before = await self.get_patient(patient_id, call)
        return None if before is None else self._as_written(before, attributes)

    async def create_patient(self, attributes: Mapping[str, Any], call: Call) -> Patient:
        values: Values = dict.fromkeys((f.name for f in self.book.fields), None)
        return self._as_written(Patient(TO_BE_MADE, LONG_AGO, values, LONG_AGO), attributes)

    def _as_written(self, before: Patient, attributes: Mapping[str, Any]) -> Patient:
        self.writes += 1
        after = self.known[before.id] = patient_after(before, attributes, self.book.fields)
        return after


@dataclass(slots=True)
class RehearsedLinks:
    """``Links`` that reads the real ones and stores nothing: what would be stored is kept in ``told``, ``parked``
    and ``last``.  One piece of work long."""

    links: Links
    told: list[HistoryEntry] = field(default_factory=list)
    parked: list[ToPark] = field(default_factory=list)
    parted: set[tuple[str, str]] = field(default_factory=set)
    last: Link | None = None

    async def find(self, connection_id: int, side: Side, record_id: str) -> Link | None:
        link = await self.links.find(connection_id, side, record_id)
        return None if link is None or (link.contact_id, link.patient_id) in self.parted else link

    async def take(
        self, connection_id: int, side: Side, record_id: str, *, owner: str, now: datetime, lease_s: float
    ) -> Taken | Busy | None:
        link = await self.find(connection_id, side, record_id)
        return None if link is None else Taken(link, 0)

    async def open(
        self,
        connection_id: int,
        contact_id: str,
        patient_id: str,
        *,
        by: str,
        owner: str,
        now: datetime,
        lease_s: float,
    ) -> Taken:
        for side, record_id in ((Side.SALESFORCE, contact_id), (Side.HINT, patient_id)):
            standing = await self.find(connection_id, side, record_id)
            if standing is not None:
                raise AlreadyLinked(standing)
        return Taken(Link(0, connection_id, contact_id, patient_id, LinkState.LINKING, now, by), 0)

    async def remember(self, update: LinkUpdate) -> None:
        self.told += update.history

    async def settle(self, settlement: Settlement) -> None:
        if settlement.link is not None:
            self.told += settlement.link.history
            self.last = settlement.link.link
        if settlement.unlinked_by_person is not None:
            self.parted.add(settlement.unlinked_by_person)
        self.parked += settlement.park

    async def give_back(self, taken: Taken) -> None:
        """There is no lease."""

    async def all(
        self, connection_id: int, *, after_id: int = 0, limit: int = 500, state: LinkState | None = None
    ) -> Sequence[Link]:
        return await self.links.all(connection_id, after_id=after_id, limit=limit, state=state)

    async def count(self, connection_id: int) -> int:
        return await self.links.count(connection_id)

    async def history(self, link_id: int, *, limit: int = 200) -> Sequence[HistoryEntry]:
        return await self.links.history(link_id, limit=limit)

    async def was_unlinked_by_person(
        self, connection_id: int, *, contact_id: str | None = None, patient_id: str | None = None
    ) -> Sequence[tuple[str, str]]:
        return await self.links.was_unlinked_by_person(connection_id, contact_id=contact_id, patient_id=patient_id)


@dataclass(slots=True)
class RehearsedCursors:
    """``Cursors`` that reads the real ones and keeps what would be saved to itself, such as the brake's count."""

    cursors: Cursors
    saved: dict[tuple[int, str], bytes] = field(default_factory=dict)

    async def load(self, connection_id: int, name: str) -> bytes | None:
        kept = self.saved.get((connection_id, name))
        return await self.cursors.load(connection_id, name) if kept is None else kept

    async def save(self, connection_id: int, name: str, value: bytes) -> None:
        self.saved[connection_id, name] = value


class RehearsedLeases:
    """``Leases`` that are always to be had: a rehearsal keeps nobody waiting, and waits for nobody."""

    async def hold(self, name: str, *, owner: str, now: datetime, lease_s: float) -> int | None:
        return 0

    async def let_go(self, name: str, *, owner: str) -> None:
        """There is no lease."""


@dataclass(frozen=True, slots=True)
class Stage:
    """A rehearsal's surroundings: ``work`` does as if, the others tell what it would have done."""

    work: Work
    org: RehearsedOrg
    hint: RehearsedHint
    links: RehearsedLinks


def rehearse(work: Work) -> Stage:
    """The work's surroundings for one rehearsal."""
    org, hint = RehearsedOrg(work.remotes.salesforce), RehearsedHint(work.remotes.hint, work.book)
    links = RehearsedLinks(work.stores.links)
    remotes = Remotes(work.connection, hint, org)
    stores = replace(work.stores, links=links, cursors=RehearsedCursors(work.stores.cursors), leases=RehearsedLeases())
    return Stage(replace(work, remotes=remotes, stores=stores), org, hint, links)


@dataclass(frozen=True, slots=True)
class LinkPreview:
    """What linking two records would do: the changed values by side, and the writes needed."""

    fields: tuple[HistoryEntry, ...]
    hint_writes: int
    salesforce_writes: int
    held: Mapping[str, str]
    unlinks: tuple[tuple[str, str], ...] = ()  # pairs (contact id, patient id) that would be parted first


async def preview_link(
    work: Work, contact_id: str, patient_id: str | None, *, person: str, take_over: bool = False
) -> LinkPreview:
    """What ``link_by_person`` would do, field by field (README rule 5).  Raises LinkingRefused and what the remotes
    raise on reading."""
    stage = rehearse(work)
    await link_by_person(stage.work, contact_id, patient_id, person=person, take_over=take_over)
    last = stage.links.last
    return LinkPreview(
        tuple(entry for entry in stage.links.told if entry.cause != "conflict_lost"),
        stage.hint.writes,
        stage.org.writes,
        last.held if last is not None else {},
        tuple(sorted(stage.links.parted)),
    )
