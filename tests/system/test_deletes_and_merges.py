"""README rule 10 over the wire: nothing is ever deleted by hintd, and a link follows the winner of a merge."""

from __future__ import annotations

import pytest

from tests.system.world import Pair, World

pytestmark = [pytest.mark.system, pytest.mark.asyncio(loop_scope="module")]


async def test_a_destroyed_patient_unlinks_its_contact_which_says_why(world: World) -> None:
    pair = await world.pair(patient={"email": "stays@mail.example"})
    await world.remote.send("DELETE", f"/patients/{pair.patient_id}")
    await pair.unlinked()
    contact = await pair.contact_shows(Synced_to_Hint__c=False, Hint_Patient_Id__c=None)
    assert "deleted in Hint" in contact["Hint_Sync_Error__c"]
    assert contact["Email"] == "stays@mail.example"


async def test_an_archived_patient_stays_linked_and_synced(world: World) -> None:
    pair = await world.pair()
    await pair.edit_patient(membership_status="archived")
    await world.rest()
    await world.later()
    await pair.edit_patient(email="archived@mail.example")
    await pair.contact_shows(Email="archived@mail.example")
    await pair.linked()


async def test_a_404_alone_is_no_deletion(world: World) -> None:
    pair = await world.pair()
    await world.remote.arm("hint", "status", status=404, path=pair.patient_id, times=1)
    await pair.edit_contact(Email="found@mail.example")
    await pair.is_parked("patient_not_found")
    await pair.linked()
    await world.later()
    await pair.edit_contact(MailingCity="Denver")
    await pair.patient_shows(email="found@mail.example", address_city="Denver")
    await world.rest()
    assert await pair.parked() == []


async def test_a_deleted_contact_is_unlinked_and_the_patient_stays(world: World) -> None:
    pair = await world.pair(patient={"email": "stays@mail.example"})
    await world.remote.send("DELETE", f"/contacts/{pair.contact_id}")
    await pair.unlinked()
    patient = await pair.patient_shows(integration_record_id=None, integration_web_link=None)
    assert patient["email"] == "stays@mail.example"


async def test_an_undeleted_contact_is_offered_and_not_linked(world: World) -> None:
    pair = await world.pair()
    await world.remote.send("DELETE", f"/contacts/{pair.contact_id}")
    await pair.unlinked()
    await world.rest()
    await world.remote.send("POST", f"/contacts/{pair.contact_id}/undelete")
    await pair.is_parked("undeleted_contact")
    assert await pair.link() is None


async def test_a_link_follows_the_winner_of_merged_contacts(world: World) -> None:
    pair = await world.pair(patient={"email": "loser@mail.example"})
    winner = Pair(world, pair.patient_id, await world.new_contact(LastName="Winner", MailingCity="Denver"))
    await world.rest()
    await world.remote.send("POST", f"/contacts/{winner.contact_id}/merge", {"losers": [pair.contact_id]})
    link = await winner.linked()
    await world.rest()
    assert link.patient_id == pair.patient_id
    await winner.contact_shows(Synced_to_Hint__c=True, Hint_Patient_Id__c=pair.patient_id, MailingCity="Denver")
    await winner.patient_shows(integration_record_id=winner.contact_id, address_city="Denver")
    await world.later()
    await winner.edit_patient(address_zip="94110")
    await winner.contact_shows(MailingPostalCode="94110")


async def test_merged_contacts_that_are_both_linked_wait_for_a_person(world: World) -> None:
    loser, winner = await world.pair(), await world.pair()
    await world.remote.send("POST", f"/contacts/{winner.contact_id}/merge", {"losers": [loser.contact_id]})
    await loser.is_parked("merged_both_linked")
    assert (await winner.linked()).patient_id == winner.patient_id


async def test_a_link_follows_the_winner_of_merged_patients(world: World) -> None:
    pair = await world.pair(patient={"email": "loser@mail.example"})
    winner = Pair(
        world, await world.new_patient(first_name="The", last_name="Winner", dob="1980-02-03"), pair.contact_id
    )
    await world.rest()
    await world.remote.send("POST", f"/patients/{pair.patient_id}/merge", {"into": winner.patient_id})
    await winner.contact_shows(Hint_Patient_Id__c=winner.patient_id, Synced_to_Hint__c=True)
    await world.rest()
    assert (await winner.linked()).patient_id == winner.patient_id
    await winner.patient_shows(integration_record_id=pair.contact_id)


async def test_merged_patients_that_are_both_linked_wait_for_a_person(world: World) -> None:
    loser, winner = await world.pair(), await world.pair()
    await world.remote.send("POST", f"/patients/{loser.patient_id}/merge", {"into": winner.patient_id})
    await loser.is_parked("merged_both_linked")
    assert (await winner.linked()).contact_id == winner.contact_id
