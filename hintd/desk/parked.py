"""Parked items: what a person decides or mends, and what is taken up again after it (README rule 13)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from uuid import uuid4

from hintd.composition import House, wait_for_bus
from hintd.core.model import Side
from hintd.desk.finding import find_id, refuse_disconnected
from hintd.desk.links import linked
from hintd.ports import Connection, Level, LogEntry, ParkedItem, Queue
from hintd.service.control_queue import PARKED_KIND
from hintd.service.envelope import BadEnvelope, unpack_notice
from hintd.service.resolving import chosen_pair, dismiss, link_chosen
from hintd.service.sweep import look_again
from hintd.service.work import Work
from hintd.web.desk import AgainstRule, Unknown
from hintd.web.shapes import ParkedEndJson, ParkedJson


@dataclass(frozen=True, slots=True)
class HouseParked:
    house: House

    async def open_items(self, name: str | None, *, limit: int) -> Sequence[ParkedJson]:
        connection_id = await find_id(self.house, name)
        return [_shown(item) for item in await self.house.stores.parking.items(connection_id, limit=limit)]

    async def one(self, item_id: int) -> ParkedJson:
        return _shown((await self._find(item_id))[1])

    async def retry(self, item_id: int, *, person: str) -> ParkedEndJson:
        connection_id, item = await self._find_open(item_id)
        await wait_for_bus(self.house)
        if item.body is not None:
            await self._publish_again(item.kind, item.body)
        else:
            await self._look_again(connection_id, item)
        await self._close(connection_id, item, "resolved", f"{person} had parked item {item_id} taken up again")
        return {"id": item_id, "state": "resolved", "link": None}

    async def discard(self, item_id: int, *, person: str) -> ParkedEndJson:
        connection_id, item = await self._find_open(item_id)
        await self._close(connection_id, item, "discarded", f"{person} discarded parked item {item_id}")
        return {"id": item_id, "state": "discarded", "link": None}

    async def choose(
        self, item_id: int, chosen: tuple[str | None, str | None], *, take_over: bool, person: str
    ) -> ParkedEndJson:
        connection_id, item = await self._find_open(item_id)
        work = await self._work(connection_id, item)
        pair = chosen_pair(item, *chosen)
        outcome = await link_chosen(work, item, pair, person=person, take_over=take_over)
        link, (_, after) = await linked(work, outcome, *pair), await self._find(item_id)
        return {"id": item_id, "state": after.state, "link": link}

    async def dismiss(self, item_id: int, *, person: str) -> ParkedEndJson:
        connection_id, item = await self._find_open(item_id)
        await dismiss(await self._work(connection_id, item), item, person=person)
        return {"id": item_id, "state": "discarded", "link": None}

    async def _find(self, item_id: int) -> tuple[int | None, ParkedItem]:
        found = await self.house.stores.parking.get(item_id)
        if found is None:
            raise Unknown(f"There is no parked item {item_id}. Look through the open ones for its id.", "unknown_item")
        return found

    async def _find_open(self, item_id: int) -> tuple[int | None, ParkedItem]:
        connection_id, item = await self._find(item_id)
        if item.state != "open":
            raise AgainstRule(f"Parked item {item_id} is {item.state} already.", "closed")
        return connection_id, item

    async def _close(self, connection_id: int | None, item: ParkedItem, state: str, told: str) -> None:
        stores, now = self.house.stores, self.house.now()
        if await stores.parking.close(item.id, state=state, now=now):
            entry = LogEntry(now, Level.DEBUG, f"parked_{state}", told, item.contact_id, item.patient_id)
            await stores.log.write(connection_id, [entry])

    async def _connection_of(self, connection_id: int | None, item: ParkedItem) -> Connection:
        connection = next((c for c in await self.house.stores.connections.all() if c.id == connection_id), None)
        if connection is None:
            raise AgainstRule(f"Parked item {item.id} belongs to no connection: discard it.", "no_connection")
        refuse_disconnected(connection)
        return connection

    async def _work(self, connection_id: int | None, item: ParkedItem) -> Work:
        return await self.house.work(await self._connection_of(connection_id, item))

    async def _publish_again(self, kind: str, body: bytes) -> None:
        """A notice gets a new id: under its own it counts as settled, so that nothing would be stored of it."""
        house = self.house
        if kind == PARKED_KIND:
            await house.bus.publish(Queue.CONTROL, body, key="retried")
            return
        try:
            notice = unpack_notice(body, house.keys.unseal)
        except BadEnvelope:
            await house.bus.publish(Queue.CHANGES, body, key="retried")
            return
        await house.ingest.accept(replace(notice, id=uuid4().hex, accepted_at=house.now()))

    async def _look_again(self, connection_id: int | None, item: ParkedItem) -> None:
        work, contact_id = await self._work(connection_id, item), item.contact_id
        is_linked = contact_id is not None and await work.stores.links.find(
            work.connection.id, Side.SALESFORCE, contact_id
        )
        if contact_id is not None and is_linked:
            await self.house.ingest.accept(look_again(work, Side.SALESFORCE, contact_id))
        elif item.patient_id is not None:
            await self.house.ingest.accept(look_again(work, Side.HINT, item.patient_id))
        else:
            raise AgainstRule(
                f"Parked item {item.id} is about a Contact without a link, so there is nothing to try. Link it by "
                "hand, or discard the item.",
                "nothing_to_retry",
                contact_id=contact_id,
            )


def _shown(item: ParkedItem) -> ParkedJson:
    return {
        "id": item.id,
        "kind": item.kind,
        "cause": item.cause,
        "owner": item.owner,
        "contact_id": item.contact_id,
        "patient_id": item.patient_id,
        "since": item.since,
        "attempts": item.attempts,
        "message": item.message,
        "state": item.state,
    }
