"""Taking control messages off their queue: one after the other, so that a pause and a resume keep their order, and
apart from changes and batches, so that they wait behind neither.

A message is acknowledged only after what it asked for and its one end are committed.  The answer to its sender is sent
before that, at best effort: after a crash between the two it is sent again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from uuid import uuid4

import structlog

from hintd.core.model import Outcome, OutcomeKind, Owner, Source
from hintd.core.retry import backoff_s
from hintd.ports import (
    Bus,
    BusDown,
    Connection,
    Delivery,
    EventEnd,
    Level,
    LogEntry,
    Queue,
    StoreDown,
    ToPark,
)
from hintd.service.control import Done, Terms, obey, refused, repeat
from hintd.service.control_messages import BadMessage, Message, read_message, write_answer
from hintd.service.taking import settle_or_again, take_until
from hintd.service.work import Stores

PARKED_KIND = "control_message"
POISON_ATTEMPTS = 12
"""After so many failures that nothing foresaw, a message is parked instead of being tried for ever."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class ControlQueue:
    """``chance`` gives a random number in [0, 1); ``accepted`` is told a message's source when it comes for the first
    time, ``settled`` the outcome that it ends with: other programs publish past hintd's own intake."""

    bus: Bus
    stores: Stores
    terms: Terms
    now: Callable[[], datetime]
    chance: Callable[[], float]
    accepted: Callable[[str], None]
    settled: Callable[[Outcome], None]

    async def run(self, stopping: asyncio.Event) -> None:
        """Until ``stopping``: then nothing more is taken, and what is in hand is finished."""
        await take_until(stopping, self.bus, Queue.CONTROL, self.take, prefetch=1)

    async def take(self, delivery: Delivery) -> None:
        """One message to its end."""
        if delivery.attempt == 1:
            self.accepted(Source.CONTROL)
        await settle_or_again(delivery, self._to_end(delivery), self.chance)

    async def _to_end(self, delivery: Delivery) -> None:
        try:
            await self._settle(delivery, read_message(delivery.body))
        except BadMessage as error:
            await self._park(delivery, error)
        except (BusDown, StoreDown):
            raise
        except Exception:
            log.exception("control_failed", attempt=delivery.attempt)
            if delivery.attempt < POISON_ATTEMPTS:
                await delivery.retry(backoff_s(delivery.attempt, self.chance(), at_least_s=1.0))
                return
            sentence = f"hintd failed {delivery.attempt} times on this message; see its log."
            await self._park(delivery, BadMessage("exception", sentence, None))

    async def _settle(self, delivery: Delivery, message: Message) -> None:
        connection = await self.stores.connections.by_name(message.connection)
        done = await self._obey(connection, message)
        why = done.told if done.is_refused else None
        await delivery.answer(write_answer(str(message.id), batch_id=done.batch_id, refused=why))
        self.settled(done.outcome)
        log.info("control", **_words(connection, message, done), attempt=delivery.attempt)
        await delivery.ack()

    async def _obey(self, connection: Connection | None, message: Message) -> Done:
        """Done, and its end stored."""
        connection_id = None if connection is None else connection.id
        event_id = f"control:{connection_id or 0}:{message.id}"
        former = await self.stores.log.end_of(connection_id, event_id)
        if connection is None:
            done = refused(f"There is no connection {message.connection}; see: hintd connection list")
        elif former is not None:
            return await repeat(self.stores, connection, message, former)
        else:
            done = await obey(self.stores, connection, message, self.terms, now=self.now())
        end = EventEnd(event_id, Source.CONTROL, done.outcome, self.now())
        await self.stores.log.settle(connection_id, end, [self._entry(done)])
        return done

    def _entry(self, done: Done) -> LogEntry:
        level, what = (Level.ERROR, "control_refused") if done.is_refused else (Level.DEBUG, "control")
        return LogEntry(self.now(), level, what, done.told, batch_id=done.batch_id)

    async def _park(self, delivery: Delivery, error: BadMessage) -> None:
        """Under an id of its own: what cannot be read may carry the id of another message."""
        item = ToPark(PARKED_KIND, error.cause, Owner.ON_CALL, str(error), body=delivery.body)
        event_id = f"control:{uuid4().hex}"
        await self.stores.parking.park_message(None, item, event_id, self.now(), source=Source.CONTROL)
        self.settled(Outcome(OutcomeKind.PARKED, error.cause))
        log.error("control_parked", reason=error.cause)
        await delivery.answer(write_answer(error.message_id, refused=f"{error} It is parked for a person."))
        await delivery.ack()


def _words(connection: Connection | None, message: Message, done: Done) -> dict[str, str | None]:
    """What the process's log says of it: of the message's own words only the type."""
    return {
        "connection": None if connection is None else connection.name,
        "kind": str(message.__struct_config__.tag),
        "batch_id": done.batch_id,
        "outcome": done.outcome.kind.value,
        "reason": done.outcome.reason,
    }
