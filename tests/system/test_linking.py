"""README rules 5 and 9 over the wire: a person links, links anew, takes over and unlinks."""

from __future__ import annotations

import pytest

from hintd.core.model import Side
from hintd.service.linking import LinkingRefused, link_by_person, unlink_by_person
from hintd.service.restoring import Wanted, restore_by_person
from tests.system.world import Pair, World

pytestmark = [pytest.mark.system, pytest.mark.asyncio(loop_scope="module")]


async def _link(world: World, pair: Pair, *, take_over: bool = False) -> None:
    await link_by_person(await world.work(), pair.contact_id, pair.patient_id, person="tester", take_over=take_over)
    await world.rest()


async def test_the_contact_wins_a_conflict_and_blanks_are_filled_both_ways(world: World) -> None:
    pair = await world.strangers(
        patient={"email": "patient@mail.example", "address_zip": "94110", "health_insurance_payer_name": "Blue Harbor"},
        contact={"Email": "contact@mail.example", "MailingCity": "Denver"},
    )
    await _link(world, pair)
    await pair.patient_shows(email="contact@mail.example", address_city="Denver", integration_record_id=pair.contact_id)
    await pair.contact_shows(
        Email="contact@mail.example",
        MailingPostalCode="94110",
        Hint_Insurance_Payer__c="Blue Harbor",
        Synced_to_Hint__c=True,
        Hint_Patient_Id__c=pair.patient_id,
    )
    lost = next(entry for entry in await pair.history("email") if entry.cause == "conflict_lost")
    assert lost.old == "patient@mail.example"


async def test_equal_values_in_other_spelling_are_not_rewritten(world: World) -> None:
    pair = await world.strangers(
        patient={"phones": [{"number": "4155550101", "type": "mobile"}], "address_state": "CA", "title": "Mr"},
        contact={"MobilePhone": "415.555.0101", "MailingState": "California", "MailingCountry": "United States"}
        | {"Salutation": "Mr."},
    )
    await _link(world, pair)
    contact, patient = await pair.contact(), await pair.patient()
    assert (contact["MobilePhone"], contact["Salutation"]) == ("415.555.0101", "Mr.")
    assert (patient["phones"][0]["number"], patient["address_state"], patient["title"]) == ("4155550101", "CA", "Mr")


async def test_linking_with_another_patient_unlinks_the_former(world: World) -> None:
    former = await world.pair()
    other = Pair(world, (await world.strangers()).patient_id, former.contact_id)
    await world.rest()
    await _link(world, other)
    await former.patient_shows(integration_record_id=None)
    await other.patient_shows(integration_record_id=former.contact_id)
    await other.contact_shows(Hint_Patient_Id__c=other.patient_id, Synced_to_Hint__c=True)
    assert (await other.linked()).patient_id == other.patient_id


async def test_a_linked_patient_is_taken_over_only_when_confirmed(world: World) -> None:
    standing, other = await world.pair(), await world.lone_contact()
    other.patient_id = standing.patient_id
    with pytest.raises(LinkingRefused, match="--take-over"):
        await _link(world, other)
    assert (await standing.linked()).patient_id == standing.patient_id
    await _link(world, other, take_over=True)
    assert await standing.link() is None
    await standing.contact_shows(Synced_to_Hint__c=False, Hint_Patient_Id__c=None)
    await other.contact_shows(Synced_to_Hint__c=True, Hint_Patient_Id__c=other.patient_id)


async def test_unlinking_leaves_all_other_data_and_stops_the_sync(world: World) -> None:
    pair = await world.pair(patient={"email": "stays@mail.example", "health_insurance_payer_name": "Blue Harbor"})
    await unlink_by_person(await world.work(), pair.contact_id, person="tester")
    await world.rest()
    await pair.contact_shows(Email="stays@mail.example", Hint_Insurance_Payer__c="Blue Harbor", Synced_to_Hint__c=False)
    await pair.patient_shows(email="stays@mail.example", integration_record_id=None, integration_web_link=None)
    await world.later()
    await world.remote.reset_calls()
    await pair.edit_patient(email="apart@mail.example")
    await pair.edit_contact(MailingCity="Denver")
    await pair.rests_after(calls=0)


async def test_linking_a_pair_again_changes_nothing(world: World) -> None:
    pair = await world.pair()
    before = (await pair.contact(), await pair.patient())
    await _link(world, pair)
    assert (await pair.contact(), await pair.patient()) == before


async def test_a_value_given_up_at_linking_is_restored_on_both_sides_and_the_pair_rests(world: World) -> None:
    pair = await world.pair(patient={"email": "patient@mail.example"}, contact={"Email": "contact@mail.example"})
    lost = next(entry for entry in await pair.history("email") if entry.cause == "conflict_lost")
    await restore_by_person(await world.work(), pair.contact_id, Wanted("email", lost.at), person="tester")
    await pair.patient_shows(email="patient@mail.example")
    await pair.contact_shows(Email="patient@mail.example")
    assert {entry.side for entry in await pair.history("email") if entry.cause == "restored"} == set(Side)
    await world.rest()
    await world.later()
    await world.remote.reset_calls()
    await pair.edit_patient(email="later@mail.example")
    await pair.contact_shows(Email="later@mail.example")
    await pair.rests_after(calls=1)


async def test_a_patient_that_is_not_there_undoes_no_link(world: World) -> None:
    pair = await world.pair()
    with pytest.raises(LinkingRefused, match="no patient pat-none"):
        await _link(world, Pair(world, "pat-none", pair.contact_id))
    assert (await pair.linked()).patient_id == pair.patient_id


async def test_a_linked_pair_that_is_synced_again_gets_what_no_event_told(world: World) -> None:
    pair = await world.pair()
    await world.unseen(pair, MailingCity="Unseen")
    await _link(world, pair)
    await pair.patient_shows(address_city="Unseen")
