"""Writes whose effect is not known yet, and edits that they went over unseen.

Before a write it is noted what is sent, so that hintd's own value is recognised when it shows up without an answer.
Hint has no conditional writes, and Salesforce's are blind within a second, so an edit can be overwritten before its
event came: it is kept in the history, and given back to both sides if it is the later one.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from hintd.core.fields import Book, Field
from hintd.core.merge import Decision
from hintd.core.model import Contact, HistoryEntry, Link, Overwrote, Owed, Record, Sent, Side, Value, Values
from hintd.core.normalize import same
from hintd.core.observe import Unknown, current, with_half


def sending(link: Link, side: Side, decisions: Sequence[Decision], beside: Collection[str]) -> Link:
    """The link as it has to be stored if no answer comes to the write of ``decisions``.  ``beside``: the fields that
    have to be written along with them."""
    half = link.half(side)
    sent = {
        d.field.name: (*half.sent.get(d.field.name, ())[-2:], Sent(d.value, d.replaced, d.cause)) for d in decisions
    }
    link = with_half(link, side, replace(half, sent={**half.sent, **sent}))
    return _remember_overwritten(link, decisions, beside) if side is Side.HINT else link


def refused(link: Link, side: Side, decisions: Sequence[Decision]) -> Link:
    """The link after an answer that says that nothing was written: what was sent before stays unanswered."""
    half = link.half(side)
    names = {d.field.name for d in decisions}
    sent = {name: each[:-1] if name in names else each for name, each in half.sent.items()}
    return with_half(link, side, replace(half, sent={name: each for name, each in sent.items() if each}))


def landings(before: Link, after: Link, side: Side, at: datetime) -> tuple[HistoryEntry, ...]:
    """History of the writes whose answer was lost and whose effect shows now."""
    still = after.half(side)
    return tuple(
        HistoryEntry(at, name, side, sent[-1].replaced, still.values[name], sent[-1].cause)
        for name, sent in before.half(side).sent.items()
        if name not in still.sent and name not in still.seen and still.values.get(name) != sent[-1].replaced
    )


@dataclass(frozen=True, slots=True)
class Overwritten:
    """``wrote`` went over ``stood``; the stamps are when each value was first seen, on its side."""

    field: Field
    wrote: Value
    stood: Value
    hint_at: datetime | None
    salesforce_at: datetime | None


def find_overwritten(link: Link, before: Contact, wrote: Values, book: Book) -> list[Overwritten]:
    """The values of a Contact, read right before the write, that were neither known nor what was written, nor sent by
    hintd itself before without an answer."""
    found: list[Overwritten] = []
    for name, value in wrote.items():
        field, known = book.field(name), current(link.salesforce, name)
        if isinstance(known, Unknown) or name not in before.values:
            continue
        stood, seen = before.values[name], link.hint.seen.get(name)
        ours = (known, value, *_unanswered(link, Side.SALESFORCE, name))
        if not any(same(field, each, stood, book.rules) for each in ours):
            found.append(Overwritten(field, value, stood, seen.stamp if seen else None, before.stamp))
    return found


def _unanswered(link: Link, side: Side, name: str) -> tuple[Value, ...]:
    return tuple(sent.value for sent in link.half(side).sent.get(name, ()))


def owe(link: Link, name: str, value: Value, cause: str) -> Link:
    """``value`` was overwritten unseen, and is to stand on both sides after all."""
    return replace(link, owed={**link.owed, name: Owed(value, cause, (Side.HINT, Side.SALESFORCE))})


def _remember_overwritten(link: Link, decisions: Sequence[Decision], beside: Collection[str]) -> Link:
    seen, known_until = link.salesforce.seen, link.hint.stamp
    overwrote = {
        d.field.name: Overwrote(
            known_until,
            d.replaced,
            seen[d.field.name].stamp if d.field.name in seen else link.salesforce.stamp,
            wrote=d.value,
            sent=_unanswered(link, Side.HINT, d.field.name),
        )
        for d in decisions
    }
    for name in beside:
        now = current(link.hint, name)
        if not isinstance(now, Unknown):
            overwrote[name] = Overwrote(known_until, now, None, wrote=now)
    return replace(link, overwrote={**link.overwrote, **overwrote})


def answered(link: Link, names: Collection[str], after: Record) -> Link:
    closed = {
        n: replace(o, until=after.stamp, wrote=after.values.get(n, o.wrote)) if n in names else o
        for n, o in link.overwrote.items()
    }
    return replace(link, overwrote=closed)
