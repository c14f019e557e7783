"""``hintd parked``: what was set aside for a person, with who can mend it, and what may be done about it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from uuid import uuid4

import click

from hintd.cli.common import Answer, Caller, answering, find_connection, table, wait_for_bus
from hintd.cli.failures import REFUSED, CommandFailed
from hintd.composition import House
from hintd.core.model import Side
from hintd.ports import ParkedItem, Queue
from hintd.service.envelope import BadEnvelope, unpack_notice
from hintd.service.sweep import look_again

_HEAD = ("id", "kind", "cause", "owner", "contact_id", "patient_id", "since", "attempts", "message")


@click.group()
def parked() -> None:
    """What hintd set aside, because a person has to decide or to mend something."""


def _shown(item: ParkedItem) -> dict[str, Any]:
    return {key: getattr(item, key) for key in _HEAD}


@parked.command("list")
@click.option("--connection", "name", help="Only of this connection.")
@click.option("--limit", default=200, show_default=True, help="At most so many items.")
@answering
async def list_open(caller: Caller, name: str | None, limit: int) -> Answer:
    """The open items, the oldest first.  Messages may quote patients' values."""
    async with caller.house() as house:
        connection_id = (await find_connection(house, name)).id if name else None
        items = [_shown(item) for item in await house.stores.parking.items(connection_id, limit=limit)]
    return Answer({"items": items}, table([[item[key] for key in _HEAD] for item in items], _HEAD))


@parked.command()
@click.argument("item_id", metavar="ID", type=int)
@answering
async def show(caller: Caller, item_id: int) -> Answer:
    """One item, also a closed one."""
    async with caller.house() as house:
        _, item = await _find(house, item_id)
    document = {**_shown(item), "state": item.state}
    return Answer(document, "\n".join(f"{key:10}  {value}" for key, value in document.items()))


async def _find(house: House, item_id: int) -> tuple[int | None, ParkedItem]:
    found = await house.stores.parking.get(item_id)
    if found is None:
        raise CommandFailed(f"There is no parked item {item_id}; see: hintd parked list", kind="unknown_item")
    return found


async def _find_open(house: House, item_id: int) -> tuple[int | None, ParkedItem]:
    connection_id, item = await _find(house, item_id)
    if item.state != "open":
        raise CommandFailed(f"Parked item {item_id} is {item.state} already.", kind="closed", code=REFUSED)
    return connection_id, item


@parked.command()
@click.argument("item_id", metavar="ID", type=int)
@answering
async def retry(caller: Caller, item_id: int) -> Answer:
    """Take an item up again: its records are read and reconciled anew.  What fails again is parked again."""
    async with caller.house() as house:
        connection_id, item = await _find_open(house, item_id)
        await wait_for_bus(house)
        if item.body is not None:
            await _publish_again(house, item.body)
        else:
            await _look_again(house, connection_id, item)
        await house.stores.parking.close(item_id, state="resolved", now=house.now())
    return Answer({"id": item_id, "state": "resolved"}, f"Parked item {item_id} is taken up again.")


async def _publish_again(house: House, body: bytes) -> None:
    """A notice gets a new id: under its own it counts as settled, so that nothing would be stored of it."""
    try:
        notice = unpack_notice(body, house.keys.unseal)
    except BadEnvelope:
        await house.bus.publish(Queue.CHANGES, body, key="retried")
        return
    await house.ingest.accept(replace(notice, id=uuid4().hex, accepted_at=house.now()))


async def _look_again(house: House, connection_id: int | None, item: ParkedItem) -> None:
    connection = next((c for c in await house.stores.connections.all() if c.id == connection_id), None)
    if connection is None:
        raise CommandFailed(f"Parked item {item.id} belongs to no connection: discard it.", code=REFUSED)
    links, linked = house.stores.links, False
    if item.contact_id is not None:
        linked = await links.find(connection.id, Side.SALESFORCE, item.contact_id) is not None
    work = await house.work(connection)
    if linked and item.contact_id is not None:
        await house.ingest.accept(look_again(work, Side.SALESFORCE, item.contact_id))
    elif item.patient_id is not None:
        await house.ingest.accept(look_again(work, Side.HINT, item.patient_id))
    else:
        raise CommandFailed(
            f"Parked item {item.id} is about a Contact without a link, so there is nothing to try. Link it by hand "
            "(hintd link create), or discard the item.",
            kind="nothing_to_retry",
            code=REFUSED,
            contact_id=item.contact_id,
        )


@parked.command()
@click.argument("item_id", metavar="ID", type=int)
@answering
async def discard(caller: Caller, item_id: int) -> Answer:
    """Close an item without doing anything about it."""
    async with caller.house() as house:
        await _find_open(house, item_id)
        await house.stores.parking.close(item_id, state="discarded", now=house.now())
    return Answer({"id": item_id, "state": "discarded"}, f"Parked item {item_id} is discarded.")
