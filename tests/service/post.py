"""How events travel to hintd in a simulated world: late, twice, out of order, or not at all."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING

import msgspec

from hintd.core.model import Change, Notice, Side, Source
from hintd.ports import BusDown
from tests.fakes.hint import Webhook
from tests.fakes.salesforce import ChangeEvent

if TYPE_CHECKING:
    from tests.service.simulation import World


class Post:
    """``couriers``: the events that are under way."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.couriers: set[asyncio.Task[None]] = set()

    def webhook(self, event: Webhook) -> None:
        change = {"patient.created": Change.CREATED, "patient.destroyed": Change.DELETED}.get(
            event.type, Change.CHANGED
        )
        snapshot = msgspec.json.encode(event.patient)
        may_be_lost = change is not Change.DELETED  # Hint lists what it could not deliver, so this one is not lost

        def notice() -> Notice:
            stamp = datetime.fromisoformat(event.patient["updated_at"])
            return Notice(
                self._world.new_id(),
                Source.WEBHOOK,
                "pra-1",
                Side.HINT,
                event.patient["id"],
                change,
                stamp,
                self._world.loop.now(),
                snapshot,
            )

        self._send(notice, may_be_lost, retry_s=3600.0)

    def change_event(self, event: ChangeEvent) -> None:
        kind = {"CREATE": Change.CREATED, "DELETE": Change.DELETED}.get(event.kind, Change.CHANGED)
        whole_second = event.at.replace(microsecond=0)
        fields, reread = dict(event.fields), []
        if "MailingStreet" in fields and event.kind == "UPDATE" and self._world.random.random() < 0.2:
            del fields["MailingStreet"]
            reread = ["MailingStreet"]
        body = {
            "changeType": event.kind, "commitTimestamp": int(whole_second.timestamp() * 1000), "changeOrigin": "",
            "transactionKey": self._world.new_id(), "whole": event.kind == "CREATE", "fields": fields, "reread": reread,
        }  # fmt: skip
        snapshot = None if kind is Change.DELETED else msgspec.json.encode(body)
        if kind is Change.CHANGED and self._world.random.random() < self._world.climate.losses / 3:
            kind, snapshot = Change.GAP, None

        def notice() -> Notice:
            return Notice(
                self._world.new_id(), Source.STREAM, "pra-1", Side.SALESFORCE, event.contact_id, kind, whole_second,
                self._world.loop.now(), snapshot,
            )  # fmt: skip

        self._send(notice, True, retry_s=5.0)

    def _send(self, notice: Callable[[], Notice], may_be_lost: bool, *, retry_s: float) -> None:
        if not self._world.weather.calm and may_be_lost and self._world.random.random() < self._world.climate.losses:
            self._world.tell("an event was lost")
            return
        for _ in range(2 if self._world.random.random() < self._world.climate.losses else 1):
            slow = self._world.random.random() < 0.15
            delay_s = self._world.random.expovariate(1 / (60.0 if slow else 0.5))
            courier = self._world.loop.create_task(self._deliver(notice, delay_s, retry_s))
            self.couriers.add(courier)
            courier.add_done_callback(self.couriers.discard)

    async def _deliver(self, notice: Callable[[], Notice], delay_s: float, retry_s: float) -> None:
        await asyncio.sleep(delay_s)
        while True:
            try:
                if "inbox" in self._world.weather.down and "bus" in self._world.weather.down:
                    raise BusDown("nothing durable is up")
                return await self._world.ingest.accept(notice())
            except BusDown:
                await asyncio.sleep(retry_s)
