"""Virtual time: an event loop whose clock jumps to the next timer, so that hours of waiting take no time at all.

The loop knows neither sockets nor threads.  A program in which nobody has anything left to wait for would hang for
ever, so it is stopped with ``Deadlock``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

T = TypeVar("T")

BEGINNING = datetime(2026, 11, 22, 10, 0, tzinfo=UTC)


class Deadlock(AssertionError):
    """Everybody waits for somebody."""


class _Jump:
    """Stands where an event loop keeps its selector: instead of waiting for events, time passes."""

    def __init__(self) -> None:
        self.at = 0.0

    def select(self, timeout: float | None) -> Sequence[object]:
        if timeout is None:
            raise Deadlock("nothing is scheduled any more")
        self.at += timeout
        return ()


class VirtualLoop(asyncio.BaseEventLoop):
    """Its ``time()`` begins at 0 and moves only when every task waits."""

    def __init__(self) -> None:
        self._selector = _Jump()
        super().__init__()
        self._clock_resolution = 1e-7  # sums of floats must not fall short of the timer that they were made from

    def time(self) -> float:
        return self._selector.at

    def jump(self, seconds: float) -> None:
        """Let time pass in which nothing happens."""
        self._selector.at += seconds

    def now(self) -> datetime:
        return BEGINNING + timedelta(seconds=self.time())

    def _process_events(self, events: object) -> None:
        """There are none."""

    def _write_to_self(self) -> None:
        """Nobody sleeps who would have to be woken."""


def virtual_now() -> datetime:
    """The virtual time of the running loop."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    return loop.now()


def run_virtual(main: Coroutine[Any, Any, T]) -> T:
    """``asyncio.run`` under virtual time."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)
