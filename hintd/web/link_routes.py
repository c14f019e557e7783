"""Connections and their links: finding, previewing, making, showing and parting pairs (README rules 5 and 9)."""

from __future__ import annotations

from typing import Any

from hintd.service.restoring import Wanted
from hintd.web.desk import Desk
from hintd.web.routes import Asked, Route
from hintd.web.shapes import (
    ConnectionJson,
    ConnectionsJson,
    ExplanationJson,
    HistoryJson,
    LinkedJson,
    LinkJson,
    LinkPreviewJson,
    PartedJson,
    PatientsJson,
    RestoredJson,
    UnfrozenJson,
)
from hintd.web.wishes import LinkWish, Nothing, OneRecord, Restore, Search, Unfreeze, UpTo, full_contact_id


async def list_connections(desk: Desk, asked: Asked[Nothing, Nothing]) -> ConnectionsJson:
    """All connections."""
    return {"connections": await desk.connections.all()}


async def show_connection(desk: Desk, asked: Asked[Nothing, Nothing]) -> ConnectionJson:
    """One connection: both sides, webhook and settings."""
    return await desk.connections.one(asked.name)


async def search_patients(desk: Desk, asked: Asked[Search, Nothing]) -> PatientsJson:
    """Patients whose names are like the text, the most alike first. Asks no remote: fit for every key pressed."""
    return {"patients": await desk.links.search(asked.name, asked.query.text, limit=asked.query.limit)}


async def show_link(desk: Desk, asked: Asked[OneRecord, Nothing]) -> LinkJson:
    """The link of a Contact or of a patient, with every field as last known of both sides."""
    return await desk.links.show(asked.name, *asked.query.record)


async def explain_link(desk: Desk, asked: Asked[OneRecord, Nothing]) -> ExplanationJson:
    """Why a record is linked or not: the match as it would be decided now, and what automation asks."""
    return await desk.links.explain(asked.name, *asked.query.record)


async def create_link(desk: Desk, asked: Asked[Nothing, LinkWish]) -> LinkedJson:
    """Link a Contact with a patient, or with a new one; the Contact's values win. Safe to repeat."""
    contact_id, patient_id = asked.body.pair
    take_over = asked.body.take_over
    return await desk.links.create(asked.name, contact_id, patient_id, take_over=take_over, person=asked.person)


async def preview_link(desk: Desk, asked: Asked[Nothing, LinkWish]) -> LinkPreviewJson:
    """What linking would do, field by field. Writes nothing."""
    contact_id, patient_id = asked.body.pair
    take_over = asked.body.take_over
    return await desk.links.preview(asked.name, contact_id, patient_id, take_over=take_over, person=asked.person)


async def remove_link(desk: Desk, asked: Asked[Nothing, Nothing]) -> PartedJson:
    """Unlink a Contact from its patient; all other values of both stay. Only a person links the two again."""
    return await desk.links.remove(asked.name, _contact_id(asked), person=asked.person)


async def show_history(desk: Desk, asked: Asked[UpTo, Nothing]) -> HistoryJson:
    """What hintd changed in a pair and why, the newest first."""
    return await desk.links.history(asked.name, _contact_id(asked), limit=asked.query.limit)


async def unfreeze_fields(desk: Desk, asked: Asked[Nothing, Unfreeze]) -> UnfrozenJson:
    """Release fields that hintd left alone because they flipped too often; the pair is looked at again."""
    return await desk.links.unfreeze(asked.name, _contact_id(asked), asked.body.field, person=asked.person)


async def restore_value(desk: Desk, asked: Asked[Nothing, Restore]) -> RestoredJson:
    """Put a value that the pair's history shows as given up back on both sides."""
    wanted = Wanted(asked.body.field, asked.body.at, asked.body.side)
    return await desk.links.restore(asked.name, _contact_id(asked), wanted, person=asked.person)


def _contact_id(asked: Asked[Any, Any]) -> str:
    return full_contact_id(asked.path["contact_id"])


_LINKS = "/connections/{name}/links"

LINK_ROUTES = (
    Route("GET", "/connections", list_connections),
    Route("GET", "/connections/{name}", show_connection),
    Route("GET", "/connections/{name}/patients", search_patients),
    Route("GET", _LINKS, show_link),
    Route("POST", _LINKS, create_link),
    Route("GET", f"{_LINKS}/explanation", explain_link),
    Route("POST", f"{_LINKS}/preview", preview_link),
    Route("DELETE", f"{_LINKS}/{{contact_id}}", remove_link),
    Route("GET", f"{_LINKS}/{{contact_id}}/history", show_history),
    Route("POST", f"{_LINKS}/{{contact_id}}/unfreeze", unfreeze_fields),
    Route("POST", f"{_LINKS}/{{contact_id}}/restore", restore_value),
)
