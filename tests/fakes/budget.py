"""The shared tally in memory, with a clock of the test's."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from hintd.core.budget import Tally
from hintd.ports import Reading


class MemoryTally:
    """Each answer lets the others go first once, as a server's would."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._turn = 0
        self._tally = Tally()

    async def read(self) -> Reading:
        await asyncio.sleep(0)
        return Reading(self._turn, self._tally, self._clock())

    async def write(self, turn: int, tally: Tally) -> bool:
        await asyncio.sleep(0)
        if turn != self._turn:
            return False
        self._turn, self._tally = turn + 1, tally
        return True
