"""Taking what a side shows into the link: is it news, and what of it differs from the base?

A link knows of each side its half of the base and the values seen since that the pair has not agreed on.  The two
together are that side's current state as far as known, so a real-time change needs no read: an event's snapshot that
is newer than everything known counts as the read (README chapter "How it works").
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from enum import StrEnum

from hintd.core.fields import Book, Field
from hintd.core.model import Contact, Half, Link, Patient, Record, Seen, Side, Value
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
    half = link.half(side)
    values, seen = dict(half.values), dict(half.seen)
    for field in book.fields:
        if field.name not in record.values:
            continue
        value = record.values[field.name]
        if _is_same(field, value, half.values.get(field.name, UNKNOWN), book):
            values[field.name] = value
            seen.pop(field.name, None)
        elif field.name not in seen or not same(field, seen[field.name].value, value, book.rules):
            seen[field.name] = Seen(value, record.stamp)
    is_whole = isinstance(record, Patient) or record.whole
    taken = Half(
        values=values,
        seen=seen,
        stamp=latest(half.stamp, record.stamp),
        whole_stamp=latest(half.whole_stamp, record.stamp) if is_whole else half.whole_stamp,
        read_at=latest(half.read_at, read_at),
    )
    return with_half(link, side, taken)


def latest(one: datetime | None, other: datetime | None) -> datetime | None:
    if one is None or other is None:
        return one or other
    return max(one, other)


def with_half(link: Link, side: Side, half: Half) -> Link:
    return replace(link, hint=half) if side is Side.HINT else replace(link, salesforce=half)
