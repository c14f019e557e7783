"""How events travel to hintd in a simulated world: late, twice, out of order, or not at all."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

import msgspec

from hintd.core.model import Change, Notice, Side, Source
from hintd.ports import BusDown
from tests.fakes.hint import Webhook
from tests.fakes.salesforce import ChangeEvent

if TYPE_CHECKING:
    from tests.service.simulation import World


_OF_HINT = {"patient.created": Change.CREATED, "patient.destroyed": Change.DELETED}
_OF_SALESFORCE = {"CREATE": Change.CREATED, "UPDATE": Change.CHANGED, "DELETE": Change.DELETED}


class Post:
    """``couriers``: the events that are under way."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.couriers: set[asyncio.Task[None]] = set()

    def webhook(self, event: Webhook) -> None:
        may_be_lost = event.type != "patient.destroyed"  # Hint lists what it could not deliver, so this one is not lost
        self._send(lambda: self.webhook_notice(event), may_be_lost, retry_s=3600.0)

    def webhook_notice(self, event: Webhook) -> Notice:
        return Notice(
            id=self._world.new_id(),
            source=Source.WEBHOOK,
            connection="pra-1",
            side=Side.HINT,
            record_id=event.patient["id"],
            change=_OF_HINT.get(event.type, Change.CHANGED),
            stamp=datetime.fromisoformat(event.patient["updated_at"]),
            accepted_at=self._world.loop.now(),
            snapshot=msgspec.json.encode({"object": event.patient}),
        )

    def change_event(self, event: ChangeEvent) -> None:
        """Some events only mention the street, and some say no more than that something happened."""
        chance = self._world.random.random
        mentioned = ["MailingStreet"] if event.kind == "UPDATE" and chance() < 0.2 else []
        is_gap = event.kind == "UPDATE" and chance() < self._world.climate.losses / 3
        self._send(lambda: self.change_notice(event, mentioned, is_gap=is_gap), True, retry_s=5.0)

    def change_notice(self, event: ChangeEvent, mentioned: Sequence[str] = (), *, is_gap: bool = False) -> Notice:
        whole_second = event.at.replace(microsecond=0)
        body = {
            "changeType": event.kind,
            "commitTimestamp": int(whole_second.timestamp() * 1000),
            "changeOrigin": "",
            "transactionKey": "",
            "whole": event.kind == "CREATE",
            "fields": {name: value for name, value in event.fields.items() if name not in mentioned},
            "reread": [name for name in mentioned if name in event.fields],
        }
        return Notice(
            id=self._world.new_id(),
            source=Source.STREAM,
            connection="pra-1",
            side=Side.SALESFORCE,
            record_id=event.contact_id,
            change=Change.GAP if is_gap else _OF_SALESFORCE[event.kind],
            stamp=whole_second,
            accepted_at=self._world.loop.now(),
            snapshot=None if is_gap or event.kind == "DELETE" else msgspec.json.encode(body),
        )

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
