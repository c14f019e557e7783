"""The public side of hintd: Hint's webhooks come in here, and load balancers ask after its health.

A webhook is verified over its raw bytes, turned into a change notice, handed on until it is durable, and only then
answered with 2xx; a refused one comes back after an hour.  Everything here runs once per event of every practice, so
the record is not decoded and nothing is logged per request.  No answer repeats anything of the request.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

import msgspec
import structlog
from aiohttp import web

from hintd.core.model import Notice
from hintd.hint.events import INTEGRATION_EVENTS, PATIENT_EVENTS, NotAnEvent, is_id, read_event, read_notice
from hintd.hint.signature import HEADER, is_signed
from hintd.hint.wire import WebhookEvent
from hintd.ports import BusDown

_TOLD_AGAIN_AFTER = timedelta(hours=1)
_MOST_TOLD = 1000

_log = structlog.get_logger(__name__)

Problems = Callable[[], Mapping[str, str]]
"""Names the parts that are not well, each with a sentence; empty when all is well."""


class Receipt(StrEnum):
    """How one delivery ended, for counting.  The first three were answered with 2xx."""

    ACCEPTED = "accepted"
    OTHER_TYPE = "other_type"
    UNKNOWN_PRACTICE = "unknown_practice"
    BAD_SIGNATURE = "bad_signature"
    TOO_LARGE = "too_large"
    NOT_AN_EVENT = "not_an_event"
    NOT_DURABLE = "not_durable"


def _all_well() -> Mapping[str, str]:
    return {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Intake:
    """What the listener needs of the rest.

    ``accept`` returns when the notice is durable and raises BusDown when nothing durable is up.  ``known_practice``:
    None means that it cannot be told now, and the notice is accepted.  ``count`` is called once per delivery (a body
    that did not arrive whole is none).  ``on_integration`` gets the practice id and the event type when Hint says that
    an installation changed.
    """

    secret: bytes = field(repr=False)
    accept: Callable[[Notice], Awaitable[None]]
    known_practice: Callable[[str], bool | None]
    count: Callable[[Receipt], None]
    now: Callable[[], datetime]
    max_body_bytes: int
    body_timeout_s: float = 10.0  # as long as Hint waits; nobody may hold a connection open for longer
    on_integration: Callable[[str, str], None] | None = None
    new_id: Callable[[], str] = lambda: os.urandom(16).hex()


def make_public_app(
    intake: Intake, *, unready: Problems = _all_well, unhealthy: Problems = _all_well
) -> web.Application:
    """``POST /hint/webhooks``, ``GET /healthz``, ``GET /readyz``.  Raises ValueError for an empty secret."""
    if not intake.secret:
        raise ValueError("the webhook signature key is empty: anyone could sign with it")
    app = web.Application(client_max_size=intake.max_body_bytes)
    app.router.add_post("/hint/webhooks", Webhooks(intake).receive)
    app.router.add_get("/healthz", _reporter(unhealthy))
    app.router.add_get("/readyz", _reporter(unready))
    return app


class Webhooks:
    """The handler of deliveries; remembers which unknown practices it has told the log about."""

    def __init__(self, intake: Intake) -> None:
        self._intake = intake
        self._told: dict[str, datetime] = {}

    async def receive(self, request: web.Request) -> web.Response:
        try:
            body = await _read_body(request, self._intake.body_timeout_s)
        except TimeoutError:
            return _answer(408, "The body did not arrive in time.")
        except (web.RequestPayloadError, ConnectionError):
            return _answer(400, "The body did not arrive whole.")
        except (_TooLarge, web.HTTPRequestEntityTooLarge):
            self._intake.count(Receipt.TOO_LARGE)
            return _answer(413, "The body is larger than hintd accepts.")
        if not is_signed(self._intake.secret, body, request.headers.get(HEADER)):
            self._intake.count(Receipt.BAD_SIGNATURE)
            return _answer(401, "The signature is missing or wrong.")
        try:
            receipt = await self._take(read_event(body), body)
        except NotAnEvent as fault:
            self._intake.count(Receipt.NOT_AN_EVENT)
            return _answer(400, str(fault))
        except BusDown:
            self._intake.count(Receipt.NOT_DURABLE)
            return _answer(503, "Nothing durable is up to keep the event.")
        self._intake.count(receipt)
        return web.Response()

    async def _take(self, event: WebhookEvent, body: bytes) -> Receipt:
        change = PATIENT_EVENTS.get(event.type)
        if change is None:
            self._pass_on(event)
            return Receipt.OTHER_TYPE
        notice = read_notice(event, body, change, notice_id=self._intake.new_id(), accepted_at=self._intake.now())
        if self._intake.known_practice(notice.connection) is False:
            self._tell_unknown(notice.connection)
            return Receipt.UNKNOWN_PRACTICE
        await self._intake.accept(notice)
        return Receipt.ACCEPTED

    def _pass_on(self, event: WebhookEvent) -> None:
        practice_id = event.practice_id
        if event.type in INTEGRATION_EVENTS and self._intake.on_integration and practice_id and is_id(practice_id):
            self._intake.on_integration(practice_id, event.type)

    def _tell_unknown(self, practice_id: str) -> None:
        """One line per practice and hour."""
        now = self._intake.now()
        told = self._told.get(practice_id)
        if told is not None and now - told < _TOLD_AGAIN_AFTER:
            return
        if len(self._told) >= _MOST_TOLD:
            self._told.clear()
        self._told[practice_id] = now
        _log.warning("webhook_of_unknown_practice", practice_id=practice_id)


class _TooLarge(Exception):
    """The announced length of the body is over the limit."""


async def _read_body(request: web.Request, timeout_s: float) -> bytes:
    """An announced length that is too large is refused before anything is read."""
    if request.content_length is not None and request.content_length > request.client_max_size:
        raise _TooLarge
    if request.content.is_eof():  # it came with the headers, as a webhook does: spare it the timer
        return await request.read()
    async with asyncio.timeout(timeout_s):
        return await request.read()


def _answer(status: int, sentence: str) -> web.Response:
    return _json(status, {"status": status, "message": sentence})


def _reporter(problems: Problems) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def report(request: web.Request) -> web.Response:
        found = problems()
        return _json(503 if found else 200, {"ok": not found, "problems": found})

    return report


def _json(status: int, body: Mapping[str, object]) -> web.Response:
    return web.Response(status=status, body=msgspec.json.encode(body), content_type="application/json")
