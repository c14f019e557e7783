"""The bus on RabbitMQ: ``ports.Bus`` on quorum queues with publisher confirms.

Stands between ingest, which publishes what was accepted, and the workers, which settle after their commit.  Bodies
arrive sealed; the headers carry a record id and a number, never a patient's value.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from typing import Self

from hintd.ports import BusDown, Queue
from hintd.rabbit.broker import KEY_HEADER, Broker, persistent
from hintd.rabbit.consumer import Consumer
from hintd.rabbit.delivery import Lane
from hintd.rabbit.topology import DELIVERY_LIMIT, Topology, split_url


class RabbitBus:
    """``async with`` connects in the background and keeps connected; RabbitMQ need not be there yet.

    ``url``: ``amqp://`` or ``amqps://`` with user, host and virtual host; ``?prefix=NAME`` replaces "hintd" in all
    names.  A queue holds ``delivery_limit`` for good: it cannot be declared again with another.
    """

    def __init__(self, url: str, *, publish_timeout_s: float = 5.0, delivery_limit: int = DELIVERY_LIMIT) -> None:
        address, prefix = split_url(url)
        self.topology = Topology(prefix, delivery_limit)
        self._broker = Broker(address, self.topology, publish_timeout_s=publish_timeout_s)
        self._lanes: defaultdict[str, set[Lane]] = defaultdict(set)

    async def __aenter__(self) -> Self:
        await self._broker.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        """What is still in hand comes back to another consumer."""
        await self._broker.__aexit__()

    @property
    def trouble(self) -> str | None:
        """Why nothing can be published now, as a sentence; None when all is well."""
        return self._broker.trouble

    async def wait_connected(self, timeout_s: float) -> None:
        """Raises BusDown with the trouble."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._broker.wait_up()
        except TimeoutError:
            raise BusDown(self.trouble or "RabbitMQ did not answer in time") from None

    async def publish(self, queue: Queue, body: bytes, *, key: str) -> None:
        """Raises BusDown at once when there is no connection, else on a nack, a return, a loss or a timeout."""
        await self._broker.publish(self.topology.queue(queue), persistent(body, {KEY_HEADER: key}))

    def consume(self, queue: Queue, *, prefetch: int) -> AbstractAsyncContextManager[Consumer]:
        """Survives lost connections.  What was handed out can be settled after leaving, until the bus is closed."""
        return self._consumer(self.topology.queue(queue), prefetch)

    def consume_dead(self) -> AbstractAsyncContextManager[Consumer]:
        return self._consumer(self.topology.dead, 10)

    def _consumer(self, queue: str, prefetch: int) -> Consumer:
        return Consumer(self._broker, queue, prefetch=prefetch, lanes=self._lanes[queue])

    async def waiting(self) -> Mapping[Queue, int]:
        """What is ready or delayed at the broker, and in hand of this process: RabbitMQ tells no client what others
        have in hand.  Raises BusDown."""
        ready = await self._broker.ready_counts()
        return {queue: self._waiting(self.topology.queue(queue), ready) for queue in Queue}

    def _waiting(self, queue: str, ready: Mapping[str, int]) -> int:
        at_broker = ready[queue] + sum(ready[delay] for delay in self.topology.delays(queue))
        return at_broker + sum(len(lane.in_hand) for lane in self._lanes[queue])
