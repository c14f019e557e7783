"""One run however many callers: for what all of them need at once, such as a token or a description."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class SingleFlight(Generic[T]):
    """Callers that come while ``run`` is under way share its end, good or bad.  A caller that is cancelled leaves the
    run to the others."""

    def __init__(self, run: Callable[[], Coroutine[Any, Any, T]], *, name: str) -> None:
        self._run = run
        self._name = name
        self._flight: asyncio.Task[T] | None = None

    async def __call__(self) -> T:
        if self._flight is None:
            self._flight = asyncio.create_task(self._run(), name=self._name)
            self._flight.add_done_callback(self._landed)
        return await asyncio.shield(self._flight)

    def cancel(self) -> None:
        if self._flight is not None:
            self._flight.cancel()

    def _landed(self, flight: asyncio.Task[T]) -> None:
        self._flight = None
        if not flight.cancelled():
            flight.exception()  # marked as seen: every caller may have been cancelled meanwhile
