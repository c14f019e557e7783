"""README rules 3, 4 and 9 over the wire: a new patient in Hint."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
import pytest_asyncio

from hintd.ports import ParkedItem
from hintd.service.linking import link_by_person, unlink_by_person
from hintd.service.resolving import chosen_pair, dismiss, link_chosen
from tests.system.world import Pair, World, someone

pytestmark = [pytest.mark.system, pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(loop_scope="module")
async def linking(world: World) -> AsyncIterator[World]:
    """New patients are linked; Contacts are not created for them."""
    await world.set(sync_new_patients="on", create_unmatched_contacts=False)
    yield world
    await world.set(sync_new_patients="off", create_unmatched_contacts=False)


@pytest_asyncio.fixture(loop_scope="module")
async def creating(linking: World) -> World:
    """The check box is on, and automatic sync follows it."""
    await linking.set(sync_new_patients="auto", create_unmatched_contacts=True)
    return linking


async def test_without_a_match_a_contact_is_created_in_the_default_account_and_linked(creating: World) -> None:
    patient_id = await creating.new_patient(**someone(), email="new@mail.example")
    await creating.rest()
    (contact,) = await creating.contacts_of(patient_id)
    assert contact["Email"] == "new@mail.example"
    assert contact["Synced_to_Hint__c"] is True
    assert contact["AccountId"] == creating.connection.default_account_id
    patient = await creating.patient(patient_id)
    assert patient["integration_record_id"] == contact["Id"]
    assert patient["integration_web_link"].endswith(f"/lightning/r/Contact/{contact['Id']}/view")


async def test_without_the_check_box_no_contact_is_created(linking: World) -> None:
    before = len((await linking.remote.records())["salesforce"])
    await linking.new_patient(**someone())
    await linking.rest()
    assert len((await linking.remote.records())["salesforce"]) == before


async def test_one_free_match_is_linked_the_patient_wins_and_blanks_are_filled(linking: World) -> None:
    pair = await linking.lone_contact(Email="contact@mail.example", MailingCity="Denver")
    await linking.patient_of(pair, email="patient@mail.example", address_zip="94110", middle_name="Q.")
    contact = await pair.contact_shows(Synced_to_Hint__c=True, Hint_Patient_Id__c=pair.patient_id)
    await linking.rest()
    assert (contact["Email"], contact["MailingPostalCode"]) == ("patient@mail.example", "94110")
    patient = await pair.patient_shows(address_city="Denver", integration_record_id=pair.contact_id)
    assert patient["email"] == "patient@mail.example"
    lost = next(entry for entry in await pair.history("email") if entry.cause == "conflict_lost")
    assert lost.old == "contact@mail.example"


async def test_a_match_by_other_spelling_is_a_match(linking: World) -> None:
    pair = await linking.lone_contact(FirstName="Jose", LastName="Delacruz")
    await linking.patient_of(pair, first_name="José", last_name="De La Cruz")
    await pair.linked()


@pytest.mark.parametrize(
    "patient", [{"dob": "1980-02-04"}, {"first_name": "Other"}, {"suffix": "Jr"}], ids=["birthday", "name", "suffix"]
)
async def test_who_differs_is_no_match(linking: World, patient: dict[str, str]) -> None:
    pair = await linking.lone_contact(Suffix="Sr", Email="same@mail.example")
    await linking.patient_of(pair, **({"email": "same@mail.example"} | patient))
    await linking.rest()
    assert await pair.link() is None


async def test_a_match_that_is_synced_with_another_patient_is_reported_and_nothing_is_written(linking: World) -> None:
    linked = await linking.pair()
    taken = await linked.contact()
    twin = await linking.new_patient(
        first_name=taken["FirstName"], last_name=taken["LastName"], dob=taken["Birthdate"], email="twin@mail.example"
    )
    await linking.rest()
    item = await Pair(linking, twin, "").is_parked("match_linked_elsewhere")
    assert item.patient_id == twin
    assert await linked.contact() == taken


async def test_several_matches_are_parked_for_a_person_and_looked_at_again(linking: World) -> None:
    pair = await linking.lone_contact()
    shown = await pair.contact()
    names = {name: shown[name] for name in ("FirstName", "LastName", "Birthdate")}
    double = await linking.new_contact(**names)
    await linking.rest()
    await linking.patient_of(pair)
    await pair.is_parked("ambiguous")
    assert await pair.link() is None

    await linking.remote.send("DELETE", f"/contacts/{double}")
    await linking.rest()
    await pair.edit_patient(email="again@mail.example")
    await pair.linked()
    await linking.rest()
    assert await pair.parked() == []


async def test_a_patient_without_date_of_birth_waits_for_it(linking: World) -> None:
    pair = await linking.lone_contact()
    await linking.patient_of(pair, dob=None)
    await pair.is_parked("no_date_of_birth")
    await pair.edit_patient(dob="1980-02-03")
    await pair.linked()
    await linking.rest()
    assert await pair.parked() == []


async def test_off_is_off(world: World) -> None:
    await world.set(sync_new_patients="off", create_unmatched_contacts=True)
    pair = await world.lone_contact()
    await world.patient_of(pair)
    await world.rest()
    assert await pair.link() is None


async def test_two_that_a_person_parted_are_not_linked_again_and_nothing_is_created_for_either(creating: World) -> None:
    pair = await creating.strangers()
    await creating.rest()  # automation has made a Contact for the patient
    await link_by_person(await creating.work(), pair.contact_id, pair.patient_id, person="tester", take_over=True)
    await creating.rest()
    await unlink_by_person(await creating.work(), pair.contact_id, person="tester")
    await creating.rest()
    contact, patient = await pair.contact(), await pair.patient()
    assert (contact["Synced_to_Hint__c"], contact["Hint_Patient_Id__c"]) == (False, None)
    assert (patient["integration_record_id"], patient["integration_web_link"]) == (None, None)
    count = len((await creating.remote.records())["salesforce"])
    await creating.later()
    before = await creating.reasons()
    await pair.edit_patient(email="after@mail.example")
    await creating.rest()
    assert await pair.link() is None
    assert len((await creating.remote.records())["salesforce"]) == count
    assert (await creating.reasons() - before)["unlinked_by_person"] == 1

    await link_by_person(await creating.work(), pair.contact_id, pair.patient_id, person="tester")
    assert await pair.link() is not None


async def test_a_patient_older_than_the_connection_waits_for_a_batch_or_a_person(creating: World) -> None:
    pair = await creating.lone_contact()
    before = await creating.reasons()
    old = (creating.connection.created_at - timedelta(days=1)).isoformat()
    await creating.patient_of(pair, created_at=old)
    await creating.rest()
    assert await pair.link() is None
    assert (await creating.reasons() - before)["older_than_connection"] == 1


async def test_a_lost_answer_to_the_creation_makes_no_second_contact(creating: World) -> None:
    await creating.remote.arm("salesforce", "lost_after", path="composite|sobjects", times=2)
    patient_id = await creating.new_patient(**someone())
    await creating.rest()
    assert len(await creating.contacts_of(patient_id)) == 1


async def _ambiguous(world: World) -> tuple[Pair, ParkedItem]:
    """Two Contacts match: one of them with the patient, and the item that asks for a choice."""
    pair = await world.lone_contact(Email="contact@mail.example", MailingCity="Denver")
    shown = await pair.contact()
    await world.new_contact(**{name: shown[name] for name in ("FirstName", "LastName", "Birthdate")})
    await world.rest()
    await world.patient_of(pair, email="patient@mail.example")
    return pair, await pair.is_parked("ambiguous")


async def test_of_several_matches_the_chosen_one_is_linked_and_the_patient_wins(linking: World) -> None:
    pair, item = await _ambiguous(linking)
    chosen = chosen_pair(item, pair.contact_id, None)
    await link_chosen(await linking.work(), item, chosen, person="tester", take_over=False)
    await linking.rest()
    await pair.contact_shows(Synced_to_Hint__c=True, Email="patient@mail.example")
    await pair.patient_shows(integration_record_id=pair.contact_id, address_city="Denver")
    assert await pair.parked() == []
    assert (await pair.linked()).linked_by == "chosen:tester"


async def test_a_dismissed_patient_is_left_alone_at_later_changes(linking: World) -> None:
    pair, item = await _ambiguous(linking)
    await dismiss(await linking.work(), item, person="tester")
    before = await linking.reasons()
    await pair.edit_patient(last_name="Elsewhere")
    await linking.rest()
    assert (await linking.reasons() - before)["dismissed"] == 1
    assert await pair.link() is None
    assert await pair.parked() == []
