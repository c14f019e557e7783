"""README rule 2 over the wire: linked pairs in real time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from hintd.core.model import Side
from hintd.sandbox.changes import HINTD, Change
from hintd.service.linking import unfreeze_by_person
from tests.system.world import World

pytestmark = [pytest.mark.system, pytest.mark.asyncio(loop_scope="module")]

Fields = Mapping[str, Any]

FROM_HINT = {
    "prefix": ({"title": "Dr."}, {"Salutation": "Dr."}),
    "names": ({"first_name": "Zoë", "middle_name": "Q."}, {"FirstName": "Zoë", "MiddleName": "Q."}),
    "last name": ({"last_name": "O'Brien"}, {"LastName": "O'Brien"}),
    "date of birth": ({"dob": "1999-12-31"}, {"Birthdate": "1999-12-31"}),
    "gender": ({"gender_identity": "nonbinary"}, {"GenderIdentity": "Nonbinary"}),
    "e-mail": ({"email": "a@mail.example"}, {"Email": "a@mail.example"}),
    "mobile": ({"phones": [{"number": "4155550101", "type": "mobile"}]}, {"MobilePhone": "(415) 555-0101"}),
    "home and office": (
        {"phones": [{"number": "4155550102", "type": "home"}, {"number": "4155550103", "type": "office"}]},
        {"HomePhone": "(415) 555-0102", "Phone": "(415) 555-0103"},
    ),
    "street": ({"address_line1": "1 Oak St", "address_line2": "Apt 2"}, {"MailingStreet": "1 Oak St\nApt 2"}),
    "place": (
        {"address_city": "Denver", "address_state": "CO", "address_zip": "80203", "address_country": "United States"},
        {"MailingCity": "Denver", "MailingStateCode": "CO", "MailingPostalCode": "80203", "MailingCountryCode": "US"},
    ),
    "practitioner": ({"practitioner": {"id": "pct-1", "name": "M. Osei"}}, {"Hint_Practitioner__c": "M. Osei"}),
    "insurance": (
        {f"health_insurance_{name}": name for name in ("payer_name", "group_id", "member_id")},
        {"Hint_Insurance_Payer__c": "payer_name"}
        | {f"Hint_Insurance_{name.title()}__c": name for name in ("group_id", "member_id")},
    ),
    "agreements": (
        {"patient_agreement_accepted": True, "hipaa_authorization_accepted": True},
        {"Hint_Member_Contract_Accepted__c": True, "Hint_HIPAA_Authorization_Accepted__c": True},
    ),
}  # fmt: skip

FROM_SALESFORCE = {
    "prefix": ({"Salutation": "Prof."}, {"title": "Prof."}),
    "names": ({"FirstName": "Zoë", "MiddleName": "Q."}, {"first_name": "Zoë", "middle_name": "Q."}),
    "last name": ({"LastName": "De La Cruz"}, {"last_name": "De La Cruz"}),
    "date of birth": ({"Birthdate": "1999-12-31"}, {"dob": "1999-12-31"}),
    "gender": ({"GenderIdentity": "Not Listed"}, {"gender_identity": "not listed"}),
    "e-mail": ({"Email": "a@mail.example"}, {"email": "a@mail.example"}),
    "street": ({"MailingStreet": "1 Oak St\r\nApt 2"}, {"address_line1": "1 Oak St", "address_line2": "Apt 2"}),
    "place": (
        {"MailingCity": "Denver", "MailingPostalCode": "80203", "MailingState": "Colorado"}
        | {"MailingCountry": "United States"},
        {"address_city": "Denver", "address_state": "CO", "address_zip": "80203", "address_country": "United States"},
    ),
}  # fmt: skip


@pytest.mark.parametrize(("edit", "shown"), FROM_HINT.values(), ids=FROM_HINT)
async def test_a_change_of_the_patient_reaches_the_contact_for_one_call_and_its_echo_is_free(
    world: World, edit: Fields, shown: Fields
) -> None:
    pair = await world.pair()
    await pair.edit_patient(**edit)
    await pair.contact_shows(**shown)
    await pair.rests_after(calls=1)


@pytest.mark.parametrize(("edit", "shown"), FROM_SALESFORCE.values(), ids=FROM_SALESFORCE)
async def test_a_change_of_the_contact_reaches_the_patient_for_one_call_and_its_echo_is_free(
    world: World, edit: Fields, shown: Fields
) -> None:
    pair = await world.pair()
    await pair.edit_contact(**edit)
    await pair.patient_shows(**shown)
    await pair.rests_after(calls=1)


async def test_a_phone_changed_in_salesforce_leaves_the_patients_other_phones(world: World) -> None:
    others = [{"number": "4155550110", "type": "fax"}, {"number": "4155550111", "type": "home"}]
    pair = await world.pair(patient={"phones": [{"number": "4155550112", "type": "mobile"}, *others]})
    await pair.edit_contact(MobilePhone="+1 415 555 0199")
    await pair.contact_shows(MobilePhone="+1 415 555 0199")
    await world.rest()
    phones = {phone["type"]: phone["number"] for phone in (await pair.patient())["phones"]}
    assert phones == {"mobile": "4155550199", "fax": "4155550110", "home": "4155550111"}


async def test_only_the_changed_fields_are_written(world: World) -> None:
    seen: list[Change] = []
    pair = await world.pair(
        patient={"phones": [{"number": "4155550112", "type": "mobile"}], "address_state": "CA"},
        contact={"MobilePhone": "+1-415-555-0112", "MailingState": "California", "MailingCountry": "United States"},
    )
    stop = world.sandbox.changes.listen(seen.append)
    await pair.edit_patient(email="only@mail.example")
    contact = await pair.contact_shows(Email="only@mail.example")
    await world.rest()
    stop()
    written = {name for change in seen if change.origin == HINTD for name in change.fields}
    assert written - {"Hint_Last_Synced_At__c"} == {"Email"}
    assert contact["MobilePhone"] == "+1-415-555-0112"


@pytest.mark.parametrize(
    ("before", "edit", "shown"),
    [
        ({"email": "a@mail.example"}, {"email": None}, {"Email": None}),
        ({"address_line1": "1 Oak St"}, {"address_line1": ""}, {"MailingStreet": None}),
        ({"phones": [{"number": "4155550101", "type": "home"}]}, {"phones": []}, {"HomePhone": None}),
    ],
    ids=["e-mail", "street", "phone"],
)
async def test_a_value_cleared_in_hint_is_cleared_in_salesforce(
    world: World, before: Fields, edit: Fields, shown: Fields
) -> None:
    pair = await world.pair(patient=before)
    contact = await pair.contact()
    assert all(contact[name] for name in shown)
    await pair.edit_patient(**edit)
    await pair.contact_shows(**shown)
    await pair.rests_after(calls=1)


async def test_a_value_cleared_in_salesforce_is_cleared_in_hint(world: World) -> None:
    pair = await world.pair(contact={"Email": "a@mail.example", "Birthdate": "1980-02-03"})
    await pair.edit_contact(Email=None)
    await pair.patient_shows(email=None)
    await pair.rests_after(calls=1)


async def test_a_required_field_is_not_cleared_but_reported_on_both_records_until_it_is_mended(world: World) -> None:
    pair = await world.pair()
    name = (await pair.patient())["first_name"]
    await pair.edit_contact(FirstName=None, Email="kept@mail.example")
    patient = await pair.patient_shows(email="kept@mail.example")
    assert patient["first_name"] == name
    await world.rest()
    assert "first name" in (await pair.patient())["integration_error_message"]
    assert "first name" in (await pair.contact())["Hint_Sync_Error__c"]
    assert (await pair.is_parked("held_field")).cause == "first_name"

    await world.later()
    await pair.edit_contact(FirstName="Mended")
    await pair.patient_shows(first_name="Mended", integration_error_message=None)
    await pair.contact_shows(Hint_Sync_Error__c=None)
    await world.rest()
    assert await pair.parked() == []


async def test_equal_changes_on_both_sides_are_agreement(world: World) -> None:
    pair = await world.pair()
    await world.unseen(pair, Email="same@mail.example")
    contact = await pair.contact()
    await world.later()
    await pair.edit_patient(email="same@mail.example")
    await world.rest()
    assert await pair.contact() == contact
    assert "conflict_lost" not in {entry.cause for entry in await pair.history("email")}


async def _clash(world: World, hint_at: float, salesforce_at: float) -> Any:
    """Both sides change the e-mail, stamped that many seconds from now, before either change is known."""
    pair = await world.pair(patient={"email": "old@mail.example"})
    now = world.clock_s
    world.clock_s = now + salesforce_at
    await world.later(0)
    await world.unseen(pair, Email="salesforce@mail.example")
    world.clock_s = now + hint_at
    await world.later(0)
    await pair.edit_patient(email="hint@mail.example")
    await world.rest()
    await world.later(abs(salesforce_at - hint_at) + 5)
    return pair


@pytest.mark.parametrize(
    ("hint_at", "salesforce_at", "winner", "lost_by"),
    [
        (0, 10, "salesforce@mail.example", Side.HINT),
        (10, 0, "hint@mail.example", Side.SALESFORCE),
        (0, 0, "hint@mail.example", Side.SALESFORCE),
    ],
    ids=["Salesforce later", "Hint later", "within a second"],
)
async def test_the_later_of_two_different_changes_wins_and_the_other_is_kept(
    world: World, hint_at: float, salesforce_at: float, winner: str, lost_by: Side
) -> None:
    pair = await _clash(world, hint_at, salesforce_at)
    await pair.patient_shows(email=winner)
    await pair.contact_shows(Email=winner)
    lost = next(entry for entry in await pair.history("email") if entry.cause == "conflict_lost")
    loser = {"hint@mail.example", "salesforce@mail.example"} - {winner}
    assert (lost.side, {lost.old}) == (lost_by, loser)


async def test_a_field_that_only_flows_from_hint_is_set_back(world: World) -> None:
    pair = await world.pair(patient={"practitioner": {"id": "pct-1", "name": "Miriam Osei, MD"}})
    await pair.edit_contact(Hint_Practitioner__c="Dr. Who", Email="kept@mail.example")
    await pair.contact_shows(Hint_Practitioner__c="Miriam Osei, MD")
    await pair.patient_shows(email="kept@mail.example")
    await pair.rests_after(calls=2)
    assert (await pair.history("practitioner"))[0].cause == "reverted"


# --- an org that rewrites what it is given ---


async def test_a_trigger_in_our_own_transaction_reaches_hint(world: World) -> None:
    """Its event bears our name, yet what it changed is news."""
    pair = await world.pair(patient={"address_city": "Denver"})
    await world.remote.switch(rules={"trigger": {"when": "Email", "set": {"MailingCity": "Oakland"}}})
    await pair.edit_patient(email="fires@mail.example")
    await pair.patient_shows(address_city="Oakland")
    await pair.rests_after(calls=2)


async def test_an_org_that_rewrites_is_at_rest_after_one_exchange(world: World) -> None:
    pair = await world.pair(patient={"address_city": "Denver"})
    await world.remote.switch(rules={"uppercase": ["MailingCity"]})
    await pair.edit_patient(address_city="Oakland")
    await pair.contact_shows(MailingCity="OAKLAND")
    await pair.rests_after(calls=1)
    assert (await pair.patient())["address_city"] == "Oakland"


async def test_a_field_that_keeps_flipping_is_frozen_for_its_pair_alone_and_can_be_released(world: World) -> None:
    pair = await world.pair(patient={"address_city": "Start"})
    for number in range(4):
        await world.later()
        await pair.edit_patient(address_city=f"Hint {number}")
        await pair.contact_shows(MailingCity=f"Hint {number}")
        await world.rest()
        await world.later()
        if (await pair.linked()).frozen:
            break
        await pair.edit_contact(MailingCity=f"Salesforce {number}")
        await pair.patient_shows(address_city=f"Salesforce {number}")
        await world.rest()
    assert "unfreeze" in (await pair.linked()).frozen["city"]
    assert "field_frozen" in await world.logged(pair.contact_id)
    assert "unfreeze" in (await pair.contact())["Hint_Sync_Error__c"]
    assert "unfreeze" in (await pair.patient())["integration_error_message"]

    await pair.edit_contact(MailingCity="Ignored", Email="other@mail.example")
    patient = await pair.patient_shows(email="other@mail.example")
    await world.rest()
    assert patient["address_city"] == "Hint 3"

    await unfreeze_by_person(await world.work(), pair.contact_id, None, person="tester")
    await world.later()
    await pair.edit_contact(MailingCity="Released")
    await pair.patient_shows(address_city="Released", integration_error_message=None)
    await pair.contact_shows(Hint_Sync_Error__c=None)


# --- what a side cannot hold ---


@pytest.mark.parametrize(
    ("edit", "name", "word"),
    [
        ({"first_name": "Maximiliana " * 5}, "FirstName", "first_name"),
        ({"gender_identity": "two-spirit"}, "GenderIdentity", "gender"),
        ({"address_state": "Bavaria"}, "MailingStateCode", "state"),
    ],
    ids=["too long", "restricted picklist", "no such state"],
)
async def test_a_value_that_the_org_cannot_hold_is_held_and_the_rest_is_written(
    world: World, edit: Fields, name: str, word: str
) -> None:
    pair = await world.pair()
    before = (await pair.contact())[name]
    await pair.edit_patient(**edit, email="kept@mail.example")
    await pair.contact_shows(Email="kept@mail.example")
    await world.rest()
    contact = await pair.contact()
    assert contact[name] == before
    assert "Not synced" in contact["Hint_Sync_Error__c"]
    assert not any(str(value).strip() in contact["Hint_Sync_Error__c"] for value in edit.values())
    assert (await pair.is_parked("held_field")).cause == word


# --- what is hintd's own on the Contact ---


@pytest.mark.parametrize(
    "edit",
    [{"Synced_to_Hint__c": False}, {"Hint_Patient_Id__c": None}, {"Hint_Patient_Id__c": "pat-somebody"}],
    ids=["unchecked", "id cleared", "id changed"],
)
async def test_hand_edited_link_fields_are_set_back_and_reported(world: World, edit: Fields) -> None:
    pair = await world.pair()
    await pair.edit_contact(**edit)
    await pair.contact_shows(Synced_to_Hint__c=True, Hint_Patient_Id__c=pair.patient_id)
    await pair.rests_after(calls=1)
    assert "own_fields_edited" in await world.logged(pair.contact_id)


async def test_hand_edited_link_fields_of_an_unlinked_contact_are_reported_and_never_a_link(world: World) -> None:
    pair = await world.strangers()
    await world.rest()
    await pair.edit_contact(Synced_to_Hint__c=True, Hint_Patient_Id__c=pair.patient_id)
    await world.rest()
    assert await pair.link() is None
    assert (await pair.contact())["Synced_to_Hint__c"] is True
    assert "own_fields_edited" in await world.logged(pair.contact_id)


async def test_changes_of_unlinked_records_do_nothing(world: World) -> None:
    pair = await world.strangers()
    await world.rest()
    await world.remote.reset_calls()
    await pair.edit_contact(Email="a@mail.example")
    await pair.edit_patient(email="b@mail.example")
    await pair.rests_after(calls=0)
    assert (await pair.contact())["Email"] == "a@mail.example"
