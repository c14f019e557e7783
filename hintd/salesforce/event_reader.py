"""From the responses of the stream to change notices and gaps: schema by schema id, decode, flatten.

An event that cannot be read never stops the stream and never goes unseen: it is told as a gap, which a sweep covers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import uuid4

import grpc
import grpc.aio

from hintd.core.model import Notice
from hintd.salesforce.auth import Token
from hintd.salesforce.avro import EventSchema, FetchSchema, SchemaCache, Undecodable, decode
from hintd.salesforce.events import NONSENSE, Acceptance, Gap, GapKind, Reading, read_event
from hintd.salesforce.pubsub_api_pb2 import SchemaRequest
from hintd.salesforce.pubsub_api_pb2_grpc import PubSubStub
from hintd.salesforce.subscription import call_metadata

SCHEMA_TIMEOUT_S = 30.0
_NO_SUCH_SCHEMA = (grpc.StatusCode.NOT_FOUND, grpc.StatusCode.INVALID_ARGUMENT)


@dataclass(frozen=True, slots=True)
class Arrivals:
    """What a group of responses brought: notices in the stream's order, and at most one gap of each kind."""

    notices: tuple[Notice, ...]
    gaps: tuple[Gap, ...]


class EventReader:
    """Reads events for one connection, and keeps its schemas."""

    def __init__(self, practice_id: str, now: Callable[[], datetime]) -> None:
        self._practice_id = practice_id
        self._now = now
        self._schemas = SchemaCache()

    async def read(self, events: Sequence[Any], fetch: FetchSchema) -> Arrivals:
        """Raises only what ``fetch`` raises besides Undecodable: then nothing of the group has been handed out."""
        schemas = {each: await self._schema(each, fetch) for each in {e.event.schema_id for e in events}}
        acceptance = Acceptance(self._practice_id, self._now(), lambda: uuid4().hex)
        readings = [(event, _read(event, schemas[event.event.schema_id], acceptance)) for event in events]
        notices = tuple(n for _, reading in readings if isinstance(reading, Reading) for n in reading.notices)
        unread = [(event, str(why)) for event, why in readings if isinstance(why, Undecodable)]
        overflows = [
            (event, "Salesforce tells that Contacts changed, but not which")
            for event, reading in readings
            if isinstance(reading, Reading) and reading.overflow
        ]
        gaps = (*self._gap(GapKind.UNDECODABLE, unread), *self._gap(GapKind.OVERFLOW, overflows))
        return Arrivals(notices, gaps)

    async def _schema(self, schema_id: str, fetch: FetchSchema) -> EventSchema | Undecodable:
        try:
            return await self._schemas.get(schema_id, fetch)
        except Undecodable as why:
            return why

    def _gap(self, kind: GapKind, shown_by: Sequence[tuple[Any, str]]) -> Iterable[Gap]:
        if shown_by:
            event, reason = shown_by[0]
            yield Gap(kind, self._now(), reason, events=len(shown_by), replay_id=event.replay_id)


def _read(event: Any, schema: EventSchema | Undecodable, acceptance: Acceptance) -> Reading | Undecodable:
    if isinstance(schema, Undecodable):
        return schema
    try:
        return read_event(decode(schema, event.event.payload), schema.layout, acceptance)
    except Undecodable as why:
        return why
    except NONSENSE as wrong:
        return Undecodable(f"event makes no sense: {type(wrong).__name__}")


async def fetch_schema(stub: PubSubStub, schema_id: str, token: Token) -> str:
    """GetSchema.  Raises Undecodable when there is no such schema, else AioRpcError."""
    try:
        request = SchemaRequest(schema_id=schema_id)
        answer = await stub.GetSchema(request, metadata=call_metadata(token), timeout=SCHEMA_TIMEOUT_S)
    except grpc.aio.AioRpcError as error:
        if error.code() in _NO_SUCH_SCHEMA:
            raise Undecodable("its schema is not known to Salesforce") from None
        raise
    return str(answer.schema_json)
