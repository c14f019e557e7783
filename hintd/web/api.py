"""The operator's API: JSON over the desk, below ``/api/v1`` of the operator's port.

One table of routes is served, and documented at ``/openapi.json``.  Closed unless the request bears the token; whatever
goes wrong is answered in JSON.  Answers carry patients' values, so nobody may keep them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

import msgspec
import structlog
from aiohttp import web

from hintd.web.access import bears
from hintd.web.batch_routes import BATCH_ROUTES
from hintd.web.desk import Desk
from hintd.web.events import Pace
from hintd.web.failures import Failure, failure_of
from hintd.web.link_routes import LINK_ROUTES
from hintd.web.openapi import document_of
from hintd.web.review_routes import REVIEW_ROUTES
from hintd.web.routes import Asked, File, Route, Streamed
from hintd.web.uploads import file_chunks
from hintd.web.wishes import Nothing, read_body, read_query

ROUTES: tuple[Route, ...] = (*LINK_ROUTES, *BATCH_ROUTES, *REVIEW_ROUTES)

PREFIX = "/api/v1"

_PERSON = "api"  # who bears the token, in histories and logs

_log = structlog.get_logger(__name__)

_Answering = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """On what terms the API answers.  An empty ``token`` closes it; ``max_body_bytes`` is of JSON bodies.  A batch
    that is followed is looked at every ``look_every_s``."""

    token: str = field(repr=False)
    max_body_bytes: int = 1_048_576
    max_upload_bytes: int = 268_435_456
    look_every_s: float = 0.5
    keep_alive_s: float = 15.0


def make_api_app(desk: Desk, terms: Terms) -> web.Application:
    """To be mounted at ``PREFIX``."""
    pace = Pace(terms.look_every_s, terms.keep_alive_s)

    @web.middleware
    async def guarded(request: web.Request, handler: _Answering) -> web.StreamResponse:
        if (refusal := _refusal(request, terms.token)) is not None:
            return _told(refusal)
        try:
            return await handler(request)
        except Exception as error:
            return _told(failure_of(error, where=_where(request)))

    async def close_streams(_: web.Application) -> None:
        pace.closing.set()

    app = web.Application(middlewares=[guarded])
    app.add_routes([web.route(route.method, route.path, _serving(route, desk, terms, pace)) for route in ROUTES])
    app.add_routes([web.get("/openapi.json", _show_document)])
    app.on_response_prepare.append(_forbid_keeping)
    app.on_shutdown.append(close_streams)
    return app


def _refusal(request: web.Request, token: str) -> Failure | None:
    if not token:
        sentence = "No token is configured, so the API is closed. Set [service] api_token or api_token_file."
        return Failure(503, "no_token_configured", sentence)
    if not bears(request, token):
        return Failure(401, "no_token", "Give the token of [service] api_token as Authorization: Bearer TOKEN.")
    return None


def _where(request: web.Request) -> str:
    """The route's address; not the request's, which may quote what was searched for."""
    resource = request.match_info.route.resource
    return resource.canonical if resource is not None else "unknown"


async def _forbid_keeping(_: web.Request, response: web.StreamResponse) -> None:
    response.headers["Cache-Control"] = "no-store"
    response.headers["X-Content-Type-Options"] = "nosniff"


def _serving(route: Route, desk: Desk, terms: Terms, pace: Pace) -> _Answering:
    query, body = route.query, route.body

    async def handle(request: web.Request) -> web.StreamResponse:
        path = dict(request.match_info)
        asked = Asked(path, read_query(request.query, query), await _body(request, body, terms), _PERSON, pace)
        answer = await route.act(desk, asked)
        return await _stream(request, answer) if isinstance(answer, Streamed) else _json(answer, route.status)

    return handle


async def _body(request: web.Request, kind: Any, terms: Terms) -> Any:
    if kind is Nothing:
        return Nothing()
    if kind == File:
        return file_chunks(request, terms.max_upload_bytes)
    return await read_body(request, kind, terms.max_body_bytes)


def _json(document: Any, status: int) -> web.Response:
    return web.Response(status=status, body=msgspec.json.encode(document), content_type="application/json")


def _told(failure: Failure) -> web.Response:
    error = {"code": failure.code, "message": failure.sentence, **failure.ids}
    answer = _json({"error": error}, failure.status)
    if failure.status == 401:
        answer.headers["WWW-Authenticate"] = "Bearer"
    return answer


async def _stream(request: web.Request, streamed: Streamed) -> web.StreamResponse:
    """What goes wrong before the first piece is an answer of its own; after it the connection breaks off, so that the
    reader sees that the end is missing."""
    response = web.StreamResponse(headers={"Content-Type": f"{streamed.media_type}; charset=utf-8"})
    if streamed.file_name:
        response.headers["Content-Disposition"] = f'attachment; filename="{streamed.file_name}"'
    async with aclosing(streamed.chunks) as chunks:
        first = await anext(chunks, b"")
        await response.prepare(request)
        try:
            await response.write(first)
            async for chunk in chunks:
                await response.write(chunk)
        except ConnectionError:
            pass  # the reader went away
        except Exception as error:
            _break_off(request, failure_of(error, where=_where(request)))
    return response


def _break_off(request: web.Request, failure: Failure) -> None:
    _log.warning("stream_broken_off", path=_where(request), reason=failure.code)
    if request.transport is not None:
        request.transport.abort()


async def _show_document(_: web.Request) -> web.Response:
    return _json(document_of(ROUTES, PREFIX), 200)
