"""Hint's webhooks: every event signed and sent to every registered address, refused ones again after an hour.

Deliveries run side by side and may overtake each other, as the real ones may.  The modes make the rarer trouble
happen on purpose: held, dropped, repeated and reversed deliveries.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import itertools
from collections import deque
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

import aiohttp

from hintd.sandbox.clock import Clock
from hintd.sandbox.hint.answers import encode
from hintd.sandbox.hint.delivery import MODES, Delivery
from hintd.sandbox.hint.installation import PRACTICE, Installation
from hintd.sandbox.hint.patients import stamp
from hintd.sandbox.options import Settings

_AT_ONCE = 16  # deliveries under way at a time
_REMEMBERED = 2_000  # deliveries that webhook_requests can still show


def signature(secret: str, body: bytes) -> str:
    """The value of ``X-Hint-Signature``."""
    return "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


class Webhooks:
    """Sends events while the installation is active; ``stop()`` forgets what was not delivered yet."""

    def __init__(self, settings: Settings, clock: Clock, installation: Installation) -> None:
        self._settings = settings
        self._clock = clock
        self._installation = installation
        self._session: aiohttp.ClientSession | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._retries: dict[int, asyncio.TimerHandle] = {}
        self._at_once = asyncio.Semaphore(_AT_ONCE)
        self._events = itertools.count(1)
        self._held: list[Delivery] = []
        self.deliveries: deque[Delivery] = deque(maxlen=_REMEMBERED)
        self.mode = "normal"
        self.delay_s = 0.0

    async def start(self) -> None:
        self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=_AT_ONCE))

    async def stop(self) -> None:
        for retry in self._retries.values():
            retry.cancel()
        self._retries.clear()
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._session is not None:
            await self._session.close()
            self._session = None

    def send(self, event_type: str, shown: dict[str, Any]) -> None:
        """Send an event about a record to every registered address; nothing while the installation is not active."""
        if not self._installation.active:
            return
        now = self._clock.now()
        event_id = f"evt-sandbox{next(self._events):09}"
        payload = encode(
            {
                "id": event_id,
                "type": event_type,
                "practice_id": PRACTICE["id"],
                "created_at": stamp(now),
                "object": shown,
            }
        )
        for endpoint in self._installation.endpoints():
            self._dispatch(Delivery(event_id, event_type, payload, endpoint, now))

    def set_mode(self, mode: str, delay_s: float = 0.0) -> None:
        """Choose what happens to deliveries from now on; what is held stays held until ``release``."""
        if mode not in MODES or delay_s < 0:
            raise ValueError(f"a mode is one of {', '.join(MODES)}; a delay is not negative")
        self.mode, self.delay_s = mode, delay_s

    def release(self) -> int:
        """Send what is held, last first in mode ``reverse``, one after the other; returns how many."""
        held, self._held = self._held, []
        if self.mode == "reverse":
            held.reverse()
        self._start(self._one_by_one(held))
        return len(held)

    def retry_now(self) -> int:
        """Try the refused deliveries again without waiting for their hour; returns how many."""
        refused = [d for d in self.deliveries if d.status == "failed" and id(d) in self._retries]
        for delivery in refused:
            self._retries.pop(id(delivery)).cancel()
            delivery.endpoint.muted_until = None
            self._start(self._attempt(delivery))
        return len(refused)

    def repeat(self, event_id: str | None = None) -> int:
        """Send delivered events once more, with the same id: all remembered ones, or one."""
        again = [d for d in self.deliveries if d.status == "delivered" and event_id in (None, d.event_id)]
        for delivery in again:
            self._start(self._post(delivery))
        return len(again)

    async def idle(self) -> None:
        """Wait until no delivery is under way; held ones and those waiting for their retry do not count."""
        while self._tasks:
            await asyncio.wait(tuple(self._tasks))

    def cancel_for(self, endpoint_id: str) -> None:
        """Cancel what still waits for an address that is no longer registered."""
        for delivery in self.deliveries:
            if delivery.endpoint.id == endpoint_id and not delivery.settled:
                delivery.status = "cancelled"

    def _dispatch(self, delivery: Delivery) -> None:
        self.deliveries.append(delivery)
        match self.mode:
            case "drop":
                delivery.status = "dropped"
            case "hold" | "reverse":
                delivery.status = "held"
                self._held.append(delivery)
            case "repeat":
                self._start(self._one_by_one((delivery, delivery)))
            case _:
                self._start(self._attempt(delivery))

    async def _one_by_one(self, deliveries: Iterable[Delivery]) -> None:
        for delivery in deliveries:
            await self._attempt(delivery)

    async def _attempt(self, delivery: Delivery) -> None:
        if self.delay_s:
            await asyncio.sleep(self.delay_s)
        if delivery.status == "cancelled":
            return
        endpoint, now = delivery.endpoint, self._clock.now()
        if endpoint.muted_until is not None and now < endpoint.muted_until:
            delivery.status = "failed"
            self._retry_later(delivery, (endpoint.muted_until - now).total_seconds())
            return
        accepted = await self._post(delivery)
        if accepted:
            delivery.status, delivery.delivered = "delivered", self._clock.now()
            endpoint.delivered, endpoint.failures_in_row, endpoint.muted_until = delivery.delivered, 0, None
        else:
            self._refused(delivery)

    async def _post(self, delivery: Delivery) -> bool:
        """One POST; true when it was answered with 2xx in time."""
        assert self._session is not None
        options = self._settings.now
        headers = {
            "Content-Type": "application/json",
            "X-Hint-Signature": signature(options.webhook_secret, delivery.payload),
        }
        delivery.attempts += 1
        delivery.attempted = self._clock.now()
        timeout = aiohttp.ClientTimeout(total=options.webhook_timeout_s)
        try:
            async with (
                self._at_once,
                self._session.post(
                    delivery.endpoint.url, data=delivery.payload, headers=headers, timeout=timeout
                ) as got,
            ):
                delivery.last_status_code = got.status
                delivery.last_response = (await got.text(errors="replace"))[:500]
                return got.ok
        except (aiohttp.ClientError, TimeoutError) as error:
            delivery.last_status_code, delivery.last_response = None, type(error).__name__
            return False

    def _refused(self, delivery: Delivery) -> None:
        endpoint, now, options = delivery.endpoint, self._clock.now(), self._settings.now
        delivery.status = "failed"
        endpoint.failures_in_row += 1
        if endpoint.failures_in_row >= options.webhook_mute_after:
            endpoint.muted_until = now + timedelta(seconds=options.webhook_mute_s)
            endpoint.failures_in_row = 0
        if now - delivery.created < timedelta(seconds=options.webhook_give_up_s):
            self._retry_later(delivery, options.webhook_retry_s)

    def _retry_later(self, delivery: Delivery, after_s: float) -> None:
        def again() -> None:
            del self._retries[id(delivery)]
            self._start(self._attempt(delivery))

        self._retries[id(delivery)] = asyncio.get_running_loop().call_later(after_s, again)

    def _start(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work, name="sandbox webhook")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
