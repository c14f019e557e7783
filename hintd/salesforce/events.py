"""A decoded change event becomes change notices, one per record it is about.  Pure.

The notice's snapshot is the event flattened to JSON under the REST API's field names, with the changed fields only:
in an update, null means *unchanged* unless the header says that the field was cleared.  A field that the header calls
changed without showing its value is listed under ``reread``, never taken for blank.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from typing import Any

import msgspec

from hintd.core.model import Change, Notice, Side, Source
from hintd.salesforce.bitmap import marked_paths
from hintd.salesforce.layout import HEADER, Layout, Leaf, read_leaves

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
CONTACT_ID = re.compile(r"003[0-9A-Za-z]{15}")

CHANGES: Mapping[str, Change] = {
    "CREATE": Change.CREATED,
    "UPDATE": Change.CHANGED,
    "DELETE": Change.DELETED,
    "UNDELETE": Change.UNDELETED,
    "GAP_CREATE": Change.GAP,
    "GAP_UPDATE": Change.GAP,
    "GAP_DELETE": Change.GAP,
    "GAP_UNDELETE": Change.GAP,
    "SNAPSHOT": Change.GAP,  # reserved by Salesforce, not sent today: read the record
}
WHOLE = frozenset({"CREATE", "UNDELETE"})  # these carry every field, an update only what changed
OVERFLOW = "GAP_OVERFLOW"


class GapKind(StrEnum):
    FIRST_START = "first_start"  # no cursor was ever stored
    CURSOR_LOST = "cursor_lost"  # the stored cursor is older than what Salesforce keeps (72 hours), or of no use
    OVERFLOW = "overflow"  # Salesforce tells that Contacts changed, and not which
    UNDECODABLE = "undecodable"  # an event that cannot be read


@dataclass(frozen=True, slots=True)
class Gap:
    """The stream may have missed changes of any Contact: record it and sweep what it can have touched.

    ``events`` counts the events that showed it, ``replay_id`` is that of the first of them; both are empty for a gap of
    the cursor.  ``reason`` is a sentence without any value.
    """

    kind: GapKind
    noticed_at: datetime
    reason: str
    events: int = 0
    replay_id: bytes = b""


@dataclass(frozen=True, slots=True)
class Reading:
    """What one event says; ``overflow`` when it also tells of changed Contacts that it does not name."""

    notices: tuple[Notice, ...] = ()
    overflow: bool = False


@dataclass(frozen=True, slots=True)
class Acceptance:
    """Who takes the events in, and when: what a notice needs that the event does not say."""

    practice_id: str
    at: datetime
    new_id: Callable[[], str]


NONSENSE = (AttributeError, LookupError, ValueError, TypeError, OverflowError)


def read_event(record: Mapping[str, Any], layout: Layout, acceptance: Acceptance) -> Reading:
    """The notices of a decoded event.  One that makes no sense raises one of ``NONSENSE``."""
    header = record[HEADER]
    if header["entityName"] != "Contact":
        return Reading()  # a channel of several entities brings the others as well
    if header["changeType"] == OVERFLOW:
        return Reading(overflow=True)
    ids: Sequence[str] = header["recordIds"]
    named = [each for each in ids if CONTACT_ID.fullmatch(each)]
    notices = tuple(_notices(named, record, layout, acceptance)) if named else ()
    return Reading(notices, overflow=len(named) < len(ids) or not ids)


def _notices(ids: Sequence[str], record: Mapping[str, Any], layout: Layout, acceptance: Acceptance) -> list[Notice]:
    header = record[HEADER]
    change = CHANGES[header["changeType"]]
    modified = record.get("LastModifiedDate")
    stamp = _instant(modified if modified is not None else header["commitTimestamp"]).replace(microsecond=0)
    shows_nothing = change in (Change.DELETED, Change.GAP)
    snapshot = None if shows_nothing else msgspec.json.encode(flatten(record, layout))
    return [
        Notice(
            id=acceptance.new_id(),
            source=Source.STREAM,
            connection=acceptance.practice_id,
            side=Side.SALESFORCE,
            record_id=record_id,
            change=change,
            stamp=stamp,
            accepted_at=acceptance.at,
            snapshot=snapshot,
        )
        for record_id in ids
    ]


def flatten(record: Mapping[str, Any], layout: Layout) -> dict[str, Any]:
    """The event as a flat object with the REST API's names and spellings: the shape of a Salesforce snapshot."""
    header = record[HEADER]
    whole = header["changeType"] in WHOLE
    leaves = list(read_leaves(layout, record))
    fields, reread = (_whole_fields(leaves), []) if whole else _changed_fields(leaves, header, layout)
    return {
        "changeType": header["changeType"],
        "commitTimestamp": header["commitTimestamp"],
        "changeOrigin": header["changeOrigin"],
        "transactionKey": header["transactionKey"],
        "whole": whole,
        "fields": fields,
        "reread": reread,
    }


def _whole_fields(leaves: Sequence[Leaf]) -> dict[str, Any]:
    return {leaf.api_name: spell(leaf.kind, leaf.value) for leaf in leaves}


def _changed_fields(
    leaves: Sequence[Leaf], header: Mapping[str, Any], layout: Layout
) -> tuple[dict[str, Any], list[str]]:
    """The values that an update shows, and the names of those it only mentions.

    A long text comes as a difference (``diffFields``), not as a value.  A null that is marked as changed but not as
    cleared is met when a compound is marked as a whole: blank or unchanged, only a read can tell.
    """
    nulled = marked_paths(layout, header["nulledFields"])
    differences = marked_paths(layout, header["diffFields"])
    changed = marked_paths(layout, header["changedFields"])
    fields: dict[str, Any] = {}
    reread: list[str] = []
    for leaf in leaves:
        if leaf.path in differences:
            reread.append(leaf.api_name)
        elif leaf.value is not None or leaf.path in nulled:
            fields[leaf.api_name] = spell(leaf.kind, leaf.value)
        elif leaf.path in changed:
            reread.append(leaf.api_name)
    return fields, reread


def spell(kind: str, value: Any) -> Any:
    """A value as the REST API spells it.  Dates and times come as milliseconds, negative before 1970."""
    if value is None:
        return None
    match kind:
        case "DateOnly":
            return (date(1970, 1, 1) + timedelta(milliseconds=value)).isoformat()
        case "DateTime":
            return _instant(value).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        case "TimeOnly":
            return (EPOCH + timedelta(milliseconds=value)).time().isoformat(timespec="milliseconds") + "Z"
    return value


def _instant(milliseconds: int) -> datetime:
    return EPOCH + timedelta(milliseconds=milliseconds)
