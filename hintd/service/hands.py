"""The links that this process has in hand: a notice about one of them waits here, instead of going back to the bus and
coming again a fifth of a second later.  The lease in Postgres decides; this only saves the time."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager


class Hands:
    def __init__(self) -> None:
        self._freed: dict[int, asyncio.Event] = {}

    @contextmanager
    def holding(self, link_id: int) -> Iterator[None]:
        freed = self._freed[link_id] = asyncio.Event()
        try:
            yield
        finally:
            if self._freed.get(link_id) is freed:
                del self._freed[link_id]
            freed.set()

    async def wait(self, link_id: int, timeout_s: float) -> bool:
        """True when the link was in hand here and is free now; False at once when it is in hand elsewhere."""
        freed = self._freed.get(link_id)
        if freed is None:
            return False
        try:
            async with asyncio.timeout(timeout_s):
                await freed.wait()
        except TimeoutError:
            return False
        return True
