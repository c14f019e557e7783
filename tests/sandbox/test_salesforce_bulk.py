"""Bulk API 2.0: jobs that do their work after the call, uploads and results as CSV, pages by locator."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.sandbox.org import Reply, RunningOrg, running_org


@pytest.fixture
async def org() -> AsyncIterator[RunningOrg]:
    async with running_org() as org:
        yield org


async def ingest(org: RunningOrg, csv: str, operation: str = "update", **more: str) -> str:
    """A job that was closed; its id."""
    body = {"object": "Contact", "operation": operation, "contentType": "CSV", **more}
    job = (await org.call("POST", "/jobs/ingest", body)).body
    headers = {"Authorization": f"Bearer {org.token}", "Content-Type": "text/csv"}
    async with org.http.put(f"/{job['contentUrl']}", data=csv, headers=headers) as answer:
        assert answer.status == 201
    await org.call("PATCH", f"/jobs/ingest/{job['id']}", {"state": "UploadComplete"})
    return str(job["id"])


async def query(org: RunningOrg, soql: str) -> str:
    reply = await org.call("POST", "/jobs/query", {"operation": "query", "query": soql})
    assert reply.status == 200, reply.body
    return str(reply.body["id"])


async def ended(org: RunningOrg, path: str) -> Any:
    """The job once it has ended."""
    async with asyncio.timeout(10):
        while (job := (await org.call("GET", path)).body)["state"] in ("UploadComplete", "InProgress"):
            await asyncio.sleep(0)
    return job


async def text(org: RunningOrg, path: str) -> tuple[str, dict[str, str]]:
    headers = {"Authorization": f"Bearer {org.token}"}
    async with org.http.get(f"/services/data/v68.0{path}", headers=headers) as answer:
        return await answer.text(), dict(answer.headers)


async def test_an_empty_cell_changes_nothing_and_a_mark_clears(org: RunningOrg) -> None:
    contact_id = await org.create(Title="kept", Department="cleared", Email="a@example.org")
    job_id = await ingest(org, f'Id,Title,Department,Email\n{contact_id},,#N/A,"b@example.org"\n')
    job = await ended(org, f"/jobs/ingest/{job_id}")
    contact = await org.read(contact_id)
    assert (job["state"], job["numberRecordsProcessed"], job["numberRecordsFailed"]) == ("JobComplete", 1, 0)
    assert (contact["Title"], contact["Department"], contact["Email"]) == ("kept", None, "b@example.org")


async def test_the_three_lists_tell_each_row_apart(org: RunningOrg) -> None:
    good, bad = await org.create(), await org.create()
    job_id = await ingest(org, f"Id,FirstName\n{good},A\n{bad},{'x' * 41}\n")
    await ended(org, f"/jobs/ingest/{job_id}")
    successes, _ = await text(org, f"/jobs/ingest/{job_id}/successfulResults")
    failures, _ = await text(org, f"/jobs/ingest/{job_id}/failedResults")
    unprocessed, _ = await text(org, f"/jobs/ingest/{job_id}/unprocessedrecords")
    assert successes.splitlines() == ['"sf__Id","sf__Created","Id","FirstName"', f'"{good}","false","{good}","A"']
    assert failures.splitlines()[0] == '"sf__Id","sf__Error","Id","FirstName"'
    assert "STRING_TOO_LONG:" in failures and ":FirstName --" in failures
    assert unprocessed.splitlines() == ['"Id","FirstName"']


async def test_an_upsert_says_what_it_created(org: RunningOrg) -> None:
    await org.create(Hint_Patient_Id__c="pat-1")
    csv = "Hint_Patient_Id__c,LastName\npat-1,A\npat-2,B\n"
    job_id = await ingest(org, csv, "upsert", externalIdFieldName="Hint_Patient_Id__c")
    await ended(org, f"/jobs/ingest/{job_id}")
    successes, _ = await text(org, f"/jobs/ingest/{job_id}/successfulResults")
    assert [line.split(",")[1] for line in successes.splitlines()[1:]] == ['"false"', '"true"']


async def test_a_job_waits_and_an_aborted_one_does_nothing(org: RunningOrg) -> None:
    org.side.change_switches({"bulk_job_s": 3600})
    contact_id = await org.create(Title="old")
    job_id = await ingest(org, f"Id,Title\n{contact_id},new\n")
    waiting = await org.call("GET", f"/jobs/ingest/{job_id}")
    early = await org.call("GET", f"/jobs/ingest/{job_id}/successfulResults")
    aborted = await org.call("PATCH", f"/jobs/ingest/{job_id}", {"state": "Aborted"})
    unprocessed, _ = await text(org, f"/jobs/ingest/{job_id}/unprocessedrecords")
    assert (waiting.body["state"], early.status, aborted.body["state"]) == ("UploadComplete", 400, "Aborted")
    assert len(unprocessed.splitlines()) == 2
    assert (await org.read(contact_id))["Title"] == "old"


async def test_an_unknown_column_fails_the_job(org: RunningOrg) -> None:
    job_id = await ingest(org, "Id,Nope__c\n003000000000001AAA,x\n")
    job = await ended(org, f"/jobs/ingest/{job_id}")
    assert (job["state"], job["errorMessage"]) == ("Failed", "InvalidBatch : Field name not found : Nope__c")


async def test_a_bulk_write_publishes_events_that_name_the_bulk_api(org: RunningOrg) -> None:
    contact_id = await org.create()
    await ended(org, f"/jobs/ingest/{await ingest(org, f'Id,Title{chr(10)}{contact_id},new{chr(10)}')}")
    _, event = await org.events(2)
    assert event["ChangeEventHeader"]["changeOrigin"].startswith("com/salesforce/api/bulkapi/68.0")


async def test_results_come_in_pages_by_locator(org: RunningOrg) -> None:
    ids = [await org.create(FirstName=f'N "{number}"') for number in range(5)]
    job_id = await query(org, "SELECT Id, FirstName, Synced_to_Hint__c FROM Contact ORDER BY Id")
    assert (await ended(org, f"/jobs/query/{job_id}"))["numberRecordsProcessed"] == 5
    first, headers = await text(org, f"/jobs/query/{job_id}/results?maxRecords=3")
    assert (headers["Sforce-NumberOfRecords"], headers["Sforce-Locator"] != "null") == ("3", True)
    last, end = await text(org, f"/jobs/query/{job_id}/results?maxRecords=3&locator={headers['Sforce-Locator']}")
    assert (end["Sforce-NumberOfRecords"], end["Sforce-Locator"]) == ("2", "null")
    assert first.splitlines()[:2] == ['"Id","FirstName","Synced_to_Hint__c"', f'"{ids[0]}","N ""0""","false"']
    assert len(last.splitlines()) == 3


async def test_every_step_of_a_job_is_a_call(org: RunningOrg) -> None:
    used = org.side.allowance.used
    job_id = await query(org, "SELECT Id FROM Contact")
    reply = await org.call("GET", f"/jobs/query/{job_id}")
    assert reply.headers["Sforce-Limit-Info"].startswith(f"api-usage={used + 2}/")


@pytest.mark.parametrize(
    ("soql", "code"),
    [
        ("SELECT Id, MailingAddress FROM Contact", "API_ERROR"),
        ("SELECT Id FROM Contact LIMIT 5 OFFSET 5", "API_ERROR"),
        ("SELECT COUNT() FROM Contact", "API_ERROR"),
        ("SELECT Nope__c FROM Contact", "INVALID_FIELD"),
        ("SELECT", "MALFORMED_QUERY"),
    ],
    ids=["compound field", "offset", "count", "unknown field", "no query"],
)
async def test_a_query_that_bulk_cannot_do_is_refused_at_once(org: RunningOrg, soql: str, code: str) -> None:
    reply = await org.call("POST", "/jobs/query", {"operation": "query", "query": soql})
    assert (reply.status, reply.code) == (400, code)


REFUSED: list[tuple[str, str, object, int]] = [
    ("GET", "/jobs/ingest/750Kd0000000099IAA", None, 404),
    ("GET", "/jobs/query/750Kd0000000099IAA/results", None, 404),
    ("POST", "/jobs/ingest", {"object": "Contact", "operation": "melt"}, 400),
    ("POST", "/jobs/ingest", {"object": "Contact", "operation": "upsert", "externalIdFieldName": "Title"}, 404),
]


@pytest.mark.parametrize(
    ("method", "path", "body", "status"), REFUSED, ids=["no job", "no query", "no operation", "no external id"]
)
async def test_what_is_no_job_is_refused(org: RunningOrg, method: str, path: str, body: object, status: int) -> None:
    reply: Reply = await org.call(method, path, body)
    assert reply.status == status


async def test_an_ended_job_can_be_deleted(org: RunningOrg) -> None:
    job_id = await query(org, "SELECT Id FROM Contact")
    await ended(org, f"/jobs/query/{job_id}")
    assert (await org.call("DELETE", f"/jobs/query/{job_id}")).status == 204
    assert (await org.call("GET", f"/jobs/query/{job_id}")).status == 404
