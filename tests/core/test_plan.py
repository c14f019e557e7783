"""Whole links: what they need, how they rest after a write, and what freezes, moves up or is owed."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from hintd.core.model import LinkState, Seen, Side
from hintd.core.plan import (
    adopt,
    agree,
    changes,
    follow,
    has_unfinished,
    make_plan,
    preferred_side,
    straighten,
    written,
)
from hintd.core.unseen import find_overwritten, landings, owe, refused, sending
from tests.core.halves import BOOK, T0, at, contact, half, link, patient

BASE = {"city": "Oslo", "zip": "10001", "address_line1": "1 Main St", "address_line2": None}


def at_rest(**more):
    return replace(link(half(BASE), half(BASE)), **more)


def changed(hint=None, salesforce=None):
    return link(half(BASE, hint), half(BASE, salesforce))


def test_only_changed_fields_are_planned() -> None:
    plan = make_plan(changed({"city": ("Rome", 1)}, {"zip": ("2", 1)}), BOOK)
    assert changes(plan.to(Side.SALESFORCE)) == {"city": "Rome"}
    assert changes(plan.to(Side.HINT)) == {"zip": "2"}


def test_a_frozen_field_is_left_out() -> None:
    frozen = replace(changed({"city": ("Rome", 1)}), frozen={"city": "it flips"})
    assert make_plan(frozen, BOOK).to_salesforce == ()


@pytest.mark.parametrize(
    ("by", "state", "side"),
    [
        ("match", LinkState.LINKING, Side.HINT),
        ("created_contact", LinkState.LINKING, Side.HINT),
        ("person:ann", LinkState.LINKING, Side.SALESFORCE),
        ("created_patient", LinkState.LINKING, Side.SALESFORCE),
        ("merge", LinkState.LINKING, None),
        ("match", LinkState.LINKED, None),
    ],
)
def test_who_wins_a_first_exchange(by: str, state: LinkState, side: Side | None) -> None:
    assert preferred_side(at_rest(state=state, linked_by=by)) is side


def test_a_written_field_rests_on_what_the_side_made_of_it() -> None:
    given = changed({"city": ("rome", 1)})
    after, history = written(
        given, make_plan(given, BOOK).to_salesforce, contact(2, **{**BASE, "city": "ROME"}), BOOK, T0
    )
    assert (after.hint.values["city"], after.salesforce.values["city"]) == ("rome", "ROME")
    assert make_plan(after, BOOK) == make_plan(at_rest(), BOOK)
    assert [(e.field, e.side, e.old, e.new, e.cause) for e in history] == [
        ("city", Side.SALESFORCE, "Oslo", "ROME", "changed_in_hint")
    ]


def test_what_a_trigger_changed_beside_is_news() -> None:
    given = changed({"city": ("Rome", 1)})
    shown = contact(2, **{**BASE, "city": "Rome", "zip": "00118"})
    after, _ = written(given, make_plan(given, BOOK).to_salesforce, shown, BOOK, T0)
    assert changes(make_plan(after, BOOK).to_hint) == {"zip": "00118"}


def test_what_had_to_be_written_along_rests_and_is_told() -> None:
    given = changed({"city": ("Rome", 1)})
    shown = contact(2, **{**BASE, "city": "Rome", "zip": "00118"})
    after, history = written(given, make_plan(given, BOOK).to_salesforce, shown, BOOK, T0, also={"zip"})
    assert not after.salesforce.seen
    assert ("zip", "demanded") in {(e.field, e.cause) for e in history}


def test_a_conflict_keeps_the_losing_value_in_the_history() -> None:
    given = changed({"city": ("Rome", 1)}, {"city": ("Bern", 9)})
    _, history = written(given, make_plan(given, BOOK).to_hint, patient(10, **{**BASE, "city": "Bern"}), BOOK, T0)
    assert [(e.old, e.new, e.cause) for e in history] == [
        ("Rome", "Bern", "conflict_lost"),
        ("Rome", "Bern", "conflict_salesforce_won"),
    ]


def test_agreement_becomes_the_base_with_history_of_both_sides() -> None:
    given = changed({"city": ("Rome", 1)}, {"city": ("Rome", 2)})
    after, history = agree(given, make_plan(given, BOOK).agreed, T0)
    assert after.hint.values["city"] == after.salesforce.values["city"] == "Rome"
    assert [(e.side, e.cause) for e in history] == [(Side.HINT, "agreed"), (Side.SALESFORCE, "agreed")]


def test_adopting_rests_on_what_stands() -> None:
    after, names = adopt(changed({"city": ("Rome", 1)}, {"zip": ("2", 1)}), T0)
    assert names == ("city", "zip") and not has_unfinished(after, BOOK)
    assert after.state is LinkState.LINKED


def flip(given, times: int, apart: timedelta):
    now = T0
    for number in range(times):
        side, record, value = (
            (Side.HINT, patient, f"h{number}") if number % 2 else (Side.SALESFORCE, contact, f"s{number}")
        )
        edited = replace(given.half(side.other), seen={"city": Seen(value, now)})
        given = replace(given, hint=edited) if side is Side.SALESFORCE else replace(given, salesforce=edited)
        shown = record(number + 1, **{**BASE, "city": value})
        given, _ = written(given, make_plan(given, BOOK).to(side), shown, BOOK, now)
        now += apart
    return given


def test_a_field_that_flips_too_often_is_frozen_for_its_pair() -> None:
    sentence = flip(at_rest(), 7, timedelta(seconds=5)).frozen["city"]
    assert "hintd link unfreeze" in sentence and "003A" in sentence


def test_slow_turns_and_few_turns_do_not_freeze() -> None:
    assert not flip(at_rest(), 6, timedelta(seconds=5)).frozen
    assert not flip(at_rest(), 12, timedelta(minutes=5)).frozen


# --- half-way, owed and overwritten ---


def test_held_fields_are_not_unfinished() -> None:
    pending = changed({"city": ("Rome", 1)})
    assert has_unfinished(pending, BOOK)
    assert not has_unfinished(replace(pending, held={"city": "too long"}), BOOK)


def test_an_owed_value_goes_to_both_sides_once() -> None:
    given = owe(at_rest(), "city", "Rome", "conflict_salesforce_won")
    for side, record in ((Side.SALESFORCE, contact), (Side.HINT, patient)):
        decisions = make_plan(given, BOOK).to(side)
        assert changes(decisions) == {"city": "Rome"}
        given, _ = written(given, decisions, record(5, **{**BASE, "city": "Rome"}), BOOK, T0)
    assert not given.owed and not has_unfinished(given, BOOK)


def test_a_lost_answer_that_shows_later_has_its_history() -> None:
    given = changed({"city": ("Rome", 1)})
    before = sending(given, Side.SALESFORCE, make_plan(given, BOOK).to_salesforce, ())
    after = replace(before, salesforce=replace(before.salesforce, sent={}, values={**BASE, "city": "Rome"}))
    assert [(e.new, e.cause) for e in landings(before, after, Side.SALESFORCE, T0)] == [("Rome", "changed_in_hint")]


def test_a_refused_write_leaves_the_earlier_one_unanswered() -> None:
    given = changed({"city": ("Rome", 1)})
    decisions = make_plan(given, BOOK).to_salesforce
    once = sending(given, Side.SALESFORCE, decisions, ())
    assert refused(sending(once, Side.SALESFORCE, decisions, ()), Side.SALESFORCE, decisions) == once
    assert not refused(once, Side.SALESFORCE, decisions).salesforce.sent


@pytest.mark.parametrize(
    ("stood", "wrote", "found"),
    [
        pytest.param("Oslo", "Rome", False, id="what was known"),
        pytest.param("Rome", "Rome", False, id="what was written"),
        pytest.param("Bern", "Rome", True, id="an edit nobody knew"),
        pytest.param(None, "Rome", True, id="a clear nobody knew"),
    ],
)
def test_an_edit_found_standing_before_the_write(stood: str | None, wrote: str, found: bool) -> None:
    before = contact(0, **{**BASE, "city": stood})
    assert bool(find_overwritten(changed({"city": ("Rome", 1)}), before, {"city": wrote}, BOOK)) is found


def test_a_second_line_left_alone_becomes_the_first_on_both_sides() -> None:
    given = changed({"address_line2": ("Suite 3", 1)}, {"address_line1": (None, 1)})
    plan = make_plan(straighten(given, BOOK), BOOK)
    for side in Side:
        assert changes(plan.to(side)) == {"address_line1": "Suite 3", "address_line2": None}


def test_a_street_with_a_first_line_is_left_as_it_is() -> None:
    given = changed({"address_line2": ("Suite 3", 1)})
    assert straighten(given, BOOK) == given


def test_a_link_that_follows_a_merge_knows_nothing_of_the_winner_yet() -> None:
    moved = follow(at_rest(), Side.HINT, "pat-9")
    assert (moved.patient_id, moved.state, moved.linked_by) == ("pat-9", LinkState.LINKING, "merge")
    assert moved.hint.stamp is None and moved.hint.values == BASE and moved.salesforce.stamp == at(0)
