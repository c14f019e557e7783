"""Taking messages off a queue until the process stops, and giving back what a server's outage left unsettled."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress

import structlog

from hintd.core.retry import backoff_s
from hintd.ports import Bus, BusDown, Delivery, Queue, StoreDown

log = structlog.get_logger()

Take = Callable[[Delivery], Coroutine[None, None, None]]
"""Bring one message to its end."""


async def take_until(stopping: asyncio.Event, bus: Bus, queue: Queue, take: Take, *, prefetch: int) -> None:
    """Up to ``prefetch`` messages at once.  Once stopping, nothing more is taken, and what is in hand is finished."""
    async with asyncio.TaskGroup() as in_hand, bus.consume(queue, prefetch=prefetch) as messages:
        stop = asyncio.create_task(stopping.wait(), name="stopping")
        following: asyncio.Future[Delivery] | None = None
        try:
            while not stop.done():
                following = asyncio.ensure_future(anext(messages))
                await asyncio.wait({following, stop}, return_when=asyncio.FIRST_COMPLETED)
                if following.done():
                    in_hand.create_task(take(following.result()), name=f"message of {queue}")
        finally:
            stop.cancel()
            if following is not None:
                following.cancel()


async def settle_or_again(delivery: Delivery, work: Awaitable[None], chance: Callable[[], float]) -> None:
    """A bus that is gone brings the message again by itself; one that stands would leave it in hand for ever when
    only the store is gone."""
    try:
        await work
    except BusDown as error:
        log.info("message_unsettled", error=str(error))
    except StoreDown as error:
        log.info("message_waits", error=str(error), attempt=delivery.attempt)
        with suppress(BusDown):
            await delivery.retry(backoff_s(delivery.attempt, chance(), at_least_s=1.0))
