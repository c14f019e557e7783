"""All Contacts by the Bulk API 2.0, through simple-salesforce: far fewer calls for a big read, but it takes waiting.

A job is created, asked after until it is done, and its results are read in pages.  The steps are taken one by one, with
waits that grow between the questions: simple-salesforce's own loop asks every two seconds, each time a call, and sleeps
in a thread for up to a day.

Measured for 50,000 Contacts: 9 calls by a job of a minute, the first page that tells how many there are included, and
27 by one of ten minutes; pages of 2,000 take 25.

Only for reads.  What has been handed to a load is written whether or not the caller is still there, and a batch has to
stop within 200 records.  Nor would loads save much: one of a minute was measured at 9 calls, which are 9,000 Contacts
by ``hintd.salesforce.collections``, and one that is asked after for ten minutes takes 27.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec
import requests
from simple_salesforce.bulk2 import Operation, _Bulk2Client

from hintd.core.errors import RemoteError, Retryable
from hintd.core.fields import ContactShape
from hintd.core.model import Contact
from hintd.ports import Call, CountCall
from hintd.salesforce.auth import Token, TokenSource
from hintd.salesforce.blocking import Blocking, host_of
from hintd.salesforce.bulk_csv import read_records
from hintd.salesforce.classify import classify, failure
from hintd.salesforce.wire import WireError, convert
from hintd.salesforce.writes import Read

T = TypeVar("T")
Sleep = Callable[[float], Awaitable[None]]

FIRST_WAIT_S, LONGEST_WAIT_S = 1.0, 30.0

_COMPLETE = "JobComplete"
_ENDED = frozenset({_COMPLETE, "Failed", "Aborted"})
_CODE = re.compile(r"[A-Z][A-Z_]+(?=\s*:)")


@dataclass(frozen=True, slots=True)
class Sizes:
    """In records."""

    page: int = 50_000  # of results, one call each; about 30 MB of text
    at_once: int = 2000  # that are Contacts in memory at a time


class _Job(msgspec.Struct, frozen=True, rename="camel"):
    id: str
    state: str
    error_message: str | None = None


def waits_s() -> Iterator[float]:
    """How long to wait before each question after a job, in seconds: twice as long each time, up to half a minute."""
    wait_s = FIRST_WAIT_S
    while True:
        yield wait_s
        wait_s = min(2 * wait_s, LONGEST_WAIT_S)


class Bulk:
    """Jobs on the Contacts of one org, one thread per request under way.  Errors: those of ``hintd.core.errors``."""

    def __init__(
        self,
        tokens: TokenSource,
        *,
        api_version: str,
        count: CountCall,
        timeout_s: float = 30.0,
        job_timeout_s: float = 3600.0,
        sleep: Sleep = asyncio.sleep,
        sizes: Sizes = Sizes(),
    ) -> None:
        self._api_version = api_version
        self._blocking = Blocking(tokens, count=count, timeout_s=timeout_s, threads=2, name="salesforce-bulk")
        self._job_timeout_s = job_timeout_s
        self._sleep = sleep
        self._sizes = sizes

    def close(self) -> None:
        """Takes no more; a request under way ends by its own timeout."""
        self._blocking.close()

    async def find(self, soql: str, call: Call) -> str:
        """The id of a job that has ended with what a query finds, deleted records included.

        Compound fields, sub-queries, COUNT and OFFSET are refused by Salesforce.
        """
        made = await self._take(lambda client: client.create_job(Operation.query_all, query=soql), call)
        job = await self._ended(convert(made, _Job), call)
        if job.state != _COMPLETE:
            raise _why(job)
        return job.id

    async def read_contacts(
        self, job_id: str, shape: ContactShape, read: Read, call: Call
    ) -> AsyncIterator[list[Contact]]:
        """What the job found, some at a time; no order unless its query asked for it."""
        locator = ""
        while True:
            page = await self._take(_page(job_id, locator, self._sizes.page), call)
            for records in read_records(page["records"], shape, self._sizes.at_once):
                yield [read(record) for record in records]
            locator = page["locator"]
            if not locator:
                return

    async def _ended(self, job: _Job, call: Call) -> _Job:
        """The job once it has ended.  Raises Retryable when it takes too long; it is aborted then."""
        waited_s = 0.0
        for wait_s in waits_s():
            await self._sleep(wait_s)
            waited_s += wait_s
            asked = convert(await self._take(lambda client: client.get_job(job.id, True), call), _Job)
            if asked.state in _ENDED:
                return asked
            if waited_s >= self._job_timeout_s:
                break
        await self._take(lambda client: client.abort_job(job.id, True), call)
        raise Retryable(f"Salesforce's bulk job {job.id} was aborted: it did not end within {waited_s:.0f} seconds")

    async def _take(self, step: Callable[[_Bulk2Client], T], call: Call) -> T:
        return await self._blocking.run(lambda session, token: step(self._client(session, token)), call)

    def _client(self, session: requests.Session, token: Token) -> _Bulk2Client:
        address = f"https://{host_of(token)}/services/data/v{self._api_version}/jobs/"
        return _Bulk2Client("Contact", address, {"Authorization": f"Bearer {token.access_token}"}, session)


def _page(job_id: str, locator: str, rows: int) -> Callable[[_Bulk2Client], Any]:
    return lambda client: client.get_query_results(job_id, locator, rows)


def _why(job: _Job) -> RemoteError:
    """Salesforce's sentence may quote the query, never a record; only its code is kept."""
    found = _CODE.match(job.error_message or "")
    if found is not None:
        return failure(classify(400, [WireError(found[0])]))
    return Retryable(f"Salesforce's bulk job {job.id} ended as {job.state}")
