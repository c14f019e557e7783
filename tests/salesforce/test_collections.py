"""Writing many Contacts in one request, against the sandbox's Salesforce."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime

import aiohttp
import pytest

from hintd.core.errors import RemoteError, Retryable
from hintd.core.fields import FIELDS
from hintd.core.rules import Rules
from hintd.ports import Call, CallClass, ContactWrite, WriteResult
from hintd.salesforce.auth import Auth, Credentials, TokenSource
from hintd.salesforce.collections import read_results
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


def written(result: ContactWrite | RemoteError) -> ContactWrite:
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
