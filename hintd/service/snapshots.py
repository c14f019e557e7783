"""From a notice's snapshot to a record, and from a record to what the index keeps of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import msgspec

from hintd.core.contact import read_change
from hintd.core.fields import Book
from hintd.core.match import IndexRow, match_name
from hintd.core.model import Contact, Notice, Patient, Record, Side, Source, Value
from hintd.core.patient import read_patient

_patients = msgspec.json.Decoder(Patient)
_contacts = msgspec.json.Decoder(Contact)
_anything = msgspec.json.Decoder(dict[str, Any])


class BadSnapshot(ValueError):
    """The snapshot is not what its side sends: the record has to be read; no value is in the text."""


def freeze_record(record: Record) -> bytes:
    """A record that was read, as a notice's snapshot."""
    return msgspec.json.encode(record)


def record_of(notice: Notice, book: Book) -> Record | None:
    """The record that the notice shows, None where it shows none.  Raises BadSnapshot."""
    if notice.snapshot is None:
        return None
    try:
        if notice.source is Source.SWEEP:
            decoder = _patients if notice.side is Side.HINT else _contacts
            return decoder.decode(notice.snapshot)
        raw = _anything.decode(notice.snapshot)
        if notice.source is Source.WEBHOOK:
            raw = raw["object"]
        if notice.side is Side.HINT:
            return read_patient(raw, book.fields)
        return read_change(raw, book, notice.record_id)
    except (ValueError, KeyError, TypeError) as error:
        raise BadSnapshot(f"the snapshot of {notice.record_id} cannot be read: {type(error).__name__}") from error


def index_row(record: Record, earlier: IndexRow | None = None) -> IndexRow | None:
    """What matching and searching need of the record.  A part of a Contact is laid over the ``earlier`` row; without
    one it makes none."""
    if isinstance(record, Patient):
        return _row(record, record.values, gone=record.archived or record.merged_into is not None)
    if record.whole:
        return _row(record, record.values, gone=record.deleted or record.person_account)
    if earlier is None:
        return None
    before: Mapping[str, Value] = {
        "first_name": earlier.first_name,
        "last_name": earlier.last_name,
        "date_of_birth": earlier.date_of_birth,
        "email": earlier.email,
        "mobile_phone": earlier.phone,
    }
    row = _row(record, {**before, **record.values}, gone=earlier.gone or record.deleted)
    claimed = bool(record.synced) if "synced" in record.known else earlier.claimed
    return replace(row, claimed=claimed)


def _text(value: Value) -> str | None:
    return value if isinstance(value, str) and value else None


def _row(record: Record, values: Mapping[str, Value], *, gone: bool) -> IndexRow:
    first, last = _text(values.get("first_name")), _text(values.get("last_name"))
    is_patient = isinstance(record, Patient)
    return IndexRow(
        side=Side.HINT if is_patient else Side.SALESFORCE,
        record_id=record.id,
        stamp=record.stamp,
        match_name=match_name(first, last),
        first_name=first,
        last_name=last,
        suffix=record.suffix,
        date_of_birth=_text(values.get("date_of_birth")),
        email=_text(values.get("email")),
        phone=_text(values.get("mobile_phone")) or _text(values.get("home_phone")) or _text(values.get("office_phone")),
        gone=gone,
        created_at=record.created_at if isinstance(record, Patient) else None,
        claimed=bool(record.synced) if isinstance(record, Contact) else False,
    )
