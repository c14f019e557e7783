"""Bulk API 2.0: jobs that do their work after the call, results as CSV, pages by locator."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.sandbox.org import RunningOrg, running_org


@pytest.fixture
async def org() -> AsyncIterator[RunningOrg]:
    async with running_org() as org:
        yield org


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


async def test_a_job_waits_and_an_aborted_one_has_no_results(org: RunningOrg) -> None:
    org.side.change_switches({"bulk_job_s": 3600})
    job_id = await query(org, "SELECT Id FROM Contact")
    waiting = await org.call("GET", f"/jobs/query/{job_id}")
    early = await org.call("GET", f"/jobs/query/{job_id}/results")
    aborted = await org.call("PATCH", f"/jobs/query/{job_id}", {"state": "Aborted"})
    again = await org.call("PATCH", f"/jobs/query/{job_id}", {"state": "Aborted"})
    assert (waiting.body["state"], early.status) == ("UploadComplete", 400)
    assert (aborted.body["state"], again.code) == ("Aborted", "INVALIDJOBSTATE")


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


@pytest.mark.parametrize("rest", ["", "/results"])
async def test_what_is_no_job_is_not_found(org: RunningOrg, rest: str) -> None:
    assert (await org.call("GET", f"/jobs/query/750Kd0000000099IAA{rest}")).status == 404


async def test_an_ended_job_can_be_deleted(org: RunningOrg) -> None:
    job_id = await query(org, "SELECT Id FROM Contact")
    await ended(org, f"/jobs/query/{job_id}")
    assert (await org.call("DELETE", f"/jobs/query/{job_id}")).status == 204
    assert (await org.call("GET", f"/jobs/query/{job_id}")).status == 404
