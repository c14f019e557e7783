import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import aiohttp
import pytest

from hintd.core.errors import (
    CredentialsRefused,
    Misconfigured,
    Refused,
    RemoteDown,
    RemoteError,
    Retryable,
    Throttled,
)
from hintd.core.fields import FIELDS
from hintd.core.model import Owner
from hintd.hint.client import HintClient
from hintd.ports import Call, CallClass
from tests.hint.conftest import Counts, FakeHint, OpenBudget, Reply

READ = Call(CallClass.REAL_TIME, "read")
WRITE = Call(CallClass.REAL_TIME, "write")
SWEEP = Call(CallClass.SWEEP, "list")
CONTACT_ID = "0035g00000AbCdEAAV"


def patient(**changes: Any) -> dict[str, Any]:
    """A patient as Hint shows it, with an attribute that nobody has heard of."""
    return {
        "id": "pat-1",
        "first_name": "Ann",
        "last_name": "Secretname",
        "dob": "1980-02-29",
        "email": "ann@example.com",
        "phones": [{"id": "pho-1", "number": "4155550101", "type": "mobile", "us_formattable": True}],
        "created_at": "2026-01-01T00:00:00.000000Z",
        "updated_at": "2026-02-05T06:23:00.000001-08:00",
        "integration_record_id": CONTACT_ID,
        "attribute_of_tomorrow": {"deep": [1, 2]},
    } | changes


@pytest.fixture
def client(hint: FakeHint, session: aiohttp.ClientSession, budget: OpenBudget, counts: Counts) -> HintClient:
    return HintClient(
        session, api_url=hint.url, token="tok-1", fields=FIELDS, budget=budget, count=counts, timeout_s=0.5
    )


async def test_patient_is_read_with_the_practice_token(client: HintClient, hint: FakeHint) -> None:
    hint.will(Reply(json=patient()))
    read = await client.get_patient("pat-1", READ)
    assert read is not None
    assert (read.id, read.values["last_name"], read.contact_id) == ("pat-1", "Secretname", CONTACT_ID)
    assert read.stamp == datetime(2026, 2, 5, 14, 23, 0, 1, UTC)
    assert hint.paths == ["GET /api/provider/patients/pat-1"]
    assert hint.asked[0].headers["Authorization"] == "Bearer tok-1"


async def test_missing_patient_is_none(client: HintClient, hint: FakeHint, counts: Counts) -> None:
    hint.will(Reply(404, json={"status": 404, "message": "Not found"}))
    assert await client.get_patient("pat-1", READ) is None
    assert counts.results == ["ok"]


@pytest.mark.parametrize("bad_id", ["", "a b", "pat-\x00", "x" * 300], ids=["empty", "space", "control", "long"])
async def test_impossible_id_is_never_asked_for(client: HintClient, hint: FakeHint, bad_id: str) -> None:
    assert await client.get_patient(bad_id, READ) is None
    assert await client.update_patient(bad_id, {"email": None}, WRITE) is None
    assert hint.asked == []


async def test_id_cannot_lead_to_another_path(client: HintClient, hint: FakeHint) -> None:
    hint.will(Reply(404))
    await client.get_patient("pat-1/../../practice?x=1", READ)
    assert hint.paths == ["GET /api/provider/patients/pat-1%2F..%2F..%2Fpractice%3Fx%3D1"]


async def test_patient_is_found_by_its_contact(client: HintClient, hint: FakeHint) -> None:
    hint.will(Reply(json=patient()))
    found = await client.find_by_contact(CONTACT_ID, READ)
    assert found is not None
    assert found.id == "pat-1"
    assert hint.paths == [f"GET /api/provider/patients/{CONTACT_ID}"]


async def test_patient_of_another_contact_is_not_found(client: HintClient, hint: FakeHint) -> None:
    hint.will(Reply(json=patient(integration_record_id=CONTACT_ID.swapcase())))
    assert await client.find_by_contact(CONTACT_ID, READ) is None


async def test_list_asks_for_a_page_oldest_change_first(client: HintClient, hint: FakeHint) -> None:
    hint.will(Reply(json=[patient(), patient(id="pat-2")], headers={"X-Total-Count": "302"}))
    page = await client.list_patients(SWEEP, offset=300)
    assert [p.id for p in page.patients] == ["pat-1", "pat-2"]
    assert page.total == 302
    assert hint.asked[0].query == {"limit": "100", "offset": "300", "sort": "updated_at"}


async def test_list_since_and_of_everyone_is_filtered(client: HintClient, hint: FakeHint) -> None:
    hint.will(Reply(json=[], headers={"X-Total-Count": "0"}))
    since = datetime(2026, 1, 1, 2, 0, tzinfo=timezone(timedelta(hours=2)))
    await client.list_patients(SWEEP, offset=0, limit=50, updated_since=since, everyone=True)
    assert hint.asked[0].query == {
        "limit": "50",
        "offset": "0",
        "sort": "updated_at",
        "updated_at": '{"gte":"2026-01-01T00:00:00.000000Z"}',
        "filter": "all",
    }


@pytest.mark.parametrize(
    ("limit", "total"), [(2, 3), (3, 2)], ids=["a full page has a next one", "a short page is the last"]
)
async def test_list_without_a_count_tells_whether_to_go_on(
    client: HintClient, hint: FakeHint, limit: int, total: int
) -> None:
    hint.will(Reply(json=[patient(), patient(id="pat-2")]))
    assert (await client.list_patients(SWEEP, offset=0, limit=limit)).total == total


async def test_one_unreadable_patient_fails_its_page(client: HintClient, hint: FakeHint) -> None:
    hint.will(Reply(json=[patient(), {"first_name": "no id"}], headers={"X-Total-Count": "2"}))
    with pytest.raises(Retryable):
        await client.list_patients(SWEEP, offset=0)


async def test_update_sends_the_changes_only_and_reads_what_was_stored(client: HintClient, hint: FakeHint) -> None:
    hint.will(Reply(json=patient(address_state="CA")))
    stored = await client.update_patient("pat-1", {"address_state": "California", "email": None}, WRITE)
    assert stored is not None
    assert stored.values["state"] == "CA"
    assert hint.paths == ["PATCH /api/provider/patients/pat-1"]
    assert hint.asked[0].json == {"address_state": "California", "email": None}


async def test_update_of_a_missing_patient_is_none(client: HintClient, hint: FakeHint) -> None:
    hint.will(Reply(404))
    assert await client.update_patient("pat-1", {"email": None}, WRITE) is None


async def test_create_sends_the_patient_once(client: HintClient, hint: FakeHint) -> None:
    hint.will(Reply(201, json=patient()))
    made = await client.create_patient({"last_name": "Secretname", "integration_record_id": CONTACT_ID}, WRITE)
    assert made.id == "pat-1"
    assert hint.paths == ["POST /api/provider/patients"]


async def test_create_without_a_record_id_is_refused_before_it_is_sent(client: HintClient, hint: FakeHint) -> None:
    with pytest.raises(Refused):
        await client.create_patient({"last_name": "Secretname"}, WRITE)
    assert hint.asked == []


@pytest.mark.parametrize("status", [400, 409, 422])
async def test_refusal_carries_the_words_of_hint_but_does_not_say_them(
    client: HintClient, hint: FakeHint, counts: Counts, status: int
) -> None:
    hint.will(Reply(status, json={"status": status, "message": "Validation failed: 'Secretname' is odd"}))
    with pytest.raises(Refused) as caught:
        await client.update_patient("pat-1", {"last_name": "Secretname"}, WRITE)
    assert caught.value.refusal.code == str(status)
    assert caught.value.refusal.message == "Validation failed: 'Secretname' is odd"
    assert caught.value.refusal.owner is Owner.CLINIC
    assert "Secretname" not in str(caught.value)
    assert counts.results == ["refused"]


async def test_a_hint_that_wants_the_names_with_every_change_gets_them(client: HintClient, hint: FakeHint) -> None:
    """Which of the two holds is not confirmed: the first refusal tells, and is remembered."""
    shown = Reply(200, patient(first_name="Ada", last_name="Abbott"))
    hint.will(Reply(422, {"message": "Validation failed: First name can't be blank"}), shown, shown, shown, shown)
    for city in ("Denver", "Austin"):
        await client.update_patient("pat-1", {"address_city": city}, WRITE)
    asked = [(asked.method, asked.json if asked.body else None) for asked in hint.asked]
    named = {"first_name": "Ada", "last_name": "Abbott"}
    assert asked == [
        ("PATCH", {"address_city": "Denver"}),
        ("GET", None),
        ("PATCH", {**named, "address_city": "Denver"}),
        ("GET", None),
        ("PATCH", {**named, "address_city": "Austin"}),
    ]


async def test_refusal_without_words_gets_a_sentence(client: HintClient, hint: FakeHint) -> None:
    hint.will(Reply(422, body=b"<html>"))
    with pytest.raises(Refused) as caught:
        await client.update_patient("pat-1", {}, WRITE)
    assert "no reason" in caught.value.refusal.message


@pytest.mark.parametrize(
    ("status", "error", "result"),
    [
        (401, CredentialsRefused, "refused"),
        (403, CredentialsRefused, "refused"),
        (428, Misconfigured, "refused"),
        (429, Throttled, "throttled"),
        (500, RemoteDown, "failed"),
        (503, RemoteDown, "failed"),
        (302, Retryable, "failed"),
        (418, Retryable, "refused"),
    ],
)
async def test_answers_are_typed_by_what_to_do(
    client: HintClient, hint: FakeHint, counts: Counts, status: int, error: type[RemoteError], result: str
) -> None:
    hint.will(Reply(status, json={"message": "Secretname"}, headers={"Location": "/elsewhere"}))
    with pytest.raises(RemoteError) as caught:
        await client.get_patient("pat-1", READ)
    assert type(caught.value) is error
    assert f"{status} to GET /provider/patients/{{id}}" in str(caught.value)
    assert "Secretname" not in str(caught.value)
    assert counts.results == [result]


async def test_throttling_is_told_to_the_budget(client: HintClient, hint: FakeHint, budget: OpenBudget) -> None:
    hint.will(Reply(429, json={"status": 429, "message": "Enhance your calm"}))
    with pytest.raises(RemoteDown) as caught:
        await client.get_patient("pat-1", READ)
    assert budget.throttles == 1
    assert caught.value.after_s is not None


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"<html>Secretname</html>", id="not JSON"),
        pytest.param(b"", id="empty"),
        pytest.param(b'{"id": "pat-1", "last_name": "Secretna', id="cut"),
        pytest.param(b'["Secretname"]', id="an array"),
        pytest.param(b'"Secretname"', id="a text"),
        pytest.param(b"null", id="null"),
        pytest.param(b'{"last_name": "Secretname"}', id="without an id"),
        pytest.param(b'{"id": "pat-1", "last_name": "Secretname", "updated_at": "soon"}', id="without a time"),
        pytest.param(b'{"id": "pat-1", "last_name": "\xff"}', id="not UTF-8"),
        pytest.param(b"[" * 100_000 + b"]" * 100_000, id="too deep"),
    ],
)
async def test_answer_that_makes_no_sense_is_asked_for_again(
    client: HintClient, hint: FakeHint, counts: Counts, body: bytes
) -> None:
    hint.will(Reply(body=body))
    with pytest.raises(Retryable) as caught:
        await client.get_patient("pat-1", READ)
    assert "cannot be read" in str(caught.value)
    assert "Secretname" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert counts.results == ["failed"]


@pytest.mark.parametrize("act", ["drop", "cut"])
async def test_read_on_a_broken_connection_is_sent_once_more(
    client: HintClient, hint: FakeHint, budget: OpenBudget, counts: Counts, act: str
) -> None:
    hint.will(Reply(json=patient(), act=act), Reply(json=patient()))
    assert await client.get_patient("pat-1", READ) is not None
    assert counts.results == ["failed", "ok"]
    assert budget.spent == [READ, READ]


async def test_second_broken_connection_is_a_remote_that_is_down(client: HintClient, hint: FakeHint) -> None:
    hint.will(Reply(act="drop"), Reply(act="drop"))
    with pytest.raises(RemoteDown):
        await client.get_patient("pat-1", READ)
    assert len(hint.asked) == 2


WRITES: dict[str, Callable[[HintClient], Any]] = {
    "create": lambda client: client.create_patient({"integration_record_id": CONTACT_ID}, WRITE),
    "update": lambda client: client.update_patient("pat-1", {"email": None}, WRITE),
}


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES.keys())
@pytest.mark.parametrize("act", ["drop", "cut", "hang"])
async def test_write_whose_answer_is_lost_is_not_sent_again(
    client: HintClient, hint: FakeHint, counts: Counts, act: str, write: Callable[[HintClient], Any]
) -> None:
    hint.will(Reply(json=patient(), act=act))
    with pytest.raises(RemoteDown):
        await write(client)
    assert len(hint.asked) == 1
    assert counts.results == ["failed"]


async def test_created_patient_with_an_unreadable_answer_is_not_taken_for_refused(
    client: HintClient, hint: FakeHint
) -> None:
    hint.will(Reply(body=b"created, somehow"))
    with pytest.raises(Retryable):
        await client.create_patient({"integration_record_id": CONTACT_ID}, WRITE)


async def test_time_out_names_the_template_and_is_not_repeated(client: HintClient, hint: FakeHint) -> None:
    hint.will(Reply(act="hang"))
    with pytest.raises(RemoteDown, match=r"did not answer GET /provider/patients/\{id\} within 0.5 s"):
        await client.get_patient("pat-1", READ)
    assert len(hint.asked) == 1


async def test_unreachable_hint_is_down(session: aiohttp.ClientSession, budget: OpenBudget, counts: Counts) -> None:
    closed = "http://127.0.0.1:1"
    client = HintClient(session, api_url=closed, token="tok-1", fields=FIELDS, budget=budget, count=counts)
    with pytest.raises(RemoteDown, match="cannot be reached"):
        await client.get_patient("pat-1", READ)
    assert counts.results == ["failed"]


async def test_refused_budget_sends_nothing(hint: FakeHint, session: aiohttp.ClientSession, counts: Counts) -> None:
    class UsedUp(OpenBudget):
        async def spend(self, call: Call) -> None:
            raise Retryable("The day's calls are used up.", after_s=60)

    client = HintClient(session, api_url=hint.url, token="tok-1", fields=FIELDS, budget=UsedUp(), count=counts)
    with pytest.raises(Retryable):
        await client.get_patient("pat-1", READ)
    assert hint.asked == []
    assert counts.results == []


async def test_call_that_is_cancelled_on_the_way_is_counted(
    client: HintClient, hint: FakeHint, budget: OpenBudget, counts: Counts
) -> None:
    hint.will(Reply(act="hang"))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await client.get_patient("pat-1", READ)
    assert budget.spent == [READ]
    assert counts.results == ["failed"]


@pytest.mark.parametrize(("call", "at_once"), [(READ, 3), (SWEEP, 1)], ids=["interactive", "background"])
async def test_reads_of_single_patients_are_few_at_a_time(
    client: HintClient, hint: FakeHint, budget: OpenBudget, call: Call, at_once: int
) -> None:
    hint.will(*[Reply(json=patient(), act="hang") for _ in range(5)])
    reads = [asyncio.create_task(client.get_patient("pat-1", call)) for _ in range(5)]
    async with asyncio.timeout(5):
        while len(hint.asked) < at_once:
            await asyncio.sleep(0)
    assert len(budget.spent) == at_once
    hint.released.set()
    assert all(await asyncio.gather(*reads))
    assert len(hint.asked) == 5


def test_token_is_in_no_representation(client: HintClient) -> None:
    assert "tok-1" not in repr(client) + repr(client._transport)
