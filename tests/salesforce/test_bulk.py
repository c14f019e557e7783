"""Reading all Contacts by a bulk job, against the sandbox's Salesforce."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice

import aiohttp
import pytest

from hintd.core.errors import CredentialsRefused, Misconfigured, Retryable
from hintd.core.fields import FIELDS
from hintd.core.model import Contact
from hintd.core.rules import Rules
from hintd.ports import Call, CallClass
from hintd.salesforce.auth import Auth, Credentials, TokenSource
from hintd.salesforce.bulk import Bulk, waits_s
from hintd.salesforce.contacts import SalesforceClient
from hintd.sandbox.options import Options
from tests.sandbox.org import RunningOrg, running_org

BATCH = Call(CallClass.BATCH, "read")
QUERY = "SELECT Id FROM Contact ORDER BY Id"
FROM = 3  # Contacts from which the client reads by a job
JOB, PAGES, RESULTS = "POST /jobs/query", "GET /queryAll", "GET /jobs/query/{id}/results"


@dataclass
class Bench:
    """A bulk adapter with small pages on a sandbox org, the calls that it counted, and a client for the same org."""

    org: RunningOrg
    bulk: Bulk
    client: SalesforceClient
    counted: Counter[str]
    waits: list[float]

    async def people(self, number: int) -> list[str]:
        """So many Contacts, and no call counted yet."""
        ids = [await self.org.create() for _ in range(number)]
        self.org.side.calls.clear()
        return ids

    async def read_all(self) -> list[Contact]:
        page = await self.client.changed_contacts(BATCH, since=None)
        found = list(page.contacts)
        while page.next is not None:
            page = await self.client.changed_contacts(BATCH, since=None, next=page.next)
            found += page.contacts
        return found


@pytest.fixture
async def org() -> AsyncIterator[RunningOrg]:
    async with running_org(Options(salesforce_daily_calls=0)) as org:
        yield org


@pytest.fixture
async def bench(org: RunningOrg) -> AsyncIterator[Bench]:
    counted, waits = Counter[str](), list[float]()

    def count(remote: str, call: Call, result: str) -> None:
        counted[result] += 1

    async def sleep(wait_s: float) -> None:
        waits.append(wait_s)
        await asyncio.sleep(0)

    async with aiohttp.ClientSession() as session:
        credentials = Credentials(Auth.CLIENT_CREDENTIALS, org.url, "sbx-client", client_secret="sbx-secret")
        tokens = TokenSource(session, credentials, lambda: datetime.now(UTC))
        client = SalesforceClient(
            session, tokens, api_version="68.0", fields=FIELDS, rules=Rules(), count=count, bulk_from=FROM, sleep=sleep
        )
        bulk = Bulk(tokens, api_version="68.0", count=count, job_timeout_s=100, sleep=sleep, page_size=4)
        await client.book()
        org.side.calls.clear()
        counted.clear()
        yield Bench(org, bulk, client, counted, waits)
        bulk.close()
        client.close()


async def test_a_bulk_read_gives_what_a_query_gives(bench: Bench) -> None:
    street = 'Old "Mill" Road 1,\nApt 4B'
    await bench.org.create(FirstName="Zoë", MailingStreet=street, Birthdate="1980-02-03", Synced_to_Hint__c=True)
    gone = await bench.org.create(Hint_HIPAA_Authorization_Accepted_At__c="2026-01-02T03:04:05Z")
    bench.org.side.user_delete(gone)
    few = await bench.read_all()
    await bench.people(1)
    read = {contact.id: contact for contact in await bench.read_all()}
    assert (bench.org.side.calls[JOB], len(few), len(read)) == (1, 2, 3)
    assert [read[each.id].stamp for each in few] == [each.stamp for each in few]
    assert [read[each.id].deleted for each in few] == [each.deleted for each in few]
    assert [read[each.id].synced for each in few] == [each.synced for each in few]
    assert [read[each.id].values["address_line1"] for each in few] == [each.values["address_line1"] for each in few]


@pytest.mark.parametrize(("people", "jobs"), [(FROM - 1, 0), (FROM, 1)], ids=["few", "enough"])
async def test_all_contacts_are_read_by_a_job_from_so_many_on(bench: Bench, people: int, jobs: int) -> None:
    ids = await bench.people(people)
    assert sorted(contact.id for contact in await bench.read_all()) == ids
    calls = bench.org.side.calls
    assert (calls[PAGES], calls[JOB], calls[RESULTS]) == (1, jobs, jobs)


async def test_what_changed_since_a_time_is_never_read_by_a_job(bench: Bench) -> None:
    await bench.people(FROM)
    page = await bench.client.changed_contacts(BATCH, since=datetime(2000, 1, 1, tzinfo=UTC))
    assert (len(page.contacts), bench.org.side.calls[JOB]) == (FROM, 0)


@pytest.mark.parametrize("path", ["/jobs/query", "/jobs/query/750"], ids=["when created", "when asked after"])
async def test_where_the_job_fails_the_pages_are_read(bench: Bench, path: str) -> None:
    ids = await bench.people(FROM)
    bench.org.side.faults.arm("salesforce", "nonsense", path=path)
    assert sorted(contact.id for contact in await bench.read_all()) == ids
    assert (bench.org.side.calls[PAGES], bench.org.side.calls[RESULTS]) == (1, 0)


async def test_where_the_job_takes_too_long_the_pages_are_read(bench: Bench) -> None:
    ids = await bench.people(FROM)
    bench.org.side.change_switches({"bulk_job_s": 3600})
    assert sorted(contact.id for contact in await bench.read_all()) == ids
    assert 600 <= sum(bench.waits) <= 630


async def test_a_read_of_pages_asks_for_each_once_and_gives_everybody_once(bench: Bench) -> None:
    ids = await bench.people(10)
    place: str | None = await bench.bulk.find(QUERY, BATCH)
    pages = []
    while place is not None:
        records, place = await bench.bulk.read_page(place, {}, BATCH)
        pages.append([record["Id"] for record in records])
    assert pages == [ids[:4], ids[4:8], ids[8:]]
    assert bench.org.side.calls[RESULTS] == 3


async def test_every_request_is_counted_once(bench: Bench) -> None:
    await bench.people(FROM)
    await bench.read_all()
    assert bench.counted == {"ok": bench.org.side.calls.total()}


async def test_nobody_to_find_ends_well(bench: Bench) -> None:
    place = await bench.bulk.find(QUERY, BATCH)
    assert await bench.bulk.read_page(place, {}, BATCH) == ([], None)


async def test_a_job_that_takes_too_long_is_aborted(bench: Bench) -> None:
    bench.org.side.change_switches({"bulk_job_s": 3600})
    with pytest.raises(Retryable, match="did not end"):
        await bench.bulk.find(QUERY, BATCH)
    assert 100 <= sum(bench.waits) <= 130
    job = await bench.org.call("GET", "/jobs/query/750Kd0000000001IAA")
    assert job.body["state"] == "Aborted"


async def test_a_query_of_an_unknown_field_is_a_set_up_to_mend(bench: Bench) -> None:
    with pytest.raises(Misconfigured):
        await bench.bulk.find("SELECT Id, Nope__c FROM Contact", BATCH)


async def test_a_revoked_token_is_renewed_in_the_middle_of_a_job(bench: Bench) -> None:
    await bench.people(FROM)
    bench.org.side.faults.arm("salesforce", "revoke", path="/results")
    assert len(await bench.read_all()) == FROM
    assert bench.counted["failed"] == 1


async def test_a_token_that_is_refused_again_stops_the_job(bench: Bench) -> None:
    bench.org.side.faults.arm("salesforce", "revoke", path="/jobs/query", times=2)
    with pytest.raises(CredentialsRefused):
        await bench.bulk.find(QUERY, BATCH)


@pytest.mark.parametrize("path", ["/jobs/query", "/results"])
async def test_a_lost_answer_may_be_asked_again(bench: Bench, path: str) -> None:
    bench.org.side.faults.arm("salesforce", "nonsense", path=path)
    with pytest.raises(Retryable):
        await bench.bulk.read_page(await bench.bulk.find(QUERY, BATCH), {}, BATCH)


def test_the_waits_between_questions_grow_to_half_a_minute() -> None:
    assert list(islice(waits_s(), 8)) == [1, 2, 4, 8, 16, 30, 30, 30]
