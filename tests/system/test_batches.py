"""README rules 6 to 8 over the wire: a batch in each direction over people of every kind, each with its outcome."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import pytest
import pytest_asyncio

from tests.system.batch_scenes import ACCOUNT, Scene, contacts_scene, patients_scene
from tests.system.batches import TO_CONTACTS, TO_PATIENTS, counted_as
from tests.system.world import World

pytestmark = [pytest.mark.system, pytest.mark.asyncio(loop_scope="module")]

Scenes = Mapping[str, Scene]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scenes(world: World, tmp_path_factory: pytest.TempPathFactory) -> Scenes:
    """The two batches by their direction, one after the other."""
    from_patients = await patients_scene(world)
    return {TO_CONTACTS: from_patients, TO_PATIENTS: await contacts_scene(world, tmp_path_factory.mktemp("report"))}


@pytest.fixture
def from_patients(scenes: Scenes) -> Scene:
    return scenes[TO_CONTACTS]


@pytest.fixture
def from_contacts(scenes: Scenes) -> Scene:
    return scenes[TO_PATIENTS]


@pytest.fixture(params=[TO_CONTACTS, TO_PATIENTS])
def scene(request: pytest.FixtureRequest, scenes: Scenes) -> Scene:
    return scenes[request.param]


# --- patients to Contacts ---------------------------------------------------------------------------------------------

PATIENTS = {
    "exactly one Contact matches": "linked",
    "nobody matches": "created_contact",
    "linked, and edited unseen": "updated",
    "linked, and in agreement": "unchanged",
    "two Contacts match": "skipped:ambiguous",
    "the match is another's": "skipped:match_linked_elsewhere",
    "a person parted the two": "skipped:unlinked_by_person",
    "no date of birth": "skipped:no_date_of_birth",
    "merged into another": "skipped:archived",
    "the org's rule forbids it": "failed",
    "the Contact was deleted": "not_found",
}


@pytest.mark.parametrize(("who", "end"), PATIENTS.items(), ids=PATIENTS)
async def test_a_patient_ends_as_its_kind_says(from_patients: Scene, who: str, end: str) -> None:
    assert from_patients.end_of(who) == end


async def test_the_patient_wins_a_conflict_and_blanks_are_filled_both_ways(from_patients: Scene) -> None:
    pair = from_patients.people["exactly one Contact matches"]
    contact = await pair.contact_shows(Synced_to_Hint__c=True, Hint_Patient_Id__c=pair.patient_id)
    assert (contact["Email"], contact["Hint_Insurance_Payer__c"]) == ("hint@mail.example", "Blue Harbor")
    await pair.patient_shows(address_city="Denver", integration_record_id=pair.contact_id)
    (row,) = from_patients.ended.about(pair.patient_id)
    changed = {(field["side"], field["name"], field["old"], field["new"]) for field in row["fields"]}
    assert changed >= {
        ("salesforce", "email", "org@mail.example", "hint@mail.example"),
        ("hint", "city", None, "Denver"),
    }


async def test_of_a_linked_pair_what_changed_on_one_side_is_written_to_the_other(from_patients: Scene) -> None:
    pair = from_patients.people["linked, and edited unseen"]
    await pair.patient_shows(email="org@mail.example", address_city="Boise")
    (row,) = from_patients.ended.about(pair.patient_id)
    assert {(field["side"], field["name"]) for field in row["fields"]} == {("hint", "email"), ("hint", "city")}


async def test_a_patient_whom_nobody_matches_gets_one_contact(world: World, from_patients: Scene) -> None:
    contacts = await world.contacts_of(from_patients.people["nobody matches"].patient_id)
    assert [contact["Last_Batch_Sync_Result__c"] for contact in contacts] == ["created_contact"]


async def test_a_refusal_is_told_in_its_row_and_leaves_nothing_behind(world: World, from_patients: Scene) -> None:
    pair = from_patients.people["the org's rule forbids it"]
    (row,) = from_patients.ended.about(pair.patient_id)
    assert (row["reason"], row["contact_id"]) == ("FIELD_CUSTOM_VALIDATION_EXCEPTION", None)
    assert await world.contacts_of(pair.patient_id) == []


# --- Contacts to patients ---------------------------------------------------------------------------------------------

CONTACTS = {
    "exactly one patient matches": "linked",
    "nobody matches": "created_patient",
    "linked already": "skipped:already_linked",
    "two patients match": "skipped:ambiguous",
    "the match is another's": "skipped:match_linked_elsewhere",
    "a person parted the two": "skipped:unlinked_by_person",
    "no date of birth": "skipped:no_date_of_birth",
    "a person account": "skipped:person_account",
    "the org's rule forbids it": "failed",
    "the Contact was deleted": "not_found",
    "nobody knows the id": "not_found",
}


@pytest.mark.parametrize(("who", "end"), CONTACTS.items(), ids=CONTACTS)
async def test_a_contact_ends_as_its_kind_says(from_contacts: Scene, who: str, end: str) -> None:
    assert from_contacts.end_of(who) == end


async def test_the_contact_wins_a_conflict_and_its_blanks_are_filled(from_contacts: Scene) -> None:
    pair = from_contacts.people["exactly one patient matches"]
    await pair.contact_shows(Email="org@mail.example", MailingPostalCode="94110", Hint_Patient_Id__c=pair.patient_id)
    await pair.patient_shows(email="org@mail.example", address_city="Denver", integration_record_id=pair.contact_id)


async def test_a_contact_whom_nobody_matches_gets_one_patient(world: World, from_contacts: Scene) -> None:
    contact_id = from_contacts.people["nobody matches"].contact_id
    patients = (await world.remote.records())["hint"]
    (patient,) = [each for each in patients if each["integration_record_id"] == contact_id]
    assert from_contacts.contacts[contact_id]["Hint_Patient_Id__c"] == patient["id"]


async def test_lines_that_name_no_contact_or_one_again_are_rows_of_their_own(from_contacts: Scene) -> None:
    ignored = [row for row in from_contacts.ended.rows if row["outcome"] == "ignored_line"]
    told = Counter(row["reason"] for row in ignored)
    assert told == {"repeated": 1, "not_a_contact_id": 3}  # an account, and two lines of the report's footer
    assert ACCOUNT not in {row["contact_id"] for row in ignored}


# --- both -------------------------------------------------------------------------------------------------------------


async def test_the_counts_add_up_and_tell_what_the_rows_tell(scene: Scene) -> None:
    status, rows = scene.ended.status, scene.ended.rows
    assert (status["state"], status["done"], status["total"]) == ("done", len(rows), len(rows))
    assert status["counts"] == Counter(counted_as(row) for row in rows)


async def test_every_contact_with_a_row_says_which_batch_it_was_in_and_how_it_ended(scene: Scene) -> None:
    rows = [row for row in scene.ended.rows if row["outcome"] not in ("failed", "ignored_line")]
    told = {(row["contact_id"], scene.ended.id, counted_as(row)) for row in rows}
    contacts = [contact for each, contact in scene.contacts.items() if each in {contact_id for contact_id, *_ in told}]
    stamps = {(each["Id"], each["Last_Batch_Sync_Id__c"], each["Last_Batch_Sync_Result__c"]) for each in contacts}
    assert stamps and stamps <= told


async def test_afterwards_all_linked_pairs_are_equal(scene: Scene) -> None:
    told = scene.verified.document
    assert (scene.verified.code, told["different"], told["would_write"]) == (0, 0, [])
    assert told["equal"] == told["pairs"] > 0
