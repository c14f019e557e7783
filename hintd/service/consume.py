"""Taking change notices off the bus: bounded, one canonical log line each, settled late and explicitly.

A message is acknowledged only after its outcome is committed.  A message without an outcome comes again after a wait
that ``hintd.core.retry`` decides; nothing here counts as the end of an event but an outcome.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime

import structlog

from hintd.core.errors import CredentialsRefused, Misconfigured, RemoteError, Retryable
from hintd.core.model import Notice, Outcome, OutcomeKind, Owner, Side
from hintd.core.retry import backoff_s
from hintd.ports import AlreadyLinked, Bus, Delivery, FenceLost, Parking, Queue, StoreDown, ToPark
from hintd.service.envelope import BadEnvelope, Seal, unpack_notice
from hintd.service.react import BUSY_WAIT_S, LinkBusy
from hintd.service.taking import settle_or_again, take_until

PAUSED_WAIT_S = 10.0
MISCONFIGURED_WAIT_S = 30.0
POISON_ATTEMPTS = 12
"""After so many failures that nothing foresaw, a change is parked instead of being tried for ever."""

log = structlog.get_logger()

React = Callable[[Notice], Awaitable[Outcome]]
"""Reach an outcome for a notice and settle it."""


@dataclass(frozen=True, slots=True)
class Consumer:
    """``chance`` gives a random number in [0, 1); ``observe`` is told every settled notice and its outcome; ``pause``
    is told a connection (practice id) whose credentials were refused, and why."""

    bus: Bus
    react: React
    unseal: Seal
    parking: Parking
    now: Callable[[], datetime]
    chance: Callable[[], float]
    observe: Callable[[Notice, Outcome], None]
    pause: Callable[[str, str], Awaitable[None]]
    prefetch: int = 32

    async def run(self, stopping: asyncio.Event) -> None:
        """Until ``stopping``: then nothing more is taken, and what is in hand is finished."""
        await take_until(stopping, self.bus, Queue.CHANGES, self.take, prefetch=self.prefetch)

    async def take(self, delivery: Delivery) -> None:
        """One message to its end."""
        await settle_or_again(delivery, self._to_outcome(delivery), self.chance)

    async def _to_outcome(self, delivery: Delivery) -> None:
        try:
            notice = unpack_notice(delivery.body, self.unseal, attempt=delivery.attempt)
        except BadEnvelope as error:
            await self._park_unreadable(delivery, error)
            return
        wait_s = await self._react(notice, delivery.body)
        if wait_s is None:
            await delivery.ack()
        else:
            await delivery.retry(wait_s)

    async def _react(self, notice: Notice, body: bytes) -> float | None:
        """None when the notice was settled, else the seconds to wait before it comes again."""
        try:
            outcome = await self.react(notice)
        except LinkBusy as busy:
            return busy.after_s * (1 + self.chance())
        except (FenceLost, AlreadyLinked):
            return BUSY_WAIT_S * (1 + self.chance())
        except StoreDown as error:
            log.info("change_waits", **_ids(notice), error=str(error), attempt=notice.attempt)
            return backoff_s(notice.attempt, self.chance(), at_least_s=1.0)
        except CredentialsRefused as error:
            await self.pause(notice.connection, str(error))
            return PAUSED_WAIT_S
        except RemoteError as error:
            return self._wait(notice, error)
        except Exception:
            log.exception("change_failed", **_ids(notice), attempt=notice.attempt)
            if notice.attempt >= POISON_ATTEMPTS:
                await self._park_poison(notice, body)
                return None
            return backoff_s(notice.attempt, self.chance(), at_least_s=1.0)
        self.observe(notice, outcome)
        log.info("change", **_ids(notice), outcome=outcome.kind.value, reason=outcome.reason, attempt=notice.attempt)
        return None

    def _wait(self, notice: Notice, error: RemoteError) -> float:
        at_least_s = (error.after_s or 0.0) if isinstance(error, Retryable) else 0.0
        if isinstance(error, Misconfigured):
            at_least_s = MISCONFIGURED_WAIT_S
        wait_s = backoff_s(notice.attempt, self.chance(), at_least_s=at_least_s)
        log.info("change_waits", **_ids(notice), error=str(error), wait_s=round(wait_s, 2), attempt=notice.attempt)
        return wait_s

    async def _park_poison(self, notice: Notice, body: bytes) -> None:
        sentence = f"hintd failed {notice.attempt} times on this change; see its log for notice {notice.id}"
        contact_id, patient_id = (
            (notice.record_id, None) if notice.side is Side.SALESFORCE else (None, notice.record_id)
        )
        item = ToPark("failed", "exception", Owner.ON_CALL, sentence, contact_id, patient_id, body)
        await self.parking.park_message(None, item, notice.id, self.now())
        self.observe(notice, Outcome(OutcomeKind.PARKED, "failed"))

    async def run_dead(self) -> None:
        """For ever: messages that were delivered too often are parked where a person sees them."""
        async with self.bus.consume_dead() as messages:
            async for delivery in messages:
                sentence = "the message was delivered too often without being settled"
                error = BadEnvelope(sentence, _notice_id(delivery, self.unseal))
                await settle_or_again(delivery, self._park_unreadable(delivery, error), self.chance)

    async def _park_unreadable(self, delivery: Delivery, error: BadEnvelope) -> None:
        item = ToPark("unreadable_message", "bad_envelope", Owner.ON_CALL, str(error), body=delivery.body)
        await self.parking.park_message(None, item, error.notice_id, self.now())
        log.error("message_unreadable", reason=str(error))
        await delivery.ack()


def _notice_id(delivery: Delivery, unseal: Seal) -> str | None:
    try:
        return unpack_notice(delivery.body, unseal).id
    except BadEnvelope as error:
        return error.notice_id


def _ids(notice: Notice) -> dict[str, str]:
    return {
        "notice_id": notice.id,
        "practice_id": notice.connection,
        "source": notice.source.value,
        "side": notice.side.value,
        "record_id": notice.record_id,
    }
