"""The sandbox's Pub/Sub API: credits, replay ids, keep-alives, and every way in which a stream can end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import grpc.aio
import pytest

from hintd.sandbox import pubsub_api_pb2 as pb
from tests.sandbox.org import TOPIC, RunningOrg, running_org

CUSTOM, LATEST, EARLIEST = pb.ReplayPreset.CUSTOM, pb.ReplayPreset.LATEST, pb.ReplayPreset.EARLIEST
PREFIX = "sfdc.platform.eventbus.grpc."


@pytest.fixture
async def org() -> AsyncIterator[RunningOrg]:
    async with running_org() as running:
        yield running


def make_contacts(org: RunningOrg, count: int) -> list[str]:
    return [org.side.user_create({"LastName": f"N{number}"}) for number in range(count)]


async def take(stream: Any, count: int) -> list[Any]:
    """The next events of a stream."""
    found: list[Any] = []
    while len(found) < count:
        found += (await stream.read()).events
    return found


async def ending(stream: Any) -> tuple[grpc.StatusCode, str]:
    """How a stream ends: the status and the error code of the trailers."""
    with pytest.raises(grpc.aio.AioRpcError) as ended:
        while await stream.read() is not grpc.aio.EOF:
            pass
    return status_of(ended.value)


def status_of(error: grpc.aio.AioRpcError) -> tuple[grpc.StatusCode, str]:
    trailers = dict(error.trailing_metadata() or ())
    return error.code(), str(trailers.get("error-code", "")).removeprefix(PREFIX)


# Admission


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"accesstoken": "expired"}, "service.auth.error"),
        ({"accesstoken": ""}, "service.auth.headers.invalid"),
        ({"tenantid": "00DKd0000000001"}, "service.auth.headers.invalid"),
        ({"instanceurl": ""}, "service.auth.headers.invalid"),
    ],
    ids=["bad token", "no token", "short org id", "no instance"],
)
async def test_a_call_with_wrong_metadata_is_unauthenticated(
    org: RunningOrg, changes: dict[str, str], code: str
) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await org.stub.GetTopic(pb.TopicRequest(topic_name=TOPIC), metadata=org.metadata(**changes))
    assert status_of(refused.value) == (grpc.StatusCode.UNAUTHENTICATED, code)


async def test_the_topic_of_one_entity_has_a_schema_and_that_of_many_has_none(org: RunningOrg) -> None:
    one = await org.stub.GetTopic(pb.TopicRequest(topic_name=TOPIC), metadata=org.metadata())
    many = await org.stub.GetTopic(pb.TopicRequest(topic_name="/data/ChangeEvents"), metadata=org.metadata())
    assert one.can_subscribe and one.tenant_guid == org.side.org_id and len(one.schema_id) == 22
    assert many.schema_id == ""


@pytest.mark.parametrize(
    ("topic", "status", "code"),
    [
        ("/data/LeadChangeEvent", grpc.StatusCode.NOT_FOUND, "topic.not.found"),
        ("", grpc.StatusCode.INVALID_ARGUMENT, "topic.validation.empty"),
    ],
)
async def test_an_unknown_topic_is_refused(org: RunningOrg, topic: str, status: grpc.StatusCode, code: str) -> None:
    assert await ending(await org.subscribe(topic=topic)) == (status, code)


async def test_without_change_capture_there_is_no_topic(org: RunningOrg) -> None:
    org.side.change_switches({"change_capture": False})
    assert await ending(await org.subscribe()) == (grpc.StatusCode.NOT_FOUND, "topic.not.found")


async def test_an_unknown_schema_is_refused(org: RunningOrg) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await org.stub.GetSchema(pb.SchemaRequest(schema_id="nope"), metadata=org.metadata())
    assert status_of(refused.value)[1] == "schema.validation.failed"


# Where a stream begins


async def test_earliest_latest_and_custom_begin_where_they_say(org: RunningOrg) -> None:
    make_contacts(org, 3)
    old = await take(await org.subscribe(preset=EARLIEST), 3)
    after_first = await org.subscribe(preset=CUSTOM, replay_id=old[0].replay_id)
    assert [event.event.id for event in await take(after_first, 2)] == [event.event.id for event in old[1:]]
    latest = await org.subscribe(preset=LATEST)
    await opened(org, 3)
    make_contacts(org, 1)
    (new,) = await take(latest, 1)
    assert new.event.id not in {event.event.id for event in old}


async def opened(org: RunningOrg, streams: int) -> None:
    """Return when so many streams were admitted: one more call of this client is served after them."""
    while org.side.calls[f"Subscribe {TOPIC}"] < streams:
        await org.stub.GetTopic(pb.TopicRequest(topic_name=TOPIC), metadata=org.metadata())


async def test_replay_ids_have_ten_bytes_grow_and_leave_gaps(org: RunningOrg) -> None:
    make_contacts(org, 30)
    ids = [event.replay_id for event in await take(await org.subscribe(), 30)]
    numbers = [int.from_bytes(raw[:8], "big") for raw in ids]
    assert {len(raw) for raw in ids} == {10} and numbers == sorted(numbers)
    assert numbers[-1] - numbers[0] > 29


@pytest.mark.parametrize(
    "replay_id", [b"5935344", (2**40).to_bytes(8, "big") + b"\0\0", bytes(10)], ids=["text", "future", "before all"]
)
async def test_a_replay_id_that_was_never_given_out_is_corrupted(org: RunningOrg, replay_id: bytes) -> None:
    status = await ending(await org.subscribe(preset=CUSTOM, replay_id=replay_id))
    assert status == (grpc.StatusCode.INVALID_ARGUMENT, "subscription.fetch.replayid.corrupted")


async def test_a_custom_start_needs_a_replay_id(org: RunningOrg) -> None:
    _, code = await ending(await org.subscribe(preset=CUSTOM))
    assert code == "subscription.fetch.replayid.validation.failed"


@pytest.mark.parametrize("by", ["age", "count", "reset"])
async def test_an_expired_replay_id_is_corrupted(org: RunningOrg, by: str) -> None:
    make_contacts(org, 2)
    first, _ = await take(await org.subscribe(), 2)
    match by:
        case "age":
            org.later(hours=72, seconds=1)
            org.token = org.side.oauth.issue()
        case "count":
            org.side.change_switches({"retention_events": 1})
        case _:
            org.side.reset_replay_ids()
    _, code = await ending(await org.subscribe(preset=CUSTOM, replay_id=first.replay_id))
    assert code == "subscription.fetch.replayid.corrupted"


# Credits


async def test_events_stop_when_the_credits_are_used_and_go_on_with_new_ones(org: RunningOrg) -> None:
    make_contacts(org, 5)
    stream = await org.subscribe(credits=3)
    response = await stream.read()
    assert (len(response.events), response.pending_num_requested) == (3, 0)
    await stream.write(pb.FetchRequest(num_requested=10))
    response = await stream.read()
    assert (len(response.events), response.pending_num_requested) == (2, 8)


async def test_at_most_a_hundred_events_are_outstanding(org: RunningOrg) -> None:
    make_contacts(org, 130)
    response = await (await org.subscribe(credits=500)).read()
    assert (len(response.events), response.pending_num_requested) == (100, 0)


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        (pb.FetchRequest(num_requested=0), "subscription.fetch.requested.events.invalid"),
        (pb.FetchRequest(topic_name="/data/X", num_requested=1), "subscription.fetch.topic.mismatch"),
    ],
    ids=["no credits", "other topic"],
)
async def test_a_wrong_later_request_ends_the_stream(org: RunningOrg, request_: pb.FetchRequest, code: str) -> None:
    stream = await org.subscribe()
    await stream.write(request_)
    assert await ending(stream) == (grpc.StatusCode.INVALID_ARGUMENT, code)


async def test_a_stream_that_asks_for_nothing_more_is_closed(org: RunningOrg) -> None:
    org.side.change_switches({"idle_close_s": 0.05})
    make_contacts(org, 1)
    stream = await org.subscribe(credits=1)
    assert len((await stream.read()).events) == 1
    assert await stream.read() is grpc.aio.EOF


# A quiet topic


async def test_keep_alives_carry_an_advancing_replay_id_that_can_be_resumed_from(org: RunningOrg) -> None:
    org.side.change_switches({"keepalive_s": 0.05})
    stream = await org.subscribe()
    first, second = await stream.read(), await stream.read()
    assert not first.events and not second.events and first.latest_replay_id < second.latest_replay_id
    resumed = await org.subscribe(preset=CUSTOM, replay_id=second.latest_replay_id)
    make_contacts(org, 1)
    assert len(await take(resumed, 1)) == 1


async def test_a_stream_outlives_its_token_but_a_new_call_does_not(org: RunningOrg) -> None:
    stream = await org.subscribe()
    await opened(org, 1)
    org.side.revoke_tokens()
    make_contacts(org, 1)
    assert len(await take(stream, 1)) == 1
    assert (await ending(await org.subscribe()))[1] == "service.auth.error"


# Faults


@pytest.mark.parametrize(
    ("kind", "status", "code"),
    [
        ("unavailable", grpc.StatusCode.INTERNAL, "service.unavailable"),
        ("auth", grpc.StatusCode.UNAUTHENTICATED, "service.auth.error"),
        ("corrupted", grpc.StatusCode.INVALID_ARGUMENT, "subscription.fetch.replayid.corrupted"),
        ("limit", grpc.StatusCode.RESOURCE_EXHAUSTED, "subscription.limit.exceeded"),
        ("reset", grpc.StatusCode.UNAVAILABLE, ""),
    ],
)
async def test_an_armed_fault_ends_an_open_stream_at_once(
    org: RunningOrg, kind: str, status: grpc.StatusCode, code: str
) -> None:
    stream = await org.subscribe()
    await opened(org, 1)
    org.side.faults.arm("pubsub", kind)
    assert await ending(stream) == (status, code)
    make_contacts(org, 1)
    assert len(await take(await org.subscribe(), 1)) == 1


async def test_a_stalled_stream_says_nothing_while_another_goes_on(org: RunningOrg) -> None:
    stalled = await org.subscribe()
    await opened(org, 1)
    org.side.faults.arm("pubsub", "stall")
    while org.side.faults.armed():
        await opened(org, 1)
        await asyncio.sleep(0)
    org.side.change_switches({"keepalive_s": 0.02})
    reading = asyncio.create_task(stalled.read())
    make_contacts(org, 1)
    other = await org.subscribe()
    assert len(await take(other, 1)) == 1
    for _ in range(3):
        assert not (await other.read()).events
    assert not reading.done()
    stalled.cancel()
    await asyncio.gather(reading, return_exceptions=True)


async def test_the_delivery_allowance_runs_out(org: RunningOrg) -> None:
    org.side.change_switches({"deliveries_per_day": 3})
    make_contacts(org, 5)
    assert len(await take(await org.subscribe(credits=3), 3)) == 3
    status = await ending(await org.subscribe(credits=1))
    assert status == (grpc.StatusCode.RESOURCE_EXHAUSTED, "subscription.limit.exceeded")


async def test_a_repeated_event_keeps_its_id_under_a_new_replay_id(org: RunningOrg) -> None:
    make_contacts(org, 2)
    assert org.side.repeat_events(1) == 1
    _, event, again = await take(await org.subscribe(), 3)
    assert event.event == again.event and event.replay_id < again.replay_id
