"""README rules 3 and 10 on the memory fakes: what a person decides about a parked question."""

from __future__ import annotations

import pytest

from hintd.core.model import LinkState, OutcomeKind, Owner, Side
from hintd.ports import ParkedItem, Settlement, ToPark
from hintd.service.linking import LinkingRefused
from hintd.service.resolving import chosen_pair, dismiss, link_chosen
from tests.service.clinic import CONTACT, PATIENT, Clinic, in_clinic

ZOE = {"first_name": "Zoe", "last_name": "New", "dob": "2001-02-03"}
ZOE_IN_SALESFORCE = {"FirstName": "Zoe", "LastName": "New", "Birthdate": "2001-02-03"}


async def _two_zoes(clinic: Clinic, **patient: str) -> tuple[str, str]:
    """Two Contacts that match, and the new patient that is parked for it: the second Contact, and the patient."""
    org = clinic.world.org
    org.create(ZOE_IN_SALESFORCE)
    contact_id = org.create(ZOE_IN_SALESFORCE | {"Email": "contact@x.org", "MailingCity": "Denver"})
    await clinic.hand_over()
    patient_id = clinic.world.practice.create(ZOE | patient)
    assert (await clinic.hand_over())[-1].reason == "ambiguous"
    return contact_id, patient_id


def _item(clinic: Clinic) -> ParkedItem:
    """The one open item."""
    (item_id,) = clinic.world.memory.open_items.values()
    return clinic.world.memory.parked[item_id][1]


async def _choose(clinic: Clinic, item: ParkedItem, contact_id=None, patient_id=None, *, take_over: bool = False):
    pair = chosen_pair(item, contact_id, patient_id)
    return await link_chosen(clinic.world.work(), item, pair, person="tester", take_over=take_over)


async def _standing(clinic: Clinic, patient_id: str):
    return await clinic.world.work().stores.links.find(1, Side.HINT, patient_id)


async def _offer(clinic: Clinic) -> ParkedItem:
    """An undeleted Contact's item."""
    item = ToPark("undeleted_contact", "undeleted", Owner.CLINIC, "Restored.", CONTACT, PATIENT)
    work = clinic.world.work()
    await work.stores.links.settle(Settlement(1, work.now(), park=(item,)))
    return _item(clinic)


def test_the_chosen_contact_is_linked_the_patient_wins_and_blanks_are_filled() -> None:
    async def story(clinic: Clinic) -> None:
        contact_id, patient_id = await _two_zoes(clinic, email="patient@x.org")
        assert (await _choose(clinic, _item(clinic), contact_id)).kind is OutcomeKind.APPLIED
        standing = await _standing(clinic, patient_id)
        assert (standing.contact_id, standing.linked_by) == (contact_id, "chosen:tester")
        assert clinic.world.org.contacts[contact_id]["Email"] == "patient@x.org"
        assert clinic.world.practice.patients[patient_id]["address_city"] == "Denver"
        assert not clinic.world.memory.open_items

    in_clinic(story)


def test_choosing_the_same_again_changes_nothing() -> None:
    async def story(clinic: Clinic) -> None:
        contact_id, _ = await _two_zoes(clinic)
        item = _item(clinic)
        await _choose(clinic, item, contact_id)
        assert (await _choose(clinic, item, contact_id)).kind is OutcomeKind.NO_CHANGE

    in_clinic(story)


def test_a_chosen_contact_that_is_linked_is_refused_until_it_is_taken_over() -> None:
    async def story(clinic: Clinic) -> None:
        _, patient_id = await _two_zoes(clinic)
        item = _item(clinic)
        with pytest.raises(LinkingRefused, match=f"linked with patient {PATIENT}.*--take-over"):
            await _choose(clinic, item, CONTACT)
        assert clinic.link().state is LinkState.LINKED
        await _choose(clinic, item, CONTACT, take_over=True)
        assert (await _standing(clinic, patient_id)).contact_id == CONTACT
        assert await _standing(clinic, PATIENT) is None

    in_clinic(story)


def test_a_dismissed_patient_is_left_alone_at_later_changes() -> None:
    async def story(clinic: Clinic) -> None:
        _, patient_id = await _two_zoes(clinic)
        await dismiss(clinic.world.work(), _item(clinic), person="tester")
        clinic.world.practice.edit(patient_id, {"last_name": "Nobody's"})  # no Contact matches now: one would be made
        assert [o.reason for o in await clinic.hand_over()] == ["dismissed"]
        assert not clinic.world.memory.open_items

    in_clinic(story)


def test_a_person_still_links_a_dismissed_patient() -> None:
    async def story(clinic: Clinic) -> None:
        contact_id, patient_id = await _two_zoes(clinic)
        item = _item(clinic)
        await dismiss(clinic.world.work(), item, person="tester")
        await _choose(clinic, item, contact_id)
        assert (await _standing(clinic, patient_id)).contact_id == contact_id

    in_clinic(story)


def test_a_patient_whose_contact_salesforce_refuses_is_dismissed_for_good() -> None:
    async def story(clinic: Clinic) -> None:
        clinic.world.org.refuses = lambda row: row["LastName"] == "New"
        patient_id = clinic.world.practice.create(ZOE)
        await clinic.hand_over()
        await dismiss(clinic.world.work(), _item(clinic), person="tester")
        clinic.world.org.refuses = lambda row: False
        clinic.world.practice.edit(patient_id, {"email": "later@x.org"})
        assert (await clinic.hand_over())[-1].reason == "dismissed"
        assert len(clinic.world.org.contacts) == 1

    in_clinic(story)


def test_a_patient_whose_contact_salesforce_refuses_is_linked_with_a_chosen_one() -> None:
    async def story(clinic: Clinic) -> None:
        clinic.world.org.refuses = lambda row: row["LastName"] == "New"
        patient_id = clinic.world.practice.create(ZOE)
        await clinic.hand_over()
        clinic.world.org.refuses = lambda row: False
        contact_id = clinic.world.org.create({"LastName": "Otherwise"})
        assert (await _choose(clinic, _item(clinic), contact_id)).kind is OutcomeKind.APPLIED
        assert (await _standing(clinic, patient_id)).contact_id == contact_id

    in_clinic(story)


def test_an_undeleted_contact_is_linked_again() -> None:
    async def story(clinic: Clinic) -> None:
        clinic.world.org.delete(CONTACT)
        await clinic.hand_over()
        assert await _standing(clinic, PATIENT) is None
        clinic.world.org.contacts[CONTACT]["IsDeleted"] = False
        await _choose(clinic, await _offer(clinic), patient_id=PATIENT)
        assert (await _standing(clinic, PATIENT)).contact_id == CONTACT

    in_clinic(story)


def test_dismissing_an_undeleted_contact_leaves_its_patient_to_automation() -> None:
    async def story(clinic: Clinic) -> None:
        await dismiss(clinic.world.work(), await _offer(clinic), person="tester")
        assert not clinic.world.memory.open_items
        assert not clinic.world.memory.parted

    in_clinic(story)


@pytest.mark.parametrize(
    ("kind", "ids", "told"),
    [
        pytest.param("ambiguous", (None, PATIENT), "asks for --contact ID", id="no Contact named"),
        pytest.param("refused_by_hint", (CONTACT, f"new:{CONTACT}"), "asks for --patient ID", id="no patient named"),
        pytest.param("held_field", (CONTACT, PATIENT), "hintd parked retry 7", id="another question"),
    ],
)
def test_what_a_choice_does_not_answer_is_refused(kind: str, ids: tuple[str | None, str], told: str) -> None:
    async def story(clinic: Clinic) -> None:
        item = ParkedItem(7, kind, kind, Owner.CLINIC, "", *ids, clinic.world.loop.now(), 1, "open")
        with pytest.raises(LinkingRefused, match=told):
            chosen_pair(item, None, None)

    in_clinic(story)
