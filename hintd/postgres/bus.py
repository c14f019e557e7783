"""The embedded bus: the port ``Bus`` on the inbox table, for one process or several on the same database."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from hintd.ports import BusDown, Delivery, Queue
from hintd.postgres.bell import Bell
from hintd.postgres.consumer import Consumer, Hands
from hintd.postgres.inbox import DEAD, Inbox
from hintd.postgres.pool import Database

_DEAD_PREFETCH = 10


class PostgresBus:
    """Made by ``open_bus``, which keeps its leases renewed and its consumers woken."""

    def __init__(self, inbox: Inbox, bell: Bell, *, lease_s: float, poll_s: float) -> None:
        self._inbox = inbox
        self._hands = Hands(inbox, bell, lease_s=lease_s)
        self._poll_s = poll_s
        self._consumers: set[Consumer] = set()

    async def publish(self, queue: Queue, body: bytes, *, key: str) -> None:
        await self._inbox.put(queue, body, key)
        self._hands.bell.ring(queue)  # our own consumers need no notification

    def consume(self, queue: Queue, *, prefetch: int) -> AbstractAsyncContextManager[AsyncIterator[Delivery]]:
        return self._consume(queue, prefetch)

    def consume_dead(self) -> AbstractAsyncContextManager[AsyncIterator[Delivery]]:
        return self._consume(DEAD, _DEAD_PREFETCH)

    async def waiting(self) -> Mapping[Queue, int]:
        counted = await self._inbox.waiting()
        return {queue: counted.get(queue, 0) for queue in Queue}

    @asynccontextmanager
    async def _consume(self, queue: str, prefetch: int) -> AsyncIterator[AsyncIterator[Delivery]]:
        consumer = Consumer(self._hands, queue, prefetch=prefetch, poll_s=self._poll_s)
        self._consumers.add(consumer)
        feeding = asyncio.create_task(consumer.feed(), name=f"feed {queue}")
        try:
            yield consumer
        finally:
            consumer.stop()
            await feeding
            self._consumers.discard(consumer)

    def fail(self, error: BaseException) -> None:
        """Without renewal nothing may be delivered any more: every consumer raises."""
        for consumer in self._consumers:
            consumer.fail(error)

    async def renew_leases(self) -> None:
        await self._hands.renew_for_ever()

    async def let_go(self) -> None:
        """Give back what is still in hand, at once and uncounted: this is a stop, not a failure."""
        await self._hands.let_go()


@asynccontextmanager
async def open_bus(
    database: Database, inbox: Inbox, *, lease_s: float = 60.0, poll_s: float = 1.0
) -> AsyncIterator[PostgresBus]:
    """``lease_s``: after so long a killed process's messages come back; ``poll_s``: look so often without a wake."""
    bell = Bell(database, poll_s=poll_s)
    bus = PostgresBus(inbox, bell, lease_s=lease_s, poll_s=poll_s)
    upkeep = asyncio.gather(bell.listen(), bus.renew_leases())

    def on_end(ended: asyncio.Future[tuple[None, None]]) -> None:
        if not ended.cancelled() and (error := ended.exception()) is not None:
            bus.fail(error)

    upkeep.add_done_callback(on_end)
    try:
        yield bus
    finally:
        upkeep.cancel()
        await asyncio.wait([upkeep])
        try:
            await bus.let_go()
        except BusDown:
            pass  # they come back when their leases end
