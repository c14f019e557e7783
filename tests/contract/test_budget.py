"""The shared tally, and the budgets of two processes that have only it in common."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from hintd.core.budget import Limits, Tally
from hintd.core.errors import Retryable
from hintd.hint.budget import SharedBudget
from hintd.ports import Call, CallClass, Reading, SharedTally, StoreDown
from hintd.postgres.budget import PostgresTally
from hintd.postgres.pool import open_database
from tests.fakes.budget import MemoryTally

REAL_TIME, BATCH = Call(CallClass.REAL_TIME, "test"), Call(CallClass.BATCH, "test")
FULL = Tally(((179534880000, 3), (179534880007, 1)), 1.5, 0.25, 2.5, 3.5, 7, 4.5, 20_000, 12)


@pytest.fixture
async def tallies(store_address: str | None) -> AsyncIterator[tuple[SharedTally, SharedTally]]:
    """Two ways to the same tally, as of two processes."""
    async with AsyncExitStack() as stack:
        if store_address is None:
            shared = MemoryTally(time.time)
            yield shared, shared
        else:
            ours, theirs = [await stack.enter_async_context(open_database(store_address, size=2)) for _ in range(2)]
            yield PostgresTally(ours), PostgresTally(theirs)


class Noting:
    """A tally that remembers when, by its own clock, calls were granted through it."""

    def __init__(self, tally: SharedTally) -> None:
        self._tally = tally
        self._last: Reading | None = None
        self.granted: list[float] = []

    async def read(self) -> Reading:
        self._last = await self._tally.read()
        return self._last

    async def write(self, turn: int, tally: Tally) -> bool:
        assert self._last is not None
        before = self._last
        written = await self._tally.write(turn, tally)
        self.granted += [before.now] * (tally.spent - before.tally.spent) * written
        return written


def budgets(tallies: tuple[SharedTally, SharedTally], per_second: int, per_day: int = 1000) -> list[SharedBudget]:
    return [SharedBudget(tally, Limits(per_second, per_day)) for tally in tallies]


async def test_what_one_writes_the_other_reads(tallies: tuple[SharedTally, SharedTally]) -> None:
    ours, theirs = tallies
    first = await ours.read()
    assert first.tally == Tally()
    assert await ours.write(first.turn, FULL)
    second = await theirs.read()
    assert second.tally == FULL
    assert second.now >= first.now


async def test_who_has_read_an_older_tally_writes_nothing(tallies: tuple[SharedTally, SharedTally]) -> None:
    ours, theirs = tallies
    mine, other = await ours.read(), await theirs.read()
    assert await theirs.write(other.turn, FULL)
    assert not await ours.write(mine.turn, Tally(spent=1))
    assert (await ours.read()).tally == FULL


async def test_of_many_at_once_one_writes(tallies: tuple[SharedTally, SharedTally]) -> None:
    turn = (await tallies[0].read()).turn
    written = await asyncio.gather(*(tally.write(turn, FULL) for tally in tallies * 5))
    assert sorted(written) == [False] * 9 + [True]


async def test_two_processes_together_keep_to_the_rate(tallies: tuple[SharedTally, SharedTally]) -> None:
    notes = Noting(tallies[0]), Noting(tallies[1])
    await asyncio.gather(*(budget.spend(REAL_TIME) for budget in budgets(notes, 20) for _ in range(25)))
    granted = sorted(notes[0].granted + notes[1].granted)
    assert len(granted) == 50
    assert max(sum(start <= at < start + 1.0 for at in granted) for start in granted) == 20


async def test_an_urgent_call_goes_before_the_batch_of_another_process(
    tallies: tuple[SharedTally, SharedTally],
) -> None:
    ours, theirs = budgets(tallies, 2)
    served: list[str] = []

    async def spend(budget: SharedBudget, call: Call) -> None:
        await budget.spend(call)
        served.append(call.call_class)

    await asyncio.gather(*(ours.spend(REAL_TIME) for _ in range(2)))
    await asyncio.gather(spend(theirs, BATCH), *(spend(ours, REAL_TIME) for _ in range(2)))
    assert served == ["real_time", "real_time", "batch"]


async def test_throttling_of_one_slows_both_down(tallies: tuple[SharedTally, SharedTally]) -> None:
    ours, theirs = budgets(tallies, 20)
    await asyncio.gather(ours.throttled(), theirs.throttled())
    await asyncio.gather(ours.spend(REAL_TIME), theirs.spend(REAL_TIME))
    assert (ours.calls_per_second(), theirs.calls_per_second()) == (15.0, 15.0)


async def test_the_calls_of_the_day_are_shared(tallies: tuple[SharedTally, SharedTally]) -> None:
    ours, theirs = budgets(tallies, 20, per_day=5)
    await asyncio.gather(*(ours.spend(REAL_TIME) for _ in range(3)))
    assert (await theirs.left_today(urgent=True), await theirs.left_today(urgent=False)) == (2, 1)
    results = await asyncio.gather(*(theirs.spend(REAL_TIME) for _ in range(3)), return_exceptions=True)
    assert [type(result) for result in results] == [type(None), type(None), Retryable]


async def test_a_lost_server_is_told_to_the_caller(store_dsn: str) -> None:
    async with open_database(store_dsn, size=1) as database:
        budget = SharedBudget(PostgresTally(database), Limits(20, 1000))
        await budget.spend(REAL_TIME)
    with pytest.raises(StoreDown):
        await budget.spend(REAL_TIME)
    with pytest.raises(StoreDown):
        await budget.throttled()
