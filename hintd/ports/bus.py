"""The bus: durable queues, at least once."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager
from enum import StrEnum
from typing import Protocol


class Queue(StrEnum):
    """The queues; real-time changes, batches and control never wait behind each other."""

    CHANGES = "changes"
    BATCHES = "batches"
    CONTROL = "control"


class BusDown(Exception):
    """The bus did not confirm a message: it may or may not have it.  Publishing again is safe."""


class Delivery(Protocol):
    """One message in hand.  Exactly one of ``ack``, ``retry`` or ``release`` settles it; unsettled it comes back.
    All may raise ``BusDown``: then the message comes back too."""

    body: bytes
    attempt: int  # 1 for the first delivery; counts killed consumers as well

    async def ack(self) -> None: ...

    async def retry(self, delay_s: float) -> None:
        """Give it back, to come again after about ``delay_s`` seconds, its attempt counted up."""
        ...

    async def release(self) -> None:
        """Give it back at once, not counted as an attempt where the bus can tell (a stop, not a failure)."""
        ...

    async def answer(self, body: bytes) -> None:
        """Before settling it, tell its sender, where the bus and the message have a way back.  Best effort: raises
        nothing."""
        ...


class Bus(Protocol):
    """Durable queues, at least once.  A message delivered more often than the limit goes to the dead letters."""

    async def publish(self, queue: Queue, body: bytes, *, key: str) -> None:
        """Returns when the message is durable.  ``key``: the record it is about.  Raises BusDown."""
        ...

    def consume(self, queue: Queue, *, prefetch: int) -> AbstractAsyncContextManager[AsyncIterator[Delivery]]:
        """Deliveries for ever; leaving the context stops taking, and gives back what was not handed out."""
        ...

    def consume_dead(self) -> AbstractAsyncContextManager[AsyncIterator[Delivery]]:
        """The dead letters of all queues."""
        ...

    async def waiting(self) -> Mapping[Queue, int]:
        """How many messages wait or are in hand, delayed ones included."""
        ...
