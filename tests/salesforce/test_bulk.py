"""Reading and writing many Contacts by bulk jobs, against the sandbox's Salesforce."""

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
from hintd.ports import Call, CallClass, ContactWrite, WriteResult
from hintd.salesforce.auth import Auth, Credentials, TokenSource
from hintd.salesforce.bulk import Bulk, Sizes, waits_s, worth_bulk
from hintd.salesforce.bulk_csv import read_failures, write_load
from hintd.salesforce.collections import Written
from hintd.salesforce.contacts import SalesforceClient
from hintd.sandbox.options import Options
from tests.sandbox.org import RunningOrg, running_org

BATCH = Call(CallClass.BATCH, "read")
JOB = "/jobs/ingest"


@dataclass
class Bench:
    """A bulk adapter on a sandbox org, the calls that it counted, and a client for the same org."""

    org: RunningOrg
    bulk: Bulk
    small: Bulk  # with small pages and loads
    client: SalesforceClient
    counted: Counter[str]
    waits: list[float]

    async def read_all(self) -> list[Contact]:
        return [contact async for page in self.client.all_contacts(BATCH) for contact in page]


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
            session, tokens, api_version="68.0", fields=FIELDS, rules=Rules(), count=count, sleep=sleep
        )
        bulk = Bulk(tokens, api_version="68.0", count=count, timeout_s=5, job_timeout_s=100, sleep=sleep)
        small = Bulk(tokens, api_version="68.0", count=count, sleep=sleep, sizes=Sizes(4, 3, 2))
        await client.book()
        org.side.calls.clear()
        counted.clear()
        yield Bench(org, bulk, small, client, counted, waits)
        bulk.close()
        small.close()
        client.close()


def written(result: Written) -> ContactWrite:
    assert isinstance(result, ContactWrite)
    return result


async def test_a_bulk_read_gives_what_a_query_gives(bench: Bench) -> None:
    street = 'Old "Mill" Road 1,\nApt 4B'
    await bench.org.create(FirstName="Zoë", MailingStreet=street, Birthdate="1980-02-03", Synced_to_Hint__c=True)
    gone = await bench.org.create(Hint_HIPAA_Authorization_Accepted_At__c="2026-01-02T03:04:05Z")
    bench.org.side.user_delete(gone)
    queried = (await bench.client.changed_contacts(BATCH, since=None)).contacts
    read = {contact.id: contact for contact in await bench.read_all()}
    assert len(read) == 2
    assert [read[each.id].stamp for each in queried] == [each.stamp for each in queried]
    assert [read[each.id].deleted for each in queried] == [each.deleted for each in queried]
    assert [read[each.id].synced for each in queried] == [each.synced for each in queried]
    assert [read[each.id].values["address_line1"] for each in queried] == [
        each.values["address_line1"] for each in queried
    ]


async def test_a_read_of_pages_asks_for_each_once_and_gives_everybody_once(bench: Bench) -> None:
    ids = [await bench.org.create() for _ in range(10)]
    bench.org.side.calls.clear()
    read = bench.small.read_contacts("SELECT Id FROM Contact ORDER BY Id", {}, lambda raw: raw["Id"], BATCH)
    pages = [page async for page in read]
    assert [len(page) for page in pages] == [3, 1, 3, 1, 2]
    assert [contact_id for page in pages for contact_id in page] == ids
    assert bench.org.side.calls["GET /jobs/query/{id}/results"] == 3


async def test_every_request_is_counted_once(bench: Bench) -> None:
    contact_id = await bench.org.create()
    bench.org.side.calls.clear()
    await bench.read_all()
    await bench.bulk.update_contacts([(contact_id, {"Title": "A"})], BATCH)
    assert bench.counted == {"ok": bench.org.side.calls.total()}


async def test_nobody_to_read_and_nothing_to_write_end_well(bench: Bench) -> None:
    assert await bench.read_all() == []
    bench.org.side.calls.clear()
    assert await bench.bulk.update_contacts([], BATCH) == []
    assert bench.org.side.calls.total() == 0


async def test_each_record_of_a_load_is_written_or_refused_by_itself(bench: Bench) -> None:
    ids = [await bench.org.create(Title="old", Email="a@example.org") for _ in range(4)]
    bench.org.side.user_delete(ids[2])
    results = await bench.bulk.update_contacts(
        [
            (ids[0], {"Title": None, "Synced_to_Hint__c": True}),
            (ids[1], {"FirstName": "x" * 41}),
            (ids[2], {"Title": "new"}),
            (ids[3], {"Description": 'two\nlines, "quoted"'}),
        ],
        BATCH,
    )
    assert [written(result).result for result in results] == [
        WriteResult.WRITTEN,
        WriteResult.REFUSED,
        WriteResult.GONE,
        WriteResult.WRITTEN,
    ]
    refusal = written(results[1]).refusal
    assert refusal is not None
    assert (refusal.code, refusal.fields) == ("STRING_TOO_LONG", ("FirstName",))
    first, last = await bench.org.read(ids[0]), await bench.org.read(ids[3])
    assert (first["Title"], first["Email"], first["Synced_to_Hint__c"]) == (None, "a@example.org", True)
    assert (last["Title"], last["Description"]) == ("old", 'two\nlines, "quoted"')


async def test_a_load_upserts_by_patient_id(bench: Bench) -> None:
    known = await bench.org.create(Hint_Patient_Id__c="pat-1")
    results = await bench.bulk.upsert_contacts(
        [("pat-2", {"LastName": "Kaya"}), ("pat-1", {"LastName": "Rossi"}), ("pat-3", {"FirstName": "Elif"})], BATCH
    )
    created, updated, refused = (written(result) for result in results)
    assert (created.created, updated.created, updated.contact_id) == (True, False, known)
    assert created.contact_id is not None
    assert (await bench.org.read(created.contact_id))["Hint_Patient_Id__c"] == "pat-2"
    assert refused.refusal is not None and refused.refusal.code == "REQUIRED_FIELD_MISSING"


async def test_a_locked_row_of_a_load_may_be_tried_again(bench: Bench) -> None:
    locked, free = await bench.org.create(), await bench.org.create()
    bench.org.side.faults.arm("save", "lock", path=locked)
    results = await bench.bulk.update_contacts([(locked, {"Title": "A"}), (free, {"Title": "A"})], BATCH)
    assert isinstance(results[0], Retryable)
    assert written(results[1]).result is WriteResult.WRITTEN


async def test_text_that_a_load_would_take_for_blank_is_refused_and_not_sent(bench: Bench) -> None:
    odd, plain = await bench.org.create(Title="old"), await bench.org.create()
    results = await bench.bulk.update_contacts([(odd, {"Title": "#N/A"}), (plain, {"Title": "A"})], BATCH)
    refusal = written(results[0]).refusal
    assert refusal is not None and refusal.fields == ("Title",)
    assert written(results[1]).result is WriteResult.WRITTEN
    assert (await bench.org.read(odd))["Title"] == "old"


async def test_many_records_are_several_loads(bench: Bench) -> None:
    ids = [await bench.org.create() for _ in range(5)]
    bench.org.side.calls.clear()
    results = await bench.small.update_contacts([(contact_id, {"Title": "A"}) for contact_id in ids], BATCH)
    assert [written(result).contact_id for result in results] == ids
    assert bench.org.side.calls["POST /jobs/ingest"] == 3


async def test_a_job_that_takes_too_long_is_aborted(bench: Bench) -> None:
    contact_id = await bench.org.create()
    bench.org.side.change_switches({"bulk_job_s": 3600})
    with pytest.raises(Retryable, match="did not end"):
        await bench.bulk.update_contacts([(contact_id, {"Title": "A"})], BATCH)
    assert 100 <= sum(bench.waits) <= 130
    job = await bench.org.call("GET", f"{JOB}/750Kd0000000001IAA")
    assert job.body["state"] == "Aborted"


async def test_a_load_with_a_field_that_the_org_lacks_writes_nothing_and_may_be_tried_again(bench: Bench) -> None:
    contact_id = await bench.org.create(Title="old")
    (result,) = await bench.bulk.update_contacts([(contact_id, {"Title": "A", "Nope__c": "x"})], BATCH)
    assert isinstance(result, Retryable)
    assert (await bench.org.read(contact_id))["Title"] == "old"


async def test_a_query_of_an_unknown_field_is_a_set_up_to_mend(bench: Bench) -> None:
    read = bench.bulk.read_contacts("SELECT Id, Nope__c FROM Contact", {}, lambda raw: raw, BATCH)
    with pytest.raises(Misconfigured):
        await anext(read)


async def test_a_revoked_token_is_renewed_in_the_middle_of_a_job(bench: Bench) -> None:
    await bench.org.create()
    bench.org.side.faults.arm("salesforce", "revoke", path="/results")
    assert len(await bench.read_all()) == 1
    assert bench.counted["failed"] == 1


async def test_a_token_that_is_refused_again_stops_the_read(bench: Bench) -> None:
    bench.org.side.faults.arm("salesforce", "revoke", path="/jobs/query", times=2)
    with pytest.raises(CredentialsRefused):
        await bench.read_all()


@pytest.mark.parametrize("path", ["/jobs/query", "/results"])
async def test_a_lost_answer_may_be_asked_again(bench: Bench, path: str) -> None:
    bench.org.side.faults.arm("salesforce", "nonsense", path=path)
    with pytest.raises(Retryable):
        await bench.read_all()


def test_the_waits_between_questions_grow_to_half_a_minute() -> None:
    assert list(islice(waits_s(), 8)) == [1, 2, 4, 8, 16, 30, 30, 30]


@pytest.mark.parametrize(
    ("records", "threshold", "worth"),
    [(10**6, 0, False), (19_999, 20_000, False), (20_000, 20_000, True), (0, 1, False)],
    ids=["never", "few", "enough", "none"],
)
def test_bulk_is_worth_it_from_the_threshold_on(records: int, threshold: int, worth: bool) -> None:
    assert worth_bulk(records, threshold) is worth


def test_a_load_says_what_to_clear_and_leaves_out_what_is_not_given() -> None:
    text = write_load("Id", [("003A", {"Title": None, "Id": "other"}), ("003B", {"Email": "", "DoNotCall": False})])
    assert text.splitlines() == ["Id,Title,Email,DoNotCall", "003A,#N/A,,", "003B,,#N/A,false"]


@pytest.mark.parametrize(
    ("cell", "code", "fields"),
    [
        ("STRING_TOO_LONG:First Name: too large: a:b (max length=40):FirstName --", "STRING_TOO_LONG", ["FirstName"]),
        ("UNABLE_TO_LOCK_ROW:unable to obtain: 003x:--", "UNABLE_TO_LOCK_ROW", None),
        ("REQUIRED_FIELD_MISSING:missing:LastName,Email --", "REQUIRED_FIELD_MISSING", ["LastName", "Email"]),
        ("APEX_ERROR:line 1\nline 2: --", "APEX_ERROR", []),
    ],
    ids=["colons in the sentence", "no fields", "two fields", "two lines"],
)
def test_an_error_cell_is_read_into_its_parts(cell: str, code: str, fields: list[str] | None) -> None:
    quoted = cell.replace('"', '""')
    failures = read_failures(f'"sf__Id","sf__Error","Id"\n"","{quoted}","003A"\n', "Id")
    error = failures["003A"]["errors"][0]
    assert (error["statusCode"], error.get("fields")) == (code, fields)
