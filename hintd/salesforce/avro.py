"""Decodes the Avro payload of change events, each by the schema that the event itself names.

A schema id is a hash: what it names never changes, so schemas are kept for as long as the process lives, and a new id
(the org's metadata changed) is fetched when the first event with it comes.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any, cast

import fastavro

from hintd.salesforce.layout import Layout, read_layout


class Undecodable(Exception):
    """An event or its schema cannot be read.  ``str()`` says which and never quotes it: patients' values."""


@dataclass(frozen=True, slots=True)
class EventSchema:
    layout: Layout
    parsed: Any = field(repr=False)  # as fastavro wants it


FetchSchema = Callable[[str], Awaitable[str]]
"""The JSON text of the schema with this id.  Raises Undecodable when there is none."""


def parse_schema(text: str) -> EventSchema:
    """Raises Undecodable."""
    try:
        raw = json.loads(text)
        return EventSchema(read_layout(raw), fastavro.parse_schema(raw))
    except Exception as wrong:  # both parsers fail in a dozen ways; what is kept is that this schema is of no use
        raise Undecodable(f"schema cannot be read: {type(wrong).__name__}") from None


def decode(schema: EventSchema, payload: bytes) -> Mapping[str, Any]:
    """The event's record.  Raises Undecodable, also when the payload does not end where the schema says."""
    stream = BytesIO(payload)
    try:
        record = fastavro.schemaless_reader(stream, schema.parsed, None)
    except Exception as wrong:  # a dozen kinds, with pieces of the payload in their texts: neither shall get out
        raise Undecodable(f"payload does not fit its schema: {type(wrong).__name__}") from None
    if stream.tell() != len(payload) or not isinstance(record, dict):
        raise Undecodable("payload does not fit its schema")
    return cast(Mapping[str, Any], record)


class SchemaCache:
    """Schemas by id, for ever: an org has a handful in a year."""

    def __init__(self) -> None:
        self._known: dict[str, EventSchema] = {}

    async def get(self, schema_id: str, fetch: FetchSchema) -> EventSchema:
        """Raises Undecodable, and what ``fetch`` raises; neither is kept."""
        if schema_id not in self._known:
            self._known[schema_id] = parse_schema(await fetch(schema_id))
        return self._known[schema_id]
