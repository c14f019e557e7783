"""Bad input at the listener and on the bus: answered, counted, never stored as an event, never a crash."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime
from typing import Any

import pytest

from hintd.core.model import Change, Notice, Side, Source
from hintd.ports import Queue
from hintd.sandbox.hint.webhooks import signature
from hintd.service.envelope import pack_notice
from tests.system.world import World, eventually

pytestmark = [pytest.mark.system, pytest.mark.asyncio(loop_scope="module")]

SECRET = "sbx-webhook-secret"


def _event(**more: Any) -> bytes:
    patient = {"id": "pat-nobody", "updated_at": "2026-11-22T10:00:00.000000-08:00"}
    event = {"id": "evt-1", "type": "patient.updated", "practice_id": "pra-sandbox00001", "object": patient}
    return json.dumps(event | more).encode()


async def _post(world: World, body: bytes, signed: str | None) -> tuple[int, str]:
    headers = {"Content-Type": "application/json"} | ({"X-Hint-Signature": signed} if signed else {})
    async with world.remote.session.post(
        f"{world.public_url}/hint/webhooks", data=io.BytesIO(body), headers=headers
    ) as got:
        return got.status, await got.text()


@pytest.mark.parametrize(
    ("body", "signed", "status", "result"),
    [
        (_event(), None, 401, "bad_signature"),
        (_event(), signature("another secret", _event()), 401, "bad_signature"),
        (_event(), "sha256=zz", 401, "bad_signature"),
        (b"x" * 1_100_000, None, 413, "too_large"),
        (b"not JSON", signature(SECRET, b"not JSON"), 400, "not_an_event"),
        (b"[]", signature(SECRET, b"[]"), 400, "not_an_event"),
        (b'{"type": 1}', signature(SECRET, b'{"type": 1}'), 400, "not_an_event"),
        (_event(type="patient.danced"), signature(SECRET, _event(type="patient.danced")), 200, "other_type"),
        (_event(practice_id="pra-other"), signature(SECRET, _event(practice_id="pra-other")), 200, "unknown_practice"),
    ],
    ids=[
        "unsigned", "wrong key", "no digest", "too large", "not JSON", "a list", "no event", "unknown type",
        "unknown practice",
    ],
)  # fmt: skip
async def test_a_bad_delivery_is_answered_and_counted_and_leaves_nothing(
    world: World, body: bytes, signed: str | None, status: int, result: str
) -> None:
    counter = f'hintd_webhooks_total{{result="{result}"}}'
    before, stored = (await world.metrics()).get(counter, 0.0), await world.outcomes()
    answered, text = await _post(world, body, signed)
    assert answered == status, text
    assert (await world.metrics())[counter] == before + 1
    await world.rest()
    assert await world.outcomes() == stored
    assert await world.parked() == []


async def test_an_event_of_an_unknown_patient_is_read_and_ignored(world: World) -> None:
    before = await world.reasons()
    body = _event()
    assert (await _post(world, body, signature(SECRET, body)))[0] == 200
    await world.rest()
    assert sum((await world.reasons() - before).values()) == 1


def _foreign(snapshot: bytes) -> bytes:
    now = datetime.now(UTC)
    notice = Notice("n-1", Source.WEBHOOK, "pra-sandbox00001", Side.HINT, "pat-x", Change.CHANGED, now, now, snapshot)
    return pack_notice(notice, lambda body: b"sealed elsewhere" + body)


@pytest.mark.parametrize(
    "body",
    [b"", b"garbage", b"H1\xff\xff\xff\xff", b"H1\x00\x00\x00\x02{}", b"H2" + bytes(40), _foreign(b"{}")],
    ids=["empty", "garbage", "length lies", "no header", "another version", "another key"],
)
async def test_a_message_that_cannot_be_decoded_is_parked_with_the_reason(world: World, body: bytes) -> None:
    known = {item.id for item in await world.parked()}
    await world.house.bus.publish(Queue.CHANGES, body, key="x")

    async def newly_parked() -> list[Any]:
        return [item for item in await world.parked() if item.id not in known]

    (item,) = await eventually(newly_parked, "the message is parked")
    assert (item.kind, item.owner) == ("unreadable_message", "on_call")
    assert item.message
    assert item.body == body
    await world.rest()
    await world.house.stores.parking.close(item.id, state="discarded", now=world.house.now())


@pytest.mark.parametrize(
    "patient",
    [
        {"id": "pat-odd", "updated_at": "yesterday"},
        {"id": "pat-odd", "updated_at": "2026-11-22T10:00:00.000000-08:00", "first_name": ["Ada"], "phones": "none"},
        {"id": "pat-odd", "updated_at": "2026-11-22T10:00:00.000000-08:00", "dob": {"year": 1980}},
    ],
    ids=["no stamp", "wrong types", "odd date"],
)
async def test_an_event_whose_patient_makes_no_sense_does_not_crash_and_is_read_instead(
    world: World, patient: dict[str, Any]
) -> None:
    before = await world.outcomes()
    body = _event(object=patient)
    status, _ = await _post(world, body, signature(SECRET, body))
    await world.rest()
    settled = sum((await world.outcomes()).values()) - sum(before.values())
    assert (status, settled) in {(200, 1), (400, 0)}
