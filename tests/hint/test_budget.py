import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from hintd.core.budget import Limits, Tally
from hintd.core.errors import Retryable
from hintd.hint.budget import SharedBudget
from hintd.ports import Call, CallClass, Reading, StoreDown
from tests.fakes.budget import MemoryTally
from tests.fakes.clock import BEGINNING, run_virtual

SECONDS_TO_MIDNIGHT = 14 * 3600


def clock() -> float:
    return BEGINNING.timestamp() + elapsed()


def elapsed() -> float:
    return asyncio.get_running_loop().time()


def in_virtual_time(main: Callable[[SharedBudget], Coroutine[Any, Any, None]], per_second: int, per_day: int) -> None:
    """Run ``main`` on a loop whose clock jumps to the next timer."""

    async def run() -> None:
        await main(SharedBudget(MemoryTally(clock), Limits(per_second, per_day)))

    run_virtual(run())


def call(call_class: CallClass) -> Call:
    return Call(call_class, "test")


REAL_TIME, BATCH, SWEEP = call(CallClass.REAL_TIME), call(CallClass.BATCH), call(CallClass.SWEEP)


class Line:
    """Callers of one budget, and who was let through when."""

    def __init__(self, budget: SharedBudget) -> None:
        self.budget = budget
        self.served: list[str] = []
        self.at: list[float] = []

    def join(self, name: str, call: Call) -> asyncio.Task[None]:
        return asyncio.create_task(self._wait(name, call))

    async def _wait(self, name: str, call: Call) -> None:
        await self.budget.spend(call)
        self.served.append(name)
        self.at.append(elapsed())


def test_calls_within_the_rate_do_not_wait() -> None:
    async def main(budget: SharedBudget) -> None:
        for _ in range(20):
            await budget.spend(REAL_TIME)
        assert elapsed() == 0.0

    in_virtual_time(main, 20, 1000)


def test_hundred_calls_take_as_many_seconds_as_the_rate_says() -> None:
    async def main(budget: SharedBudget) -> None:
        line = Line(budget)
        await asyncio.gather(*(line.join(str(n), REAL_TIME) for n in range(100)))
        assert line.served == [str(n) for n in range(100)]
        assert line.at == pytest.approx([1.01 * (n // 20) for n in range(100)], abs=0.01)

    in_virtual_time(main, 20, 1000)


def test_urgent_classes_go_first_and_each_class_in_order() -> None:
    async def main(budget: SharedBudget) -> None:
        line = Line(budget)
        await line.join("first", REAL_TIME)
        arrivals = [c for c in reversed(CallClass) for _ in range(2)]
        await asyncio.gather(*(line.join(f"{c}-{n}", call(c)) for n, c in enumerate(arrivals)))
        assert line.served == [
            "first", "real_time-8", "real_time-9", "manual-6", "manual-7", "retry-4", "retry-5",
            "batch-2", "batch-3", "sweep-0", "sweep-1",
        ]  # fmt: skip

    in_virtual_time(main, 1, 1000)


def test_real_time_does_not_wait_behind_a_batch() -> None:
    async def main(budget: SharedBudget) -> None:
        line = Line(budget)
        batch = [line.join("batch", BATCH) for _ in range(100)]
        await asyncio.sleep(0.5)
        assert line.served == ["batch"] * 10
        await line.join("urgent", REAL_TIME)
        assert line.at[-1] == 0.5
        await asyncio.gather(*batch)

    in_virtual_time(main, 20, 1000)


def test_caller_that_gives_up_leaves_its_place_to_the_next() -> None:
    async def main(budget: SharedBudget) -> None:
        line = Line(budget)
        await line.join("first", REAL_TIME)
        impatient, patient = line.join("impatient", REAL_TIME), line.join("patient", REAL_TIME)
        await asyncio.sleep(0.1)
        impatient.cancel()
        await patient
        assert line.served == ["first", "patient"]
        assert line.at[-1] == pytest.approx(1.01, abs=0.01)

    in_virtual_time(main, 1, 1000)


def test_callers_that_give_up_take_nothing_of_the_day() -> None:
    async def main(budget: SharedBudget) -> None:
        line = Line(budget)
        await line.join("first", REAL_TIME)
        impatient = [line.join("impatient", REAL_TIME) for _ in range(50)]
        await asyncio.sleep(0.5)
        for caller in impatient:
            caller.cancel()
        await asyncio.sleep(60)
        assert await budget.left_today(urgent=True) == 999

    in_virtual_time(main, 1, 1000)


def test_throttling_slows_down_and_recovers() -> None:
    async def main(budget: SharedBudget) -> None:
        await budget.throttled()
        assert budget.calls_per_second() == 20.0
        line = Line(budget)
        await asyncio.gather(*(line.join("call", REAL_TIME) for _ in range(200)))
        seconds = [int(at / 1.01 + 0.01) for at in line.at]
        assert (seconds.count(0), seconds.count(5)) == (15, 20)
        assert budget.calls_per_second() == 20.0

    in_virtual_time(main, 20, 1000)


@pytest.mark.parametrize(
    ("late_call", "sentence"), [(REAL_TIME, "used up;"), (BATCH, "but for those that are kept for changes in real")]
)
def test_used_up_day_says_how_long_it_lasts(late_call: Call, sentence: str) -> None:
    async def main(budget: SharedBudget) -> None:
        for _ in range(10):
            await budget.spend(REAL_TIME)
        with pytest.raises(Retryable, match=sentence) as caught:
            await budget.spend(late_call)
        assert caught.value.after_s == SECONDS_TO_MIDNIGHT
        await asyncio.sleep(caught.value.after_s)
        await budget.spend(late_call)

    in_virtual_time(main, 20, 10)


def test_day_that_ends_while_callers_wait_turns_them_away() -> None:
    async def main(budget: SharedBudget) -> None:
        results = await asyncio.gather(*(budget.spend(REAL_TIME) for _ in range(5)), return_exceptions=True)
        assert [type(result) for result in results] == [type(None)] * 3 + [Retryable] * 2
        assert elapsed() == pytest.approx(2.02, abs=0.01)

    in_virtual_time(main, 1, 3)


def test_sweeps_stop_before_the_urgent_calls_of_the_day_are_touched() -> None:
    async def main(budget: SharedBudget) -> None:
        for _ in range(19):
            await budget.spend(SWEEP)
        with pytest.raises(Retryable):
            await budget.spend(SWEEP)
        await budget.spend(REAL_TIME)

    in_virtual_time(main, 20, 20)


class LostTally(MemoryTally):
    """Answers when it is there."""

    is_there = False

    async def read(self) -> Reading:
        if not self.is_there:
            raise StoreDown("Postgres did not answer (ConnectionRefusedError)")
        return await super().read()


def test_no_call_is_made_while_calls_cannot_be_counted_and_then_they_go_on() -> None:
    async def main() -> None:
        tally = LostTally(clock)
        budget = SharedBudget(tally, Limits(20, 1000))
        results = await asyncio.gather(*(budget.spend(REAL_TIME) for _ in range(3)), return_exceptions=True)
        assert [type(result) for result in results] == [StoreDown] * 3
        tally.is_there = True
        await budget.spend(REAL_TIME)
        assert await budget.left_today(urgent=True) == 999

    run_virtual(main())


class BusyTally(MemoryTally):
    """Another process writes between each first read and the write that follows."""

    losses = 0

    async def write(self, turn: int, tally: Tally) -> bool:
        if self.losses < 3:
            self.losses += 1
            return False
        return await super().write(turn, tally)


def test_who_was_overtaken_decides_anew() -> None:
    async def main() -> None:
        tally = BusyTally(clock)
        budget = SharedBudget(tally, Limits(20, 1000))
        await asyncio.gather(budget.spend(REAL_TIME), budget.throttled())
        assert tally.losses == 3
        assert (await budget.left_today(urgent=True), budget.calls_per_second()) == (999, 15.0)

    run_virtual(main())
