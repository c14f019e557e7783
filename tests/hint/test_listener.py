import asyncio
import gzip
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from aiohttp.test_utils import TestClient, TestServer
from structlog.testing import capture_logs

from hintd.core.model import Change, Notice, Side, Source
from hintd.hint.listener import Intake, Receipt, make_public_app
from hintd.hint.signature import sign
from hintd.ports import BusDown

SECRET = b"a signature key for tests"
START = datetime(2026, 11, 22, 10, 15, tzinfo=UTC)
MAX_BODY_BYTES = 20_000
PATIENT = {"id": "pat-1", "last_name": "Secretname", "updated_at": "2026-11-22T02:14:59.000001-08:00"}


@dataclass
class Rest:
    """The rest of hintd as the listener sees it."""

    notices: list[Notice] = field(default_factory=list)
    receipts: list[Receipt] = field(default_factory=list)
    integrations: list[tuple[str, str]] = field(default_factory=list)
    practices: dict[str, bool | None] = field(default_factory=lambda: {"pra-1": True})
    now: datetime = START
    bus_is_down: bool = False
    problems: dict[str, str] = field(default_factory=dict)

    async def accept(self, notice: Notice) -> None:
        if self.bus_is_down:
            raise BusDown
        self.notices.append(notice)

    def intake(self) -> Intake:
        ids: Iterator[str] = (f"notice-{n}" for n in range(1, 1000))
        return Intake(
            secret=SECRET,
            accept=self.accept,
            known_practice=lambda practice_id: self.practices.get(practice_id, False),
            count=self.receipts.append,
            now=lambda: self.now,
            max_body_bytes=MAX_BODY_BYTES,
            on_integration=lambda practice_id, type: self.integrations.append((practice_id, type)),
            new_id=ids.__next__,
        )


@pytest.fixture
def rest() -> Rest:
    return Rest()


@pytest.fixture
async def public(rest: Rest) -> AsyncIterator[TestClient[Any, Any]]:
    app = make_public_app(rest.intake(), unready=lambda: rest.problems)
    async with TestClient(TestServer(app)) as client:
        yield client


def event(**changes: Any) -> bytes:
    whole = {
        "id": "evt-1",
        "type": "patient.updated",
        "practice_id": "pra-1",
        "created_at": "2026-11-22T10:15:00Z",
        "object": PATIENT,
    }
    return msgspec.json.encode({k: v for k, v in (whole | changes).items() if v is not ...})


async def deliver(public: TestClient[Any, Any], body: bytes, signature: str | None = "") -> tuple[int, str]:
    """Status and text of the answer; an empty ``signature`` is the right one, None is none."""
    headers = {} if signature is None else {"X-Hint-Signature": signature or sign(SECRET, body)}
    async with public.post("/hint/webhooks", data=body, headers=headers) as response:
        return response.status, await response.text()


async def test_signed_event_becomes_a_notice_that_carries_it_as_sent(public: TestClient[Any, Any], rest: Rest) -> None:
    record = b'{ "id":"pat-1",  "updated_at":"2026-11-22T02:14:59.000001-08:00","last_name":"M\xc3\xbcller" }'
    body = b'{"type":"patient.updated","object":' + record + b',"practice_id":"pra-1","new":[{}]}'
    assert await deliver(public, body) == (200, "")
    assert rest.notices == [
        Notice(
            id="notice-1",
            source=Source.WEBHOOK,
            connection="pra-1",
            side=Side.HINT,
            record_id="pat-1",
            change=Change.CHANGED,
            stamp=datetime(2026, 11, 22, 10, 14, 59, 1, UTC),
            accepted_at=START,
            snapshot=body,
        )
    ]
    assert rest.receipts == [Receipt.ACCEPTED]


@pytest.mark.parametrize(
    ("type", "change"),
    [
        ("patient.created", Change.CREATED),
        ("patient.updated", Change.CHANGED),
        ("patient.inactive", Change.CHANGED),
        ("patient.destroyed", Change.DELETED),
    ],
)
async def test_type_says_what_happened(public: TestClient[Any, Any], rest: Rest, type: str, change: Change) -> None:
    await deliver(public, event(type=type))
    assert [notice.change for notice in rest.notices] == [change]


@pytest.mark.parametrize(
    "signature",
    [None, "sha256=", sign(b"another key", event()), sign(SECRET, event(id="evt-2"))],
    ids=["missing", "empty", "another key", "another body"],
)
async def test_unsigned_event_is_refused_and_not_kept(
    public: TestClient[Any, Any], rest: Rest, signature: str | None
) -> None:
    status, text = await deliver(public, event(), signature)
    assert status == 401
    assert "Secretname" not in text
    assert rest.notices == []
    assert rest.receipts == [Receipt.BAD_SIGNATURE]


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"Secretname", id="not JSON"),
        pytest.param(b"[1]", id="an array"),
        pytest.param(b'{"Secretname":', id="cut"),
        pytest.param(b"[" * 9000 + b"]" * 9000, id="deep"),
        pytest.param(event(type=...), id="without a type"),
        pytest.param(event(type=7), id="with a number for a type"),
        pytest.param(event(practice_id=...), id="without a practice"),
        pytest.param(event(practice_id=""), id="with an empty practice"),
        pytest.param(event(practice_id=["Secretname"]), id="with a list for a practice"),
        pytest.param(event(object=...), id="without an object"),
        pytest.param(event(object="Secretname"), id="with a text for an object"),
        pytest.param(event(object={"last_name": "Secretname"}), id="without an id"),
        pytest.param(event(object={"id": 7}), id="with a number for an id"),
        pytest.param(event(object={"id": "pat-\x00"}), id="with a control character in the id"),
        pytest.param(event(object={"id": "p" * 300}), id="with an endless id"),
        pytest.param(event().replace(b"Secretname", b"\xff\xfe"), id="not UTF-8 within the object"),
    ],
)
async def test_signed_body_that_is_no_event_is_answered_with_a_sentence(
    public: TestClient[Any, Any], rest: Rest, body: bytes
) -> None:
    status, text = await deliver(public, body)
    assert status == 400
    assert len(msgspec.json.decode(text)["message"]) > 20
    assert "Secretname" not in text
    assert rest.notices == []
    assert rest.receipts == [Receipt.NOT_AN_EVENT]


@pytest.mark.parametrize("stamp", [..., None, 7, "soon", ["2026"], "9999-12-31T23:59:59-14:00"])
async def test_event_without_a_readable_stamp_is_kept(public: TestClient[Any, Any], rest: Rest, stamp: Any) -> None:
    record = {"id": "pat-1"} | ({} if stamp is ... else {"updated_at": stamp})
    assert (await deliver(public, event(object=record)))[0] == 200
    assert [notice.stamp for notice in rest.notices] == [None]


@pytest.mark.parametrize("type", ["membership.updated", "customer_invoice.created", "patient.teleported", ""])
async def test_other_types_are_counted_and_ignored(public: TestClient[Any, Any], rest: Rest, type: str) -> None:
    assert (await deliver(public, event(type=type, object=[1, 2])))[0] == 200
    assert rest.notices == []
    assert rest.integrations == []
    assert rest.receipts == [Receipt.OTHER_TYPE]


@pytest.mark.parametrize("type", ["integration.activated", "integration.deactivated"])
async def test_change_of_the_installation_is_passed_on(public: TestClient[Any, Any], rest: Rest, type: str) -> None:
    assert (await deliver(public, event(type=type)))[0] == 200
    assert rest.integrations == [("pra-1", type)]
    assert rest.receipts == [Receipt.OTHER_TYPE]


async def test_practice_that_cannot_be_told_yet_is_accepted(public: TestClient[Any, Any], rest: Rest) -> None:
    rest.practices["pra-1"] = None
    assert (await deliver(public, event()))[0] == 200
    assert rest.receipts == [Receipt.ACCEPTED]


async def test_unknown_practice_is_ignored_and_told_once_an_hour(public: TestClient[Any, Any], rest: Rest) -> None:
    with capture_logs() as lines:
        for practice_id in ("pra-8", "pra-8", "pra-9"):
            assert (await deliver(public, event(practice_id=practice_id)))[0] == 200
        rest.now += timedelta(minutes=59)
        await deliver(public, event(practice_id="pra-8"))
        rest.now += timedelta(minutes=1)
        await deliver(public, event(practice_id="pra-8"))
    assert [line["practice_id"] for line in lines] == ["pra-8", "pra-9", "pra-8"]
    assert rest.notices == []
    assert rest.receipts == [Receipt.UNKNOWN_PRACTICE] * 5


async def test_event_that_nothing_can_keep_is_refused(public: TestClient[Any, Any], rest: Rest) -> None:
    rest.bus_is_down = True
    assert (await deliver(public, event()))[0] == 503
    assert rest.receipts == [Receipt.NOT_DURABLE]
    rest.bus_is_down = False
    assert (await deliver(public, event()))[0] == 200


async def test_body_of_the_largest_size_is_taken_and_no_larger(public: TestClient[Any, Any], rest: Rest) -> None:
    largest = event().ljust(MAX_BODY_BYTES)
    assert (await deliver(public, largest))[0] == 200
    assert (await deliver(public, largest + b" "))[0] == 413
    assert rest.receipts == [Receipt.ACCEPTED, Receipt.TOO_LARGE]


@pytest.mark.parametrize("packed", [False, True], ids=["in pieces", "packed"])
async def test_large_body_of_no_announced_length_is_refused(
    public: TestClient[Any, Any], rest: Rest, packed: bool
) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        whole = b" " * 500_000
        for piece in [gzip.compress(whole)] if packed else [whole[:5000]] * 100:
            yield piece

    headers = {"Content-Encoding": "gzip"} if packed else {}
    async with public.post("/hint/webhooks", data=pieces(), headers=headers) as response:
        assert response.status == 413
    assert rest.receipts == [Receipt.TOO_LARGE]


async def test_sender_that_breaks_off_leaves_no_trace(
    public: TestClient[Any, Any], rest: Rest, caplog: pytest.LogCaptureFixture
) -> None:
    reader, writer = await asyncio.open_connection(public.host, public.port)
    writer.write(b"POST /hint/webhooks HTTP/1.1\r\nHost: hintd\r\nContent-Length: 500\r\n\r\n{")
    writer.write_eof()
    await reader.read()
    writer.close()
    await writer.wait_closed()
    assert (await deliver(public, event()))[0] == 200
    assert rest.receipts == [Receipt.ACCEPTED]
    assert caplog.records == []


async def test_sender_that_dawdles_is_sent_away(rest: Rest) -> None:
    app = make_public_app(replace(rest.intake(), body_timeout_s=0.05))
    async with TestClient(TestServer(app)) as client:
        reader, writer = await asyncio.open_connection(client.host, client.port)
        writer.write(b"POST /hint/webhooks HTTP/1.1\r\nHost: hintd\r\nContent-Length: 500\r\n\r\n{")
        assert b" 408 " in await reader.readline()
        writer.close()
        await writer.wait_closed()
    assert rest.receipts == []


async def test_get_is_not_a_delivery(public: TestClient[Any, Any]) -> None:
    async with public.get("/hint/webhooks") as response:
        assert response.status == 405


async def test_readiness_names_what_is_not_ready(public: TestClient[Any, Any], rest: Rest) -> None:
    async with public.get("/readyz") as response:
        assert (response.status, await response.json()) == (200, {"ok": True, "problems": {}})
    rest.problems["bus"] = "RabbitMQ cannot be reached."
    async with public.get("/readyz") as response:
        assert response.status == 503
        assert await response.json() == {"ok": False, "problems": {"bus": "RabbitMQ cannot be reached."}}
    async with public.get("/healthz") as response:
        assert response.status == 200


async def test_health_can_have_problems_of_its_own(rest: Rest) -> None:
    app = make_public_app(rest.intake(), unhealthy=lambda: {"worker": "It has stopped."})
    async with TestClient(TestServer(app)) as client, client.get("/healthz") as response:
        assert response.status == 503


def test_empty_key_is_refused(rest: Rest) -> None:
    with pytest.raises(ValueError, match="signature key is empty"):
        make_public_app(replace(rest.intake(), secret=b""))


def test_key_is_in_no_representation(rest: Rest) -> None:
    assert "signature key" not in repr(rest.intake())
