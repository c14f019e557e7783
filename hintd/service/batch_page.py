"""The turn of one record of a page: attempted until it comes to an end, or the batch has to stop or to wait.

The page's rows and the checkpoint are stored by the caller, in one transaction.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import structlog

from hintd.core.batch import Batch, BatchItem, BatchKind
from hintd.core.errors import CredentialsRefused, Misconfigured, Refused, RemoteDown, RemoteError, Throttled
from hintd.core.model import HistoryEntry, Link
from hintd.core.retry import backoff_s
from hintd.ports import BatchWork, FenceLost, StoreDown
from hintd.service.batch_record import Attempt, LinkTaken, Records
from hintd.service.batch_rows import Ended
from hintd.service.batch_writes import Gathering, PageHint, PageOrg, Seat, Stopped
from hintd.service.rehearsal import Stage, rehearse
from hintd.service.work import Remotes, Work

log = structlog.get_logger()

ATTEMPTS = 4
LONGEST_WAIT_S = 30.0
"""A remote that wants to be left alone for longer makes the whole batch wait, in a named state."""

LOOK_AT_LINK_S = 1.0


class MustWait(Exception):
    """The batch cannot go on now: ``str()`` says why, ``until`` when it looks again."""

    def __init__(self, sentence: str, until: datetime) -> None:
        super().__init__(sentence)
        self.until = until


@dataclass(slots=True)
class Hands:
    """What the pages of one batch share.  ``aborted`` and ``leaving`` (this process ends, or has lost the batch) stop
    them; ``chance`` gives a random number in [0, 1)."""

    work: Work
    store: BatchWork
    batch: Batch
    lanes: asyncio.Semaphore
    chance: Callable[[], float]
    aborted: bool = False
    leaving: bool = False
    must_wait: MustWait | None = None

    def is_over(self) -> bool:
        return self.aborted or self.leaving or self.must_wait is not None


@dataclass(slots=True)
class Turn:
    """The work on one record of a page.  ``end`` stays None when it was stopped; ``told`` and
    ``would_be`` are filled by a rehearsal."""

    hands: Hands
    records: Records
    item: BatchItem
    gathering: Gathering
    stamp: Mapping[str, str]
    hint_writes: int = 0
    salesforce_writes: int = 0
    stamped: bool = False
    told: list[HistoryEntry] = field(default_factory=list)
    would_be: Link | None = None
    end: Ended | None = None

    @property
    def batch(self) -> Batch:
        return self.hands.batch

    async def take(self) -> None:
        """A record that fails does so alone.  Raises StoreDown."""
        seat = Seat(self.gathering)
        try:
            self.end = await self._persist(seat)
        except StoreDown:
            raise
        except Exception as error:  # whatever it is, the other records go on; the row says so
            log.error("batch_record_failed", batch_id=self.batch.id, error=type(error).__name__)
            self.end = Ended(failure=("unexpected", f"hintd failed at it ({type(error).__name__}); see its logs."))
        finally:
            seat.leave()

    async def _persist(self, seat: Seat) -> Ended | None:
        """None: it was stopped."""
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return await self._unless_over(seat)
            except Stopped:
                return None
            except (CredentialsRefused, Misconfigured) as error:
                self._wait_for(error, LONGEST_WAIT_S)
                return None
            except Refused as error:
                return Ended(failure=(error.refusal.code, error.refusal.message))
            except (RemoteError, FenceLost) as error:
                after_s = getattr(error, "after_s", None) or 0.0
                is_down = isinstance(error, RemoteDown) and (attempt == ATTEMPTS or not isinstance(error, Throttled))
                if is_down or after_s > LONGEST_WAIT_S:
                    self._wait_for(error, after_s)
                    return None
                last = error
            seat.leave()
            if attempt < ATTEMPTS and not self.hands.is_over():
                await asyncio.sleep(backoff_s(attempt, self.hands.chance(), at_least_s=after_s))
        return Ended(failure=("no_answer", f"It was tried {ATTEMPTS} times; the last time: {last}."))

    async def _unless_over(self, seat: Seat) -> Ended:
        """One attempt, once nobody else has the link in hand; what a killed worker had is free when its lease ends."""
        while True:
            if self.hands.is_over():
                raise Stopped
            try:
                return await self._try(seat)
            except LinkTaken:
                seat.leave()
            await asyncio.sleep(LOOK_AT_LINK_S)

    def _wait_for(self, error: Exception, after_s: float) -> None:
        until = self.hands.work.now() + timedelta(seconds=max(after_s, LONGEST_WAIT_S))
        self.hands.must_wait = self.hands.must_wait or MustWait(str(error), until)

    async def _try(self, seat: Seat) -> Ended:
        if self.batch.kind is BatchKind.PREVIEW:
            return await self._rehearse()
        return await self._attempt(self._on_page(seat)).make()

    def _attempt(self, work: Work) -> Attempt:
        return Attempt(work, self.batch, self.item, self.records)

    async def _rehearse(self) -> Ended:
        stage: Stage = rehearse(self.hands.work)
        stage.org.known.update(self.records.contacts)
        stage.hint.known.update(self.records.patients)
        ended = await self._attempt(stage.work).make()
        self.told, self.would_be = stage.links.told, stage.links.last
        self.hint_writes, self.salesforce_writes = stage.hint.writes, stage.org.writes
        return ended

    def _on_page(self, seat: Seat) -> Work:
        """The work with writes that go together with those of the page's other records."""
        work, is_over = self.hands.work, self.hands.is_over
        org = PageOrg(work.remotes.salesforce, seat, self.records.contacts, self.stamp, is_over, self._note_stamp)
        hint = PageHint(work.remotes.hint, seat, self.hands.lanes, is_over, self._count_hint)
        return replace(work, remotes=Remotes(work.connection, hint, org))

    def _note_stamp(self) -> None:
        self.stamped = bool(self.stamp)

    def _count_hint(self) -> None:
        self.hint_writes += 1
