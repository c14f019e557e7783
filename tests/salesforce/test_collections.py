"""Writing many Contacts in one request, against the sandbox's Salesforce."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime

import aiohttp
import pytest

from hintd.core.errors import RemoteDown, RemoteError, Retryable
from hintd.core.fields import FIELDS
from hintd.core.rules import Rules
from hintd.ports import Call, CallClass, ContactChange, ContactWrite, Saved, WriteResult
from hintd.salesforce.auth import Auth, Credentials, TokenSource
from hintd.salesforce.classify import UnknownField
from hintd.salesforce.collections import Collection, read_results, read_together, read_upserts
from hintd.salesforce.contacts import SalesforceClient
from hintd.salesforce.wire import Nonsense
from tests.sandbox.org import RunningOrg, running_org

BATCH = Call(CallClass.BATCH, "write")


@pytest.fixture
async def org() -> AsyncIterator[RunningOrg]:
    async with running_org() as org:
        yield org


@pytest.fixture
async def client(org: RunningOrg) -> AsyncIterator[SalesforceClient]:
    async with aiohttp.ClientSession() as session:
        credentials = Credentials(Auth.CLIENT_CREDENTIALS, org.url, "sbx-client", client_secret="sbx-secret")
        tokens = TokenSource(session, credentials, lambda: datetime.now(UTC))
        client = SalesforceClient(
            session, tokens, api_version="68.0", fields=FIELDS, rules=Rules(), count=lambda *_: None
        )
        yield client
        client.close()


async def update(client: SalesforceClient, *changes: ContactChange) -> Sequence[Saved]:
    return (await client.save_contacts(changes, (), BATCH))[0]


async def upsert(client: SalesforceClient, *changes: ContactChange) -> Sequence[Saved]:
    return (await client.save_contacts((), changes, BATCH))[1]


def written(result: Saved) -> ContactWrite:
    assert isinstance(result, ContactWrite)
    return result


async def test_each_record_is_written_or_refused_by_itself(client: SalesforceClient, org: RunningOrg) -> None:
    ids = [await org.create() for _ in range(3)]
    results = await update(
        client,
        (ids[0], {"Email": "a@example.org"}),
        (ids[1], {"FirstName": "x" * 41}),
        (ids[2], {"MailingCity": "Reno"}),
    )
    assert [written(r).result for r in results] == [WriteResult.WRITTEN, WriteResult.REFUSED, WriteResult.WRITTEN]
    refusal = written(results[1]).refusal
    assert refusal is not None
    assert (refusal.code, refusal.fields) == ("STRING_TOO_LONG", ("FirstName",))
    assert (await org.read(ids[0]))["Email"] == "a@example.org"
    assert (await org.read(ids[2]))["MailingCity"] == "Reno"


async def test_a_deleted_contact_is_gone_and_the_others_go_on(client: SalesforceClient, org: RunningOrg) -> None:
    kept, deleted = await org.create(), await org.create()
    org.side.user_delete(deleted)
    results = await update(client, (deleted, {"Email": "d@example.org"}), (kept, {"Email": "k@x.org"}))
    assert [written(r).result for r in results] == [WriteResult.GONE, WriteResult.WRITTEN]


SIZES = [
    (200, 0, {"PATCH /composite/sobjects": 1}),
    (0, 200, {"PATCH /composite/sobjects/Contact/{column}": 1}),
    (1, 1, {"POST /composite": 1}),
    (201, 0, {"POST /composite": 1}),
    (601, 200, {"POST /composite": 1}),
    (600, 600, {"POST /composite": 1, "PATCH /composite/sobjects/Contact/{column}": 1}),
    (0, 0, {}),
]


@pytest.mark.parametrize(
    ("updates", "creations", "calls"),
    SIZES,
    ids=["200 updates", "200 creations", "one of each", "201", "five collections", "six collections", "nobody"],
)
async def test_a_thousand_contacts_go_in_one_call_and_all_are_written(
    client: SalesforceClient, org: RunningOrg, updates: int, creations: int, calls: dict[str, int]
) -> None:
    ids = [await org.create() for _ in range(updates)]
    org.side.calls.clear()
    updated, created = await client.save_contacts(
        [(contact_id, {"MailingCity": "Reno"}) for contact_id in ids],
        [(f"pat-{number}", {"LastName": "Kaya"}) for number in range(creations)],
        BATCH,
    )
    assert [written(result).contact_id for result in updated] == ids
    assert [written(result).created for result in created] == [True] * creations
    assert org.side.calls == calls


async def test_each_record_of_both_kinds_is_written_or_refused_by_itself(
    client: SalesforceClient, org: RunningOrg
) -> None:
    first, second = await org.create(), await org.create()
    updated, created = await client.save_contacts(
        [(first, {"Title": "A"}), (second, {"FirstName": "x" * 41})],
        [("pat-1", {"FirstName": "Elif"}), ("pat-2", {"LastName": "Kaya"})],
        BATCH,
    )
    assert [written(r).result for r in updated] == [WriteResult.WRITTEN, WriteResult.REFUSED]
    assert [written(r).result for r in created] == [WriteResult.REFUSED, WriteResult.WRITTEN]


async def test_an_upsert_updates_the_contact_of_the_patient_or_creates_it(
    client: SalesforceClient, org: RunningOrg
) -> None:
    known = await org.create(Hint_Patient_Id__c="pat-1")
    results = await upsert(client, ("pat-1", {"LastName": "Rossi"}), ("pat-2", {"LastName": "Kaya", "Id": known}))
    updated, created = (written(result) for result in results)
    assert (updated.result, updated.contact_id, updated.created) == (WriteResult.WRITTEN, known, False)
    assert (created.result, created.created) == (WriteResult.WRITTEN, True)
    assert created.contact_id is not None
    assert (await org.read(created.contact_id))["Hint_Patient_Id__c"] == "pat-2"
    assert (await org.read(known))["LastName"] == "Rossi"


async def test_repeating_an_upsert_creates_no_second_contact(client: SalesforceClient, org: RunningOrg) -> None:
    change = ("pat-1", {"LastName": "Rossi"})
    first, again = [written((await upsert(client, change))[0]) for _ in range(2)]
    assert (first.contact_id, first.created, again.created) == (again.contact_id, True, False)


@pytest.mark.parametrize(
    ("fields", "code", "named"),
    [
        ({"FirstName": "Elif"}, "REQUIRED_FIELD_MISSING", ("LastName",)),
        ({"LastName": "Kaya", "FirstName": "x" * 41}, "STRING_TOO_LONG", ("FirstName",)),
        (
            {"LastName": "Kaya", "GenderIdentity": "else"},
            "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST",
            ("GenderIdentity",),
        ),
        ({"LastName": "Kaya", "AccountId": "001000000000099AAA"}, "INVALID_CROSS_REFERENCE_KEY", ("AccountId",)),
    ],
    ids=["no last name", "too long", "restricted picklist", "no such account"],
)
async def test_an_upsert_is_refused_by_itself(
    client: SalesforceClient, org: RunningOrg, fields: dict[str, str], code: str, named: tuple[str, ...]
) -> None:
    results = await upsert(client, ("pat-1", fields), ("pat-2", {"LastName": "Rossi"}))
    refused, created = (written(result) for result in results)
    assert refused.refusal is not None
    assert (refused.result, refused.refusal.code, refused.refusal.fields) == (WriteResult.REFUSED, code, named)
    assert created.created


async def test_a_locked_row_may_be_tried_again_and_the_others_are_written(
    client: SalesforceClient, org: RunningOrg
) -> None:
    locked, free = await org.create(Hint_Patient_Id__c="pat-1"), await org.create(Hint_Patient_Id__c="pat-2")
    org.side.faults.arm("save", "lock", path=locked, times=2)
    updates = await update(client, (locked, {"Title": "a"}), (free, {"Title": "a"}))
    upserts = await upsert(client, ("pat-1", {"Title": "b"}), ("pat-2", {"Title": "b"}))
    assert [type(updates[0]), type(upserts[0])] == [Retryable, Retryable]
    assert [written(updates[1]).result, written(upserts[1]).result] == [WriteResult.WRITTEN, WriteResult.WRITTEN]


@pytest.mark.parametrize("item", [{"success": True}, {"success": True, "id": "here"}], ids=["no id", "no record id"])
def test_an_upsert_without_the_contacts_id_may_be_repeated(item: dict[str, object]) -> None:
    (result,) = read_upserts([item], [("pat-1", {})])
    assert isinstance(result, Retryable)


LOCKED = {
    "success": False,
    "errors": [{"statusCode": "UNABLE_TO_LOCK_ROW", "message": "unable to obtain", "fields": []}],
}


@pytest.mark.parametrize("item", [LOCKED, {"success": False, "errors": []}], ids=["locked row", "no reason given"])
def test_a_record_that_may_be_tried_again_is_an_error_of_its_own(item: dict[str, object]) -> None:
    (result,) = read_results([item], [("003000000000001AAA", {})])
    assert isinstance(result, Retryable)


@pytest.mark.parametrize("body", [[], {}, [{"success": True}, {"success": True}]], ids=["none", "no list", "too many"])
def test_an_answer_for_another_number_of_records_is_nonsense(body: object) -> None:
    with pytest.raises(Nonsense):
        read_results(body, [("003000000000001AAA", {})])


BOTH = [Collection(False, [("003000000000001AAA", {}), ("003000000000002AAA", {})]), Collection(True, [("pat-1", {})])]
CREATED = {
    "referenceId": "part1",
    "httpStatusCode": 200,
    "body": [{"success": True, "id": "003000000000003AAA", "created": True}],
}


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (500, [{"errorCode": "UNKNOWN_EXCEPTION", "message": "An unexpected error occurred"}], Retryable),
        (503, None, RemoteDown),
        (400, [{"errorCode": "INVALID_FIELD", "message": "No such column", "fields": ["Nope__c"]}], UnknownField),
        (200, [{"success": True}], Nonsense),
    ],
    ids=["failed", "down", "unknown field", "too few results"],
)
def test_a_part_that_fails_as_a_whole_is_an_error_for_each_of_its_records(
    status: int, body: object, error: type[RemoteError]
) -> None:
    failed = {"referenceId": "part0", "httpStatusCode": status, "body": body}
    updated, created = read_together({"compositeResponse": [failed, CREATED]}, BOTH)
    assert [type(result) for result in updated] == [error, error]
    assert written(created[0]).contact_id == "003000000000003AAA"


def test_an_answer_without_one_of_the_parts_is_nonsense() -> None:
    with pytest.raises(Nonsense):
        read_together({"compositeResponse": [CREATED]}, BOTH)
