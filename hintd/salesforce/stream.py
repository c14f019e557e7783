"""The change stream of one connection: subscribes, hands on what comes, and subscribes again whenever it breaks.

It stands between Salesforce and ingest.  What must hold (README rule 13): a cursor is stored only after everything
before it was taken durably; whatever the stream may have missed is told as a gap *after* the new subscription is live,
so that nothing falls between; and one stream runs per connection, because Salesforce counts deliveries per subscriber.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from itertools import chain
from typing import Any, NoReturn

import grpc.aio

from hintd.core.errors import CredentialsRefused, Misconfigured, Retryable
from hintd.core.model import Notice
from hintd.salesforce.auth import Token
from hintd.salesforce.event_reader import EventReader, fetch_schema
from hintd.salesforce.events import Gap, GapKind
from hintd.salesforce.pubsub_api_pb2_grpc import PubSubStub
from hintd.salesforce.stream_errors import (
    CREDENTIALS_SENTENCE,
    DeliveryAllowanceUsedUp,
    Ending,
    classify,
    describe,
    remedy,
)
from hintd.salesforce.subscription import Closed, Silent, Start, Subscription, open_channel, subscribe

CONTACT_TOPIC = "/data/ContactChangeEvent"

_GAP_REASONS = {
    GapKind.FIRST_START: "the stream starts for the first time: what changed before it is not known",
    GapKind.CURSOR_LOST: "Salesforce does not take the stored place in the stream any more (it keeps 72 hours)",
}


class Phase(StrEnum):
    CONNECTING = "connecting"
    LIVE = "live"  # a response has come; an open call alone proves nothing
    RETRYING = "retrying"


@dataclass(frozen=True, slots=True)
class StreamState:
    """Told at each transition.  ``why`` is a word or sentence without values; ``attempt`` counts failures in a row."""

    phase: Phase
    why: str = ""
    attempt: int = 0


@dataclass(frozen=True, slots=True)
class PubSub:
    """Where the stream comes from: address "host:port", and the connection's token with the way to get another."""

    address: str
    tls: bool
    token: Callable[[], Awaitable[Token]]
    refresh: Callable[[Token], Awaitable[Token]]  # argument: the token that was refused
    topic: str = CONTACT_TOPIC


@dataclass(frozen=True, slots=True)
class Receiver:
    """Who takes what the stream brings.  Returning means: taken durably.  Raising means: not taken, it comes again."""

    accept: Callable[[Sequence[Notice]], Awaitable[None]]
    save_cursor: Callable[[bytes], Awaitable[None]]
    on_gap: Callable[[Gap], Awaitable[None]]
    on_state: Callable[[StreamState], None]


class ContactStream:
    """The one subscription of a connection, kept alive.

    ``delay``: seconds to wait after that many failures in a row; ``pause`` does the waiting.  ``watchdog_s``: a stream
    that is silent for longer is dead (keep-alives come within 270 s).
    """

    def __init__(
        self,
        pubsub: PubSub,
        *,
        practice_id: str,
        now: Callable[[], datetime],
        delay: Callable[[int], float],
        watchdog_s: float = 300.0,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._pubsub = pubsub
        self._now = now
        self._delay = delay
        self._watchdog_s = watchdog_s
        self._pause = pause
        self._reader = EventReader(practice_id, now)
        self._cursor: bytes | None = None
        self._gap = GapKind.FIRST_START  # told when a subscription without a cursor has become live
        self._used: Token | None = None  # by the last subscription
        self._refused: Token | None = None
        self._renewed = False  # the token was renewed and nothing has been handled since
        self._failures = 0

    async def run(self, receiver: Receiver, *, cursor: bytes | None) -> NoReturn:
        """Stream for ever, from after ``cursor``; one run at a time.

        Ends by being cancelled, or raises CredentialsRefused or Misconfigured (a person must act) or
        DeliveryAllowanceUsedUp (poll meanwhile).  After any of them a new run goes on from the stored cursor.
        """
        self._cursor, self._gap, self._refused = cursor, GapKind.FIRST_START, None
        self._renewed, self._failures = False, 0
        while True:
            receiver.on_state(StreamState(Phase.CONNECTING, attempt=self._failures))
            try:
                await self._stream(receiver)
            except (CredentialsRefused, Misconfigured):
                raise
            except grpc.aio.AioRpcError as error:
                await self._after_refusal(error, receiver)
            except Exception as error:  # the receiver or the token failed: nothing is lost, the cursor stands
                await self._wait(receiver, error)

    async def _stream(self, receiver: Receiver) -> NoReturn:
        """One subscription, until it breaks."""
        self._used = token = await self._current_token()
        async with open_channel(self._pubsub.address, tls=self._pubsub.tls) as channel:
            stub = PubSubStub(channel)
            start = Start(self._pubsub.topic, self._cursor)
            async with subscribe(stub, start, token, watchdog_s=self._watchdog_s) as subscription:
                await self._follow(subscription, stub, receiver)

    async def _current_token(self) -> Token:
        if self._refused is None:
            return await self._pubsub.token()
        token = await self._pubsub.refresh(self._refused)
        self._refused, self._renewed = None, True
        return token

    async def _follow(self, subscription: Subscription, stub: PubSubStub, receiver: Receiver) -> NoReturn:
        responses = await subscription.take()
        receiver.on_state(StreamState(Phase.LIVE))
        if self._cursor is None:
            # Before the cursor is stored: a crash from here on finds none, or the lost one, and tells the gap again.
            await receiver.on_gap(Gap(self._gap, self._now(), _GAP_REASONS[self._gap]))
        while True:
            await self._hand_on(responses, stub, receiver)
            responses = await subscription.take()

    async def _hand_on(self, responses: Sequence[Any], stub: PubSubStub, receiver: Receiver) -> None:
        """Everything of these responses, then their cursor: a keep-alive's too, which stays valid on a quiet topic."""
        events = list(chain.from_iterable(response.events for response in responses))
        arrivals = await self._reader.read(events, lambda schema_id: self._fetch_schema(stub, schema_id))
        if arrivals.notices:
            await receiver.accept(arrivals.notices)
        for gap in arrivals.gaps:
            await receiver.on_gap(gap)
        await self._save(_latest(responses), receiver)
        self._failures, self._renewed = 0, False

    async def _save(self, cursor: bytes | None, receiver: Receiver) -> None:
        if cursor and cursor != self._cursor:
            await receiver.save_cursor(cursor)
            self._cursor = cursor

    async def _fetch_schema(self, stub: PubSubStub, schema_id: str) -> str:
        """The open stream outlives its token, a new call does not: renew it for the call and keep the stream."""
        token = await self._pubsub.token()
        try:
            return await fetch_schema(stub, schema_id, token)
        except grpc.aio.AioRpcError as error:
            if classify(error) is not Ending.TOKEN:
                raise
        return await fetch_schema(stub, schema_id, await self._pubsub.refresh(token))

    async def _after_refusal(self, error: grpc.aio.AioRpcError, receiver: Receiver) -> None:
        """Decide what the next subscription needs; returns when it may be tried."""
        match classify(error):
            case Ending.MISCONFIGURED:
                raise Misconfigured(remedy(error, self._pubsub.topic)) from None
            case Ending.ALLOWANCE:
                raise DeliveryAllowanceUsedUp from None
            case Ending.TOKEN if self._renewed:
                raise CredentialsRefused(CREDENTIALS_SENTENCE) from None
            case Ending.TOKEN:
                self._refused = self._used
            case Ending.CURSOR_LOST if self._cursor is not None:
                self._cursor, self._gap = None, GapKind.CURSOR_LOST
            case _:
                await self._wait(receiver, error)

    async def _wait(self, receiver: Receiver, error: Exception) -> None:
        self._failures += 1
        receiver.on_state(StreamState(Phase.RETRYING, _why(error), self._failures))
        at_least_s = error.after_s if isinstance(error, Retryable) and error.after_s else 0.0
        await self._pause(max(at_least_s, self._delay(self._failures)))


def _latest(responses: Sequence[Any]) -> bytes | None:
    """The newest replay id of a group: that of the response, which may be ahead of its last event."""
    for response in reversed(responses):
        if response.latest_replay_id:
            return bytes(response.latest_replay_id)
        if response.events:
            return bytes(response.events[-1].replay_id)
    return None


def _why(error: Exception) -> str:
    match error:
        case grpc.aio.AioRpcError():
            return describe(error)
        case Silent() | Closed() | Retryable():
            return str(error)
    return type(error).__name__  # not its text: it is not ours, and may quote anything
