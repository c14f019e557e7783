"""One Salesforce org as the services see it: ``hintd.ports.SalesforceOrg`` over REST."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from functools import partial
from itertools import chain
from typing import Any, TypeVar

import aiohttp
import structlog

from hintd.core.contact import query_fields, read_contact
from hintd.core.errors import RemoteError
from hintd.core.fields import Book, Field, make_book
from hintd.core.model import Contact
from hintd.core.rules import Rules
from hintd.ports import Call, CallClass, ContactChange, ContactPage, ContactWrite, CountCall, Saved
from hintd.salesforce import accounts, writes
from hintd.salesforce.auth import TokenSource
from hintd.salesforce.bulk import Bulk, Sleep, is_of_job
from hintd.salesforce.classify import UnknownField
from hintd.salesforce.collections import Collection, collections_of, composite_request, read_together, together
from hintd.salesforce.describe import Describer
from hintd.salesforce.singleflight import SingleFlight
from hintd.salesforce.transport import Request, Transport
from hintd.salesforce.wire import Nonsense, QueryPage, convert, soql_instant, soql_select, soql_text

T = TypeVar("T")

log = structlog.get_logger(__name__)

MOST_IDS = 2000  # ids that one collections read takes
_FATE = ("IsDeleted", "MasterRecordId")  # known to rows and queries of all kinds, of use to queryAll only
_PAGE_SIZE = {"Sforce-Query-Options": "batchSize=2000"}
_DESCRIBE = Call(CallClass.MANUAL, "describe")
_CONNECT = Call(CallClass.MANUAL, "connect")


class SalesforceClient:
    """Owns the org's field table and the threads that describe it; the HTTP session and the tokens are the caller's.

    Errors: those of ``hintd.core.errors``.  When a field that was asked for turns out to be gone, the org is described
    again and the request repeated once.  ``bulk_from``: Contacts from which all are read by a bulk job, 0 for never.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        tokens: TokenSource,
        *,
        api_version: str,
        fields: Sequence[Field],
        rules: Rules,
        count: CountCall,
        timeout_s: float = 30.0,
        describe_threads: int = 2,
        bulk_from: int = 0,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._transport = Transport(session, tokens, count=count, timeout_s=timeout_s)
        self._describer = Describer(
            tokens, api_version=api_version, count=count, timeout_s=timeout_s, threads=describe_threads
        )
        self._bulk = Bulk(tokens, api_version=api_version, count=count, timeout_s=timeout_s, sleep=sleep)
        self._bulk_from = bulk_from
        self._root = f"/services/data/v{api_version}"
        self._fields = tuple(fields)
        self._rules = rules
        self._book: Book | None = None
        self._describe = SingleFlight(self._make_book, name="salesforce-describe")

    @property
    def usage(self) -> tuple[int, int] | None:
        """API calls of the last 24 hours, (used, allowed), as last told."""
        return self._transport.usage

    def close(self) -> None:
        self._describe.cancel()
        self._describer.close()
        self._bulk.close()

    async def book(self, *, fresh: bool = False) -> Book:
        if self._book is None or fresh:
            return await self._describe()
        return self._book

    async def _make_book(self) -> Book:
        self._book = make_book(self._fields, await self._describer.contact_shape(_DESCRIBE), self._rules)
        return self._book

    async def get_contacts(self, contact_ids: Sequence[str], call: Call) -> Mapping[str, Contact]:
        wanted = list(dict.fromkeys(contact_ids))
        found: dict[str, Contact] = {}
        for start in range(0, len(wanted), MOST_IDS):
            get = partial(self._get, wanted[start : start + MOST_IDS], call)
            found |= {contact.id: contact for contact in await self._with_book(get)}
        return found

    async def _get(self, contact_ids: list[str], call: Call, book: Book) -> list[Contact]:
        asked = query_fields(book)
        body = {"ids": contact_ids, "fields": list(asked)}
        answer = await self._transport.send(
            Request("POST", f"{self._root}/composite/sobjects/Contact", body=body), call
        )
        rows = convert(answer.expect(), list[dict[str, Any] | None])
        # this resource alone leaves blank fields out, and what is not there would be read as unknown
        return [_contact(dict.fromkeys(asked) | row, book) for row in rows if row is not None]

    async def find_fate(self, contact_id: str, call: Call) -> Contact | None:
        page, _ = await self._with_book(lambda book: self._select(book, f"WHERE Id = {soql_text(contact_id)}", call))
        return page.contacts[0] if page.contacts else None

    async def changed_contacts(self, call: Call, *, since: datetime | None, next: str | None = None) -> ContactPage:
        """All of them by a bulk job where the first page tells of ``bulk_from`` or more."""
        if next is not None:
            return await self._next_page(next, call)
        condition = f"WHERE SystemModstamp > {soql_instant(since)} " if since else ""
        page, total = await self._with_book(
            lambda book: self._select(book, f"{condition}ORDER BY SystemModstamp, Id", call)
        )
        place = await self._find_all(call) if since is None and 0 < self._bulk_from <= total else None
        return page if place is None else await self._next_page(place, call)

    async def _find_all(self, call: Call) -> str | None:
        """The first page of the bulk job that has found all Contacts; None where it failed, and the pages go on."""
        soql = soql_select((*query_fields(await self.book()), *_FATE), "Contact")
        try:
            return await self._bulk.find(soql, call)
        except RemoteError as error:
            log.warning("bulk_read_failed", error=str(error))
            return None

    async def _next_page(self, place: str, call: Call) -> ContactPage:
        book = await self.book()
        if is_of_job(place):
            rows, following = await self._bulk.read_page(place, book.shape, call)
            return ContactPage(tuple(_contact(row, book) for row in rows), following)
        page, _ = await self._page(Request("GET", _same_org(place), headers=_PAGE_SIZE), book, call)
        return page

    async def _select(self, book: Book, clauses: str, call: Call) -> tuple[ContactPage, int]:
        soql = soql_select((*query_fields(book), *_FATE), "Contact", clauses)
        return await self._page(Request("GET", f"{self._root}/queryAll", {"q": soql}, headers=_PAGE_SIZE), book, call)

    async def _page(self, request: Request, book: Book, call: Call) -> tuple[ContactPage, int]:
        """A page, and how many the query found in all."""
        page = convert((await self._transport.send(request, call)).expect(), QueryPage)
        return ContactPage(tuple(_contact(row, book) for row in page.records), page.next), page.total

    async def write_contact(
        self, contact_id: str, fields: Mapping[str, Any], unmodified_since: datetime | None, call: Call
    ) -> ContactWrite:
        async def write(book: Book) -> ContactWrite:
            body = writes.update_body(self._root, contact_id, fields, query_fields(book), unmodified_since)
            return writes.read_update(await self._compose(body, call), contact_id, lambda raw: _contact(raw, book))

        return await self._with_book(write)

    async def upsert_contact(self, patient_id: str, fields: Mapping[str, Any], call: Call) -> ContactWrite:
        async def upsert(book: Book) -> ContactWrite:
            body = writes.upsert_body(self._root, patient_id, fields, query_fields(book))
            return writes.read_upsert(await self._compose(body, call), lambda raw: _contact(raw, book))

        return await self._with_book(upsert)

    async def save_contacts(
        self, updates: Sequence[ContactChange], creations: Sequence[ContactChange], call: Call
    ) -> tuple[list[Saved], list[Saved]]:
        kinds = collections_of(updates, creates=False), collections_of(creations, creates=True)
        results = [result for some in together([*kinds[0], *kinds[1]]) for result in await self._save(some, call)]
        saved = list(chain.from_iterable(results))
        return saved[: len(updates)], saved[len(updates) :]

    async def _save(self, collections: Sequence[Collection], call: Call) -> list[list[Saved]]:
        if len(collections) == 1:
            request = collections[0].request(self._root)
            return [collections[0].read((await self._transport.send(request, call)).expect())]
        answer = await self._transport.send(composite_request(self._root, collections), call)
        return read_together(answer.expect(), collections)

    async def _compose(self, body: Mapping[str, Any], call: Call) -> Any:
        return (await self._transport.send(Request("POST", f"{self._root}/composite", body=body), call)).expect()

    async def _with_book(self, ask: Callable[[Book], Awaitable[T]]) -> T:
        """``ask``, and once more if the org has changed under the book.  Safe for writes: a PATCH that was done
        already is found stale, or writes the same again."""
        book = await self.book()
        try:
            return await ask(book)
        except UnknownField:
            fresh = await self.book(fresh=True)
            if query_fields(fresh) == query_fields(book):
                raise
            return await ask(fresh)

    async def organization(self, call: Call = _CONNECT) -> tuple[str, str]:
        """The org's 18-character id and its name."""
        return await accounts.read_organization(self._transport, self._root, call)

    async def find_account(self, name_or_id: str, call: Call = _CONNECT) -> str | None:
        """The Account with this id, or of this name where it is no Account id."""
        return await accounts.find_account(self._transport, self._root, name_or_id, call)

    async def create_account(self, name: str, call: Call = _CONNECT) -> str:
        """Not idempotent: look for it first, also after a lost answer.  Raises Refused."""
        return await accounts.create_account(self._transport, self._root, name, call)

    async def versions(self, call: Call = _CONNECT) -> list[str]:
        """The API versions that the org answers, such as ``68.0``."""
        return await accounts.read_versions(self._transport, call)

    async def limits(self, call: Call = _CONNECT) -> Mapping[str, tuple[int, int]]:
        """The org's limits by name, as (used, allowed)."""
        return await accounts.read_limits(self._transport, self._root, call)

    async def calls_left(self, call: Call) -> int | None:
        used_of = self.usage or (await self.limits(call)).get("DailyApiRequests")
        return None if used_of is None else max(0, used_of[1] - used_of[0])


def _same_org(path: str) -> str:
    """A page's address is stored and comes back: it must stay a path of the API, or the token would go elsewhere."""
    if not path.startswith("/services/data/"):
        raise Nonsense("Salesforce named a next page that is no path of its API")
    return path


def _contact(raw: Any, book: Book) -> Contact:
    try:
        return read_contact(raw, book)
    except (AttributeError, KeyError, TypeError, ValueError):
        # from None: the parser's text may quote a value
        raise Nonsense("Salesforce answered a Contact that cannot be read") from None
