"""The connections as they are looked at: both sides, webhook, settings, and how the change stream stands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hintd.composition import House
from hintd.core.model import Source
from hintd.desk.finding import find_connection
from hintd.ports import Connection
from hintd.service.stream_mode import load_mode
from hintd.web.shapes import ConnectionJson


@dataclass(frozen=True, slots=True)
class HouseConnections:
    house: House

    async def all(self) -> Sequence[ConnectionJson]:
        return [await self._shown(each) for each in await self.house.stores.connections.all()]

    async def one(self, name: str) -> ConnectionJson:
        return await self._shown(await find_connection(self.house, name))

    async def _shown(self, found: Connection) -> ConnectionJson:
        stores, now = self.house.stores, self.house.now()
        mode = await load_mode(stores.cursors, found.id, now)
        return {
            "name": found.name,
            "practice": {"id": found.practice_id, "name": found.practice_name},
            "organization": {"id": found.organization_id, "name": found.organization_name},
            "hint": {
                "status": found.state,
                "webhook_url": found.webhook.get("url"),
                "last_event_at": await stores.connections.last_event_at(found.id, Source.WEBHOOK),
            },
            "salesforce": {
                "status": found.state,
                "mode": None if mode is None else mode.mode,
                "lag_s": None if mode is None else mode.lag_s,
            },
            "settings": {**found.settings, "default_account": found.default_account_id},
            "paused_why": found.paused_why,
        }
