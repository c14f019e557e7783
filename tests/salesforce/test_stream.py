"""The supervised subscription, over a real gRPC connection with a server that follows a script."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import pytest

from hintd.core.errors import CredentialsRefused, Misconfigured, RemoteDown
from hintd.core.model import Change
from hintd.salesforce.stream import Phase
from hintd.salesforce.stream_errors import DeliveryAllowanceUsedUp
from tests.salesforce.change_events import ADA, BOB, event
from tests.salesforce.pubsub_server import (
    NEW,
    OLD,
    SCHEMA_ID,
    Stream,
    change,
    closes,
    consumer_event,
    fails,
    sends,
    sends_then_fails,
    serving,
)
from tests.salesforce.stream_receiver import PATIENCE_S, Ledger, Tokens, make_stream, running

LATEST, CUSTOM = 0, 2


async def test_notices_are_taken_before_their_cursor_is_stored() -> None:
    async with serving([sends(change(ADA, b"1"), change(BOB, b"2"))]) as server:
        ledger = Ledger()
        async with running(make_stream(server, ledger), ledger, OLD):
            await ledger.until("cursor", NEW)

    assert ledger.of("accept", "cursor", "gap") == [("accept", [ADA, BOB]), ("cursor", NEW)]
    assert [n.change for n in ledger.notices] == [Change.CHANGED, Change.CHANGED]
    assert {n.connection for n in ledger.notices} == {"prac-1"}
    (first,) = server.subscriptions
    assert (first.topic_name, first.replay_preset, first.replay_id) == ("/data/ContactChangeEvent", CUSTOM, OLD)
    assert first.num_requested == 100
    assert server.logins[0].items() >= {
        ("accesstoken", "t1"),
        ("instanceurl", "https://acme.my.salesforce.com"),
        ("tenantid", "00D5g000004AbCdEAK"),
    }


async def test_the_first_start_tells_a_gap_once_the_subscription_is_live_and_before_its_cursor() -> None:
    async with serving([sends(change(ADA, b"1"))]) as server:
        ledger = Ledger()
        async with running(make_stream(server, ledger), ledger, None):
            await ledger.until("cursor", NEW)

    assert ledger.seen == [
        ("state", "connecting"),
        ("state", "live"),
        ("gap", "first_start"),
        ("accept", [ADA]),
        ("cursor", NEW),
    ]
    assert server.subscriptions[0].replay_preset == LATEST


async def test_a_keep_alive_stores_its_cursor() -> None:
    async with serving([sends()]) as server:
        ledger = Ledger()
        async with running(make_stream(server, ledger), ledger, OLD):
            await ledger.until("cursor", NEW)

    assert ledger.of("accept", "gap") == []


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (grpc.StatusCode.UNAVAILABLE, ""),
        (grpc.StatusCode.INTERNAL, "service.unavailable"),
        (grpc.StatusCode.UNAVAILABLE, "topic.api.unavailable"),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "service.protection.triggered"),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "concurrent.client.limit.exceeded"),
        (grpc.StatusCode.INVALID_ARGUMENT, "subscription.fetch.replay.repeated"),
        (grpc.StatusCode.UNKNOWN, "something.new"),
    ],
)
async def test_what_passes_by_itself_is_tried_again_from_the_same_cursor(status: grpc.StatusCode, code: str) -> None:
    async with serving([fails(status, code), fails(status, code), sends()]) as server:
        ledger = Ledger()
        async with running(make_stream(server, ledger), ledger, OLD):
            await ledger.until("cursor", NEW)

    assert [first.replay_id for first in server.subscriptions] == [OLD, OLD, OLD]
    assert ledger.of("pause", "gap") == [("pause", 1.0), ("pause", 2.0)]
    assert [s.attempt for s in ledger.states if s.phase is Phase.RETRYING] == [1, 2]


async def test_a_stream_that_breaks_goes_on_from_the_last_stored_cursor_and_waits_from_the_start_again() -> None:
    broken = sends_then_fails(NEW, grpc.StatusCode.UNAVAILABLE)
    async with serving([fails(grpc.StatusCode.UNAVAILABLE), broken, sends(latest=b"3")]) as server:
        ledger = Ledger()
        async with running(make_stream(server, ledger), ledger, OLD):
            await ledger.until("cursor", b"3")

    assert [first.replay_id for first in server.subscriptions] == [OLD, OLD, NEW]
    assert ledger.of("pause") == [("pause", 1.0), ("pause", 1.0)]


async def test_a_stream_that_salesforce_closes_is_opened_again() -> None:
    async with serving([closes, sends()]) as server:
        ledger = Ledger()
        async with running(make_stream(server, ledger), ledger, b"0"):
            await ledger.until("cursor", NEW)

    assert [s.why for s in ledger.states if s.phase is Phase.RETRYING] == ["closed by Salesforce"]


async def test_nobody_listening_is_retried() -> None:
    async with serving([]) as gone:
        pass
    ledger = Ledger()
    async with running(make_stream(gone, ledger), ledger, OLD):
        await ledger.until("pause", 2.0)

    assert ledger.states[1].why == "unavailable"


async def test_a_server_without_tls_is_not_given_the_token() -> None:
    async with serving([sends()]) as server:
        ledger = Ledger()
        async with running(make_stream(server, ledger, tls=True), ledger, OLD):
            await ledger.until("pause", 2.0)

    assert server.logins == []


async def test_a_refused_token_is_renewed_once_and_at_once() -> None:
    refused = fails(grpc.StatusCode.UNAUTHENTICATED, "service.auth.error")
    async with serving([refused, sends()]) as server:
        ledger = Ledger()
        async with running(make_stream(server, ledger), ledger, OLD):
            await ledger.until("cursor", NEW)

    assert [login["accesstoken"] for login in server.logins] == ["t1", "t2"]
    assert server.subscriptions[1].replay_id == OLD
    assert ledger.of("pause") == []


async def test_a_new_token_that_is_refused_too_means_that_the_credentials_are() -> None:
    refused = fails(grpc.StatusCode.UNAUTHENTICATED, "service.auth.error")
    async with serving([refused, refused]) as server:
        ledger = Ledger()
        with pytest.raises(CredentialsRefused, match="Lock sessions to the IP address"):
            await make_stream(server, ledger).run(ledger.receiver(), cursor=OLD)

    assert [login["accesstoken"] for login in server.logins] == ["t1", "t2"]


async def test_a_token_refused_again_after_work_was_done_is_renewed_again() -> None:
    refused = fails(grpc.StatusCode.UNAUTHENTICATED, "service.auth.error")
    worked = sends_then_fails(NEW, grpc.StatusCode.UNAUTHENTICATED, "service.auth.error")
    async with serving([refused, worked, sends(latest=b"3")]) as server:
        ledger = Ledger()
        async with running(make_stream(server, ledger), ledger, OLD):
            await ledger.until("cursor", b"3")

    assert [login["accesstoken"] for login in server.logins] == ["t1", "t2", "t3"]


async def test_a_token_server_that_is_down_is_waited_for() -> None:
    class Down(Tokens):
        async def token(self) -> Any:
            if not ledger.of("pause"):
                raise RemoteDown("Salesforce's login does not answer", after_s=30.0)
            return await super().token()

    async with serving([sends()]) as server:
        ledger = Ledger()
        async with running(make_stream(server, ledger, Down()), ledger, OLD):
            await ledger.until("cursor", NEW)

    assert ledger.of("pause") == [("pause", 30.0)]


@pytest.mark.parametrize(
    "code",
    [
        "subscription.fetch.replayid.corrupted",
        "subscription.fetch.replayid.validation.failed",
        "",
    ],
)
async def test_a_lost_cursor_is_told_as_a_gap_only_when_the_new_stream_is_live(code: str) -> None:
    steps = [fails(grpc.StatusCode.INVALID_ARGUMENT, code), fails(grpc.StatusCode.UNAVAILABLE), sends()]
    async with serving(steps) as server:
        ledger = Ledger()
        async with running(make_stream(server, ledger), ledger, OLD):
            await ledger.until("cursor", NEW)

    assert [first.replay_preset for first in server.subscriptions] == [CUSTOM, LATEST, LATEST]
    assert ledger.seen[-3:] == [("state", "live"), ("gap", "cursor_lost"), ("cursor", NEW)]
    assert len(ledger.gaps) == 1


async def test_a_gap_that_was_not_followed_by_a_stored_cursor_is_told_again() -> None:
    async with serving([sends(change(ADA, b"1")), sends(change(ADA, b"1"))]) as server:
        ledger = Ledger(failures=[ConnectionError("bus")])
        async with running(make_stream(server, ledger), ledger, None):
            await ledger.until("cursor", NEW)

    assert ledger.of("gap", "accept") == [("gap", "first_start"), ("gap", "first_start"), ("accept", [ADA])]


@pytest.mark.parametrize(
    ("status", "code", "advice"),
    [
        (grpc.StatusCode.NOT_FOUND, "topic.not.found", "select Contact in Setup, Change Data Capture"),
        (grpc.StatusCode.PERMISSION_DENIED, "", "read access to Contact"),
        (grpc.StatusCode.PERMISSION_DENIED, "topic.meta.permission", "View All Data"),
        (grpc.StatusCode.PERMISSION_DENIED, "service.tenant.license", "polling mode"),
        (grpc.StatusCode.UNAUTHENTICATED, "service.auth.headers.invalid", "18-character org id"),
    ],
)
async def test_what_a_person_must_mend_ends_the_run_with_advice(
    status: grpc.StatusCode, code: str, advice: str
) -> None:
    async with serving([fails(status, code)]) as server:
        ledger = Ledger()
        with pytest.raises(Misconfigured, match=advice):
            await make_stream(server, ledger).run(ledger.receiver(), cursor=OLD)


async def test_a_used_up_allowance_ends_the_run_for_an_hour() -> None:
    used_up = fails(grpc.StatusCode.RESOURCE_EXHAUSTED, "subscription.limit.exceeded")
    async with serving([used_up]) as server:
        ledger = Ledger()
        with pytest.raises(DeliveryAllowanceUsedUp) as ended:
            await make_stream(server, ledger).run(ledger.receiver(), cursor=OLD)

    assert ended.value.after_s == 3600
    assert len(server.subscriptions) == 1


async def test_what_could_not_be_taken_comes_again() -> None:
    async with serving([sends(change(ADA, b"1")), sends(change(ADA, b"1"))]) as server:
        ledger = Ledger(failures=[KeyError("a patient's name")])
        async with running(make_stream(server, ledger), ledger, OLD):
            await ledger.until("cursor", NEW)

    assert [first.replay_id for first in server.subscriptions] == [OLD, OLD]
    assert [s.why for s in ledger.states if s.phase is Phase.RETRYING] == ["KeyError"]
    assert ledger.of("accept", "cursor") == [("accept", [ADA]), ("cursor", NEW)]


@pytest.mark.parametrize(
    "bad",
    [
        pytest.param(consumer_event(b"\xff\xff", b"bad"), id="payload does not fit"),
        pytest.param(consumer_event(event("UPDATE", [ADA]), b"bad", "unknown-schema"), id="unknown schema"),
        pytest.param(change(ADA, b"bad", nulledFields=["not hex"]), id="bad bitmap"),
    ],
)
async def test_an_event_that_cannot_be_read_is_a_gap_and_the_stream_goes_on(bad: Any) -> None:
    async with serving([sends(bad, bad, change(BOB, b"2"))]) as server:
        ledger = Ledger()
        async with running(make_stream(server, ledger), ledger, OLD):
            await ledger.until("cursor", NEW)

    assert ledger.of("accept", "gap", "cursor") == [("accept", [BOB]), ("gap", "undecodable"), ("cursor", NEW)]
    assert [(gap.events, gap.replay_id) for gap in ledger.gaps] == [(2, b"bad")]


async def test_an_overflow_is_a_gap_and_gap_events_name_their_records() -> None:
    gap = consumer_event(event("GAP_UPDATE", [ADA, BOB]), b"1")
    overflow = consumer_event(event("GAP_OVERFLOW", []), b"2")
    async with serving([sends(gap, overflow)]) as server:
        ledger = Ledger()
        async with running(make_stream(server, ledger), ledger, OLD):
            await ledger.until("cursor", NEW)

    assert ledger.of("accept", "gap") == [("accept", [ADA, BOB]), ("gap", "overflow")]
    assert {(n.change, n.snapshot) for n in ledger.notices} == {(Change.GAP, None)}


async def test_a_schema_is_fetched_once_for_all_events_and_subscriptions() -> None:
    async def twice(stream: Stream) -> None:
        await stream.send(change(ADA, b"1"), change(BOB, b"2"), latest=b"2")
        await stream.fail(grpc.StatusCode.UNAVAILABLE)

    async with serving([twice, sends(change(ADA, b"3"))]) as server:
        ledger = Ledger()
        async with running(make_stream(server, ledger), ledger, OLD):
            await ledger.until("cursor", NEW)

    assert server.schema_calls == [SCHEMA_ID]


async def test_a_token_that_ran_out_under_an_open_stream_is_renewed_for_the_schema_alone() -> None:
    async with serving([sends(change(ADA, b"1"))]) as server:
        server.schema_failures = [grpc.StatusCode.UNAUTHENTICATED]
        ledger = Ledger()
        async with running(make_stream(server, ledger), ledger, OLD):
            await ledger.until("cursor", NEW)

    assert len(server.subscriptions) == 1
    assert [login["accesstoken"] for login in server.logins] == ["t1", "t1", "t2"]


async def test_schemas_that_are_refused_with_every_token_end_the_run() -> None:
    async with serving([sends(change(ADA, b"1"))] * 2) as server:
        server.schema_failures = [grpc.StatusCode.UNAUTHENTICATED] * 4
        ledger = Ledger()
        with pytest.raises(CredentialsRefused):
            async with asyncio.timeout(PATIENCE_S):
                await make_stream(server, ledger).run(ledger.receiver(), cursor=OLD)

    assert ledger.of("accept", "gap", "cursor") == []


async def test_a_schema_that_cannot_be_fetched_now_loses_no_event() -> None:
    async with serving([sends(change(ADA, b"1")), sends(change(ADA, b"1"))]) as server:
        server.schema_failures = [grpc.StatusCode.UNAVAILABLE]
        ledger = Ledger()
        async with running(make_stream(server, ledger), ledger, OLD):
            await ledger.until("cursor", NEW)

    assert ledger.of("accept", "gap") == [("accept", [ADA])]
