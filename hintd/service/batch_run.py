"""One batch from where it stands to its end: read, decide, write page after page, stamp what no page has written.

The truth is in Postgres: whoever holds the lease goes on from the stored stage and checkpoint.  Commands are found
when the lease is renewed, every second; an abort lets what is in hand come to its end for a few seconds and cuts off
the rest.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, TypeVar

import structlog

from hintd.core.batch import Batch, BatchItem, BatchKind, BatchState, Command, Direction, Stage
from hintd.core.errors import RemoteError
from hintd.core.match import Match
from hintd.core.model import Side
from hintd.ports import Advance, Batches, BatchWork, CallClass, Claim, ContactChange, FenceLost, Page
from hintd.service.batch_matching import match_all
from hintd.service.batch_page import LONGEST_WAIT_S, Hands, MustWait
from hintd.service.batch_pages import Ahead, PageWork, begin_page
from hintd.service.batch_reading import Reading, listing_is_cheaper, read_for, read_patients
from hintd.service.batch_results import rows_of, rows_of_stopped, stamp_of
from hintd.service.batch_writes import MOST
from hintd.service.work import Work

RENEW_EVERY_S = 1.0
ABORT_GRACE_S = 3.0
"""So long a page in hand may go on after an abort; README rule 8 gives it 5 seconds in all."""

MOST_UNDER_WAY = 2

T = TypeVar("T")

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class BatchSettings:
    """``page_size``: records of a page; ``lanes``: calls to Hint at a time; ``lease_s``: after so long without renewal
    another worker takes the batch over; ``overlap_s``: as the sweep's."""

    page_size: int = 200
    lanes: int = 4
    lease_s: float = 15.0
    overlap_s: float = 60.0


class _Interrupted(Exception):
    """Paused or aborted: ``command`` says which."""

    def __init__(self, command: Command) -> None:
        super().__init__(command)
        self.command = command


class BatchRun:
    """The work on one claimed batch.  ``work`` is of the batch's connection."""

    def __init__(
        self,
        work: Work,
        batches: Batches,
        store: BatchWork,
        claim: Claim,
        settings: BatchSettings,
        chance: Callable[[], float],
    ) -> None:
        batch = claim.batch
        prefer = Side.HINT if batch.direction is Direction.PATIENTS_TO_CONTACTS else None
        self._work = replace(
            work.calling_as(CallClass.BATCH), batch_id=batch.id, prefer=prefer, lease_s=4 * settings.lease_s
        )
        self._batches, self._store, self._claim, self._settings = batches, store, claim, settings
        self._under_way: list[PageWork] = []
        self._checkpoint, self._is_broken = batch.checkpoint, False
        self._to_stop = asyncio.Event()  # aborted, or leaving: what is in hand has seconds to come to its end
        self._hands = Hands(self._work, store, batch, asyncio.Semaphore(settings.lanes), chance)
        self._wanted: Command | None = None
        self._hear(batch)

    async def run(self) -> None:
        """Raises StoreDown; then whoever claims the batch next goes on.  A lost lease ends it silently."""
        keeping = asyncio.create_task(self._keep_lease(), name=f"lease of {self._claim.batch.id}")
        working = asyncio.create_task(self._work_to_an_end(), name=f"batch {self._claim.batch.id}")
        try:
            await asyncio.wait({keeping, working}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            working.cancel()
            await asyncio.wait({working})
            keeping.cancel()
            await asyncio.wait({keeping})
        for task in (working, keeping):
            error = None if task.cancelled() else task.exception()
            if error is not None and not isinstance(error, FenceLost):
                raise error

    async def _keep_lease(self) -> None:
        while True:
            await asyncio.sleep(RENEW_EVERY_S)
            self._hear(await self._batches.renew(self._claim, now=self._work.now(), lease_s=self._settings.lease_s))

    def _hear(self, batch: Batch) -> None:
        self._wanted = Command.ABORT if batch.state is BatchState.ABORTING else batch.wanted
        if self._wanted is Command.ABORT:
            self._hands.aborted = True
            self._to_stop.set()

    # --- the stages ---

    async def _work_to_an_end(self) -> None:
        log.info("batch_begun", batch_id=self._hands.batch.id, connection=self._work.connection.name)
        try:
            await self._advance(Advance(started_at=self._hands.batch.started_at or self._work.now()))
            await self._stages()
            end = Advance(state=BatchState.DONE, finished_at=self._work.now())
        except _Interrupted as interrupted:
            end = await self._interrupted(interrupted.command)
        except MustWait as wait:
            end = Advance(state=BatchState.WAITING, waiting_for=str(wait), waits_until=wait.until)
        except RemoteError as error:
            end = Advance(state=BatchState.WAITING, waiting_for=str(error), waits_until=self._again_at(error))
        except asyncio.CancelledError:
            await self._advance(Advance(let_go=True))  # another worker goes on at once
            raise
        batch = await self._advance(end)
        log.info("batch_left", batch_id=batch.id, connection=self._work.connection.name, state=str(batch.state))

    def _again_at(self, error: RemoteError) -> datetime:
        after_s = getattr(error, "after_s", None) or 0.0
        return self._work.now() + timedelta(seconds=max(LONGEST_WAIT_S, after_s))

    async def _interrupted(self, command: Command) -> Advance:
        if command is Command.PAUSE:
            return Advance(state=BatchState.PAUSED)
        most = MOST_UNDER_WAY * self._settings.page_size
        items = await self._store.items(self._hands.batch.id, after=self._checkpoint, limit=most)
        rows = await rows_of_stopped(self._hands, items)
        await self._store.store_page(self._claim, Page(tuple(rows), self._checkpoint, {}))
        return Advance(state=BatchState.ABORTED, finished_at=self._work.now())

    async def _stages(self) -> None:
        stage = self._hands.batch.stage or Stage.READING
        if stage is Stage.READING:
            stage = await self._unless_stopped(self._read())
        if stage is Stage.MATCHING:
            stage = await self._unless_stopped(self._match())
        if stage is Stage.WRITING:
            await self._write()
            if self._hands.batch.kind is BatchKind.PREVIEW:
                return
            await self._advance(Advance(stage=Stage.STAMPING))
        await self._unless_stopped(self._stamp_rest())

    async def _read(self) -> Stage:
        await self._advance(Advance(stage=Stage.READING))
        await read_for(self._reading(), self._claim)
        total = await self._store.list_items(self._claim)
        await self._advance(Advance(stage=Stage.MATCHING, total=total))
        return Stage.MATCHING

    async def _match(self) -> Stage:
        await match_all(self._store, self._claim)
        self._check()
        await self._list_patients_if_cheaper()
        await self._advance(Advance(stage=Stage.WRITING))
        return Stage.WRITING

    def _reading(self) -> Reading:
        return Reading(self._work, self._batches, self._store, self._check, self._settings.overlap_s)

    async def _list_patients_if_cheaper(self) -> None:
        if self._hands.batch.direction is Direction.PATIENTS_TO_CONTACTS:
            return
        matched = await self._store.count_decided(self._hands.batch.id, Match.ONE)
        if matched == 0:
            return
        first = await self._work.remotes.hint.list_patients(self._work.call("count"), offset=0, limit=1)
        await self._advance(Advance(calls={"hint_read": 1}))
        if listing_is_cheaper(matched, first.total):
            await read_patients(self._reading(), self._claim)

    def _check(self) -> None:
        """Raises when the batch is to stop, or has to wait."""
        if self._wanted in (Command.ABORT, Command.PAUSE):
            raise _Interrupted(self._wanted)
        if self._hands.must_wait is not None:
            raise self._hands.must_wait

    async def _advance(self, advance: Advance) -> Batch:
        return await self._batches.advance(self._claim, advance, now=self._work.now())

    # --- the pages ---

    async def _write(self) -> None:
        """Two pages at most are under way: while Hint takes the patients of one, Salesforce takes the next one's
        Contacts."""
        ahead, after = Ahead(), self._hands.batch.checkpoint
        try:
            while True:
                self._check()
                items = await self._store.items(self._hands.batch.id, after=after, limit=self._settings.page_size)
                if not items:
                    break
                await self._begin(items, ahead)
                after = items[-1].position
                if len(self._under_way) == MOST_UNDER_WAY:
                    await self._end(self._under_way[0])
        except asyncio.CancelledError:
            self._leave()
            raise
        finally:
            await self._end_all()
        self._check()

    def _leave(self) -> None:
        self._hands.leaving = True
        self._to_stop.set()

    async def _begin(self, items: Sequence[BatchItem], ahead: Ahead) -> None:
        stamps = await self._stamps_left()
        page = await self._unless_stopped(begin_page(self._hands, self._claim, items, ahead, list(stamps.values())))
        self._under_way.append(page)
        await self._wait_or_stop(page.until_flushed())
        await self._mark_stamped(stamps, page.gathering.stamped)

    async def _end_all(self) -> None:
        """Whatever happens, none is left at work."""
        try:
            while self._under_way:
                await self._end(self._under_way[0])
        finally:
            for page in self._under_way:
                await page.cut_off(0.0)

    async def _end(self, page: PageWork) -> None:
        """Store its rows.  The checkpoint stays in front of the first record that came to no end."""
        await self._wait_or_stop(asyncio.wait({page.working}))
        if not page.working.done():
            await page.cut_off(ABORT_GRACE_S)
        self._under_way.remove(page)
        was_broken, self._is_broken = self._is_broken, True  # until it is stored: the next page is stored in any case
        rows = await rows_of(self._hands, page.turns)
        is_whole = len(rows) == len(page.turns) and not was_broken
        checkpoint = page.checkpoint if is_whole else self._checkpoint
        await self._store.store_page(self._claim, Page(tuple(rows), checkpoint, page.calls(rows)))
        self._checkpoint, self._is_broken = checkpoint, not is_whole
        if not page.working.cancelled():
            page.working.result()

    async def _wait_or_stop(self, waiting: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Until it is done or the batch is to stop: then it is cancelled."""
        task = asyncio.create_task(waiting, name="batch step")
        stop = asyncio.create_task(self._to_stop.wait(), name="batch to stop")
        try:
            await asyncio.wait({task, stop}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            task.cancel()
            stop.cancel()
            await asyncio.wait({task, stop})
        return task

    async def _unless_stopped(self, step: Coroutine[Any, Any, T]) -> T:
        """For a step that can be broken off anywhere, however long a remote takes over its answer."""
        task = await self._wait_or_stop(step)
        if task.cancelled():
            self._check()
        return task.result()

    # --- stamps ---

    async def _stamps_left(self) -> Mapping[int, ContactChange]:
        """By the position of their row."""
        if self._hands.batch.kind is BatchKind.PREVIEW:
            return {}
        changed_only = not self._hands.batch.options.stamp_all
        rows = await self._store.unstamped(self._hands.batch.id, limit=2 * MOST, changed_only=changed_only)
        stamps = {row.position: stamp for row in rows if (stamp := stamp_of(self._hands, row)) is not None}
        first_of = {contact_id: position for position, (contact_id, _) in reversed(stamps.items())}
        return {at: stamp for at, stamp in stamps.items() if first_of[stamp[0]] == at}  # no id twice in one call

    async def _mark_stamped(self, stamps: Mapping[int, ContactChange], written: Collection[str]) -> None:
        done = [position for position, (contact_id, _) in stamps.items() if contact_id in written]
        if done:
            await self._store.mark_stamped(self._claim, done)

    async def _stamp_rest(self) -> None:
        """A stamp that is refused is left: the row says what happened, and nothing else depends on it."""
        while stamps := await self._stamps_left():
            self._check()
            some = dict(list(stamps.items())[:MOST])
            await self._work.remotes.salesforce.save_contacts(list(some.values()), (), self._work.call("batch_stamp"))
            await self._store.mark_stamped(self._claim, list(some))
            await self._advance(Advance(calls={"salesforce_write": 1}))
