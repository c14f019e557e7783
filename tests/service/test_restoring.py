"""README rule 2 on the memory fakes: a value that was lost is given back to both sides."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest

from hintd.core.errors import Retryable
from hintd.core.model import OutcomeKind, Side
from hintd.service.linking import LinkingRefused
from hintd.service.restoring import Wanted, restore_by_person
from tests.service.clinic import CONTACT, PATIENT, Clinic, Flaky, in_clinic

LONG_AGO = datetime(2001, 2, 3, tzinfo=UTC)


async def _restore(clinic: Clinic, *, field: str = "email", at: datetime | None = None, side: Side | None = None):
    wanted = Wanted(field, at or _entry(clinic, field).at.replace(microsecond=0), side)
    return await restore_by_person(clinic.world.work(), CONTACT, wanted, person="tester")


def _entry(clinic: Clinic, field: str = "email"):
    """The newest of the field."""
    return next(e for e in reversed(clinic.world.memory.histories[1]) if e.field == field)


async def _change(clinic: Clinic, *emails: str) -> None:
    """One after the other in Hint, brought over; three seconds apart."""
    for email in emails:
        clinic.world.loop.jump(3)
        clinic.world.practice.edit(PATIENT, {"email": email})
        await clinic.hand_over()
        await clinic.hand_over()


def _both(clinic: Clinic) -> tuple[str, str]:
    return clinic.patient("email"), clinic.contact("Email")


def test_the_replaced_value_stands_again_on_both_sides_and_the_echoes_cost_nothing() -> None:
    async def story(clinic: Clinic) -> None:
        await _change(clinic, "first@x.org", "second@x.org")
        clinic.calls()
        assert (await _restore(clinic)).kind is OutcomeKind.APPLIED
        assert _both(clinic) == ("first@x.org", "first@x.org")
        assert clinic.calls() == ["get_patient", "get_contacts", "write_contact", "update_patient"]
        restored = [e for e in clinic.world.memory.histories[1] if e.cause == "restored"]
        assert {(e.side, e.old, e.new) for e in restored} == {(s, "second@x.org", "first@x.org") for s in Side}
        assert {o.kind for o in await clinic.hand_over()} == {OutcomeKind.NO_CHANGE}
        assert clinic.calls() == []

    in_clinic(story)


def test_the_loser_of_a_conflict_is_restored() -> None:
    async def story(clinic: Clinic) -> None:
        clinic.world.practice.edit(PATIENT, {"email": "hint@x.org"})
        clinic.world.org.edit(CONTACT, {"Email": "org@x.org"})
        await clinic.hand_over()
        await clinic.hand_over()
        lost = next(e for e in clinic.world.memory.histories[1] if e.cause == "conflict_lost")
        await _restore(clinic, at=lost.at)
        assert _both(clinic) == (lost.old, lost.old)

    in_clinic(story)


def test_a_restored_value_gives_way_to_a_later_edit() -> None:
    async def story(clinic: Clinic) -> None:
        await _change(clinic, "first@x.org", "second@x.org")
        await _restore(clinic)
        await clinic.hand_over()
        await _change(clinic, "third@x.org")
        assert _both(clinic) == ("third@x.org", "third@x.org")

    in_clinic(story)


def test_what_both_sides_hold_already_is_not_written() -> None:
    async def story(clinic: Clinic) -> None:
        await _change(clinic, "first@x.org", "second@x.org", "first@x.org")
        at = next(e.at for e in clinic.world.memory.histories[1] if e.new == "second@x.org")
        clinic.calls()
        assert (await _restore(clinic, at=at)).kind is OutcomeKind.NO_CHANGE
        assert clinic.calls() == ["get_patient", "get_contacts"]

    in_clinic(story)


def test_an_answer_that_was_lost_is_made_good_by_repeating() -> None:
    async def story(clinic: Clinic) -> None:
        await _change(clinic, "first@x.org", "second@x.org")
        at, practice = _entry(clinic).at, clinic.world.practice
        clinic.world.loop.jump(3)
        clinic.world.practice = Flaky(practice, "update_patient")
        with pytest.raises(Retryable):
            await _restore(clinic, at=at)
        clinic.world.practice = practice
        await _restore(clinic, at=at)
        assert _both(clinic) == ("first@x.org", "first@x.org")

    in_clinic(story)


def test_a_value_that_salesforce_refuses_is_parked_and_later_edits_are_synced() -> None:
    async def story(clinic: Clinic) -> None:
        await _change(clinic, "first@x.org", "second@x.org")
        clinic.world.org.refuses = lambda row: row["Email"] == "first@x.org"
        assert (await _restore(clinic)).kind is OutcomeKind.PARKED
        await clinic.hand_over()
        await _change(clinic, "third@x.org")
        assert _both(clinic) == ("third@x.org", "third@x.org")

    in_clinic(story)


def test_a_time_that_fits_two_values_is_refused_with_the_times() -> None:
    async def story(clinic: Clinic) -> None:
        loop = clinic.world.loop
        await _change(clinic, "first@x.org")
        loop.jump(2 - loop.time() % 1)
        clinic.world.practice.edit(PATIENT, {"email": "second@x.org"})
        await clinic.hand_over()
        await clinic.hand_over()
        loop.jump(0.3)
        clinic.world.practice.edit(PATIENT, {"email": "third@x.org"})
        await clinic.hand_over()
        await clinic.hand_over()
        at = _entry(clinic).at
        with pytest.raises(LinkingRefused, match=f"more than once.*{re.escape(at.isoformat())}"):
            await _restore(clinic)
        await _restore(clinic, at=at)
        assert _both(clinic) == ("second@x.org", "second@x.org")

    in_clinic(story)


@pytest.mark.parametrize(
    ("field", "at", "told"),
    [
        pytest.param("email", LONG_AGO, "Nothing of email was replaced", id="no entry at that time"),
        pytest.param("shoe_size", LONG_AGO, "no synced field shoe_size", id="no such field"),
        pytest.param("practitioner", LONG_AGO, "change it in Hint", id="read-only in Salesforce"),
    ],
)
def test_what_cannot_be_restored_is_refused_and_the_pair_is_free_at_once(field: str, at: datetime, told: str) -> None:
    async def story(clinic: Clinic) -> None:
        await _change(clinic, "first@x.org")
        with pytest.raises(LinkingRefused, match=told):
            await _restore(clinic, field=field, at=at)
        assert (await _restore(clinic)).kind is OutcomeKind.APPLIED

    in_clinic(story)


def test_a_field_that_may_not_be_blank_is_not_blanked() -> None:
    async def story(clinic: Clinic) -> None:
        history = clinic.world.memory.histories
        await _change(clinic, "first@x.org")
        entry = _entry(clinic)
        blank = type(entry)(entry.at + timedelta(seconds=1), "last_name", Side.HINT, None, "Name", "linked")
        history[1].append(blank)
        with pytest.raises(LinkingRefused, match="cannot be blank in Hint and Salesforce"):
            await _restore(clinic, field="last_name")

    in_clinic(story)
