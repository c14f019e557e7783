"""From the bytes of a webhook event to a change notice; used for deliveries and for those that Hint failed to make."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType

import msgspec

from hintd.core.model import Change, Notice, Side, Source
from hintd.core.record import BadRecord, parse_instant
from hintd.hint.wire import EventHead, WebhookEvent

PATIENT_EVENTS: Mapping[str, Change] = MappingProxyType(
    {
        "patient.created": Change.CREATED,
        "patient.updated": Change.CHANGED,
        "patient.inactive": Change.CHANGED,
        "patient.destroyed": Change.DELETED,
    }
)
INTEGRATION_EVENTS = frozenset({"integration.activated", "integration.deactivated"})

_LONGEST_ID = 255

_decode_event = msgspec.json.Decoder(WebhookEvent).decode
_decode_head = msgspec.json.Decoder(EventHead).decode


class NotAnEvent(ValueError):
    """The bytes are no webhook event of Hint; ``str()`` is a sentence that quotes none of them."""


def read_event(body: bytes) -> WebhookEvent:
    """The envelope, and of the record what the listener needs.  Raises NotAnEvent."""
    try:
        if not body.isascii():
            body.decode()  # msgspec passes over text that it skips, and the event is stored as it came
        return _decode(body)
    except (ValueError, RecursionError):
        raise NotAnEvent("The body is not a webhook event: a JSON object with type, practice_id and object.") from None


def _decode(body: bytes) -> WebhookEvent:
    try:
        return _decode_event(body)
    except msgspec.ValidationError:  # its ``object`` is none, which is nobody's business where the type is not ours
        head = _decode_head(body)
        return WebhookEvent(head.type, head.practice_id)


def read_notice(event: WebhookEvent, body: bytes, change: Change, *, notice_id: str, accepted_at: datetime) -> Notice:
    """The change notice of a patient event; its snapshot is the whole event.  Raises NotAnEvent when it names no
    practice or no patient."""
    practice_id, record_id = event.practice_id, event.record.id
    if practice_id is None or not is_id(practice_id):
        raise NotAnEvent("The event names no practice.")
    if not isinstance(record_id, str):
        raise NotAnEvent("The event's object is not a patient: it has no id.")
    if not is_id(record_id):
        raise NotAnEvent("The event's object has an id that no patient can have.")
    return Notice(
        id=notice_id,
        source=Source.WEBHOOK,
        connection=practice_id,
        side=Side.HINT,
        record_id=record_id,
        change=change,
        stamp=_read_stamp(event.record.updated_at),
        accepted_at=accepted_at,
        snapshot=body,
    )


def is_id(text: str) -> bool:
    """Whether a text can be an id at all; keeps out what a database or a log line would choke on."""
    return 0 < len(text) <= _LONGEST_ID and text.isascii() and text.isprintable() and " " not in text


def _read_stamp(updated_at: object) -> datetime | None:
    """None when it is no time: then the record is read instead."""
    try:
        return parse_instant(updated_at, "updated_at") if isinstance(updated_at, str) else None
    except BadRecord:
        return None
