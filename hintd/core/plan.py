"""What a whole link needs, decided before anything is done, and the link as it stands after each step."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from hintd.core.fields import Book, Field, Kind
from hintd.core.merge import Decision, Step, merge_field
from hintd.core.model import (
    Contact,
    Half,
    HistoryEntry,
    Link,
    LinkState,
    Patient,
    Record,
    Seen,
    Side,
    Turn,
    Value,
    Values,
)
from hintd.core.observe import Unknown, current, side_of, take_in, with_half
from hintd.core.rules import Rules
from hintd.core.unseen import answered, owe

MERGED = "merge"
"""``linked_by`` of a link that followed a record into the one it was merged into."""

_FROM_CONTACT = ("person", "contact_batch", "created_patient")

_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Plan:
    """The decisions of one link by what they need.  ``to_*`` need a write of that side."""

    to_salesforce: tuple[Decision, ...] = ()
    to_hint: tuple[Decision, ...] = ()
    agreed: tuple[Decision, ...] = ()
    left: tuple[Decision, ...] = ()

    def to(self, side: Side) -> tuple[Decision, ...]:
        return self.to_hint if side is Side.HINT else self.to_salesforce


def preferred_side(link: Link) -> Side | None:
    """Who wins the conflicts of a first exchange: the Contact when a person or a batch linked from it or when the
    patient was made from it, else the patient (README rules 3, 5, 6, 7).  None once linked: the fields' own winners
    decide."""
    if link.state is not LinkState.LINKING or link.linked_by == MERGED:
        return None
    return Side.SALESFORCE if link.linked_by.split(":")[0] in _FROM_CONTACT else Side.HINT


def make_plan(link: Link, book: Book, prefer: Side | None = None) -> Plan:
    """Every field of the table merged, frozen ones left out.  ``prefer``: who wins the conflicts of a linked pair, in
    place of the fields' own winners (README rule 6)."""
    prefer = preferred_side(link) or prefer
    decisions = [
        decision
        for field in book.fields
        if field.name not in link.frozen and field.name not in link.owed
        if (decision := merge_field(field, link, book.rules, prefer))
    ]
    decisions += [decision for field in book.fields if field.name in link.owed for decision in _pay(field, link)]
    return Plan(
        to_salesforce=_with_step(decisions, Step.TO_SALESFORCE),
        to_hint=_with_step(decisions, Step.TO_HINT),
        agreed=_with_step(decisions, Step.AGREED),
        left=_with_step(decisions, Step.LEFT),
    )


def _pay(field: Field, link: Link) -> list[Decision]:
    """The value that is owed goes to each side that has not been given it."""
    owed = link.owed[field.name]
    steps = {Side.HINT: Step.TO_HINT, Side.SALESFORCE: Step.TO_SALESFORCE}
    stood = {side: current(link.half(side), field.name) for side in owed.sides}
    return [
        Decision(field, steps[side], owed.cause, owed.value, None if isinstance(value, Unknown) else value)
        for side, value in stood.items()
    ]


def has_unfinished(link: Link, book: Book) -> bool:
    """Is something known of the pair that was not acted upon, because a remote stopped the exchange half-way?"""
    plan = make_plan(link, book)
    return bool(plan.agreed) or any(d.field.name not in link.held for side in Side for d in plan.to(side))


def blank(link: Link, side: Side, book: Book) -> Link:
    """The link with a record that is still to be made taken in as blank in every field.  There is no base with it yet:
    one that was remembered after its making, right before a crash, would make the blanks look like clearings."""
    link = with_half(with_half(link, side, Half()), side.other, _without_base(link.half(side.other)))
    values: Values = {field.name: None for field in book.fields}
    record_id = link.record_id(side)
    if side is Side.HINT:
        return take_in(link, Patient(record_id, _LONG_AGO, values, _LONG_AGO), book)
    return take_in(link, Contact(record_id, _LONG_AGO, values), book)


def _without_base(half: Half) -> Half:
    """What the side holds is all news."""
    rested = {name: Seen(value, half.stamp or _LONG_AGO) for name, value in half.values.items()}
    return replace(half, values={}, seen={**rested, **half.seen})


def follow(link: Link, side: Side, winner_id: str) -> Link:
    """The link moved to the record that its own was merged into.  The base stays for the three-way merge; what was
    known of the versions of the other record says nothing about this one, so both are read again."""
    half = replace(link.half(side), stamp=None, whole_stamp=None, read_at=None, sent={})
    moved = replace(link, patient_id=winner_id) if side is Side.HINT else replace(link, contact_id=winner_id)
    return with_half(replace(moved, state=LinkState.LINKING, linked_by=MERGED, overwrote={}), side, half)


def straighten(link: Link, book: Book) -> Link:
    """A street cannot begin with a blank line, so a second line that would be left alone becomes the first, on both
    sides: else it would stand in a place of its own on each."""
    lines = [field for field in book.fields if field.kind is Kind.LINE]
    if len(lines) != 2 or lines[0].salesforce != lines[1].salesforce or any(line.name in link.owed for line in lines):
        return link
    first, second = (_outcome(line, link, book.rules) for line in lines)
    decided = any(merge_field(line, link, book.rules, preferred_side(link)) for line in lines)
    if not decided or first or not second or any(line.name in link.frozen for line in lines):
        return link
    return owe(owe(link, lines[0].name, second, "moved_up"), lines[1].name, None, "moved_up")


def _outcome(field: Field, link: Link, rules: Rules) -> Value:
    """What the field will hold when the decision about it, if any, is carried out."""
    decision = merge_field(field, link, rules, preferred_side(link))
    if decision is not None and decision.step is not Step.LEFT:
        return decision.value
    known = current(link.salesforce, field.name)
    return None if isinstance(known, Unknown) else known


def _with_step(decisions: Iterable[Decision], step: Step) -> tuple[Decision, ...]:
    return tuple(d for d in decisions if d.step is step)


def changes(decisions: Sequence[Decision]) -> Values:
    """Field name to the winning value, as the renderers take it."""
    return {d.field.name: d.value for d in decisions}


def known_values(half: Half) -> Values:
    """What the side holds, as far as known."""
    return {**half.values, **{name: seen.value for name, seen in half.seen.items()}}


def agree(link: Link, decisions: Sequence[Decision], at: datetime) -> tuple[Link, tuple[HistoryEntry, ...]]:
    """Both sides hold the same: it becomes the base, with history where an earlier base was replaced."""
    history = []
    for decision in decisions:
        name = decision.field.name
        for side in Side:
            half = link.half(side)
            now = current(half, name)
            if name in half.values and name in half.seen and not isinstance(now, Unknown):
                history.append(HistoryEntry(at, name, side, half.values[name], now, "agreed"))
    agreed = {decision.field.name for decision in decisions}
    if not agreed:
        return link, ()
    link = rest(link, agreed)
    return replace(link, owed={n: o for n, o in link.owed.items() if n not in agreed}), tuple(history)


def rest(link: Link, names: Collection[str]) -> Link:
    """The fields are at rest: what each side holds becomes its half of the base."""
    for side in Side:
        half = link.half(side)
        known = {name: now for name in names if not isinstance(now := current(half, name), Unknown)}
        if known:
            link = with_half(link, side, _rested(half, known))
    return link


def _rested(half: Half, values: Values) -> Half:
    seen = {n: s for n, s in half.seen.items() if n not in values}
    sent = {n: s for n, s in half.sent.items() if n not in values}
    return replace(half, values={**half.values, **values}, seen=seen, sent=sent)


def adopt(link: Link, at: datetime) -> tuple[Link, tuple[str, ...]]:
    """The base is what each side holds, nothing is written (README rule 11); the names of the fields concerned."""
    names = tuple(sorted({*link.hint.seen, *link.salesforce.seen}))
    return replace(rest(link, names), state=LinkState.LINKED, linked_at=at), names


def written(
    link: Link, decisions: Sequence[Decision], after: Record, book: Book, at: datetime, *, also: Collection[str] = ()
) -> tuple[Link, tuple[HistoryEntry, ...]]:
    """The link after a write: the written fields rest on what the side made of them, whatever that is, so that a
    system which rewrites what it is given is left in peace; its other fields are taken in as news.

    ``also``: fields that had to be written beside the decided ones (a country that a state demands); they rest too.
    """
    side = side_of(after)
    news_before = set(link.half(side).seen)
    stored = {d.field.name: after.values.get(d.field.name, d.value) for d in decisions}
    history = [entry for d in decisions for entry in _told(d, side, stored[d.field.name], at)]
    if side is Side.HINT:
        link = answered(link, {*also, *stored}, after)
    link = rest(with_half(link, side, _rested(link.half(side), stored)), stored)
    for decision in decisions:
        link = _paid(link, decision.field.name, side)
        if decision.cause not in ("linked", "filled"):
            link = _count_turn(link, decision.field.name, Turn(at, side), book.rules)
    before, link = link.half(side), take_in(link, after, book)
    for name in sorted(set(also) - news_before):
        stood, stands = current(before, name), current(link.half(side), name)
        if not isinstance(stood, Unknown) and not isinstance(stands, Unknown) and stands != stood:
            history.append(HistoryEntry(at, name, side, stood, stands, "demanded"))
    return rest(link, set(also) - news_before), tuple(history)


def _told(decision: Decision, side: Side, stored: Value, at: datetime) -> list[HistoryEntry]:
    name, replaced = decision.field.name, decision.replaced
    lost = [HistoryEntry(at, name, side, replaced, decision.value, "conflict_lost")] if decision.was_conflict else []
    return [*lost, HistoryEntry(at, name, side, replaced, stored, decision.cause)]


def _paid(link: Link, name: str, side: Side) -> Link:
    owed = link.owed.get(name)
    if owed is None:
        return link
    remaining = tuple(each for each in owed.sides if each is not side)
    others = {n: o for n, o in link.owed.items() if n != name}
    return replace(link, owed=others | {name: replace(owed, sides=remaining)} if remaining else others)


def _count_turn(link: Link, name: str, turn: Turn, rules: Rules) -> Link:
    since = turn.at - timedelta(seconds=rules.freeze_window_s)
    turns = (*(t for t in link.turns.get(name, ()) if t.at >= since), turn)
    link = replace(link, turns={**link.turns, name: turns})
    flips = sum(1 for one, next_one in pairwise(turns) if one.side is not next_one.side)
    if flips < rules.freeze_changes:
        return link
    sentence = (
        f"{name} was written back and forth {flips} times within {rules.freeze_window_s:g} s, so hintd leaves it alone "
        "for this pair. Find what rewrites it, then release it with: hintd link unfreeze CONNECTION "
        f"--contact {link.contact_id}"
    )
    return replace(link, frozen={**link.frozen, name: sentence})
