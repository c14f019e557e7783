"""A Pub/Sub API that follows a script, on a real socket: one step per Subscribe call."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import grpc
import grpc.aio

from hintd.salesforce.pubsub_api_pb2 import ConsumerEvent, FetchResponse, ProducerEvent, SchemaInfo
from hintd.salesforce.pubsub_api_pb2_grpc import PubSubServicer, add_PubSubServicer_to_server
from tests.salesforce.change_events import SCHEMA_TEXT, bitmap, encode, event

PREFIX = "sfdc.platform.eventbus.grpc."
SCHEMA_ID = "KxC1P8xW4-iTJxZQ6PlZpw"
OLD, NEW = b"\0\0\0\0\0\x5a\x94\xf0\0\0", b"\0\0\0\0\0\x5a\x94\xf9\0\0"  # replay ids as seen in the wild


def consumer_event(record: dict[str, Any] | bytes, replay_id: bytes, schema_id: str = SCHEMA_ID) -> Any:
    payload = record if isinstance(record, bytes) else encode(record)
    return ConsumerEvent(
        event=ProducerEvent(id=str(uuid4()), schema_id=schema_id, payload=payload), replay_id=replay_id
    )


class Stream:
    """The server's end of one Subscribe call."""

    def __init__(self, requests: AsyncIterator[Any], context: Any) -> None:
        self._requests = requests
        self._context = context
        self.metadata: dict[str, Any] = {}

    async def asked(self) -> Any:
        """The next FetchRequest of the client."""
        return await anext(self._requests)

    async def send(self, *events: Any, latest: bytes = b"", pending: int = 100) -> None:
        response = FetchResponse(events=events, latest_replay_id=latest, pending_num_requested=pending)
        await self._context.write(response)

    async def fail(self, status: grpc.StatusCode, code: str = "") -> None:
        await fail(self._context, status, code)

    async def stay(self) -> None:
        """Say nothing more until the client goes away."""
        await asyncio.Event().wait()


Step = Callable[[Stream], Awaitable[None]]


def change(contact_id: str, replay_id: bytes, **event_options: Any) -> Any:
    record = event("UPDATE", [contact_id], fields={"Email": "a@b.c"}, changedFields=[bitmap("Email")], **event_options)
    return consumer_event(record, replay_id)


def sends(*events: Any, latest: bytes = NEW) -> Step:
    async def step(stream: Stream) -> None:
        await stream.send(*events, latest=latest)
        await stream.stay()

    return step


def fails(status: grpc.StatusCode, code: str = "") -> Step:
    async def step(stream: Stream) -> None:
        await stream.fail(status, code)

    return step


def sends_then_fails(latest: bytes, status: grpc.StatusCode, code: str = "") -> Step:
    async def step(stream: Stream) -> None:
        await stream.send(latest=latest)
        await stream.fail(status, code)

    return step


async def says_nothing(stream: Stream) -> None:
    await stream.stay()


async def closes(stream: Stream) -> None:
    await stream.send(latest=OLD)


async def fail(context: Any, status: grpc.StatusCode, code: str = "") -> None:
    if code:
        context.set_trailing_metadata((("error-code", PREFIX + code), ("rpc-id", "r-1")))
    await context.abort(status, "something about the request. rpcId: r-1")


class ScriptedPubSub(PubSubServicer):  # type: ignore[misc]
    """``subscriptions`` are the first requests seen, ``logins`` the metadata of every call; ``schema_failures`` what
    GetSchema answers with first."""

    def __init__(self, *steps: Step) -> None:
        self.address = ""
        self.subscriptions: list[Any] = []
        self.logins: list[dict[str, Any]] = []
        self.schema_calls: list[str] = []
        self.schema_failures: list[grpc.StatusCode] = []
        self._steps = list(steps)

    async def Subscribe(self, request_iterator: AsyncIterator[Any], context: Any) -> None:
        step = self._steps.pop(0)
        stream = Stream(request_iterator, context)
        self.logins.append(dict(context.invocation_metadata()))
        self.subscriptions.append(await stream.asked())
        await step(stream)

    async def GetSchema(self, request: Any, context: Any) -> Any:
        self.logins.append(dict(context.invocation_metadata()))
        self.schema_calls.append(request.schema_id)
        if self.schema_failures:
            await fail(context, self.schema_failures.pop(0))
        if request.schema_id != SCHEMA_ID:
            await fail(context, grpc.StatusCode.INVALID_ARGUMENT, "schema.validation.failed")
        return SchemaInfo(schema_json=SCHEMA_TEXT, schema_id=request.schema_id)


@asynccontextmanager
async def serving(steps: Sequence[Step]) -> AsyncIterator[ScriptedPubSub]:
    scripted = ScriptedPubSub(*steps)
    server = grpc.aio.server()
    add_PubSubServicer_to_server(scripted, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    scripted.address = f"127.0.0.1:{port}"
    try:
        yield scripted
    finally:
        await server.stop(None)
