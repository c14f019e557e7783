"""The call budget of all processes together: the waiting around the arithmetic of ``hintd.core.budget``.

Every call to Hint passes here first.  Within a process, waiters are served by the urgency of their class, in the order
of arrival within a class; over all processes the shared tally sees to it that batches and sweeps let the urgent go
first.  Nothing has to be given back: a turn whose caller is gone counts as a call for a second, and no longer.
"""

from __future__ import annotations

import asyncio
from bisect import insort
from itertools import count

from hintd.core.budget import Granted, Limits, UsedUp, ask_for_all, left_today, throttle, usable_per_second
from hintd.core.errors import Retryable
from hintd.ports import Call, CallClass, Reading, SharedTally

_RANK = {call_class: rank for rank, call_class in enumerate(CallClass)}
_NOT_URGENT = frozenset({_RANK[CallClass.BATCH], _RANK[CallClass.SWEEP]})

Waiter = tuple[int, int, "asyncio.Future[None]"]  # rank of the class, order of arrival, its turn


class SharedBudget:
    """``hintd.ports.Budget``.  While somebody waits, one task asks the tally for all who wait."""

    def __init__(self, tally: SharedTally, limits: Limits) -> None:
        self._tally = tally
        self._limits = limits
        self._usable = limits.per_second
        self._arrivals = count()
        self._waiters: list[Waiter] = []
        self._first_has_changed = asyncio.Event()
        self._serving: asyncio.Task[None] | None = None

    async def spend(self, call: Call) -> None:
        turn = asyncio.get_running_loop().create_future()
        waiter = (_RANK[call.call_class], next(self._arrivals), turn)
        insort(self._waiters, waiter)
        if self._waiters[0] is waiter:
            self._first_has_changed.set()
        if self._serving is None or self._serving.done():
            self._serving = asyncio.create_task(self._serve(), name="call budget")
        await turn

    async def throttled(self) -> None:
        while True:
            reading = await self._read()
            slower = throttle(reading.tally, reading.now)
            if slower == reading.tally or await self._tally.write(reading.turn, slower):
                return

    async def left_today(self, *, urgent: bool) -> int:
        reading = await self._read()
        return left_today(reading.tally, self._limits, reading.now, urgent=urgent)

    def calls_per_second(self) -> float:
        return float(self._usable)

    async def _read(self) -> Reading:
        reading = await self._tally.read()
        self._usable = usable_per_second(reading.tally, self._limits, reading.now)
        return reading

    async def _serve(self) -> None:
        """Until nobody waits."""
        try:
            while self._drop_answered():
                self._first_has_changed.clear()
                await self._sleep(await self._let_through())
        except Exception as error:  # to those who wait for it: nobody awaits this task
            for _, _, turn in self._waiters:
                _answer(turn, error)
            self._waiters = []

    def _drop_answered(self) -> bool:
        """Also those who have given up; True when some are left."""
        self._waiters = [waiter for waiter in self._waiters if not waiter[2].done()]
        return bool(self._waiters)

    async def _let_through(self) -> float:
        """Answer those whose turn it is; seconds until the next one's."""
        reading = await self._read()
        self._drop_answered()
        line = [rank not in _NOT_URGENT for rank, _, _ in self._waiters]
        answers, wait_s, tally = ask_for_all(reading.tally, self._limits, reading.now, line)
        first = self._waiters[: len(answers)]  # taken now: others may arrive before them while it is written
        if tally != reading.tally and not await self._tally.write(reading.turn, tally):
            return 0.0
        for (_, _, turn), answer in zip(first, answers, strict=True):
            _answer(turn, None if isinstance(answer, Granted) else _used_up(answer))
        return wait_s

    async def _sleep(self, wait_s: float) -> None:
        try:
            async with asyncio.timeout(wait_s):
                await self._first_has_changed.wait()
        except TimeoutError:
            pass


def _answer(turn: asyncio.Future[None], error: Exception | None) -> None:
    if turn.done():
        return
    if error is None:
        turn.set_result(None)
    else:
        turn.set_exception(error)


def _used_up(answer: UsedUp) -> Retryable:
    left = "are used up" if answer.urgent else "are used up but for those that are kept for changes in real time"
    sentence = f"The calls that Hint allows for today {left}; they begin anew at 00:00 UTC."
    return Retryable(sentence, after_s=answer.seconds)
