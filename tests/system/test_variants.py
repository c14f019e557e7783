"""Settings of hintd, and ways of the two remotes that their contracts leave open: the same sync must come out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from tests.system.world import Pair, World, open_world

pytestmark = pytest.mark.system

Fields = Mapping[str, Any]
EMBEDDED = ""

WAYS: Mapping[str, Fields] = {
    "Hint hides the title": {"title_on_reads": False},
    "Hint adds phones instead of replacing them": {"phones_replace": False},
    "Hint wants the names with every change": {"patch_requires_names": True},
    "deleted patients can still be read": {"deleted_readable": True},
    "states and countries as text": {"state_country_picklists": False},
    "no middle names": {"middle_names": False},
}


@pytest.mark.parametrize("ways", WAYS.values(), ids=WAYS)
async def test_pairs_are_synced_both_ways_whatever_the_contract_leaves_open(store_dsn: str, ways: Fields) -> None:
    async with open_world(store_dsn, EMBEDDED, **ways) as world:
        pair = await world.pair(patient={"phones": [{"number": "4155550101", "type": "mobile"}]})
        await pair.edit_patient(email="patient@mail.example", address_state="CO", address_country="United States")
        contact = await pair.contact_shows(Email="patient@mail.example")
        assert contact["MailingState"] in ("CO", "Colorado")
        await pair.rests_after(calls=1)
        await world.later()
        await pair.edit_contact(MailingCity="Denver", LastName="Changed", MobilePhone="(415) 555-0102")
        patient = await pair.patient_shows(address_city="Denver", last_name="Changed")
        assert "4155550102" in {phone["number"] for phone in patient["phones"]}
        await world.rest()
        assert await pair.parked() == []
        await _nothing_more_happens(world, pair)


async def _nothing_more_happens(world: World, pair: Pair) -> None:
    """Repeated events find both records at rest."""
    await world.remote.reset_calls()
    await world.remote.send("POST", "/webhooks/repeat", {})
    await pair.rests_after(calls=0)


async def test_a_hidden_title_flows_from_salesforce_only(store_dsn: str) -> None:
    async with open_world(store_dsn, EMBEDDED, title_on_reads=False) as world:
        pair = await world.pair()
        await pair.edit_contact(Salutation="Dr.", Email="told@mail.example")
        await pair.patient_shows(email="told@mail.example")
        assert world.sandbox.hint.patients.get(pair.patient_id).values["title"] == "Dr."
        await world.later()
        await pair.edit_patient(email="again@mail.example")
        await pair.contact_shows(Email="again@mail.example", Salutation="Dr.")


async def test_a_read_only_edit_can_be_left_and_reported_instead(store_dsn: str) -> None:
    async with open_world(store_dsn, EMBEDDED, sync={"read_only_edits": "report"}) as world:
        pair = await world.pair(patient={"practitioner": {"id": "pct-1", "name": "Miriam Osei, MD"}})
        await pair.edit_contact(Hint_Practitioner__c="Dr. Who")
        await pair.is_parked("held_field")
        await world.rest()
        contact = await pair.contact()
        assert contact["Hint_Practitioner__c"] == "Dr. Who"
        assert "practitioner" in contact["Hint_Sync_Error__c"]
        await world.later()
        await pair.edit_contact(Hint_Practitioner__c="Miriam Osei, MD")
        await pair.contact_shows(Hint_Sync_Error__c=None)


async def test_the_field_map_of_the_configuration_is_followed(store_dsn: str) -> None:
    fields = {
        "pronouns": {"hint": "pronouns", "salesforce": "Pronouns", "kind": "text"},
        "email": {"winner": "salesforce"},
        "city": {"way": "to_hint"},
    }
    async with open_world(store_dsn, EMBEDDED, sync={"fields": fields}) as world:
        pair = await world.pair()
        await pair.edit_patient(pronouns="They/Them")
        await pair.contact_shows(Pronouns="They/Them")
        await world.later()
        await world.unseen(pair, Email="salesforce@mail.example")
        await world.later()
        await pair.edit_patient(email="hint@mail.example")
        await pair.patient_shows(email="salesforce@mail.example")
        await world.later()
        await pair.edit_patient(address_city="Denver")
        await pair.patient_shows(address_city=None)


@pytest.mark.parametrize("side", ["hint", "salesforce"])
async def test_when_many_records_look_gone_at_once_hintd_stops_acting_on_absence(store_dsn: str, side: str) -> None:
    async with open_world(store_dsn, EMBEDDED) as world:
        pairs = [await world.pair() for _ in range(7)]
        for pair in pairs:
            await world.remote.send("DELETE", _path(pair, side))
        await world.rest()
        linked = [pair for pair in pairs if await pair.link() is not None]
        assert len(linked) == 3
        assert {item.kind for item in await world.parked()} == {"many_gone"}


def _path(pair: Pair, side: str) -> str:
    return f"/patients/{pair.patient_id}" if side == "hint" else f"/contacts/{pair.contact_id}"
