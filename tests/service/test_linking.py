"""README rule 5 on the memory fakes: a new patient exactly once, and nothing is undone for a link that cannot be."""

from __future__ import annotations

import pytest

from hintd.core.errors import Retryable
from hintd.core.model import LinkState, Notice, OutcomeKind, Side
from hintd.service.linking import LinkingRefused, link_by_person
from hintd.service.react import react
from hintd.service.rehearsal import preview_link
from hintd.service.sweep import take_up_again
from tests.service.clinic import CONTACT, PATIENT, Clinic, Deadly, Flaky, in_clinic
from tests.service.weather import Killed, Life

FRESH = {"FirstName": "Nora", "LastName": "Fresh", "Birthdate": "1990-01-02"}
NOBODYS = "003000000000999AAA"


async def _new_patient(clinic: Clinic, contact_id: str, life: Life | None = None):
    return await link_by_person(clinic.world.work(life), contact_id, None, person="tester")


async def _link(clinic: Clinic, contact_id: str, patient_id: str, **more):
    return await link_by_person(clinic.world.work(), contact_id, patient_id, person="tester", **more)


async def _standing(clinic: Clinic, contact_id: str):
    return await clinic.world.work().stores.links.find(1, Side.SALESFORCE, contact_id)


async def _killed_at_the_answer(clinic: Clinic, contact_id: str) -> None:
    practice, life = clinic.world.practice, Life("command")
    clinic.world.practice = Deadly(practice, "create_patient", life)
    with pytest.raises(Killed):
        await _new_patient(clinic, contact_id, life)
    clinic.world.practice = practice


def _made_for(clinic: Clinic, contact_id: str) -> list[str]:
    patients = clinic.world.practice.patients.items()
    return [patient_id for patient_id, raw in patients if raw["integration_record_id"] == contact_id]


def test_a_new_patient_whose_answer_is_lost_is_found_by_the_repeated_command() -> None:
    async def story(clinic: Clinic) -> None:
        contact_id = clinic.world.org.create(FRESH)
        practice = clinic.world.practice
        clinic.world.practice = Flaky(practice, "create_patient")
        with pytest.raises(Retryable):
            await _new_patient(clinic, contact_id)
        clinic.world.practice = practice
        (made,) = _made_for(clinic, contact_id)
        assert (await _new_patient(clinic, contact_id)).kind is OutcomeKind.APPLIED
        assert _made_for(clinic, contact_id) == [made]
        assert (await _standing(clinic, contact_id)).patient_id == made
        assert clinic.world.org.contacts[contact_id]["Hint_Patient_Id__c"] == made

    in_clinic(story)


def test_a_command_killed_after_the_creation_makes_no_second_patient_when_it_is_repeated() -> None:
    async def story(clinic: Clinic) -> None:
        contact_id = clinic.world.org.create(FRESH)
        await _killed_at_the_answer(clinic, contact_id)
        with pytest.raises(LinkingRefused, match="half a minute"):
            await _new_patient(clinic, contact_id)
        clinic.world.loop.jump(60)
        await _new_patient(clinic, contact_id)
        assert _made_for(clinic, contact_id) == [(await _standing(clinic, contact_id)).patient_id]

    in_clinic(story)


def test_what_a_killed_command_left_is_finished_by_the_daemon() -> None:
    async def story(clinic: Clinic) -> None:
        contact_id = clinic.world.org.create(FRESH)
        await _killed_at_the_answer(clinic, contact_id)
        clinic.world.loop.jump(60)
        notices: list[Notice] = []

        async def accept(some) -> None:
            notices.extend(some)

        await take_up_again(clinic.world.work(), accept)
        await react(clinic.world.work(), notices[0])
        standing = await _standing(clinic, contact_id)
        assert (standing.state, [standing.patient_id]) == (LinkState.LINKED, _made_for(clinic, contact_id))

    in_clinic(story)


def test_a_second_new_patient_is_refused_with_the_link_that_stands() -> None:
    async def story(clinic: Clinic) -> None:
        with pytest.raises(LinkingRefused, match=PATIENT):
            await _new_patient(clinic, CONTACT)
        assert len(clinic.world.practice.patients) == 1

    in_clinic(story)


def test_a_contact_whose_patient_was_refused_can_be_linked_with_another_one() -> None:
    async def story(clinic: Clinic) -> None:
        contact_id = clinic.world.org.create({"LastName": "Nameless"})
        assert (await _new_patient(clinic, contact_id)).kind is OutcomeKind.PARKED
        other = clinic.world.practice.create({"first_name": "No", "last_name": "Nameless", "dob": None})
        assert (await _link(clinic, contact_id, other)).kind is OutcomeKind.APPLIED
        assert (await _standing(clinic, contact_id)).patient_id == other
        assert not clinic.world.memory.open_items

    in_clinic(story)


def test_a_patient_that_is_not_there_undoes_no_link() -> None:
    async def story(clinic: Clinic) -> None:
        with pytest.raises(LinkingRefused, match="no patient pat-none"):
            await _link(clinic, CONTACT, "pat-none")
        assert clinic.link().state is LinkState.LINKED

    in_clinic(story)


def test_a_contact_that_is_not_there_takes_no_patient_over() -> None:
    async def story(clinic: Clinic) -> None:
        with pytest.raises(LinkingRefused, match=f"no Contact {NOBODYS}"):
            await _link(clinic, NOBODYS, PATIENT, take_over=True)
        assert clinic.link().state is LinkState.LINKED

    in_clinic(story)


def test_a_take_over_that_is_not_confirmed_undoes_neither_link() -> None:
    async def story(clinic: Clinic) -> None:
        other = clinic.world.org.create(FRESH)
        await _new_patient(clinic, other)
        with pytest.raises(LinkingRefused, match="--take-over"):
            await _link(clinic, other, PATIENT)
        assert (await _standing(clinic, other)).patient_id == _made_for(clinic, other)[0]
        assert (await _standing(clinic, CONTACT)).patient_id == PATIENT

    in_clinic(story)


def test_a_linked_pair_that_is_synced_again_gets_what_was_missed_and_is_free_at_once() -> None:
    async def story(clinic: Clinic) -> None:
        clinic.world.practice.edit(PATIENT, {"email": "missed@x.org"})
        clinic.events.clear()
        assert (await _link(clinic, CONTACT, PATIENT)).kind is OutcomeKind.APPLIED
        assert clinic.contact("Email") == "missed@x.org"
        assert (await _link(clinic, CONTACT, PATIENT)).kind is OutcomeKind.NO_CHANGE

    in_clinic(story)


def test_a_preview_of_a_take_over_names_the_pair_that_would_be_parted_and_parts_nothing() -> None:
    async def story(clinic: Clinic) -> None:
        other = clinic.world.org.create(FRESH)
        seen = await preview_link(clinic.world.work(), other, PATIENT, person="tester", take_over=True)
        assert seen.unlinks == ((CONTACT, PATIENT),)
        assert {(e.side, e.field, e.new) for e in seen.fields} >= {(Side.HINT, "last_name", "Fresh")}
        assert clinic.link().state is LinkState.LINKED
        assert clinic.patient("last_name") != "Fresh"

    in_clinic(story)
