import asyncio
import selectors
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from hintd.core.errors import Retryable
from hintd.hint.budget import LocalBudget
from hintd.ports import Call, CallClass

START = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


class _Instantly(selectors.DefaultSelector):
    """Lets the loop's time pass instead of waiting."""

    def __init__(self) -> None:
        super().__init__()
        self.elapsed = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self.elapsed += timeout or 0.0
        return super().select(0)


def in_virtual_time(main: Callable[[LocalBudget], Coroutine[Any, Any, None]], per_second: int, per_day: int) -> None:
    """Run ``main`` on a loop whose clock jumps to the next timer."""
    selector = _Instantly()
    loop = asyncio.SelectorEventLoop(selector)
    loop.time = lambda: selector.elapsed  # type: ignore[method-assign]
    budget = LocalBudget(per_second, per_day, clock=loop.time, now=lambda: START + timedelta(seconds=selector.elapsed))
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.run(main(budget))


def call(call_class: CallClass) -> Call:
    return Call(call_class, "test")


REAL_TIME, BATCH, SWEEP = call(CallClass.REAL_TIME), call(CallClass.BATCH), call(CallClass.SWEEP)


class Line:
    """Callers of one budget, and who was let through when."""

    def __init__(self, budget: LocalBudget) -> None:
        self.budget = budget
        self.served: list[str] = []
        self.at: list[float] = []

    def join(self, name: str, call: Call) -> asyncio.Task[None]:
        return asyncio.create_task(self._wait(name, call))

    async def _wait(self, name: str, call: Call) -> None:
        await self.budget.spend(call)
        self.served.append(name)
        self.at.append(asyncio.get_running_loop().time())


def test_calls_within_the_rate_do_not_wait() -> None:
    async def main(budget: LocalBudget) -> None:
        for _ in range(20):
            await budget.spend(REAL_TIME)
        assert asyncio.get_running_loop().time() == 0.0

    in_virtual_time(main, 20, 1000)


def test_hundred_calls_take_as_many_seconds_as_the_rate_says() -> None:
    async def main(budget: LocalBudget) -> None:
        line = Line(budget)
        await asyncio.gather(*(line.join(str(n), REAL_TIME) for n in range(100)))
        assert line.served == [str(n) for n in range(100)]
        assert [round(at, 6) for at in line.at] == [float(n // 20) for n in range(100)]

    in_virtual_time(main, 20, 1000)


def test_urgent_classes_go_first_and_each_class_in_order() -> None:
    async def main(budget: LocalBudget) -> None:
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
    async def main(budget: LocalBudget) -> None:
        line = Line(budget)
        batch = [line.join("batch", BATCH) for _ in range(100)]
        await asyncio.sleep(0.5)
        assert line.served == ["batch"] * 16
        await line.join("urgent", REAL_TIME)
        assert line.at[-1] == 0.5
        await asyncio.gather(*batch)

    in_virtual_time(main, 20, 1000)


def test_caller_that_gives_up_leaves_its_place_to_the_next() -> None:
    async def main(budget: LocalBudget) -> None:
        line = Line(budget)
        await line.join("first", REAL_TIME)
        impatient, patient = line.join("impatient", REAL_TIME), line.join("patient", REAL_TIME)
        await asyncio.sleep(0.1)
        impatient.cancel()
        await patient
        assert line.served == ["first", "patient"]
        assert line.at[-1] == 1.0

    in_virtual_time(main, 1, 1000)


def test_throttling_slows_down_and_recovers() -> None:
    async def main(budget: LocalBudget) -> None:
        budget.throttled()
        line = Line(budget)
        await asyncio.gather(*(line.join("call", REAL_TIME) for _ in range(200)))
        seconds = [round(at) for at in line.at]
        assert [seconds.count(n) for n in (0, 4, 5, 9, 10)] == [10, 10, 11, 11, 12]

    in_virtual_time(main, 20, 1000)


def test_used_up_day_says_how_long_it_lasts() -> None:
    async def main(budget: LocalBudget) -> None:
        for _ in range(10):
            await budget.spend(REAL_TIME)
        with pytest.raises(Retryable) as caught:
            await budget.spend(REAL_TIME)
        assert caught.value.after_s == 12 * 3600
        await asyncio.sleep(caught.value.after_s)
        await budget.spend(REAL_TIME)

    in_virtual_time(main, 20, 10)


def test_day_that_ends_while_callers_wait_turns_them_away() -> None:
    async def main(budget: LocalBudget) -> None:
        results = await asyncio.gather(*(budget.spend(REAL_TIME) for _ in range(5)), return_exceptions=True)
        assert [type(result) for result in results] == [type(None)] * 3 + [Retryable] * 2
        assert asyncio.get_running_loop().time() == pytest.approx(2.0, abs=0.01)

    in_virtual_time(main, 1, 3)


def test_sweeps_stop_before_the_urgent_calls_of_the_day_are_touched() -> None:
    async def main(budget: LocalBudget) -> None:
        for _ in range(8):
            await budget.spend(SWEEP)
        with pytest.raises(Retryable):
            await budget.spend(SWEEP)
        await budget.spend(REAL_TIME)

    in_virtual_time(main, 20, 10)
