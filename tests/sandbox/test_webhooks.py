"""The sandbox's webhooks: signed, repeated when refused, and troubled on purpose."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.sandbox.serving import PARTNER, Client, Listener, Served, listening, served


@asynccontextmanager
async def _heard(**options: Any) -> AsyncIterator[tuple[Served, Client, Listener]]:
    async with served(**options) as running, listening(running.call) as listener:
        yield running, running.call, listener


async def test_a_webhook_is_signed_over_its_raw_body() -> None:
    async with _heard() as (_, call, listener):
        await call.patient()
        await listener.count(1)
    expected = hmac.new(b"sbx-webhook-secret", listener.bodies[0], hashlib.sha256).hexdigest()
    assert listener.signatures[0] == f"sha256={expected}"


async def test_a_webhook_carries_the_whole_patient_as_a_read_shows_it() -> None:
    async with _heard() as (_, call, listener):
        patient = await call.patient(address_state="Texas")
        await listener.count(1)
        read = await call.hint("GET", f"/provider/patients/{patient['id']}")
    [event] = listener.events
    assert event["object"] == read.body
    assert event["type"] == "patient.created"
    assert event["id"].startswith("evt-")
    assert event["practice_id"].startswith("pra-")


async def test_each_kind_of_change_sends_its_event() -> None:
    async with _heard() as (_, call, listener):
        path = f"/patients/{(await call.patient())['id']}"
        await listener.count(1)
        await call.control("PATCH", path, {"email": "new@mail.example"})
        await listener.count(2)
        await call.control("PATCH", path, {"membership_status": "archived"})
        await listener.count(4)
        await call.control("DELETE", path)
        await listener.count(5)
    assert listener.types[:2] == ["patient.created", "patient.updated"]
    assert sorted(listener.types[2:4]) == ["patient.inactive", "patient.updated"]
    assert listener.types[4] == "patient.destroyed"


async def test_the_integrations_own_write_echoes() -> None:
    async with _heard() as (_, call, listener):
        patient = await call.patient()
        await call.hint("PATCH", f"/provider/patients/{patient['id']}", {"integration_record_id": "003A"})
        await listener.count(2)
    assert {event["object"]["integration_record_id"] for event in listener.events} == {None, "003A"}


async def test_a_write_that_changes_nothing_sends_nothing() -> None:
    async with _heard() as (running, call, listener):
        patient = await call.patient(first_name="Ada")
        await call.hint("PATCH", f"/provider/patients/{patient['id']}", {"first_name": " Ada "})
        await running.sandbox.hint.webhooks.idle()
    assert listener.types == ["patient.created"]


async def test_only_an_active_installation_hears_of_changes() -> None:
    async with _heard() as (running, call, listener):
        installation = await call.connect()
        await call.hint("POST", f"/partner/installations/{installation['id']}/deactivate", key=PARTNER)
        await call.patient()
        await running.sandbox.hint.webhooks.idle()
    assert listener.types == ["integration.deactivated"]


async def test_a_refused_delivery_comes_back_with_the_same_id() -> None:
    async with _heard(webhook_retry_s=0.05) as (_, call, listener):
        listener.answers = [503, 500]
        await call.patient()
        await listener.count(3)
    assert len({event["id"] for event in listener.events}) == 1


async def test_a_refused_delivery_waits_its_hour_unless_told_otherwise() -> None:
    async with _heard() as (running, call, listener):
        listener.answers = [503]
        await call.patient()
        await listener.count(1)
        await running.sandbox.hint.webhooks.idle()
        failed = await call.hint("GET", "/partner/webhook_requests?status=failed", key=PARTNER)
        got = await call.control("POST", "/webhooks/retry")
        await listener.count(2)
    assert [(d["attempts"], d["last_status_code"]) for d in failed.body] == [(1, 503)]
    assert failed.body[0]["payload"]["type"] == "patient.created"
    assert got.body == {"deliveries": 1}


async def test_a_delivery_is_given_up_after_its_days() -> None:
    async with _heard(webhook_retry_s=0.01, webhook_give_up_s=0) as (running, call, listener):
        listener.answers = [503, 503]
        await call.patient()
        await listener.count(1)
        await running.sandbox.hint.webhooks.idle()
        assert (await call.control("POST", "/webhooks/retry")).body == {"deliveries": 0}


async def test_an_address_that_fails_too_often_is_muted() -> None:
    async with _heard(webhook_mute_after=2) as (running, call, listener):
        listener.answers = [503, 503]
        for _ in range(2):
            await call.patient()
            await running.sandbox.hint.webhooks.idle()
        await call.patient()
        await running.sandbox.hint.webhooks.idle()
        shown = (await call.control("GET", "/webhooks")).body
    assert len(listener.bodies) == 2
    assert [d["attempts"] for d in shown["deliveries"]] == [1, 1, 0]


async def test_an_address_that_nobody_answers_counts_as_refusing() -> None:
    async with served() as running:
        await running.call.connect()
        url = {"webhook_url": "http://127.0.0.1:9/gone"}
        await running.call.hint("POST", "/global_webhook_endpoints", url, key=PARTNER)
        await running.call.patient()
        await running.sandbox.hint.webhooks.idle()
        shown = (await running.call.control("GET", "/webhooks")).body
    assert [(d["status"], d["last_status_code"]) for d in shown["deliveries"]] == [("failed", None)]


async def test_unregistering_cancels_what_waits() -> None:
    async with served(webhook_retry_s=0.05) as running:
        await running.call.connect()
        url = {"webhook_url": "http://127.0.0.1:9/gone"}
        made = (await running.call.hint("POST", "/global_webhook_endpoints", url, key=PARTNER)).body
        await running.call.patient()
        await running.call.hint("DELETE", f"/global_webhook_endpoints/{made['id']}", key=PARTNER)
        await running.sandbox.hint.webhooks.idle()
        shown = (await running.call.control("GET", "/webhooks")).body
    assert [d["status"] for d in shown["deliveries"]] == ["cancelled"]


@pytest.mark.parametrize(
    ("mode", "names"),
    [
        pytest.param("hold", ["A", "B", "C"], id="held ones come in their order"),
        pytest.param("reverse", ["C", "B", "A"], id="reversed ones come last first"),
    ],
)
async def test_held_deliveries_come_when_released(mode: str, names: list[str]) -> None:
    async with _heard() as (running, call, listener):
        await call.control("POST", "/webhooks", {"mode": mode})
        for name in ("A", "B", "C"):
            await call.patient(first_name=name)
        await running.sandbox.hint.webhooks.idle()
        before = len(listener.bodies)
        await call.control("POST", "/webhooks/release")
        await listener.count(3)
    assert before == 0
    assert [event["object"]["first_name"] for event in listener.events] == names


async def test_repeated_deliveries_come_twice_with_one_id() -> None:
    async with _heard() as (_, call, listener):
        await call.control("POST", "/webhooks", {"mode": "repeat"})
        await call.patient()
        await listener.count(2)
        await call.control("POST", "/webhooks/repeat")
        await listener.count(3)
    assert len({event["id"] for event in listener.events}) == 1


async def test_dropped_deliveries_never_come() -> None:
    async with _heard() as (running, call, listener):
        await call.control("POST", "/webhooks", {"mode": "drop"})
        await call.patient(first_name="Dropped")
        await call.control("POST", "/webhooks", {"mode": "normal"})
        await call.patient(first_name="Sent")
        await listener.count(1)
        await running.sandbox.hint.webhooks.idle()
    assert [event["object"]["first_name"] for event in listener.events] == ["Sent"]
