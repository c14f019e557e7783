"""Single changes on the memory fakes: how many calls they cost, and what the simulation once found broken."""

from __future__ import annotations

import pytest

from hintd.core.errors import Retryable
from hintd.core.model import Change, LinkState, Notice, OutcomeKind, Side, Source
from hintd.service.react import react
from hintd.service.sweep import look_again, sweep_connection, take_up_again
from tests.service.clinic import CONTACT, PATIENT, Clinic, Flaky, in_clinic

WRITES = {"write_contact", "upsert_contact", "update_patient", "create_patient"}


def test_a_change_in_hint_costs_one_call_and_its_echo_none() -> None:
    async def story(clinic: Clinic) -> None:
        clinic.world.practice.edit(PATIENT, {"email": "new@x.org"})
        assert [o.kind for o in await clinic.hand_over()] == [OutcomeKind.APPLIED]
        assert (clinic.contact("Email"), clinic.calls()) == ("new@x.org", ["write_contact"])
        assert [o.reason for o in await clinic.hand_over()] == ["echo"] and clinic.calls() == []

    in_clinic(story)


def test_a_change_in_salesforce_costs_one_call_and_its_echo_none() -> None:
    async def story(clinic: Clinic) -> None:
        clinic.world.org.edit(CONTACT, {"MiddleName": "Q"})
        assert [o.kind for o in await clinic.hand_over()] == [OutcomeKind.APPLIED]
        assert (clinic.patient("middle_name"), clinic.calls()) == ("Q", ["update_patient"])
        assert [o.reason for o in await clinic.hand_over()] == ["echo"] and clinic.calls() == []

    in_clinic(story)


def test_work_that_a_remote_stopped_is_done_at_the_next_look() -> None:
    """Once: the retried notice showed nothing new, so it was taken for an echo and the change never came over."""

    async def story(clinic: Clinic) -> None:
        org, work = clinic.world.org, clinic.world.work()
        clinic.world.practice.edit(PATIENT, {"email": "new@x.org"})
        (notice,) = clinic.events

        async def refuse(*_, **__):
            raise Retryable("down")

        up, org.write_contact = org.write_contact, refuse
        with pytest.raises(Retryable):
            await react(work, notice)
        org.write_contact = up
        await react(clinic.world.work(), notice)
        assert clinic.contact("Email") == "new@x.org"

    in_clinic(story)


def test_an_own_write_without_an_answer_does_not_win_over_a_later_edit() -> None:
    """Once: hintd's value came back as an edit of Salesforce, stamped later than the edit that followed in Hint."""

    async def story(clinic: Clinic) -> None:
        world = clinic.world
        world.practice.edit(PATIENT, {"email": "first@x.org"})
        world.loop.jump(0.3)
        world.practice.edit(PATIENT, {"email": "second@x.org"})
        world.loop.jump(30)
        first, second = clinic.events
        org, world.org = world.org, Flaky(world.org, "write_contact")
        with pytest.raises(Retryable):
            await clinic.react(first)
        world.org = org
        assert clinic.contact("Email") == "first@x.org"
        await clinic.react(clinic.events[2])  # the echo of the write without an answer
        await clinic.react(second)
        assert (clinic.contact("Email"), clinic.patient("email")) == ("second@x.org", "second@x.org")

    in_clinic(story)


def test_an_edit_within_the_blind_second_is_put_back() -> None:
    async def story(clinic: Clinic) -> None:
        world = clinic.world
        world.practice.edit(PATIENT, {"email": "hint@x.org"})
        world.loop.jump(5 - world.loop.time() % 1)
        world.org.edit(CONTACT, {"Suffix": "Jr"})
        world.org.edit(CONTACT, {"Email": "org@x.org"})  # in the same second as the edit that is known
        await clinic.react(clinic.events[1])
        await clinic.react(clinic.events[0])
        assert (clinic.contact("Email"), clinic.patient("email")) == ("org@x.org", "org@x.org")
        causes = {(e.cause, e.old) for e in world.memory.histories[1]}
        assert ("conflict_lost", "org@x.org") in causes

    in_clinic(story)


def test_a_sweep_finds_an_edit_of_the_second_that_is_known() -> None:
    """Once: the version's second was known, so the sweep passed over the edit whose event was lost."""

    async def story(clinic: Clinic) -> None:
        world = clinic.world
        world.loop.jump(5 - world.loop.time() % 1)
        world.org.edit(CONTACT, {"MiddleName": "Q"})
        await clinic.react(look_again(world.work(), Side.SALESFORCE, CONTACT))
        world.org.edit(CONTACT, {"Email": "org@x.org"})
        notices: list[Notice] = []

        async def accept(some) -> None:
            notices.extend(some)

        await sweep_connection(world.work(), accept, overlap_s=300.0)
        for notice in notices:
            await clinic.react(notice)
        assert clinic.patient("email") == "org@x.org"

    in_clinic(story)


def test_a_late_event_of_a_destroyed_patient_makes_no_contact() -> None:
    async def story(clinic: Clinic) -> None:
        world = clinic.world
        newcomer = world.practice.create({"first_name": "Zoe", "last_name": "New", "dob": "2001-02-03"})
        world.practice.destroy(newcomer)
        created, destroyed = clinic.events
        outcomes = [await clinic.react(destroyed), await clinic.react(created)]
        assert [o.kind for o in outcomes] == [OutcomeKind.IGNORED, OutcomeKind.IGNORED]
        assert len(world.org.contacts) == 1 and not WRITES & set(clinic.calls())

    in_clinic(story)


def test_a_deleted_contact_is_not_made_anew() -> None:
    async def story(clinic: Clinic) -> None:
        world = clinic.world
        world.practice.create({"first_name": "Zoe", "last_name": "New", "dob": "2001-02-03"})
        await clinic.hand_over()
        await clinic.hand_over()
        world.org.delete("003000000000002AAA")
        for _ in range(3):
            await clinic.hand_over()
        assert len(world.org.contacts) == 2

    in_clinic(story)


def test_a_merged_patient_hands_its_link_to_the_winner() -> None:
    """Once: Hint refused the winner the id that the merged-away patient still held."""

    async def story(clinic: Clinic) -> None:
        world = clinic.world
        winner = world.practice.create({"first_name": "Old", "last_name": "Twin", "dob": None})
        clinic.events.clear()
        world.practice.merge(PATIENT, winner)
        await clinic.react(clinic.events[0])
        assert (clinic.link().patient_id, clinic.link().state) == (winner, LinkState.LINKED)
        assert clinic.contact("Hint_Patient_Id__c") == winner
        assert world.practice.patients[winner]["integration_record_id"] == CONTACT

    in_clinic(story)


def test_a_refused_value_is_held_and_the_other_side_still_synced() -> None:
    """Once: a validation rule of the org stopped the changes towards Hint as well."""

    async def story(clinic: Clinic) -> None:
        world = clinic.world
        world.org.refuses = lambda row: row["MailingCity"] == "Rome"
        world.practice.edit(PATIENT, {"address_city": "Rome"})
        await clinic.hand_over()
        assert "city" in clinic.link().held
        world.org.edit(CONTACT, {"MiddleName": "Q"})
        await clinic.hand_over()
        assert clinic.patient("middle_name") == "Q" and clinic.contact("MailingCity") != "Rome"

    in_clinic(story)


def test_a_first_exchange_left_half_way_is_taken_up_again() -> None:
    async def story(clinic: Clinic) -> None:
        world = clinic.world
        world.practice.create({"first_name": "Zoe", "last_name": "New", "dob": "2001-02-03"})
        org, world.org = world.org, Flaky(world.org, "upsert_contact")
        with pytest.raises(Retryable):
            await clinic.react(clinic.events[0])
        world.org = org
        world.loop.jump(60)
        notices: list[Notice] = []

        async def accept(some) -> None:
            notices.extend(some)

        assert await take_up_again(world.work(), accept) == 1
        outcome = await clinic.react(notices[0])
        assert outcome.kind is OutcomeKind.APPLIED and len(world.org.contacts) == 2

    in_clinic(story)


def test_a_gap_is_read() -> None:
    async def story(clinic: Clinic) -> None:
        world = clinic.world
        world.org.edit(CONTACT, {"MiddleName": "Q"})
        gap = Notice("gap", Source.STREAM, "pra-1", Side.SALESFORCE, CONTACT, Change.GAP, None, world.loop.now())
        await clinic.react(gap)
        assert clinic.patient("middle_name") == "Q"
        assert clinic.calls() == ["get_contacts", "update_patient"]

    in_clinic(story)
