"""What a record shows: news, an echo, something old, or something doubtful; and hintd's own writes come back."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hintd.core.model import Contact, Overwrote, Patient, Seen, Sent, Side
from hintd.core.observe import Newness, current, judge, own_fields_differ, take_in
from tests.core.halves import BOOK, at, contact, half, link, patient

BASE = {"city": "Oslo", "zip": "10001"}
AT_REST = link(half(BASE, stamp=10), half(BASE, stamp=10))
AFTER_A_PART = link(half(BASE, stamp=10), replace(half(BASE, stamp=10), stamp=at(20)))


@pytest.mark.parametrize(
    ("known", "record", "newness"),
    [
        pytest.param(AT_REST, patient(11, city="Rome"), Newness.NEW, id="a newer patient"),
        pytest.param(AT_REST, patient(10, city="Oslo"), Newness.KNOWN, id="the same again"),
        pytest.param(AT_REST, patient(9, city="Rome"), Newness.OLD, id="an older patient"),
        pytest.param(AT_REST, patient(9, city="Oslo"), Newness.KNOWN, id="older, and the same"),
        pytest.param(AT_REST, patient(10, city="Rome"), Newness.DOUBTFUL, id="another value at the same moment"),
        pytest.param(AT_REST, contact(11, whole=False, city="Rome"), Newness.NEW, id="a newer part"),
        pytest.param(AT_REST, contact(9, whole=False, city="Rome"), Newness.OLD, id="a part older than a whole read"),
        pytest.param(AT_REST, contact(10, whole=False, city="Rome"), Newness.DOUBTFUL, id="within the same second"),
        pytest.param(AT_REST, contact(10, city="Oslo"), Newness.KNOWN, id="an echo within the same second"),
        pytest.param(AFTER_A_PART, contact(15, whole=False, zip="2"), Newness.DOUBTFUL, id="a part behind another"),
        pytest.param(
            AT_REST,
            replace(contact(11, whole=False), reread=frozenset({"address_line1"})),
            Newness.DOUBTFUL,
            id="a field without its value",
        ),
        pytest.param(AT_REST, replace(contact(10), synced=False), Newness.DOUBTFUL, id="own field edited"),
    ],
)
def test_how_new_an_event_is(known, record: Patient | Contact, newness: Newness) -> None:
    assert judge(known, record, BOOK) is newness


def test_taking_in_keeps_the_stamp_a_value_was_first_seen_with() -> None:
    taken = take_in(take_in(AT_REST, patient(11, city="Rome"), BOOK), patient(15, city="Rome", zip="2"), BOOK)
    assert taken.hint.seen == {"city": Seen("Rome", at(11)), "zip": Seen("2", at(15))}


def test_a_value_that_returns_to_the_base_is_no_news() -> None:
    taken = take_in(take_in(AT_REST, patient(11, city="Rome"), BOOK), patient(12, city="Oslo"), BOOK)
    assert not taken.hint.seen and current(taken.hint, "city") == "Oslo"


def test_a_part_does_not_vouch_for_the_whole() -> None:
    taken = take_in(AT_REST, contact(20, whole=False, city="Rome"), BOOK)
    assert (taken.salesforce.stamp, taken.salesforce.whole_stamp) == (at(20), at(10))


@pytest.mark.parametrize(
    ("shown", "differ"),
    [
        pytest.param(contact(1), False, id="in order"),
        pytest.param(replace(contact(1), synced=False), True, id="unchecked"),
        pytest.param(replace(contact(1), patient_id="pat-9"), True, id="another patient"),
        pytest.param(replace(contact(1), patient_id=None, known=frozenset()), False, id="not shown"),
        pytest.param(patient(1), False, id="a patient"),
    ],
)
def test_own_fields(shown: Patient | Contact, differ: bool) -> None:
    assert own_fields_differ(AT_REST, shown) is differ


# --- hintd's own writes without an answer ---

SENT = {"city": (Sent("Rome", "Oslo", "changed_in_hint"),)}


def unanswered(hint_now: str):
    """Rome was sent from Hint to Salesforce; Hint may have been edited again since."""
    hint = half(BASE, {"city": (hint_now, 12)}, stamp=12)
    return link(hint, replace(half(BASE, stamp=10), sent=SENT))


def test_an_own_value_that_shows_up_is_at_rest() -> None:
    taken = take_in(unanswered("Rome"), contact(13, city="Rome", zip="10001"), BOOK)
    assert not taken.hint.seen and not taken.salesforce.seen and not taken.salesforce.sent
    assert taken.hint.values["city"] == taken.salesforce.values["city"] == "Rome"


def test_an_own_value_does_not_win_over_the_edit_that_followed_it() -> None:
    taken = take_in(unanswered("Bern"), contact(99, city="Rome", zip="10001"), BOOK)
    assert not taken.salesforce.seen
    assert taken.hint.seen == {"city": Seen("Bern", at(12))}


def test_an_event_from_before_the_write_proves_nothing_and_a_read_does() -> None:
    shown = contact(13, city="Oslo", zip="10001")
    assert take_in(unanswered("Rome"), shown, BOOK).salesforce.sent == SENT
    assert not take_in(unanswered("Rome"), shown, BOOK, read_at=at(14)).salesforce.sent


def test_the_earlier_of_two_unanswered_writes_is_recognised() -> None:
    sent = {"city": (*SENT["city"], Sent("Bern", "Oslo", "changed_in_hint"))}
    twice = link(half(BASE, {"city": ("Bern", 12)}, stamp=12), replace(half(BASE, stamp=10), sent=sent))
    taken = take_in(twice, contact(13, city="Rome", zip="10001"), BOOK)
    assert taken.hint.seen == {"city": Seen("Bern", at(12))} and not taken.salesforce.seen


def test_what_was_overwritten_does_not_matter_after_a_later_edit() -> None:
    window = Overwrote(at(10), "Oslo", at(11), wrote="Rome")
    held = replace(AT_REST, overwrote={"city": window})
    assert take_in(held, patient(12, city="Rome"), BOOK).overwrote["city"].until == at(12)
    assert not take_in(held, patient(13, city="Bern"), BOOK).overwrote
    assert current(take_in(held, patient(13, city="Bern"), BOOK).half(Side.HINT), "city") == "Bern"
