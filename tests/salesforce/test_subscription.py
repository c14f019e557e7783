"""One Subscribe call: asking early, reading ahead within bounds, and giving up on silence."""

from __future__ import annotations

import asyncio
from typing import Any

from hintd.salesforce.pubsub_api_pb2 import ConsumerEvent, FetchResponse
from hintd.salesforce.stream import Phase
from hintd.salesforce.subscription import READ_AHEAD, Start, Subscription
from tests.salesforce.change_events import ADA
from tests.salesforce.pubsub_server import NEW, OLD, Stream, change, says_nothing, sends, serving
from tests.salesforce.stream_receiver import Ledger, make_stream, running


async def test_a_silent_stream_is_given_up() -> None:
    async with serving([says_nothing, sends()]) as server:
        ledger = Ledger()
        async with running(make_stream(server, ledger, watchdog_s=0.2), ledger, OLD):
            await ledger.until("cursor", NEW)

    assert ledger.states[1].why == "nothing came for 0.2 s"
    assert Phase.LIVE not in [state.phase for state in ledger.states[:2]]


async def test_more_events_are_asked_for_while_earlier_ones_are_still_worked_on() -> None:
    asked: list[int] = []
    ledger = Ledger(gate=asyncio.Event())

    async def counting(stream: Stream) -> None:
        await stream.send(*(change(ADA, b"1") for _ in range(40)), latest=b"1", pending=60)
        await stream.send(*(change(ADA, b"2") for _ in range(10)), latest=b"2", pending=50)
        asked.append((await stream.asked()).num_requested)
        ledger.gate.set()  # type: ignore[union-attr]
        await stream.send(latest=NEW, pending=100)
        await stream.stay()

    async with serving([counting]) as server, running(make_stream(server, ledger), ledger, OLD):
        await ledger.until("cursor", NEW)

    assert asked == [50]
    assert len(ledger.notices) == 50


async def test_a_keep_alive_with_nothing_pending_is_answered_by_asking() -> None:
    asked: list[int] = []

    async def starved(stream: Stream) -> None:
        await stream.send(latest=OLD, pending=0)
        asked.append((await stream.asked()).num_requested)
        await stream.send(latest=NEW)
        await stream.stay()

    async with serving([starved]) as server:
        ledger = Ledger()
        async with running(make_stream(server, ledger), ledger, OLD):
            await ledger.until("cursor", NEW)

    assert asked == [100]


class EndlessCall:
    """A call that always has a full response ready."""

    def __init__(self) -> None:
        self.reads = 0
        self.asked: list[int] = []

    async def read(self) -> Any:
        self.reads += 1
        return FetchResponse(events=[ConsumerEvent()] * 100)

    async def write(self, request: Any) -> None:
        self.asked.append(request.num_requested)


async def test_what_waits_for_a_slow_receiver_is_bounded() -> None:
    call = EndlessCall()
    subscription = Subscription(call, watchdog_s=300)
    reader = asyncio.create_task(subscription.read_ahead(Start("/data/ContactChangeEvent", None).request()))

    for _ in range(1000):
        await asyncio.sleep(0)
    waiting = call.reads
    taken = await subscription.take()
    reader.cancel()
    await asyncio.gather(reader, return_exceptions=True)

    assert waiting == READ_AHEAD + 1
    assert len(taken) == READ_AHEAD
    assert set(call.asked) == {100}
