"""Between hintd's values and the sealed bytes of a column: JSON, so that a later hintd can still read it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import asyncpg
import msgspec

from hintd.core.model import HistoryEntry, Link, LinkState, Side, Value

_links = msgspec.json.Decoder(Link)
_changes = msgspec.json.Decoder(tuple[Value, Value])
_texts = msgspec.json.Decoder(tuple[str | None, str | None])


def _thaw(value: object) -> object:
    """What msgspec does not know by itself: a read-only view of a mapping."""
    if isinstance(value, MappingProxyType):
        return dict(value)
    raise NotImplementedError(f"cannot store a {type(value).__name__}")


def encode(value: object) -> bytes:
    return msgspec.json.encode(value, enc_hook=_thaw)


def decode_object(raw: bytes) -> dict[str, Any]:
    return msgspec.json.decode(raw, type=dict[str, Any])


def decode_texts(raw: bytes) -> tuple[str | None, str | None]:
    return _texts.decode(raw)


def decode_change(raw: bytes) -> tuple[Value, Value]:
    return _changes.decode(raw)


def decode_link(base: bytes, row: Mapping[str, Any] | asyncpg.Record) -> Link:
    """The link of a row.  ``base`` is the whole link as JSON, of which the row's own columns are the truth."""
    return replace(
        _links.decode(base),
        id=row["id"],
        connection_id=row["connection_id"],
        contact_id=row["contact_id"],
        patient_id=row["patient_id"],
        state=LinkState(row["state"]),
        linked_at=row["linked_at"],
        linked_by=row["linked_by"],
    )


def decode_entry(change: bytes, row: asyncpg.Record) -> HistoryEntry:
    """The history entry of a row.  ``change`` is its unsealed values."""
    old, new = decode_change(change)
    return HistoryEntry(row["at"], row["field"], Side(row["side"]), old, new, row["cause"], row["batch_id"])
