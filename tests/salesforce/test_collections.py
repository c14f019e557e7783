"""Writing many Contacts in one request, against the sandbox's Salesforce."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime

import aiohttp
import pytest

from hintd.core.errors import Retryable
from hintd.core.fields import FIELDS
from hintd.core.rules import Rules
from hintd.ports import Call, CallClass, ContactWrite, WriteResult
from hintd.salesforce.auth import Auth, Credentials, TokenSource
from hintd.salesforce.collections import Written, read_results, read_upserts
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


def written(result: Written) -> ContactWrite:
    assert isinstance(result, ContactWrite)
    return result


async def test_each_record_is_written_or_refused_by_itself(client: SalesforceClient, org: RunningOrg) -> None:
    ids = [await org.create() for _ in range(3)]
    results = await client.update_contacts(
        [(ids[0], {"Email": "a@example.org"}), (ids[1], {"FirstName": "x" * 41}), (ids[2], {"MailingCity": "Reno"})],
        BATCH,
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
    results = await client.update_contacts([(deleted, {"Email": "d@example.org"}), (kept, {"Email": "k@x.org"})], BATCH)
    assert [written(r).result for r in results] == [WriteResult.GONE, WriteResult.WRITTEN]


async def test_201_contacts_take_two_requests(client: SalesforceClient, org: RunningOrg) -> None:
    ids = [await org.create() for _ in range(201)]
    org.side.calls.clear()
    results = await client.update_contacts([(contact_id, {"MailingCity": "Reno"}) for contact_id in ids], BATCH)
    assert all(written(r).result is WriteResult.WRITTEN for r in results)
    assert org.side.calls["PATCH /composite/sobjects"] == 2


async def test_no_contacts_cost_no_request(client: SalesforceClient, org: RunningOrg) -> None:
    assert await client.update_contacts([], BATCH) == []
    assert org.side.calls.total() == 0


async def test_an_upsert_updates_the_contact_of_the_patient_or_creates_it(
    client: SalesforceClient, org: RunningOrg
) -> None:
    known = await org.create(Hint_Patient_Id__c="pat-1")
    results = await client.upsert_contacts(
        [("pat-1", {"LastName": "Rossi"}), ("pat-2", {"LastName": "Kaya", "Id": known})], BATCH
    )
    updated, created = (written(result) for result in results)
    assert (updated.result, updated.contact_id, updated.created) == (WriteResult.WRITTEN, known, False)
    assert (created.result, created.created) == (WriteResult.WRITTEN, True)
    assert created.contact_id is not None
    assert (await org.read(created.contact_id))["Hint_Patient_Id__c"] == "pat-2"
    assert (await org.read(known))["LastName"] == "Rossi"


async def test_repeating_an_upsert_creates_no_second_contact(client: SalesforceClient, org: RunningOrg) -> None:
    changes = [("pat-1", {"LastName": "Rossi"})]
    first, again = [written((await client.upsert_contacts(changes, BATCH))[0]) for _ in range(2)]
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
    results = await client.upsert_contacts([("pat-1", fields), ("pat-2", {"LastName": "Rossi"})], BATCH)
    refused, created = (written(result) for result in results)
    assert refused.refusal is not None
    assert (refused.result, refused.refusal.code, refused.refusal.fields) == (WriteResult.REFUSED, code, named)
    assert created.created


async def test_201_upserts_take_two_requests(client: SalesforceClient, org: RunningOrg) -> None:
    results = await client.upsert_contacts([(f"pat-{n}", {"LastName": "Kaya"}) for n in range(201)], BATCH)
    assert all(written(result).created for result in results)
    assert org.side.calls["PATCH /composite/sobjects/Contact/{column}"] == 2


async def test_a_locked_row_may_be_tried_again_and_the_others_are_written(
    client: SalesforceClient, org: RunningOrg
) -> None:
    locked, free = await org.create(Hint_Patient_Id__c="pat-1"), await org.create(Hint_Patient_Id__c="pat-2")
    org.side.faults.arm("save", "lock", path=locked, times=2)
    updates = await client.update_contacts([(locked, {"Title": "a"}), (free, {"Title": "a"})], BATCH)
    upserts = await client.upsert_contacts([("pat-1", {"Title": "b"}), ("pat-2", {"Title": "b"})], BATCH)
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
