"""One Subscribe call of the Pub/Sub API: reads ahead of its consumer and asks for more events early.

Salesforce closes a stream that has nothing pending for 60 seconds, so asking must not wait for slow work on earlier
events; and a dead stream raises nothing at all, so silence itself is an error.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, cast

import grpc
import grpc.aio

from hintd.salesforce.auth import Token
from hintd.salesforce.pubsub_api_pb2 import CUSTOM, LATEST, FetchRequest
from hintd.salesforce.pubsub_api_pb2_grpc import PubSubStub

MOST_PENDING = 100  # Salesforce takes more for 100
ASK_AT = 50  # ask when this many or fewer are pending
READ_AHEAD = 8  # responses that may wait for the consumer: at most 800 events

_EOF = cast(Any, grpc.aio).EOF  # the type stubs lack it
_MIB = 1024 * 1024
CHANNEL_OPTIONS: tuple[tuple[str, int], ...] = (
    ("grpc.keepalive_time_ms", 30_000),  # a half-open connection behind NAT is noticed by pings only
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.max_receive_message_length", 8 * _MIB),  # a response has up to 3 MB
    ("grpc.use_local_subchannel_pool", 1),  # a new channel is a new connection, with no backoff left over from the last
)


class Silent(Exception):
    """Nothing came, not even a keep-alive, for as long as the watchdog waits."""


class Closed(Exception):
    """Salesforce ended the stream without an error."""


@dataclass(frozen=True, slots=True)
class Start:
    """Where a subscription begins: after ``cursor``, or now when there is none."""

    topic: str
    cursor: bytes | None

    def request(self) -> Any:
        if self.cursor is None:
            return FetchRequest(topic_name=self.topic, replay_preset=LATEST, num_requested=MOST_PENDING)
        return FetchRequest(
            topic_name=self.topic, replay_preset=CUSTOM, replay_id=self.cursor, num_requested=MOST_PENDING
        )


def open_channel(address: str, *, tls: bool) -> grpc.aio.Channel:
    if tls:
        return grpc.aio.secure_channel(address, grpc.ssl_channel_credentials(), options=CHANNEL_OPTIONS)
    return grpc.aio.insecure_channel(address, options=CHANNEL_OPTIONS)


def call_metadata(token: Token) -> tuple[tuple[str, str], ...]:
    """The headers of every call; their names must be lower case."""
    return (
        ("accesstoken", token.access_token),
        ("instanceurl", token.instance_url),
        ("tenantid", token.organization_id),
    )


@asynccontextmanager
async def subscribe(stub: PubSubStub, start: Start, token: Token, *, watchdog_s: float) -> AsyncIterator[Subscription]:
    """One call, ended with the context.  Whether it is live is known only when the first response has come."""
    call = stub.Subscribe(metadata=call_metadata(token))
    subscription = Subscription(call, watchdog_s)
    reader = asyncio.create_task(subscription.read_ahead(start.request()), name="salesforce-stream-reader")
    try:
        yield subscription
    finally:
        reader.cancel()
        call.cancel()
        await asyncio.gather(reader, return_exceptions=True)


class Subscription:
    """The responses of one call, in order.  Only the reader's task reads from and writes to the call."""

    def __init__(self, call: Any, watchdog_s: float) -> None:
        self._call = call
        self._watchdog_s = watchdog_s
        self._ahead: asyncio.Queue[Any] = asyncio.Queue(READ_AHEAD)
        self._pending = 0
        self._ended: Exception | None = None

    async def take(self) -> Sequence[Any]:
        """Every response that has come, at least one, oldest first; after the last one, raises what ended the call:
        AioRpcError, ``Silent`` or ``Closed``."""
        if self._ended is not None:
            raise self._ended
        taken = [await self._ahead.get()]
        while not self._ahead.empty():
            taken.append(self._ahead.get_nowait())
        if not isinstance(taken[-1], Exception):
            return taken
        self._ended = taken.pop()
        return taken or await self.take()

    async def read_ahead(self, first: Any) -> None:
        """Read until the call ends; a full queue stops the reading, and so the asking: at most ``READ_AHEAD`` wait."""
        try:
            self._pending = MOST_PENDING
            await self._write(first)
            while True:
                response = await self._read()
                self._count(response)
                await self._ask_early()
                await self._ahead.put(response)
        except Exception as ended:  # whatever it was, the consumer gets it, behind what came before it
            await self._ahead.put(ended)

    async def _read(self) -> Any:
        try:
            async with asyncio.timeout(self._watchdog_s):
                response = await self._call.read()
        except TimeoutError:
            raise Silent(f"nothing came for {self._watchdog_s:g} s") from None
        if response is _EOF:
            raise Closed("closed by Salesforce")
        return response

    def _count(self, response: Any) -> None:
        """Our own count, since a response in flight does not know of our latest request; a keep-alive comes when
        nothing has moved for a while, so its count is exact."""
        count = len(response.events)
        self._pending = max(0, self._pending - count) if count else response.pending_num_requested

    async def _ask_early(self) -> None:
        if self._pending <= ASK_AT:
            more = MOST_PENDING - self._pending
            self._pending = MOST_PENDING
            await self._write(FetchRequest(num_requested=more))

    async def _write(self, request: Any) -> None:
        with suppress(asyncio.InvalidStateError):  # the call has ended: the next read says why
            await self._call.write(request)
