"""A Salesforce Contact: which fields are read, and how REST records and change events become ``Contact``.

Writing is in ``hintd.core.contact_write``.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from hintd.core.contact_write import render_contact
from hintd.core.fields import Book, Field, Kind
from hintd.core.model import Contact, Value, Values
from hintd.core.record import (
    BadRecord,
    Raw,
    read_flag,
    read_instant,
    read_object,
    read_required,
    read_text,
    read_value,
)
from hintd.core.street import split_street

__all__ = [
    "LAST_BATCH_ID",
    "LAST_BATCH_RESULT",
    "LAST_SYNCED",
    "OWN_FIELDS",
    "PATIENT_ID",
    "SYNCED",
    "SYNC_ERROR",
    "query_fields",
    "read_change",
    "read_contact",
    "render_contact",
]

SYNCED = "Synced_to_Hint__c"
PATIENT_ID = "Hint_Patient_Id__c"
LAST_SYNCED = "Hint_Last_Synced_At__c"
SYNC_ERROR = "Hint_Sync_Error__c"
LAST_BATCH_ID = "Last_Batch_Sync_Id__c"
LAST_BATCH_RESULT = "Last_Batch_Sync_Result__c"
OWN_FIELDS = (SYNCED, PATIENT_ID, LAST_SYNCED, SYNC_ERROR, LAST_BATCH_ID, LAST_BATCH_RESULT)
"""What hintd keeps on the Contact beside the synced fields."""

_ALWAYS = ("Id", "LastModifiedDate", "SystemModstamp", "AccountId")
_WHERE_THERE = ("Suffix", "IsPersonAccount", *OWN_FIELDS)
_KNOWN_BY = {PATIENT_ID: "patient_id", SYNCED: "synced", SYNC_ERROR: "error_message"}


def query_fields(book: Book) -> tuple[str, ...]:
    """The API names that a whole read asks for, each once.  IsDeleted and MasterRecordId are for queryAll to add."""
    mapped = (book.api_name(field) for field in book.fields)
    there = (name for name in _WHERE_THERE if name in book.shape)
    return tuple(dict.fromkeys((*_ALWAYS, *mapped, *there)))


def _line_number(book: Book, field: Field) -> int | None:
    """Which line of a street the field is, counted from 0; None for a line that has an API name to itself."""
    if field.kind is not Kind.LINE:
        return None
    sharing = [f.name for f in book.fields if f.kind is Kind.LINE and book.api_name(f) == book.api_name(field)]
    return sharing.index(field.name) if len(sharing) > 1 else None


def _read_field(raw: Raw, book: Book, field: Field) -> Value:
    api = book.api_name(field)
    line = _line_number(book, field)
    return read_value(field.kind, raw[api], api) if line is None else split_street(read_text(raw[api], api))[line]


def _read_values(raw: Raw, book: Book) -> Values:
    return {field.name: _read_field(raw, book, field) for field in book.fields if book.api_name(field) in raw}


def _known(raw: Raw) -> frozenset[str]:
    return frozenset(name for api, name in _KNOWN_BY.items() if api in raw)


def read_contact(raw: Raw, book: Book) -> Contact:
    """The Contact that a REST record shows, deleted and merged-away ones included.  Raises BadRecord."""
    return Contact(
        id=read_required(raw, "Id"),
        stamp=read_instant(raw, "LastModifiedDate"),
        values=_read_values(raw, book),
        suffix=read_text(raw.get("Suffix"), "Suffix"),
        deleted=read_flag(raw.get("IsDeleted"), "IsDeleted") is True,
        winner_id=read_text(raw.get("MasterRecordId"), "MasterRecordId"),
        patient_id=read_text(raw.get(PATIENT_ID), PATIENT_ID),
        synced=read_flag(raw.get(SYNCED), SYNCED),
        error_message=read_text(raw.get(SYNC_ERROR), SYNC_ERROR),
        person_account=read_flag(raw.get("IsPersonAccount"), "IsPersonAccount") is True,
        account_id=read_text(raw.get("AccountId"), "AccountId"),
        known=_known(raw),
    )


def contact_after(contact: Contact, fields: Raw, book: Book) -> Contact:
    """The Contact as it should stand after a write of API values whose answer does not show it: its stamp stays, so
    that whatever Salesforce tells of it later is news."""
    known = _known(fields)
    return replace(
        contact,
        values={**contact.values, **_read_values(fields, book)},
        patient_id=fields.get(PATIENT_ID) if "patient_id" in known else contact.patient_id,
        synced=fields.get(SYNCED) if "synced" in known else contact.synced,
        error_message=fields.get(SYNC_ERROR) if "error_message" in known else contact.error_message,
        known=contact.known | known,
    )


def _committed_at(event: Raw) -> datetime:
    """The commit, cut to the second as LastModifiedDate is."""
    at_ms = event.get("commitTimestamp")
    if not isinstance(at_ms, int) or isinstance(at_ms, bool):
        raise BadRecord("commitTimestamp", "a number of milliseconds")
    try:
        return datetime.fromtimestamp(at_ms // 1000, UTC)
    except (ValueError, OverflowError, OSError):
        raise BadRecord("commitTimestamp", "a time") from None


def _names_of(api_names: object, book: Book) -> frozenset[str]:
    if not isinstance(api_names, list | tuple):
        raise BadRecord("reread", "a list")
    return frozenset(field.name for field in book.fields if book.api_name(field) in api_names)


def read_change(raw: Raw, book: Book, contact_id: str) -> Contact:
    """What a change event shows of the Contact: the changed fields, or all when the event says ``whole``.

    Fields of the event that the book does not map are ignored, so MailingState beside a bound MailingStateCode is
    too.  ``IsDeleted`` is the event's word.  Raises BadRecord.
    """
    fields = read_object(raw.get("fields"), "fields")
    stamped = fields.get("LastModifiedDate") is not None
    return Contact(
        id=contact_id,
        stamp=read_instant(fields, "LastModifiedDate").replace(microsecond=0) if stamped else _committed_at(raw),
        values=_read_values(fields, book),
        whole=read_flag(raw.get("whole"), "whole") is True,
        suffix=read_text(fields.get("Suffix"), "Suffix"),
        deleted=raw.get("changeType") == "DELETE",
        patient_id=read_text(fields.get(PATIENT_ID), PATIENT_ID),
        synced=read_flag(fields.get(SYNCED), SYNCED),
        error_message=read_text(fields.get(SYNC_ERROR), SYNC_ERROR),
        person_account=read_flag(fields.get("IsPersonAccount"), "IsPersonAccount") is True,
        account_id=read_text(fields.get("AccountId"), "AccountId"),
        reread=_names_of(raw.get("reread") or (), book),
        known=_known(fields),
    )
