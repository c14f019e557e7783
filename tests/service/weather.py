"""What goes wrong in a simulated world: faults around every call to the outside, outages, and killed workers.

A call may fail before it took effect or after it (a lost answer), or its worker may be killed at either moment.  All
of it is drawn from the world's one source of chance.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any

from hintd.core.errors import CredentialsRefused, RemoteDown, Retryable
from hintd.ports import Delivery, StoreDown
from tests.fakes.bus import MemoryBus

READS = frozenset({"find", "get", "get_patient", "get_contacts", "find_by_contact", "list_patients", "find_fate"})


class Killed(BaseException):
    """The worker was killed: nothing it does from now on has any effect."""


@dataclass(slots=True)
class Life:
    """One worker process; once dead, every call it makes is without effect."""

    name: str
    dead: bool = False
    on_death: Callable[[], None] = lambda: None

    def check(self) -> None:
        if self.dead:
            raise Killed(self.name)

    def die(self) -> None:
        self.dead = True
        self.on_death()
        raise Killed(self.name)


@dataclass(slots=True)
class Weather:
    """Chances are per call.  ``calm`` ends all of it."""

    random: Random
    calm: bool = False
    latency_s: float = 0.5
    remote_fault: float = 0.05
    store_fault: float = 0.01
    kill: float = 0.01
    down: set[str] = field(default_factory=set)
    deaths: int = 0
    faults: int = 0

    async def before(self, part: str, life: Life) -> None:
        life.check()
        if part != "store" and not self.calm:
            await asyncio.sleep(self.random.expovariate(1 / self.latency_s))
        life.check()
        self._maybe_fail(part, life)

    async def after(self, part: str, life: Life) -> None:
        life.check()
        self._maybe_fail(part, life)
        if part != "store" and not self.calm:
            await asyncio.sleep(self.random.expovariate(1 / self.latency_s))
        life.check()

    def _maybe_fail(self, part: str, life: Life) -> None:
        if self.calm:
            return
        if part in self.down:
            self._fail(part)
        if self.random.random() < self.kill:
            self.deaths += 1
            life.die()
        if self.random.random() < (self.store_fault if part == "store" else self.remote_fault):
            self._fail(part)

    def _fail(self, part: str) -> None:
        self.faults += 1
        if part == "store":
            raise StoreDown("the store is down")
        chance = self.random.random()
        if chance < 0.1:
            raise CredentialsRefused(f"{part} refused the credentials")
        if chance < 0.3:
            raise RemoteDown(f"{part} throttles", after_s=self.random.choice((1.0, 10.0, 60.0)))
        raise Retryable(f"{part} gave no answer")


class Exposed:
    """A port in this weather, as one worker sees it: each of its coroutines can fail before and after its effect."""

    def __init__(self, port: Any, part: str, life: Life, weather: Weather) -> None:
        self._port, self._part, self._life, self._weather = port, part, life, weather

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._port, name)

        async def call(*args: Any, **named: Any) -> Any:
            await self._weather.before(self._part, self._life)
            answer = await method(*args, **named)
            await self._weather.after(self._part, self._life)
            return answer

        return call


class Counting:
    """A remote, with every call written down."""

    def __init__(self, remote: Any, calls: list[str]) -> None:
        self._remote, self._calls = remote, calls

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._remote, name)

        async def call(*args: Any, **named: Any) -> Any:
            self._calls.append(name)
            return await method(*args, **named)

        return call


class LivingBus:
    """The bus as one worker sees it: with the worker's life ends what it has in hand."""

    def __init__(self, bus: MemoryBus, life: Life) -> None:
        self._bus, self._life = bus, life
        self._in_hand: list[Any] = []

    def consume(self, queue: Any, *, prefetch: int) -> Any:
        return _LivingConsumer(self._bus.consume(queue, prefetch=prefetch), self._in_hand, self._life)

    def lose_all(self) -> None:
        for delivery in self._in_hand:
            delivery.lose()


class _LivingConsumer:
    def __init__(self, context: Any, in_hand: list[Any], life: Life) -> None:
        self._context, self._in_hand, self._life = context, in_hand, life

    async def __aenter__(self) -> Any:
        self._messages = await self._context.__aenter__()
        return self

    async def __aexit__(self, *error: Any) -> None:
        await self._context.__aexit__(*error)

    def __aiter__(self) -> Any:
        return self

    async def __anext__(self) -> Delivery:
        delivery = await anext(self._messages)
        self._in_hand.append(delivery)
        return LivingDelivery(delivery, self._life)


class LivingDelivery:
    def __init__(self, delivery: Delivery, life: Life) -> None:
        self._delivery, self._life = delivery, life
        self.body, self.attempt = delivery.body, delivery.attempt

    async def ack(self) -> None:
        self._life.check()
        await self._delivery.ack()

    async def retry(self, delay_s: float) -> None:
        self._life.check()
        await self._delivery.retry(delay_s)

    async def release(self) -> None:
        self._life.check()
        await self._delivery.release()

    async def answer(self, body: bytes) -> None:
        self._life.check()
        await self._delivery.answer(body)
