"""All Contacts by the Bulk API 2.0, through simple-salesforce: far fewer calls for a big read, but it takes waiting.

A job is created, asked after until it is done, and its results are read in pages.  The steps are taken one by one, with
waits that grow between the questions: simple-salesforce's own loop asks every two seconds, each time a call, and sleeps
in a thread for up to a day.

Measured for 50,000 Contacts: 13 calls by a job of a minute, the first page that tells how many there are included, and
31 by one of ten minutes; pages of 2,000 take 25.

Only for reads.  What has been handed to a load is written whether or not the caller is still there, and a batch has to
stop within 200 records.  Nor would loads save much: one of a minute was measured at 9 calls, which are 9,000 Contacts
by ``hintd.salesforce.collections``, and one that is asked after for ten minutes takes 27.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, TypeVar

import msgspec
import requests
from simple_salesforce.bulk2 import Operation, _Bulk2Client

from hintd.core.errors import RemoteError, Retryable
from hintd.core.fields import ContactShape
from hintd.ports import Call, CountCall
from hintd.salesforce.auth import Token, TokenSource
from hintd.salesforce.blocking import Blocking, host_of
from hintd.salesforce.bulk_csv import read_records
from hintd.salesforce.classify import classify, failure
from hintd.salesforce.wire import WireError, convert

T = TypeVar("T")
Sleep = Callable[[float], Awaitable[None]]

FIRST_WAIT_S, LONGEST_WAIT_S = 1.0, 30.0
PAGE_SIZE = 10_000  # Contacts of one page of results, one call each; about 6 MB of text

_PLACE = "bulk:"  # begins the place of a page: job and locator follow
_COMPLETE = "JobComplete"
_ENDED = frozenset({_COMPLETE, "Failed", "Aborted"})
_CODE = re.compile(r"[A-Z][A-Z_]+(?=\s*:)")


class _Job(msgspec.Struct, frozen=True, rename="camel"):
    id: str
    state: str
    error_message: str | None = None


def is_of_job(place: str) -> bool:
    """Whether a page is one of a job's."""
    return place.startswith(_PLACE)


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
        job_timeout_s: float = 600.0,
        sleep: Sleep = asyncio.sleep,
        page_size: int = PAGE_SIZE,
    ) -> None:
        self._api_version = api_version
        self._blocking = Blocking(tokens, count=count, timeout_s=timeout_s, threads=2, name="salesforce-bulk")
        self._job_timeout_s = job_timeout_s
        self._sleep = sleep
        self._page_size = page_size

    def close(self) -> None:
        """Takes no more; a request under way ends by its own timeout."""
        self._blocking.close()

    async def find(self, soql: str, call: Call) -> str:
        """Waits for a job that finds what the query asks for, deleted records included: the place of its first page.

        Compound fields, sub-queries, COUNT and OFFSET are refused by Salesforce.
        """
        made = await self._take(lambda client: client.create_job(Operation.query_all, query=soql), call)
        job = await self._ended(convert(made, _Job), call)
        if job.state != _COMPLETE:
            raise _why(job)
        return f"{_PLACE}{job.id}:"

    async def read_page(self, place: str, shape: ContactShape, call: Call) -> tuple[list[dict[str, Any]], str | None]:
        """Records as REST would give them, and the place of the page that follows; in no order unless asked for."""
        job_id, _, locator = place.removeprefix(_PLACE).partition(":")
        page = await self._take(lambda client: client.get_query_results(job_id, locator, self._page_size), call)
        following = f"{_PLACE}{job_id}:{page['locator']}" if page["locator"] else None
        return read_records(page["records"], shape), following

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


def _why(job: _Job) -> RemoteError:
    """Salesforce's sentence may quote the query, never a record; only its code is kept."""
    found = _CODE.match(job.error_message or "")
    if found is not None:
        return failure(classify(400, [WireError(found[0])]))
    return Retryable(f"Salesforce's bulk job {job.id} ended as {job.state}")
