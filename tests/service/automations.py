"""What the org and the practice do by themselves: triggers, validation rules, and programs that insist on a value."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hintd.core.model import Side
from tests.fakes.salesforce import Row

if TYPE_CHECKING:
    from tests.service.simulation import World


def set_up_automations(world: World) -> None:
    c = world.climate
    if c.uppercases:
        world.org.triggers.append(_uppercase_middle_name)
    if c.interferes:
        world.org.triggers.append(_zip_follows_city)
    if c.validates:
        world.org.refuses = lambda row: row["MailingCity"] == "Rome" and row["Email"] == "bo@y.org"
    if c.duels:
        _set_up_duel(world)


def _set_up_duel(world: World) -> None:
    """An automation on each side insists on a value of its own, a moment after each change."""
    tell_org, tell_practice = world.org.on_save, world.practice.on_save

    def in_salesforce(saved: Any) -> None:
        tell_org(saved)
        if saved.after.values["middle_name"] in ("Theirs", "THEIRS"):
            world.loop.call_later(2.0, _insist, world, Side.SALESFORCE, saved.contact_id)

    def in_hint(saved: Any) -> None:
        tell_practice(saved)
        if saved.after.values["middle_name"] in ("Ours", "OURS"):
            world.loop.call_later(2.0, _insist, world, Side.HINT, saved.patient_id)

    world.org.on_save, world.practice.on_save = in_salesforce, in_hint
    world.loop.call_later(3.0, _insist, world, Side.SALESFORCE, next(iter(world.org.contacts)))


def _insist(world: World, side: Side, record_id: str) -> None:
    if side is Side.HINT and record_id in world.practice.patients:
        world.practice.edit(record_id, {"middle_name": "Theirs"})
    elif side is Side.SALESFORCE and world.org.look(record_id) is not None:
        world.org.edit(record_id, {"MiddleName": "Ours"})


def _uppercase_middle_name(_: Row, after: Row) -> dict[str, Any]:
    name = after["MiddleName"]
    return {"MiddleName": name.upper()} if isinstance(name, str) else {}


def _zip_follows_city(before: Row, after: Row) -> dict[str, Any]:
    """A trigger that edits another field inside the transaction of whoever changed the city."""
    if before.get("MailingCity") == after["MailingCity"]:
        return {}
    return {"MailingPostalCode": {"Oslo": "00150", "Rome": "00118"}.get(after["MailingCity"] or "")}
