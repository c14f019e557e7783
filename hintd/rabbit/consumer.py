"""Taking from one queue for ever, over as many channels as it takes."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Self

import structlog
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage
from aio_pika.exceptions import CONNECTION_EXCEPTIONS

from hintd.ports import BusDown
from hintd.rabbit.broker import Broker, bus_down_when_lost, end
from hintd.rabbit.delivery import Lane, RabbitDelivery

log = structlog.get_logger(__name__)

_PAUSE_S = 0.5
_TAG = "hintd"  # unique within the channel is enough


class Consumer:
    """An async iterator of deliveries; ``async with`` starts taking and stops it.

    ``lanes`` is the bus's list of open channels for this queue: leaving removes none of them, because what was handed
    out may still be settled.
    """

    def __init__(self, broker: Broker, queue: str, *, prefetch: int, lanes: set[Lane]) -> None:
        self._broker = broker
        self._queue = queue
        self._prefetch = prefetch
        self._lanes = lanes
        self._arrived: asyncio.Queue[tuple[Lane, AbstractIncomingMessage] | None] = asyncio.Queue()
        self._leaving = False
        self._keeping: asyncio.Task[None] | None = None
        self._current: Lane | None = None

    async def __aenter__(self) -> Self:
        self._keeping = asyncio.create_task(self._keep(), name=f"rabbit consumer {self._queue}")
        return self

    async def __aexit__(self, *_: object) -> None:
        """First no more come, then what came and was not handed out goes back."""
        self._leaving = True
        if self._keeping is not None:
            await end(self._keeping)
        if self._current is not None:
            await self._cancel(self._current.channel)
            await self._give_back()
            await self._current.leave()
        self._arrived.put_nowait(None)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> RabbitDelivery:
        while (arrived := await self._arrived.get()) is not None:
            lane, message = arrived
            if not lane.lost:  # a lost channel's messages come again by another
                return RabbitDelivery(message, lane, self._broker, self._queue)
        self._arrived.put_nowait(None)
        raise StopAsyncIteration

    async def _keep(self) -> None:
        failing = False
        while True:
            try:
                gone = await self._open()
                failing = False
                await gone.wait()
            except Exception as error:  # whatever it is, taking goes on when it is over
                if not failing:
                    log.warning("bus_consumer_failed", queue=self._queue, error=type(error).__name__)
                failing = True
            await self._drop()
            await asyncio.sleep(_PAUSE_S)

    async def _open(self) -> asyncio.Event:
        """Starts taking on a new channel; the event is set when that ends."""
        channel = await self._broker.open_channel()
        lane, gone = Lane(channel), asyncio.Event()

        def lose(*_: object) -> None:
            lane.lose()
            self._lanes.discard(lane)
            gone.set()

        channel.close_callbacks.add(lose)
        # RabbitMQ cancels a consumer when its queue is deleted.
        underlay = await channel.get_underlay_channel()
        underlay.on_consumer_cancel_callbacks.add(lambda _: gone.set())
        self._lanes.add(lane)
        await channel.set_qos(prefetch_count=self._prefetch)
        queue = await channel.get_queue(self._queue, ensure=False)

        async def take(message: AbstractIncomingMessage) -> None:
            await self._take(lane, message)

        self._current = lane
        await queue.consume(take, consumer_tag=_TAG)
        return gone

    async def _take(self, lane: Lane, message: AbstractIncomingMessage) -> None:
        lane.in_hand.add(message.delivery_tag or 0)
        self._arrived.put_nowait((lane, message))
        if self._leaving:  # it crossed our cancel
            await self._give_back()

    async def _give_back(self) -> None:
        while not self._arrived.empty():
            arrived = self._arrived.get_nowait()
            if arrived is not None and not arrived[0].lost:
                lane, message = arrived
                with suppress(BusDown):
                    await RabbitDelivery(message, lane, self._broker, self._queue).release()

    async def _cancel(self, channel: AbstractChannel) -> None:
        with suppress(BusDown), bus_down_when_lost():
            queue = await channel.get_queue(self._queue, ensure=False)
            await queue.cancel(_TAG)

    async def _drop(self) -> None:
        """Close what is left of the channel: all it brought goes to another."""
        if self._current is not None:
            lane, self._current = self._current, None
            with suppress(*CONNECTION_EXCEPTIONS):
                await lane.channel.close()
