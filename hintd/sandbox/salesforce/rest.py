"""The REST API over aiohttp: who may call, what is counted, and which resource answers."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, Protocol

import msgspec
from aiohttp import web

from hintd.sandbox.salesforce import bulk, collections, composite, lists, rows
from hintd.sandbox.salesforce.org import Author
from hintd.sandbox.salesforce.refusal import Refusal, not_found
from hintd.sandbox.salesforce.wire import Answer, Call, refused
from hintd.sandbox.salesforce.work import Allowance, Work

CURRENT, OLDEST = 68, 31
MOST_URI = 16_384  # bytes
_LABELS = {68: "Winter '27", 67: "Summer '26", 66: "Spring '26", 65: "Winter '26"}
_VERSION = re.compile(r"(\d+)\.0")
_CLIENT = re.compile(r"client=([^,;]+)")
_READS = ("GET", "HEAD")

Resource = Callable[[Work, Call], Answer]

# The more particular of two that fit stands first.
_TABLE: tuple[tuple[str, str, Resource], ...] = (
    ("GET", "/sobjects", lists.objects),
    ("GET", "/limits", lists.limits),
    ("GET", "/query", lists.query),
    ("GET", "/queryAll", lists.query_all),
    ("GET", "/query/{cursor}", lists.next_page),
    ("GET", "/queryAll/{cursor}", lists.next_page),
    ("POST", "/composite/sobjects", collections.create),
    ("PATCH", "/composite/sobjects", collections.update),
    ("DELETE", "/composite/sobjects", collections.delete),
    ("GET", "/composite/sobjects/{sobject}", collections.retrieve),
    ("POST", "/composite/sobjects/{sobject}", collections.retrieve),
    ("PATCH", "/composite/sobjects/{sobject}/{column}", collections.upsert),
    ("POST", "/jobs/query", bulk.create_query),
    ("GET", "/jobs/query/{id}", bulk.show),
    ("PATCH", "/jobs/query/{id}", bulk.abort),
    ("DELETE", "/jobs/query/{id}", bulk.delete),
    ("GET", "/jobs/query/{id}/results", bulk.query_results),
    ("GET", "/sobjects/{sobject}/describe", rows.describe),
    ("GET", "/sobjects/{sobject}/updated", lists.updated),
    ("GET", "/sobjects/{sobject}/deleted", lists.deleted),
    ("POST", "/sobjects/{sobject}", rows.create),
    ("GET", "/sobjects/{sobject}/{id}", rows.read),
    ("PATCH", "/sobjects/{sobject}/{id}", rows.update),
    ("DELETE", "/sobjects/{sobject}/{id}", rows.delete),
    ("GET", "/sobjects/{sobject}/{column}/{value}", rows.read_external),
    ("PATCH", "/sobjects/{sobject}/{column}/{value}", rows.upsert),
    ("DELETE", "/sobjects/{sobject}/{column}/{value}", rows.delete_external),
)


def _pattern(template: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", template) + "/?")


def dispatch(work: Work, call: Call) -> Answer:
    """Answer a request, or a part of a composite one.  Raises Refusal."""
    return _resource(call)[1](work, call)


def _resource(call: Call) -> tuple[str, Resource]:
    """The template and the resource that a call is for; its ``params`` are filled.  Raises Refusal."""
    known = False
    for method, template, pattern, resource in _ROUTES:
        if (found := pattern.fullmatch(call.path)) is None:
            continue
        known = True
        if method == call.method:
            call.params = found.groupdict()
            return template, resource
    if known:
        raise Refusal("METHOD_NOT_ALLOWED", f"HTTP Method '{call.method}' not allowed.", status=405)
    raise not_found()


_TOGETHER: tuple[tuple[str, str, Resource], ...] = (
    ("POST", "/composite", partial(composite.composite, dispatch=dispatch)),
    ("POST", "/composite/graph", partial(composite.graph, dispatch=dispatch)),
)
_ROUTES = tuple((method, path, _pattern(path), resource) for method, path, resource in (*_TOGETHER, *_TABLE))


class Desk(Protocol):
    """What the REST API needs of the org."""

    calls: Counter[str]
    allowance: Allowance

    @property
    def user_id(self) -> str: ...
    @property
    def slow_commit_s(self) -> float: ...
    def token_stands(self, token: str) -> bool: ...
    def work(self) -> Work: ...


class Rest:
    """The handlers.  Every answer carries Sforce-Limit-Info; a call with a bad token costs nothing."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def routes(self, app: web.Application) -> None:
        app.router.add_get("/services/data/", self.versions)
        app.router.add_get("/services/data", self.versions)
        app.router.add_route("*", "/services/data/v{version}/{rest:.*}", self.answer)

    async def versions(self, request: web.Request) -> web.Response:
        shown = [
            {"label": _LABELS.get(number, f"v{number}"), "url": f"/services/data/v{number}.0", "version": f"{number}.0"}
            for number in range(OLDEST, CURRENT + 1)
        ]
        return web.json_response(shown)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        try:
            answer = await self._answer(request)
        except Refusal as refusal:
            answer = refused(refusal)
            if refusal.status == 401:
                answer.headers["WWW-Authenticate"] = "Token"
        allowance = self._desk.allowance
        headers = {**answer.headers, "Sforce-Limit-Info": f"api-usage={allowance.used}/{allowance.limit}"}
        if answer.body is None:
            return web.Response(status=answer.status, headers=headers)
        if isinstance(answer.body, Iterator):
            return await _stream(request, answer.body, headers)
        body = msgspec.json.encode(answer.body)
        return web.Response(status=answer.status, headers=headers, body=body, content_type="application/json")

    async def _answer(self, request: web.Request) -> Answer:
        call = await self._read(request)
        template, resource = _resource(call)
        self._desk.calls[f"{call.method} {template.replace('{sobject}', call.params.get('sobject', ''))}"] += 1
        self._desk.allowance.spend()
        work = self._desk.work()
        if call.method not in _READS and (wait_s := self._desk.slow_commit_s):
            await asyncio.sleep(wait_s)  # the stamp of the save is taken, but nobody sees it yet
        return resource(work, call)

    async def _read(self, request: web.Request) -> Call:
        """Check what comes before the resource.  Raises Refusal."""
        if len(request.raw_path) > MOST_URI:
            raise Refusal("URI_TOO_LONG", "The URI is too long", status=414)
        version = request.match_info["version"]
        _check_version(version)
        if not self._desk.token_stands(request.headers.get("Authorization", "").removeprefix("Bearer ")):
            raise Refusal("INVALID_SESSION_ID", "Session expired or invalid", status=401)
        call = Call(
            method=request.method,
            path="/" + request.raw_path.partition("?")[0].split("/", 4)[4],
            version=version,
            query=request.query,
            headers={name.lower(): value for name, value in request.headers.items()},
            body=_decode(await request.read()),
            author=self._author(request.headers, version),
        )
        override = request.query.get("_HttpMethod")
        return replace(call, method=override.upper()) if override and call.method == "POST" else call

    def _author(self, headers: Mapping[str, str], version: str) -> Author:
        client = _CLIENT.search(headers.get("Sforce-Call-Options", ""))
        origin = f"com/salesforce/api/rest/{version}" + (f";client={client[1].strip()}" if client else "")
        allows = "allowsave=true" in headers.get("Sforce-Duplicate-Rule-Header", "").replace(" ", "").lower()
        return Author(self._desk.user_id, origin, allows)


def _check_version(version: str) -> None:
    found = _VERSION.fullmatch(version)
    if found is None or int(found[1]) > CURRENT:
        raise not_found()
    if int(found[1]) < OLDEST:
        raise Refusal("UNSUPPORTED_API_VERSION", "This version of the API is retired", status=410)


async def _stream(request: web.Request, pieces: Iterator[str], headers: Mapping[str, str]) -> web.StreamResponse:
    """CSV whose rows are made piece by piece, others being served in between."""
    response = web.StreamResponse(headers={**headers, "Content-Type": "text/csv; charset=UTF-8"})
    await response.prepare(request)
    for piece in pieces:
        await response.write(piece.encode())
        await asyncio.sleep(0)
    await response.write_eof()
    return response


def _decode(body: bytes) -> Any:
    if not body:
        return None
    try:
        return msgspec.json.decode(body)
    except msgspec.DecodeError as error:
        raise Refusal("JSON_PARSER_ERROR", str(error)) from None
