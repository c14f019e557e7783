"""The bus in memory.  Delays go by the loop's clock, so that under virtual time no test waits for them."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass

from hintd.ports import BusDown, Delivery, Queue

DEAD = "dead"


@dataclass(slots=True)
class Message:
    queue: str
    body: bytes
    key: str
    attempts: int = 0
    strikes: int = 0  # deliveries since somebody last gave it back


class MemoryBus:
    """``down`` True: nothing can be published, taken or settled.  ``crash``: every consumer is killed at once.
    ``answers``: what the senders were told."""

    def __init__(self, *, delivery_limit: int = 20) -> None:
        self.down = False
        self.answers: list[bytes] = []
        self._limit = delivery_limit
        self._queues: dict[str, deque[Message]] = {name: deque() for name in (*Queue, DEAD)}
        self._delayed: dict[int, Message] = {}
        self._in_hand: dict[int, Message] = {}
        self._unsettled: list[Message] = []
        self._wakers: dict[asyncio.Event, None] = {}  # in order, so that a simulation repeats itself

    async def publish(self, queue: Queue, body: bytes, *, key: str) -> None:
        self.check_up()
        self.put(Message(queue, body, key))

    def consume(self, queue: Queue, *, prefetch: int) -> AbstractAsyncContextManager[AsyncIterator[Delivery]]:
        return self._consume(queue, prefetch)

    def consume_dead(self) -> AbstractAsyncContextManager[AsyncIterator[Delivery]]:
        return self._consume(DEAD, prefetch=10)

    async def waiting(self) -> Mapping[Queue, int]:
        self.check_up()
        elsewhere = [*self._delayed.values(), *self._in_hand.values(), *self._unsettled]
        return {
            queue: len(self._queues[queue]) + sum(message.queue == queue for message in elsewhere) for queue in Queue
        }

    def crash(self) -> None:
        """What is in hand comes back; deliveries handed out before settle nothing any more."""
        in_hand, self._in_hand = list(self._in_hand.values()), {}
        for message in in_hand:
            self.put(message)

    def recover(self) -> None:
        """Up again; what could not be settled meanwhile comes back."""
        self.down = False
        unsettled, self._unsettled = self._unsettled, []
        for message in unsettled:
            self.put(message)
        self._wake()

    def lose_settlement(self, message: Message) -> None:
        if self._in_hand.pop(id(message), None) is not None:
            self._unsettled.append(message)

    def check_up(self) -> None:
        if self.down:
            raise BusDown("the bus is down")

    def put(self, message: Message) -> None:
        if message.strikes >= self._limit and message.queue != DEAD:
            message.queue, message.strikes = DEAD, 0
        self._queues[message.queue].append(message)
        self._wake()

    def put_later(self, message: Message, delay_s: float) -> None:
        self._delayed[id(message)] = message
        asyncio.get_running_loop().call_later(delay_s, self._put_delayed, message)

    def claim(self, queue: str) -> Message | None:
        if self.down or not self._queues[queue]:
            return None
        message = self._queues[queue].popleft()
        message.attempts += 1
        message.strikes += 1
        self._in_hand[id(message)] = message
        return message

    def settle(self, message: Message, attempt: int) -> bool:
        """False when the message is not in this consumer's hands any more."""
        if id(message) not in self._in_hand or message.attempts != attempt:
            return False
        del self._in_hand[id(message)]
        return True

    def _put_delayed(self, message: Message) -> None:
        del self._delayed[id(message)]
        self.put(message)

    def _wake(self) -> None:
        for wake in list(self._wakers):
            wake.set()

    @asynccontextmanager
    async def _consume(self, queue: str, prefetch: int) -> AsyncIterator[AsyncIterator[Delivery]]:
        wake = asyncio.Event()
        self._wakers[wake] = None
        try:
            yield MemoryConsumer(self, queue, prefetch, wake)
        finally:
            self._wakers.pop(wake, None)


class MemoryConsumer:
    """Takes a message only when asked for one, so that there is never any to give back."""

    def __init__(self, bus: MemoryBus, queue: str, prefetch: int, wake: asyncio.Event) -> None:
        self._bus = bus
        self._queue = queue
        self._room = prefetch
        self._wake = wake

    def __aiter__(self) -> AsyncIterator[Delivery]:
        return self

    async def __anext__(self) -> Delivery:
        while True:
            if self._room and (message := self._bus.claim(self._queue)) is not None:
                self._room -= 1
                return MemoryDelivery(self._bus, message, self._make_room)
            self._wake.clear()
            await self._wake.wait()

    def _make_room(self) -> None:
        self._room += 1
        self._wake.set()


class MemoryDelivery:
    def __init__(self, bus: MemoryBus, message: Message, settled: Callable[[], None]) -> None:
        self.body = message.body
        self.attempt = message.attempts
        self._bus = bus
        self._message = message
        self._settled = settled

    async def ack(self) -> None:
        self._settle()

    async def retry(self, delay_s: float) -> None:
        if self._settle():
            self._message.strikes = 0
            self._bus.put_later(self._message, delay_s)

    async def release(self) -> None:
        if self._settle():
            self._message.attempts -= 1
            self._message.strikes -= 1
            self._bus.put(self._message)

    async def answer(self, body: bytes) -> None:
        self._bus.answers.append(body)

    def lose(self) -> None:
        """Its consumer was killed: it comes back, and this delivery settles nothing any more."""
        if self._bus.settle(self._message, self.attempt):
            self._bus.put(self._message)

    def _settle(self) -> bool:
        """Down, the message stays in hand as far as the bus knows: it comes back, as after a crash."""
        self._settled()
        if self._bus.down:
            self._bus.lose_settlement(self._message)
        self._bus.check_up()
        return self._bus.settle(self._message, self.attempt)
