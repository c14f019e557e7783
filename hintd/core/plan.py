"""What a whole link needs, decided before anything is done, and the link as it stands after each step."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from hintd.core.fields import Book
from hintd.core.merge import Decision, Step, merge_field
from hintd.core.model import Half, HistoryEntry, Link, LinkState, Overwrote, Record, Side, Turn, Value, Values
from hintd.core.observe import Unknown, current, side_of, take_in, with_half
from hintd.core.rules import Rules


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
    """Who wins the conflicts of a first exchange: the Contact when a person linked from it or when the patient was
    made from it, else the patient (README rules 3, 5, 6, 7).  None once linked: the fields' own winners decide."""
    if link.state is not LinkState.LINKING:
        return None
    return Side.SALESFORCE if link.linked_by.split(":")[0] in ("person", "created_patient") else Side.HINT


def make_plan(link: Link, book: Book) -> Plan:
    """Every field of the table merged, frozen ones left out."""
    prefer = preferred_side(link)
    decisions = [
        decision
        for field in book.fields
        if field.name not in link.frozen and (decision := merge_field(field, link, book.rules, prefer))
    ]
    return Plan(
        to_salesforce=_with_step(decisions, Step.TO_SALESFORCE),
        to_hint=_with_step(decisions, Step.TO_HINT),
        agreed=_with_step(decisions, Step.AGREED),
        left=_with_step(decisions, Step.LEFT),
    )


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
        link = rest(link, name)
    return link, tuple(history)


def rest(link: Link, name: str) -> Link:
    """The field is at rest: what each side holds becomes its half of the base."""
    for side in Side:
        half = link.half(side)
        now = current(half, name)
        if not isinstance(now, Unknown):
            link = with_half(link, side, _rested(half, name, now))
    return link


def _rested(half: Half, name: str, value: Value) -> Half:
    seen = {n: s for n, s in half.seen.items() if n != name}
    return replace(half, values={**half.values, name: value}, seen=seen)


def adopt(link: Link, at: datetime) -> tuple[Link, tuple[str, ...]]:
    """The base is what each side holds, nothing is written (README rule 11); the names of the fields concerned."""
    names = tuple(sorted({*link.hint.seen, *link.salesforce.seen}))
    for name in names:
        link = rest(link, name)
    return replace(link, state=LinkState.LINKED, linked_at=at), names


def written(
    link: Link, decisions: Sequence[Decision], after: Record, book: Book, at: datetime, *, also: Collection[str] = ()
) -> tuple[Link, tuple[HistoryEntry, ...]]:
    """The link after a write: the written fields rest on what the side made of them, whatever that is, so that a
    system which rewrites what it is given is left in peace; its other fields are taken in as news.

    ``also``: fields that had to be written beside the decided ones (a country that a state demands); they rest too.
    """
    side = side_of(after)
    news_before = set(link.half(side).seen)
    history: list[HistoryEntry] = []
    if side is Side.HINT:
        link = _remember_overwritten(link, decisions)
    for decision in decisions:
        name = decision.field.name
        stored = after.values.get(name, decision.value)
        if decision.was_conflict:
            history.append(HistoryEntry(at, name, side, decision.replaced, decision.value, "conflict_lost"))
        history.append(HistoryEntry(at, name, side, decision.replaced, stored, decision.cause))
        link = with_half(link, side, _rested(link.half(side), name, stored))
        link = rest(link, name)
        if decision.cause not in ("linked", "filled"):
            link = _count_turn(link, name, Turn(at, side), book.rules)
    link = take_in(link, after, book)
    for name in also:
        if name not in news_before:
            link = rest(link, name)
    return link, tuple(history)


def _remember_overwritten(link: Link, decisions: Sequence[Decision]) -> Link:
    seen = link.salesforce.seen
    overwrote = {
        d.field.name: Overwrote(
            link.hint.stamp, d.replaced, seen[d.field.name].stamp if d.field.name in seen else link.salesforce.stamp
        )
        for d in decisions
    }
    return replace(link, overwrote={**link.overwrote, **overwrote})


def _count_turn(link: Link, name: str, turn: Turn, rules: Rules) -> Link:
    since = turn.at - timedelta(seconds=rules.freeze_window_s)
    turns = (*(t for t in link.turns.get(name, ()) if t.at >= since), turn)
    link = replace(link, turns={**link.turns, name: turns})
    flips = sum(1 for one, next_one in zip(turns, turns[1:], strict=False) if one.side is not next_one.side)
    if flips < rules.freeze_changes:
        return link
    sentence = (
        f"{name} was written back and forth {flips} times within {rules.freeze_window_s:g} s, so hintd leaves it alone "
        f"for this pair. Find what rewrites it, then release it with: hintd link unfreeze --contact {link.contact_id}"
    )
    return replace(link, frozen={**link.frozen, name: sentence})
