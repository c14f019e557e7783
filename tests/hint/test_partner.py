from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import aiohttp
import pytest

from hintd.core.errors import CredentialsRefused, Refused, Retryable
from hintd.hint.events import read_event
from hintd.hint.partner import HintPartner, Installation, Webhook
from tests.hint.conftest import Counts, FakeHint, OpenBudget, Reply

NEWER = "/api/partner/installations/int-1"
OLDER = "/api/integrations/int-1"
URL = "https://hintd.example.org/hint/webhooks"
PRACTICE = {"id": "pra-1", "name": "Dr. Phil"}
CONNECTED = {
    "id": "int-1",
    "status": "active",
    "practice": PRACTICE,
    "product": {"slug": "x"},
    "api_keys": [
        {"id": "key-0", "token": "old-token", "deactivated_at": "2025-01-01T00:00:00Z"},
        {"id": "key-1", "token": "tok-1", "deactivated_at": None, "label": "hintd"},
    ],
}
TOKENS = {"id": "int-1", "status": "active", "practice": PRACTICE, "access_token": "tok-2", "expires_in": None}
HOOK = {"id": "who-1", "webhook_url": URL, "last_delivered_at": None}
GONE = Reply(404, json={"status": 404, "message": "Not found"})


@pytest.fixture
def partner(hint: FakeHint, session: aiohttp.ClientSession, budget: OpenBudget, counts: Counts) -> HintPartner:
    return HintPartner(session, api_url=hint.url, partner_key="partner-key", budget=budget, count=counts)


async def test_code_is_exchanged_for_the_token_in_use(partner: HintPartner, hint: FakeHint) -> None:
    hint.will(Reply(json=CONNECTED))
    installation = await partner.connect("code-1")
    assert installation == Installation("int-1", "active", "pra-1", "Dr. Phil", "tok-1")
    assert hint.paths == ["POST /api/partner/installations/connect"]
    assert hint.asked[0].json == {"code": "code-1", "activate": True}
    assert hint.asked[0].headers["Authorization"] == "Bearer partner-key"


async def test_older_exchange_is_used_where_the_newer_is_not_served(partner: HintPartner, hint: FakeHint) -> None:
    hint.will(GONE, Reply(json=TOKENS))
    assert (await partner.connect("code-1")).token == "tok-2"
    assert hint.paths[1] == "POST /api/oauth/tokens"
    assert hint.asked[1].json == {"grant_type": "authorization_code", "code": "code-1", "activate": True}


@pytest.mark.parametrize(
    "replies",
    [
        pytest.param([GONE, GONE], id="unknown"),
        pytest.param([Reply(422, json={"message": "Code is invalid"})], id="refused"),
        pytest.param([GONE, Reply(400, json={"message": "invalid_grant"})], id="refused by the older one"),
    ],
)
async def test_wrong_code_is_refused(partner: HintPartner, hint: FakeHint, replies: list[Reply]) -> None:
    hint.will(*replies)
    with pytest.raises(Refused) as caught:
        await partner.connect("code-1")
    assert "code-1" not in str(caught.value) + caught.value.refusal.message


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(CONNECTED | {"api_keys": []}, id="without a token"),
        pytest.param(CONNECTED | {"api_keys": "tok-1"}, id="keys of a wrong type"),
        pytest.param(CONNECTED | {"practice": None}, id="without a practice"),
        pytest.param([], id="an array"),
    ],
)
async def test_exchange_without_token_or_practice_is_no_connection(
    partner: HintPartner, hint: FakeHint, answer: Any
) -> None:
    hint.will(Reply(json=answer))
    with pytest.raises(Retryable):
        await partner.connect("code-1")


async def test_refused_partner_key_says_which_setting(partner: HintPartner, hint: FakeHint) -> None:
    hint.will(Reply(401, json={"message": "Unauthorized"}))
    with pytest.raises(CredentialsRefused, match="partner_key") as caught:
        await partner.connect("code-1")
    assert "partner-key" not in str(caught.value)


def test_token_is_in_no_representation() -> None:
    assert "tok-1" not in repr(Installation("int-1", "active", "pra-1", "Dr. Phil", "tok-1"))


Ask = Callable[[HintPartner], Awaitable[Any]]
INSTALLATION = {"id": "int-1", "status": "deactivated", "practice": PRACTICE}
ASKS: dict[str, tuple[Ask, str, str, Any, Any, Any]] = {
    "activate": (
        lambda p: p.activate("int-1"), "POST", "/activate",
        INSTALLATION, Installation("int-1", "deactivated", "pra-1", "Dr. Phil"), None,
    ),
    "deactivate": (
        lambda p: p.deactivate("int-1"), "POST", "/deactivate",
        INSTALLATION, Installation("int-1", "deactivated", "pra-1", "Dr. Phil"), None,
    ),
    "list": (
        lambda p: p.list_webhooks("int-1"), "GET", "/webhook_endpoints", [HOOK], (Webhook("who-1", URL),), (),
    ),
    "change": (
        lambda p: p.change_webhook("int-1", "who-1", URL), "PATCH", "/webhook_endpoints/who-1",
        HOOK, Webhook("who-1", URL), None,
    ),
    "remove": (
        lambda p: p.remove_webhook("int-1", "who-1"), "DELETE", "/webhook_endpoints/who-1", None, True, False,
    ),
}  # fmt: skip
each_ask = pytest.mark.parametrize(("ask", "method", "path", "answer", "told", "unknown"), ASKS.values(), ids=ASKS)


@each_ask
async def test_newer_path_is_asked_first(
    partner: HintPartner, hint: FakeHint, ask: Ask, method: str, path: str, answer: Any, told: Any, unknown: Any
) -> None:
    hint.will(Reply(json=answer))
    assert await ask(partner) == told
    assert hint.paths == [f"{method} {NEWER}{path}"]


@each_ask
async def test_older_path_is_asked_after_a_404(
    partner: HintPartner, hint: FakeHint, ask: Ask, method: str, path: str, answer: Any, told: Any, unknown: Any
) -> None:
    hint.will(GONE, Reply(json=answer))
    assert await ask(partner) == told
    assert hint.paths == [f"{method} {NEWER}{path}", f"{method} {OLDER}{path}"]


@each_ask
async def test_unknown_to_both_is_told_as_such(
    partner: HintPartner, hint: FakeHint, ask: Ask, method: str, path: str, answer: Any, told: Any, unknown: Any
) -> None:
    hint.will(GONE, GONE)
    assert await ask(partner) == unknown


async def test_removal_is_answered_without_a_body(partner: HintPartner, hint: FakeHint) -> None:
    hint.will(Reply(204, body=b""))
    assert await partner.remove_webhook("int-1", "who-1")


async def test_webhook_is_registered_once(partner: HintPartner, hint: FakeHint) -> None:
    hint.will(Reply(json=[HOOK | {"webhook_url": "https://other.example.org"}]), Reply(201, json=HOOK))
    assert await partner.register_webhook("int-1", URL) == Webhook("who-1", URL)
    assert hint.asked[1].json == {"webhook_url": URL}

    hint.will(Reply(json=[HOOK]))
    assert await partner.register_webhook("int-1", URL) == Webhook("who-1", URL)
    assert [asked.method for asked in hint.asked] == ["GET", "POST", "GET"]


async def test_webhook_of_an_unknown_installation_is_refused(partner: HintPartner, hint: FakeHint) -> None:
    hint.will(GONE, GONE, GONE, GONE)
    with pytest.raises(Refused):
        await partner.register_webhook("int-1", URL)


async def test_failed_deliveries_are_read_page_by_page(partner: HintPartner, hint: FakeHint) -> None:
    event = {"id": "evt-1", "type": "patient.updated", "practice_id": "pra-1", "object": {"id": "pat-1"}}
    row = {"event_type": "patient.updated", "created_at": "2026-01-01T00:00:00Z", "payload": event, "attempts": 72}
    hint.will(Reply(json=[row] * 100), Reply(json=[row]))
    since = datetime(2026, 1, 1, tzinfo=UTC)
    deliveries = [delivery async for delivery in partner.failed_deliveries(since)]
    assert len(deliveries) == 101
    assert read_event(deliveries[-1].event).practice_id == "pra-1"
    assert [asked.query["offset"] for asked in hint.asked] == ["0", "100"]
    assert hint.asked[0].query["status"] == "failed"
    assert hint.asked[0].query["created_at"] == '{"gte":"2026-01-01T00:00:00.000000Z"}'
