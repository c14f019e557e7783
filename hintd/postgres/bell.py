"""Wakes the consumers of a queue when somebody put a message there, in this process or in another one.

LISTEN is a hint only: it can be lost with its connection, so consumers look by themselves every ``poll_s`` as well.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict

from hintd.ports import StoreDown
from hintd.postgres.inbox import CHANNEL
from hintd.postgres.pool import Database


class Bell:
    def __init__(self, database: Database, *, poll_s: float) -> None:
        self._db = database
        self._poll_s = poll_s
        self._rung: defaultdict[str, set[asyncio.Event]] = defaultdict(set)
        self._wanted = asyncio.Event()

    def add(self, queue: str, wake: asyncio.Event) -> None:
        self._rung[queue].add(wake)
        self._wanted.set()

    def remove(self, queue: str, wake: asyncio.Event) -> None:
        self._rung[queue].discard(wake)

    def ring(self, queue: str) -> None:
        for wake in self._rung[queue]:
            wake.set()

    async def listen(self) -> None:
        """For ever, once there is somebody to wake; connects again by itself, and rings for all that it may have
        missed."""
        await self._wanted.wait()
        while True:
            try:
                async with self._db.listening(CHANNEL, self.ring) as lost:
                    for queue in list(self._rung):
                        self.ring(queue)
                    await lost.wait()
            except StoreDown:
                pass  # whoever claims meets it too, and says so
            await asyncio.sleep(self._poll_s)
