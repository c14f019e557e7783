"""Webhooks and the change stream over the wire: what is lost, repeated or out of order, and what a sweep finds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from hintd.ports import LogFilter
from hintd.service.sweep import sweep_connection
from tests.system.conftest import Fresh
from tests.system.world import World, eventually

pytestmark = [pytest.mark.system, pytest.mark.asyncio(loop_scope="module")]


async def _sweep(world: World) -> None:
    await sweep_connection(await world.work(), world.house.ingest.accept_all, overlap_s=60)


async def _webhooks(world: World, mode: str) -> None:
    await world.remote.send("POST", "/webhooks", {"mode": mode})


async def test_a_sweep_finds_what_a_lost_webhook_would_have_told(world: World) -> None:
    pair = await world.pair()
    await _webhooks(world, "drop")
    await pair.edit_patient(email="swept@mail.example")
    await _webhooks(world, "normal")
    await _sweep(world)
    await pair.contact_shows(Email="swept@mail.example")


async def test_a_sweep_finds_what_a_lost_change_event_would_have_told(world: World) -> None:
    pair = await world.pair()
    await world.unseen(pair, Email="swept@mail.example")
    await _sweep(world)
    await pair.patient_shows(email="swept@mail.example")


async def test_a_sweep_of_known_versions_costs_its_pages_only(world: World) -> None:
    pair = await world.pair()
    await pair.edit_patient(email="known@mail.example")
    await pair.contact_shows(Email="known@mail.example")
    await world.rest()
    await _sweep(world)
    await world.rest()
    await world.remote.reset_calls()
    await _sweep(world)
    await pair.rests_after(calls=2)


async def test_repeated_webhooks_and_events_cost_nothing(world: World) -> None:
    pair = await world.pair()
    await pair.edit_patient(email="again@mail.example")
    await pair.contact_shows(Email="again@mail.example")
    await world.rest()
    await world.remote.reset_calls()
    await world.remote.send("POST", "/webhooks/repeat", {})
    await world.remote.send("POST", "/salesforce/repeat", {"count": 3})
    await pair.rests_after(calls=0)
    await pair.contact_shows(Email="again@mail.example")


async def test_webhooks_in_reverse_order_end_with_the_last_change(world: World) -> None:
    pair = await world.pair()
    await _webhooks(world, "reverse")
    for email in ("first@mail.example", "second@mail.example", "last@mail.example"):
        await pair.edit_patient(email=email)
    await world.remote.send("POST", "/webhooks/release", {})
    await _webhooks(world, "normal")
    await pair.contact_shows(Email="last@mail.example")
    await world.rest()
    await pair.contact_shows(Email="last@mail.example")
    assert (await pair.patient())["email"] == "last@mail.example"
    made = await world.remote.calls()
    assert sum(made.values()) <= 3, made  # one where they are taken in the order in which they came


async def test_a_late_webhook_does_not_undo_a_newer_change(world: World) -> None:
    pair = await world.pair(patient={"email": "old@mail.example"})
    await _webhooks(world, "hold")
    await pair.edit_patient(address_city="Denver")
    await _webhooks(world, "normal")
    await world.later()
    await pair.edit_patient(address_city="Austin")
    await pair.contact_shows(MailingCity="Austin")
    await world.remote.send("POST", "/webhooks/release", {})
    await world.rest()
    assert (await pair.contact())["MailingCity"] == "Austin"


async def test_a_gap_event_makes_hintd_read_the_record(world: World) -> None:
    pair = await world.pair()
    await world.unseen(pair, Email="gap@mail.example")
    await world.remote.send("POST", "/salesforce/gap", {"type": "GAP_UPDATE", "ids": [pair.contact_id]})
    await pair.patient_shows(email="gap@mail.example")


async def test_an_overflow_makes_hintd_sweep(world: World) -> None:
    pair = await world.pair()
    await world.unseen(pair, Email="overflow@mail.example")
    await world.remote.send("POST", "/salesforce/gap", {"type": "GAP_OVERFLOW"})
    await pair.patient_shows(email="overflow@mail.example")


async def test_a_lost_cursor_is_a_gap_and_a_sweep_finds_what_fell_into_it(world: World) -> None:
    pair = await world.pair()
    await world.unseen(pair, Email="gap@mail.example")
    await world.remote.send("POST", "/salesforce/reset-replay-ids")
    await world.remote.arm("pubsub", "reset")
    await pair.patient_shows(email="gap@mail.example")
    await world.later()
    await pair.edit_contact(MailingCity="Denver")
    await pair.patient_shows(address_city="Denver")


@pytest.mark.parametrize("kind", ["unavailable", "reset", "auth"])
async def test_the_stream_comes_back_and_goes_on_where_it_was(world: World, kind: str) -> None:
    pair = await world.pair()
    await world.remote.arm("pubsub", kind)
    await pair.edit_contact(Email=f"{kind}@mail.example")
    await pair.patient_shows(email=f"{kind}@mail.example")
    await world.rest()


SCHEMAS: Mapping[str, Mapping[str, Any]] = {
    "a field is added": {"extra_fields": ["Favourite_Colour__c"]},
    "fields are reordered": {"schema_seed": 7},
    "the order of a real org": {"captured_order": True},
}


@pytest.mark.parametrize("change", SCHEMAS.values(), ids=SCHEMAS)
async def test_the_schema_may_change_in_the_midst(world: World, change: Mapping[str, Any]) -> None:
    pair = await world.pair()
    await pair.edit_contact(Email="before@mail.example")
    await pair.patient_shows(email="before@mail.example")
    await world.rest()
    await world.later()
    await world.remote.switch(**change)
    both_addresses = {"OtherStreet": "9 Elm St", "OtherCity": "Austin"}
    await pair.edit_contact(MailingStreet="1 Oak St\nApt 2", MailingCity="Denver", LastName="Changed", **both_addresses)
    patient = await pair.patient_shows(address_line1="1 Oak St", address_line2="Apt 2", last_name="Changed")
    assert patient["address_city"] == "Denver"
    await pair.rests_after(calls=2)


NO_STREAM: Mapping[str, str] = {"no change capture": "topic", "allowance used up": "limit"}


@pytest.mark.parametrize("why", NO_STREAM.values(), ids=NO_STREAM)
@pytest.mark.asyncio(loop_scope="function")
async def test_without_a_stream_changes_are_polled(fresh: Fresh, why: str) -> None:
    async with fresh(config={"HINTD_SYNC__POLLING_INTERVAL_S": "0.2"}) as world:
        pair = await world.pair()
        if why == "topic":
            await world.remote.switch(change_capture=False)
            await world.remote.arm("pubsub", "reset")
        else:
            await world.remote.arm("pubsub", "limit", times=-1)
        await _is_polling(world)
        await pair.edit_contact(Email="polled@mail.example")
        await pair.patient_shows(email="polled@mail.example")


async def _is_polling(world: World) -> None:
    async def look() -> bool:
        entries = await world.house.stores.log.read(world.connection.id, LogFilter())
        return any(entry.what == "polling" for _, entry in entries)

    await eventually(look, "hintd polls")
