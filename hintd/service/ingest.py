"""Accepting change notices durably, at once (README chapter "How it works").

A refused webhook comes back only after an hour.  So a notice goes to the bus; when the bus does not confirm it, to the
inbox in Postgres, from where ``relay`` publishes it later; only when both are down is it refused.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from typing import Protocol

from hintd.core.model import Notice
from hintd.ports import Bus, BusDown, Delivery, Queue
from hintd.service.envelope import Seal, pack_notice

CountAccepted = Callable[[str], None]
"""(source): one event was accepted."""


class Inbox(Protocol):
    """The inbox table in Postgres, as a place to leave messages that the bus did not take."""

    async def publish(self, queue: Queue, body: bytes, *, key: str) -> None: ...

    def consume(self, queue: Queue, *, prefetch: int) -> AbstractAsyncContextManager[AsyncIterator[Delivery]]: ...


class Ingest:
    """``inbox`` is None where the bus is that inbox itself."""

    def __init__(self, bus: Bus, inbox: Inbox | None, seal: Seal, count: CountAccepted) -> None:
        self._bus, self._inbox, self._seal, self._count = bus, inbox, seal, count

    async def accept(self, notice: Notice) -> None:
        """Returns when the notice is durable.  Raises BusDown when nothing durable is up."""
        body, key = pack_notice(notice, self._seal), notice.record_id
        try:
            await self._bus.publish(Queue.CHANGES, body, key=key)
        except BusDown:
            if self._inbox is None:
                raise
            await self._inbox.publish(Queue.CHANGES, body, key=key)
        self._count(notice.source)

    async def accept_all(self, notices: Sequence[Notice]) -> None:
        """All of them, confirmed side by side."""
        await asyncio.gather(*(self.accept(notice) for notice in notices))


async def relay(inbox: Inbox, bus: Bus, *, retry_s: float = 5.0) -> None:
    """For ever: publish what waits in the inbox; a message leaves it only once the bus has confirmed it."""
    async with inbox.consume(Queue.CHANGES, prefetch=100) as deliveries:
        async for delivery in deliveries:
            try:
                await bus.publish(Queue.CHANGES, delivery.body, key="relayed")
                settling = delivery.ack()
            except BusDown:
                settling = delivery.retry(retry_s)
            with suppress(BusDown):  # Postgres is gone as well: unsettled, the message comes back by itself
                await settling
