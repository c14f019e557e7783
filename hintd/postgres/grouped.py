"""Group commit: what many callers want stored at the same time goes in one statement, and one commit serves all.

One statement is under way at a time; what comes meanwhile makes up the next group.  A lone caller writes its own and
waits for nobody.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

T = TypeVar("T")


class Grouped(Generic[T]):
    """``store`` takes a group of at most ``most`` items, and stores all of them or raises."""

    def __init__(self, store: Callable[[Sequence[T]], Awaitable[None]], *, most: int = 500) -> None:
        self._store = store
        self._most = most
        self._waiting: deque[tuple[T, asyncio.Future[None]]] = deque()
        self._is_writing = False
        self._writing: asyncio.Task[None] | None = None  # kept, or it could be collected in its midst

    async def add(self, item: T) -> None:
        """Returns when the item is stored; raises what ``store`` raised for its group."""
        if not self._is_writing:
            await self._write_alone(item)
            return
        stored = asyncio.get_running_loop().create_future()
        self._waiting.append((item, stored))
        await stored

    async def _write_alone(self, item: T) -> None:
        self._is_writing = True
        try:
            await self._store([item])
        finally:
            if self._waiting:
                self._writing = asyncio.create_task(self._write_groups(), name="group commit")
            else:
                self._is_writing = False

    async def _write_groups(self) -> None:
        try:
            while self._waiting:
                await self._write([self._waiting.popleft() for _ in range(min(self._most, len(self._waiting)))])
        finally:
            self._is_writing, self._writing = False, None

    async def _write(self, group: list[tuple[T, asyncio.Future[None]]]) -> None:
        try:
            await self._store([item for item, _ in group])
        except Exception as error:  # not swallowed: every caller of the group gets it
            _finish(group, error)
        except BaseException:  # the loop is ending
            for _, stored in group + list(self._waiting):
                stored.cancel()
            raise
        else:
            _finish(group, None)


def _finish(group: list[tuple[T, asyncio.Future[None]]], error: Exception | None) -> None:
    for _, stored in group:
        if stored.done():  # its caller was cancelled
            continue
        if error is None:
            stored.set_result(None)
        else:
            stored.set_exception(error)
