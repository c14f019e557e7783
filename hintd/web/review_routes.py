"""What a person looks through: parked items, and the log (README rules 12 and 13)."""

from __future__ import annotations

from typing import Any

from hintd.ports import LogFilter
from hintd.web.desk import Desk, Unknown
from hintd.web.routes import Asked, Route
from hintd.web.shapes import LogJson, ParkedEndJson, ParkedItemsJson, ParkedJson
from hintd.web.wishes import LogOf, Nothing, ParkedOf, Resolve


async def list_parked(desk: Desk, asked: Asked[ParkedOf, Nothing]) -> ParkedItemsJson:
    """What hintd set aside for a person, the oldest first. Messages may quote patients' values."""
    return {"items": await desk.parked.open_items(asked.query.connection, limit=asked.query.limit)}


async def show_parked(desk: Desk, asked: Asked[Nothing, Nothing]) -> ParkedJson:
    """One parked item, also a closed one."""
    return await desk.parked.one(_item_id(asked))


async def retry_parked(desk: Desk, asked: Asked[Nothing, Nothing]) -> ParkedEndJson:
    """Take an item up again: its records are read and reconciled anew. What fails again is parked again."""
    return await desk.parked.retry(_item_id(asked), person=asked.person)


async def discard_parked(desk: Desk, asked: Asked[Nothing, Nothing]) -> ParkedEndJson:
    """Close an item without doing anything about it."""
    return await desk.parked.discard(_item_id(asked), person=asked.person)


async def resolve_parked(desk: Desk, asked: Asked[Nothing, Resolve]) -> ParkedEndJson:
    """Settle an item: link its record with the one given, or dismiss it, so that automation leaves it alone."""
    item_id, chosen = _item_id(asked), asked.body.chosen
    if chosen is None:
        return await desk.parked.dismiss(item_id, person=asked.person)
    return await desk.parked.choose(item_id, chosen, take_over=asked.body.take_over, person=asked.person)


def _item_id(asked: Asked[Any, Any]) -> int:
    text = asked.path["item_id"]
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise Unknown("A parked item's id is a number; see GET /api/v1/parked.", "unknown_item")
    return int(text)


async def read_log(desk: Desk, asked: Asked[LogOf, Nothing]) -> LogJson:
    """What hintd did and what went wrong, the oldest first. Without patients' values."""
    wish = asked.query
    only = LogFilter(wish.level, wish.record, wish.batch, wish.since, wish.after, wish.limit)
    return {"entries": await desk.log.entries(wish.connection, only)}


_ITEM = "/parked/{item_id}"

REVIEW_ROUTES = (
    Route("GET", "/parked", list_parked),
    Route("GET", _ITEM, show_parked),
    Route("POST", f"{_ITEM}/retry", retry_parked),
    Route("POST", f"{_ITEM}/discard", discard_parked),
    Route("POST", f"{_ITEM}/resolve", resolve_parked),
    Route("GET", "/log", read_log),
)
