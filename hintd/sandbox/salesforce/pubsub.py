"""The Pub/Sub API: GetTopic, GetSchema and Subscribe with its credits, keep-alives and ways to fail."""

from __future__ import annotations

import asyncio
import uuid
from collections import deque
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, NoReturn, Protocol

import grpc
import grpc.aio

from hintd.sandbox import pubsub_api_pb2 as pb
from hintd.sandbox import pubsub_api_pb2_grpc as stubs
from hintd.sandbox.faults import Faults
from hintd.sandbox.salesforce.switches import Switches
from hintd.sandbox.salesforce.topic import Entry, ReplayIdCorrupted, Topic, replay_id

SINGLE, MULTI = "/data/ContactChangeEvent", "/data/ChangeEvents"
_Context = Any  # grpc.aio.ServicerContext, which is generic in the stubs only
_PREFIX = "sfdc.platform.eventbus.grpc."
_MOST_PENDING = 100
_RESPONSE_BYTES = 3_000_000

# How each armed fault ends a call: status, error code, text.  An empty code is a bare transport error.
_FAILURES: Mapping[str, tuple[grpc.StatusCode, str, str]] = {
    "unavailable": (grpc.StatusCode.INTERNAL, "service.unavailable", "The service is not available. Please try again."),
    "auth": (grpc.StatusCode.UNAUTHENTICATED, "service.auth.error", "The token is not valid."),
    "corrupted": (
        grpc.StatusCode.INVALID_ARGUMENT,
        "subscription.fetch.replayid.corrupted",
        "The Replay ID validation failed. Ensure that the Replay ID is valid.",
    ),
    "limit": (
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        "subscription.limit.exceeded",
        "The event delivery limit was exceeded.",
    ),
    "reset": (grpc.StatusCode.UNAVAILABLE, "", "RST_STREAM closed stream. HTTP/2 error code: NO_ERROR"),
}


class Refused(Exception):
    """A call ends with this status and ``error-code`` trailer."""

    def __init__(self, status: grpc.StatusCode, code: str, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.code = code


@dataclass
class _Credits:
    """What a subscriber has asked for and not got yet; ``closed`` when it will ask no more."""

    pending: int = 0
    closed: bool = False
    wrong: Refused | None = None
    changed: asyncio.Event = field(default_factory=asyncio.Event)


class EventSource(Protocol):
    """What the service needs of the org."""

    topic: Topic
    faults: Faults
    org_id: str

    @property
    def switches(self) -> Switches: ...
    def now(self) -> datetime: ...
    def token_stands(self, token: str) -> bool: ...
    def schema_id(self) -> str: ...
    def schema_json(self, schema_id: str) -> str | None: ...
    def count(self, call: str) -> None: ...


class PubSub(stubs.PubSubServicer):  # type: ignore[misc]
    """The service.  Publishing and managed subscriptions are not served: hintd keeps its own cursor."""

    def __init__(self, source: EventSource) -> None:
        self.source = source
        self.open_streams = 0
        self._delivered: deque[tuple[datetime, int]] = deque()

    async def GetTopic(self, request: pb.TopicRequest, context: _Context) -> pb.TopicInfo:
        try:
            self._admit("GetTopic", request.topic_name, context)
            self._check_topic(request.topic_name)
        except Refused as refused:
            await _end(context, refused)
        return pb.TopicInfo(
            topic_name=request.topic_name,
            tenant_guid=self.source.org_id,
            can_publish=False,
            can_subscribe=True,
            schema_id=self.source.schema_id() if request.topic_name == SINGLE else "",
            rpc_id=str(uuid.uuid4()),
        )

    async def GetSchema(self, request: pb.SchemaRequest, context: _Context) -> pb.SchemaInfo:
        try:
            self._admit("GetSchema", request.schema_id, context)
            found = self.source.schema_json(request.schema_id)
            if found is None:
                raise Refused(grpc.StatusCode.INVALID_ARGUMENT, "schema.validation.failed", "There is no such schema.")
        except Refused as refused:
            await _end(context, refused)
        return pb.SchemaInfo(schema_json=found, schema_id=request.schema_id, rpc_id=str(uuid.uuid4()))

    async def Subscribe(
        self, requests: AsyncIterator[pb.FetchRequest], context: _Context
    ) -> AsyncIterator[pb.FetchResponse]:
        self.open_streams += 1
        try:
            async for response in self._subscribed(requests, context):
                yield response
        except Refused as refused:
            await _end(context, refused)
        finally:
            self.open_streams -= 1

    async def _subscribed(
        self, requests: AsyncIterator[pb.FetchRequest], context: _Context
    ) -> AsyncIterator[pb.FetchResponse]:
        first = await anext(requests, None)
        if first is None:
            return
        self._admit("Subscribe", first.topic_name, context)
        self._check_topic(first.topic_name)
        credits = _Credits()
        _add(credits, first, first.topic_name)
        position = self._start(first)
        reader = asyncio.create_task(_read_credits(requests, credits, first.topic_name))
        self.source.topic.watch(credits.changed)
        try:
            async for response in self._deliver(first.topic_name, position, credits):
                yield response
        finally:
            self.source.topic.unwatch(credits.changed)
            reader.cancel()

    async def _deliver(self, name: str, position: int, credits: _Credits) -> AsyncIterator[pb.FetchResponse]:
        """Events as credits allow; a keep-alive when there is nothing to send; the end when nobody asks for long."""
        topic = self.source.topic
        while credits.wrong is None and not credits.closed:
            credits.changed.clear()
            await self._meet_fault("Subscribe", name)
            if batch := _fitting(topic.after(position, credits.pending) if credits.pending else []):
                self._allow(len(batch))
                position = batch[-1].number
                credits.pending -= len(batch)
                yield _response(batch, position, credits)
            elif not await self._change(credits):
                if credits.pending == 0:
                    return
                if not topic.after(position, 1):  # else the mark would run ahead of an event that is not sent yet
                    position = topic.mark()
                    yield _response([], position, credits)
        if credits.wrong is not None:
            raise credits.wrong

    async def _change(self, credits: _Credits) -> bool:
        """Wait for an event, credits or a fault; False when it was time for a keep-alive or for closing."""
        switches = self.source.switches
        patience = switches.keepalive_s if credits.pending else switches.idle_close_s
        try:
            await asyncio.wait_for(credits.changed.wait(), patience)
        except TimeoutError:
            return False
        return True

    async def _meet_fault(self, method: str, path: str) -> None:
        fault = self.source.faults.take("pubsub", method, path)
        if fault is None:
            return
        if fault.kind == "stall":
            await asyncio.Event().wait()  # until the client gives up
        raise Refused(*_FAILURES[fault.kind])

    def _admit(self, method: str, path: str, context: _Context) -> None:
        self.source.count(f"{method} {path}" if path in (SINGLE, MULTI) else method)
        sent = {key: str(value) for key, value in context.invocation_metadata() or ()}
        if not sent.get("accesstoken") or not sent.get("instanceurl") or sent.get("tenantid") != self.source.org_id:
            raise Refused(
                grpc.StatusCode.UNAUTHENTICATED,
                "service.auth.headers.invalid",
                "The accesstoken, instanceurl and tenantid headers are required.",
            )
        if not self.source.token_stands(sent["accesstoken"]):
            raise Refused(*_FAILURES["auth"])
        if method != "Subscribe" and (fault := self.source.faults.take("pubsub", method, path)):
            raise Refused(*_FAILURES.get(fault.kind, _FAILURES["unavailable"]))

    def _check_topic(self, name: str) -> None:
        if not name:
            raise Refused(grpc.StatusCode.INVALID_ARGUMENT, "topic.validation.empty", "The topic name is empty.")
        if name not in (SINGLE, MULTI) or not self.source.switches.change_capture:
            raise Refused(grpc.StatusCode.NOT_FOUND, "topic.not.found", "The topic was not found.")

    def _start(self, first: pb.FetchRequest) -> int:
        topic = self.source.topic
        if first.replay_preset == pb.ReplayPreset.LATEST:
            return topic.latest
        if first.replay_preset == pb.ReplayPreset.EARLIEST:
            return topic.earliest
        if not first.replay_id:
            code = "subscription.fetch.replayid.validation.failed"
            raise Refused(grpc.StatusCode.INVALID_ARGUMENT, code, "A custom start needs a Replay ID.")
        try:
            return topic.position(first.replay_id)
        except ReplayIdCorrupted:
            raise Refused(*_FAILURES["corrupted"]) from None

    def _allow(self, count: int) -> None:
        """Count deliveries against the allowance of 24 hours."""
        now = self.source.now()
        while self._delivered and self._delivered[0][0] <= now - timedelta(hours=24):
            self._delivered.popleft()
        limit = self.source.switches.deliveries_per_day
        if limit and sum(n for _, n in self._delivered) + count > limit:
            raise Refused(*_FAILURES["limit"])
        if limit:
            self._delivered.append((now, count))


async def _read_credits(requests: AsyncIterator[pb.FetchRequest], credits: _Credits, name: str) -> None:
    try:
        async for request in requests:
            _add(credits, request, name)
            credits.changed.set()
    except Refused as refused:
        credits.wrong = refused
    credits.closed = True
    credits.changed.set()


def _add(credits: _Credits, request: pb.FetchRequest, name: str) -> None:
    wrong = grpc.StatusCode.INVALID_ARGUMENT
    if request.topic_name not in ("", name):
        raise Refused(wrong, "subscription.fetch.topic.mismatch", "The topic of a stream cannot be changed.")
    if request.num_requested <= 0:
        raise Refused(wrong, "subscription.fetch.requested.events.invalid", "At least one event must be requested.")
    credits.pending = min(credits.pending + request.num_requested, _MOST_PENDING)


def _fitting(entries: list[Entry]) -> list[Entry]:
    """The first events that fit one response."""
    size = 0
    for count, entry in enumerate(entries):
        size += len(entry.payload or b"")
        if count and size > _RESPONSE_BYTES:
            return entries[:count]
    return entries


def _response(batch: list[Entry], position: int, credits: _Credits) -> pb.FetchResponse:
    return pb.FetchResponse(
        events=[_event(entry) for entry in batch],
        latest_replay_id=replay_id(position),
        rpc_id=str(uuid.uuid4()),
        pending_num_requested=credits.pending,
    )


def _event(entry: Entry) -> pb.ConsumerEvent:
    event = pb.ProducerEvent(id=entry.event_id, schema_id=entry.schema_id, payload=entry.payload)
    return pb.ConsumerEvent(event=event, replay_id=entry.replay_id)


async def _end(context: _Context, refused: Refused) -> NoReturn:
    """End the call with a status and the trailers that say more."""
    rpc_id = str(uuid.uuid4())
    if refused.code:
        context.set_trailing_metadata((("error-code", _PREFIX + refused.code), ("rpc-id", rpc_id)))
        await context.abort(refused.status, f"{refused} rpcId: {rpc_id}")
    await context.abort(refused.status, str(refused))
    raise AssertionError("abort always raises")


async def serve(source: EventSource, address: str) -> tuple[grpc.aio.Server, int]:
    """Start the service on ``host:port`` (port 0: any); returns the server and its port.  Raises OSError."""
    server = grpc.aio.server()
    stubs.add_PubSubServicer_to_server(PubSub(source), server)
    try:
        port = server.add_insecure_port(address)
    except RuntimeError as error:
        raise OSError(f"cannot listen on {address}") from error
    await server.start()
    return server, port
