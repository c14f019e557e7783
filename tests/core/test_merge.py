"""The three-way merge of one field, as a table of what each side holds against its half of the base."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hintd.core.fields import Winner
from hintd.core.merge import Step, later_side, merge_field, overwritten_wins
from hintd.core.model import LinkState, Side, Value
from hintd.core.rules import Rules
from tests.core.halves import BOOK, at, half, link

CITY, PAYER, LAST, MOBILE = (BOOK.field(n) for n in ("city", "insurance_payer", "last_name", "mobile_phone"))
Changed = tuple[Value, float] | None


def merged(field, base: tuple[Value, Value], hint: Changed, salesforce: Changed, **more):
    name = field.name
    halves = [
        half({name: value}, {name: changed} if changed else {})
        for value, changed in zip(base, (hint, salesforce), strict=True)
    ]
    return merge_field(field, link(*halves, **more), BOOK.rules, None)


@pytest.mark.parametrize(
    ("hint", "salesforce", "step", "cause", "value"),
    [
        pytest.param(("Rome", 5), None, Step.TO_SALESFORCE, "changed_in_hint", "Rome", id="changed in Hint"),
        pytest.param(None, ("Rome", 5), Step.TO_HINT, "changed_in_salesforce", "Rome", id="changed in Salesforce"),
        pytest.param((None, 5), None, Step.TO_SALESFORCE, "changed_in_hint", None, id="cleared in Hint"),
        pytest.param(None, (None, 5), Step.TO_HINT, "changed_in_salesforce", None, id="cleared in Salesforce"),
        pytest.param(("Rome", 5), (" Rome ", 9), Step.AGREED, "agreed", "Rome", id="equal changes are agreement"),
        pytest.param(("Rome", 5), ("Bern", 9), Step.TO_HINT, "conflict_salesforce_won", "Bern", id="later wins"),
        pytest.param(("Rome", 9), ("Bern", 5), Step.TO_SALESFORCE, "conflict_hint_won", "Rome", id="later Hint wins"),
        pytest.param(("Rome", 5.9), ("Bern", 6), Step.TO_SALESFORCE, "conflict_hint_won", "Rome", id="within a second"),
    ],
)
def test_a_field_that_flows_both_ways(hint: Changed, salesforce: Changed, step: Step, cause: str, value: Value) -> None:
    decision = merged(CITY, ("Oslo", "Oslo"), hint, salesforce)
    assert decision is not None
    assert (decision.step, decision.cause, decision.value) == (step, cause, value)


def test_a_pair_that_rests_on_two_halves_needs_nothing() -> None:
    assert merged(CITY, ("Oslo", "OSLO"), None, None) is None


def test_only_a_real_edit_is_a_conflict() -> None:
    follows, clashes = merged(CITY, ("a", "a"), ("b", 1), None), merged(CITY, ("a", "a"), ("b", 1), ("c", 9))
    assert follows is not None and not follows.was_conflict
    assert clashes is not None and clashes.was_conflict and clashes.replaced == "b"


@pytest.mark.parametrize(("revert", "step"), [(True, Step.TO_SALESFORCE), (False, Step.LEFT)], ids=["revert", "report"])
def test_an_edited_read_only_field_goes_by_the_setting(revert: bool, step: Step) -> None:
    halves = half({PAYER.name: "Acme"}), half({PAYER.name: "Acme"}, {PAYER.name: ("Best", 5)})
    decision = merge_field(PAYER, link(*halves), Rules(revert_read_only=revert), None)
    assert decision is not None and decision.step is step


def test_hint_wins_a_read_only_field_however_late_the_other_edit() -> None:
    decision = merged(PAYER, ("Acme", "Acme"), ("Best", 1), ("Mine", 99))
    assert decision is not None and (decision.step, decision.value) == (Step.TO_SALESFORCE, "Best")


@pytest.mark.parametrize(("winner", "value"), [(Winner.HINT, "Rome"), (Winner.SALESFORCE, "Bern")])
def test_a_configured_winner_wins_whatever_the_stamps(winner: Winner, value: str) -> None:
    early, late = (1, 99) if winner is Winner.HINT else (99, 1)
    decision = merged(replace(CITY, winner=winner), ("Oslo", "Oslo"), ("Rome", early), ("Bern", late))
    assert decision is not None and decision.value == value


@pytest.mark.parametrize(
    ("hint", "salesforce", "prefer", "cause", "value"),
    [
        pytest.param("Rome", None, Side.SALESFORCE, "filled", "Rome", id="blank Contact field filled"),
        pytest.param(None, "Rome", Side.HINT, "filled", "Rome", id="blank patient field filled"),
        pytest.param("Rome", "Bern", Side.HINT, "linked", "Rome", id="patient wins"),
        pytest.param("Rome", "Bern", Side.SALESFORCE, "linked", "Bern", id="Contact wins"),
    ],
)
def test_the_first_meeting(hint: Value, salesforce: Value, prefer: Side, cause: str, value: Value) -> None:
    first = link(half({}, {"city": (hint, 1)}), half({}, {"city": (salesforce, 1)}), LinkState.LINKING)
    decision = merge_field(CITY, first, BOOK.rules, prefer)
    assert decision is not None and (decision.cause, decision.value) == (cause, value)


def test_a_field_that_hint_does_not_show_flows_from_salesforce_only() -> None:
    decision = merge_field(LAST, link(half({}), half({"last_name": "A"}, {"last_name": ("B", 1)})), BOOK.rules, None)
    assert decision is not None and decision.step is Step.TO_HINT


def test_phones_that_hint_does_not_show_are_never_written() -> None:
    unseen = link(half({}), half({"mobile_phone": None}, {"mobile_phone": ("4155550101", 1)}))
    assert merge_field(MOBILE, unseen, BOOK.rules, None) is None


@pytest.mark.parametrize(
    ("hint_at", "salesforce_at", "side"),
    [
        pytest.param(0, 1, Side.HINT, id="exactly a second"),
        pytest.param(0, 1.1, Side.SALESFORCE, id="more than a second"),
        pytest.param(None, 0, Side.SALESFORCE, id="only Salesforce"),
        pytest.param(0, None, Side.HINT, id="only Hint"),
    ],
)
def test_the_later_side(hint_at: float | None, salesforce_at: float | None, side: Side) -> None:
    stamps = (None if s is None else at(s) for s in (hint_at, salesforce_at))
    assert later_side(*stamps) is side


@pytest.mark.parametrize(
    ("field", "hint_at", "salesforce_at", "wins"),
    [
        pytest.param(CITY, at(0), at(9), True, id="later"),
        pytest.param(CITY, at(9), at(0), False, id="earlier"),
        pytest.param(CITY, None, at(0), True, id="nothing stands against it"),
        pytest.param(PAYER, at(0), at(9), False, id="read-only in Salesforce"),
        pytest.param(replace(CITY, winner=Winner.HINT), at(0), at(9), False, id="Hint is the field's winner"),
    ],
)
def test_when_an_overwritten_salesforce_edit_is_put_back(field, hint_at, salesforce_at, wins: bool) -> None:
    assert overwritten_wins(field, Side.SALESFORCE, hint_at, salesforce_at) is wins
