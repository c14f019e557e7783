"""One message in hand, and the channel it can be settled on.

When that channel is lost, RabbitMQ gives the message to the next consumer, and settling the old delivery raises
BusDown.  aio-pika's ``message.process()`` is not used: it rejects, so drops, what a cancelled task had in hand.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from aio_pika import Message
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage

from hintd.ports import BusDown
from hintd.rabbit.broker import ATTEMPT_HEADER, Broker, bus_down_when_lost, persistent
from hintd.rabbit.topology import delay_step_ms

_DELIVERIES = "x-delivery-count"
_BROKERS_OWN = ("x-death", "x-first-death", "x-last-death", _DELIVERIES, "x-acquired-count")


class Lane:
    """One channel's share of a consumer: the delivery tags that it brought and that are not settled yet."""

    def __init__(self, channel: AbstractChannel) -> None:
        self.channel = channel
        self.in_hand: set[int] = set()
        self.lost = False
        self._leaving = False

    def lose(self) -> None:
        self.in_hand.clear()
        self.lost = True

    async def leave(self) -> None:
        """The channel stays open until the last message in hand is settled."""
        self._leaving = True
        await self.close_when_empty()

    async def close_when_empty(self) -> None:
        if self._leaving and not self.in_hand and not self.lost:
            with suppress(BusDown), bus_down_when_lost():
                await self.channel.close()


class RabbitDelivery:
    """``attempt`` counts retries, killed consumers and releases: a quorum queue cannot tell a release from a death."""

    def __init__(self, message: AbstractIncomingMessage, lane: Lane, broker: Broker, queue: str) -> None:
        self.body = message.body
        self.attempt = 1 + _count(message, ATTEMPT_HEADER) + _count(message, _DELIVERIES)
        self._message = message
        self._lane = lane
        self._broker = broker
        self._queue = queue
        self._settled = False

    async def ack(self) -> None:
        await self._settle(self._message.ack)

    async def release(self) -> None:
        await self._settle(self._message.nack)

    async def retry(self, delay_s: float) -> None:
        """A copy goes to the delay queue; only when that is confirmed, the original is acknowledged."""
        self._refuse_twice()
        delay_queue = self._broker.topology.delay(self._queue, delay_step_ms(delay_s))
        try:
            await self._broker.publish(delay_queue, _copy(self._message, self.attempt))
        except BusDown:
            with suppress(BusDown):  # the channel may still stand: then the message would stay in hand unsettled
                await self.release()
            raise
        await self.ack()

    async def answer(self, body: bytes) -> None:
        """To the queue that the message names in ``reply_to``, with its ``correlation_id``; not into hintd's own
        queues, which whoever may send control messages need not be allowed to fill."""
        queue = self._message.reply_to
        if not queue or queue.startswith(f"{self._broker.topology.prefix}."):
            return
        answer = Message(body, content_type="application/json", correlation_id=self._message.correlation_id)
        await self._broker.send_apart(queue, answer)

    async def _settle(self, act: Callable[[], Awaitable[None]]) -> None:
        self._refuse_twice()
        self._settled = True
        try:
            with bus_down_when_lost():
                await act()
        finally:
            self._lane.in_hand.discard(self._message.delivery_tag or 0)
        await self._lane.close_when_empty()

    def _refuse_twice(self) -> None:
        # RabbitMQ answers a second ack by closing the channel under everything else in hand.
        if self._settled:
            raise RuntimeError("this delivery is settled already")


def _count(message: AbstractIncomingMessage, header: str) -> int:
    """A header's number; anyone may publish, so what is no count is none."""
    value = message.headers.get(header, 0)
    return value if isinstance(value, int) and value > 0 else 0


def _copy(message: AbstractIncomingMessage, attempts: int) -> Message:
    headers: dict[str, Any] = {
        name: value for name, value in message.headers.items() if not name.startswith(_BROKERS_OWN)
    }
    copy = persistent(message.body, headers | {ATTEMPT_HEADER: attempts})
    copy.content_type, copy.message_id = message.content_type, message.message_id
    copy.reply_to, copy.correlation_id = message.reply_to, message.correlation_id
    return copy
