"""The call budget of one process: the waiting around the arithmetic of ``hintd.core.budget``.

Every call to Hint passes here first.  Waiters are served by the urgency of their class, in the order of arrival within
a class.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable
from datetime import datetime
from itertools import count

from hintd.core.budget import Bucket, DayCount, seconds_to_midnight
from hintd.core.errors import Retryable
from hintd.ports import Call, CallClass

_RANK = {call_class: rank for rank, call_class in enumerate(CallClass)}
_NOT_URGENT = frozenset({_RANK[CallClass.BATCH], _RANK[CallClass.SWEEP]})

Waiter = tuple[int, int, "asyncio.Future[None]"]  # rank of the class, order of arrival, its turn


class LocalBudget:
    """``hintd.ports.Budget`` for a single process.

    ``clock`` is monotonic, in seconds, and must run as fast as the event loop's; ``now`` is aware UTC.
    """

    def __init__(
        self,
        requests_per_second: int,
        requests_per_day: int,
        *,
        clock: Callable[[], float],
        now: Callable[[], datetime],
    ) -> None:
        self._bucket = Bucket(requests_per_second)
        self._day = DayCount(requests_per_day)
        self._clock = clock
        self._now = now
        self._arrivals = count()
        self._waiters: list[Waiter] = []
        self._alarm: asyncio.TimerHandle | None = None

    async def spend(self, call: Call) -> None:
        turn = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiters, (_RANK[call.call_class], next(self._arrivals), turn))
        self._serve()
        await turn

    def throttled(self) -> None:
        self._bucket.throttle(self._clock())

    def _serve(self) -> None:
        """Let waiters through while there are tokens.

        The first one is the most urgent: if it has to wait, so has everyone behind it.
        """
        while self._waiters:
            rank, _, turn = self._waiters[0]
            wait_s = 0.0 if turn.done() else self._let_through(turn, urgent=rank not in _NOT_URGENT)
            if wait_s > 0:
                self._wake_in(wait_s)
                return
            heapq.heappop(self._waiters)

    def _let_through(self, turn: asyncio.Future[None], *, urgent: bool) -> float:
        """0 when the waiter was answered, else how long it has to wait."""
        today = self._now()
        if self._day.is_used_up(today, urgent=urgent):
            turn.set_exception(_used_up(today))
            return 0.0
        now = self._clock()
        wait_s = self._bucket.wait_s(now, urgent=urgent)
        if wait_s == 0:
            self._bucket.spend(now)
            self._day.spend(today)
            turn.set_result(None)
        return wait_s

    def _wake_in(self, wait_s: float) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm = asyncio.get_running_loop().call_later(wait_s, self._serve)


def _used_up(now: datetime) -> Retryable:
    sentence = "The calls that Hint allows for today are used up; they begin anew at 00:00 UTC."
    return Retryable(sentence, after_s=seconds_to_midnight(now))
