"""Taking what a side shows into the link: is it news, and what of it differs from the base?

A link knows of each side its half of the base and the values seen since that the pair has not agreed on.  The two
together are that side's current state as far as known, so a real-time change needs no read: an event's snapshot that
is newer than everything known counts as the read (README chapter "How it works").
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from datetime import datetime
from enum import StrEnum

from hintd.core.fields import Book, Field
from hintd.core.model import Contact, Half, Link, Patient, Record, Seen, Sent, Side, Value
from hintd.core.normalize import same


class Newness(StrEnum):
    NEW = "new"
    KNOWN = "known"  # shows what is known already: an echo, or a repeated event
    OLD = "old"  # something newer is known of the whole record
    DOUBTFUL = "doubtful"  # cannot be ordered, or shows a part only: read the record


class Unknown:
    """The value of a field that was never shown."""

    def __repr__(self) -> str:
        return "UNKNOWN"


UNKNOWN = Unknown()


def current(half: Half, name: str) -> Value | Unknown:
    """What the side holds as far as known."""
    seen = half.seen.get(name)
    return seen.value if seen is not None else half.values.get(name, UNKNOWN)


def side_of(record: Record) -> Side:
    return Side.HINT if isinstance(record, Patient) else Side.SALESFORCE


def judge(link: Link, record: Record, book: Book) -> Newness:
    """How an event's snapshot compares with what is known of its side.  Salesforce stamps are whole seconds, so two
    changes can carry the same one: equal values are no news, different ones are doubtful."""
    half = link.half(side_of(record))
    if isinstance(record, Contact) and half.whole_stamp is not None and record.stamp < half.whole_stamp:
        return Newness.OLD
    if _shows_a_part(record, book):
        return Newness.DOUBTFUL
    if half.stamp is None or record.stamp > half.stamp:
        return Newness.NEW
    if not _differs(half, record, book) and not own_fields_differ(link, record):
        return Newness.KNOWN
    if isinstance(record, Patient) and record.stamp < half.stamp:
        return Newness.OLD
    return Newness.DOUBTFUL


def _shows_a_part(record: Record, book: Book) -> bool:
    return isinstance(record, Contact) and any(field.name in record.reread for field in book.fields)


def own_fields_differ(link: Link, record: Record) -> bool:
    """Was a field that belongs to hintd edited by hand on the Contact (README rule 11)?"""
    if not isinstance(record, Contact):
        return False
    unchecked = "synced" in record.known and record.synced is False
    return unchecked or ("patient_id" in record.known and record.patient_id != link.patient_id)


def _differs(half: Half, record: Record, book: Book) -> bool:
    return any(
        not _is_same(field, record.values[field.name], current(half, field.name), book)
        for field in book.fields
        if field.name in record.values
    )


def _is_same(field: Field, value: Value, known: Value | Unknown, book: Book) -> bool:
    return not isinstance(known, Unknown) and same(field, value, known, book.rules)


def take_in(link: Link, record: Record, book: Book, *, read_at: datetime | None = None) -> Link:
    """The link with the record's values taken as its side's current state.  ``read_at``: when the read was begun, if
    it was a read and not an event's snapshot."""
    side = side_of(record)
    link = _recognise_own_writes(link, record, book, is_read=read_at is not None)
    half = link.half(side)
    values, seen, owed = dict(half.values), dict(half.seen), dict(link.owed)
    for field in book.fields:
        if field.name not in record.values:
            continue
        value = record.values[field.name]
        if _is_same(field, value, half.values.get(field.name, UNKNOWN), book):
            values[field.name] = value
            seen.pop(field.name, None)
        elif field.name not in seen or not same(field, seen[field.name].value, value, book.rules):
            seen[field.name] = Seen(value, record.stamp)
            owed.pop(field.name, None)  # a newer edit decides
    is_whole = isinstance(record, Patient) or record.whole
    taken = replace(
        half,
        values=values,
        seen=seen,
        stamp=latest(half.stamp, record.stamp),
        whole_stamp=latest(half.whole_stamp, record.stamp) if is_whole else half.whole_stamp,
        read_at=latest(half.read_at, read_at),
    )
    if side is Side.HINT and (half.stamp is None or record.stamp >= half.stamp):
        link = _close_windows(link, record, book)
    return with_half(replace(link, owed=owed), side, taken)


def _close_windows(link: Link, record: Record, book: Book) -> Link:
    """A write to Hint whose answer was lost happened before the state that is known now, or not at all.  Where Hint
    holds something else than was written, what stood before it does not matter any more."""
    closed = {
        field.name: replace(window, until=window.until or record.stamp)
        for field in book.fields
        if (window := link.overwrote.get(field.name)) is not None
        if same(field, record.values.get(field.name), window.wrote, book.rules)
    }
    return replace(link, overwrote=closed)


def _recognise_own_writes(link: Link, record: Record, book: Book, *, is_read: bool) -> Link:
    """A value that was sent without an answer and shows up now is at rest, as if the answer had come.  Only a read
    proves that it is not there: an event may show the record as it was before the write."""
    side = side_of(record)
    for field in book.fields:
        sent = link.half(side).sent.get(field.name, ())
        if not sent or field.name not in record.values:
            continue
        shown = record.values[field.name]
        landed = next((each for each in reversed(sent) if same(field, shown, each.value, book.rules)), None)
        if landed is not None:
            link = _landed(link, field, landed, record, book)
        elif is_read:
            link = not_sent(link, side, [field.name])
    return link


def not_sent(link: Link, side: Side, names: Collection[str]) -> Link:
    """The link when it is certain that these fields were not written."""
    half = link.half(side)
    return with_half(link, side, replace(half, sent={n: s for n, s in half.sent.items() if n not in names}))


def _landed(link: Link, field: Field, sent: Sent, record: Record, book: Book) -> Link:
    """The side holds what it was sent; what the giving side holds by now may be another edit since."""
    side, name = side_of(record), field.name
    link = not_sent(link, side, [name])
    half, giver = link.half(side), link.half(side.other)
    now = current(giver, name)
    seen = {n: s for n, s in giver.seen.items() if n != name}
    if not isinstance(now, Unknown) and not same(field, now, sent.value, book.rules):
        seen[name] = giver.seen.get(name) or Seen(now, giver.stamp or record.stamp)
    giver = replace(giver, values={**giver.values, name: sent.value}, seen=seen)
    half = replace(
        half,
        values={**half.values, name: record.values[name]},
        seen={n: s for n, s in half.seen.items() if n != name},
    )
    return with_half(with_half(link, side, half), side.other, giver)


def latest(one: datetime | None, other: datetime | None) -> datetime | None:
    if one is None or other is None:
        return one or other
    return max(one, other)


def with_half(link: Link, side: Side, half: Half) -> Link:
    return replace(link, hint=half) if side is Side.HINT else replace(link, salesforce=half)
