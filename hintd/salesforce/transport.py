"""One HTTP request to an org's REST API: address, token, limits, counting and decoding; nothing of what is asked.

A request whose token is refused is sent once more with a new one; nothing else is ever repeated here, because REST
knows no idempotency key.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

import aiohttp
import msgspec
from yarl import URL

from hintd.core.errors import RemoteDown, Retryable
from hintd.ports import Call, CountCall
from hintd.salesforce.auth import Token, TokenSource
from hintd.salesforce.classify import Verdict, classify, failure
from hintd.salesforce.wire import Nonsense, read_errors

CLIENT = "client=hintd"  # what change events show as changeOrigin; case-sensitive

_USAGE = re.compile(r"api-usage=(\d+)/(\d+)")


@dataclass(frozen=True, slots=True)
class Answer:
    """``body`` is decoded JSON, None where there is none."""

    status: int
    body: Any

    @property
    def ok(self) -> bool:
        return 200 <= self.status < 300

    def verdict(self) -> Verdict:
        return classify(self.status, read_errors(self.body))

    def expect(self) -> Any:
        """The body of a success.  Raises what the error means."""
        if not self.ok:
            raise failure(self.verdict())
        return self.body


@dataclass(frozen=True, slots=True)
class Request:
    """``path`` from the root, already escaped; ``body`` is sent as JSON."""

    method: str
    path: str
    query: Mapping[str, str] | None = None
    body: Any = None
    headers: Mapping[str, str] | None = None


class Transport:
    """Requests to one org.  ``usage``: API calls (used, allowed) of the last 24 hours, as last told."""

    def __init__(
        self, session: aiohttp.ClientSession, tokens: TokenSource, *, count: CountCall, timeout_s: float = 30.0
    ) -> None:
        self.usage: tuple[int, int] | None = None
        self._session = session
        self._tokens = tokens
        self._count = count
        self._timeout = aiohttp.ClientTimeout(total=timeout_s)

    async def send(self, request: Request, call: Call) -> Answer:
        """The answer, whatever its status.  Raises CredentialsRefused, Retryable, RemoteDown."""
        token = await self._tokens.token()
        answer = await self._send_once(request, token, call)
        if answer.status == 401:
            answer = await self._send_once(request, await self._tokens.refresh(token), call)
            if answer.status == 401:
                answer.expect()
        return answer

    async def _send_once(self, request: Request, token: Token, call: Call) -> Answer:
        try:
            answer = await self._exchange(request, token)
        except aiohttp.ClientConnectorError as error:
            self._count("salesforce", call, "failed")
            raise RemoteDown("Salesforce cannot be reached") from error
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            self._count("salesforce", call, "failed")
            raise Retryable(f"Salesforce's answer was lost: {type(error).__name__}") from error
        except Nonsense:
            self._count("salesforce", call, "failed")
            raise
        self._count("salesforce", call, result_word(answer.status, answer.body))
        return answer

    async def _exchange(self, request: Request, token: Token) -> Answer:
        async with self._session.request(
            request.method,
            _url(token.instance_url, request),
            data=None if request.body is None else msgspec.json.encode(request.body),
            headers=_headers(request, token),
            timeout=self._timeout,
            allow_redirects=False,
        ) as response:
            raw = await response.read()
            self._note_usage(response.headers.get("Sforce-Limit-Info", ""))
            return Answer(response.status, _decode(response.status, raw))

    def _note_usage(self, told: str) -> None:
        found = _USAGE.search(told)
        if found:
            self.usage = (int(found[1]), int(found[2]))


def result_word(status: int, body: Any) -> str:
    """The metrics' word for an answer."""
    if status < 400:
        return "ok"
    if status == 429 or any(error.code == "REQUEST_LIMIT_EXCEEDED" for error in read_errors(body)):
        return "throttled"
    return "refused" if status < 500 and status != 401 else "failed"


def _url(instance_url: str, request: Request) -> URL:
    # escaped already, and final: yarl is not to normalise it, nor the path of a next page
    query = f"?{urlencode(request.query, quote_via=quote)}" if request.query else ""
    return URL(f"{instance_url}{request.path}{query}", encoded=True)


def _headers(request: Request, token: Token) -> dict[str, str]:
    headers = {
        "Authorization": f"Bearer {token.access_token}",
        "Accept": "application/json",
        "Sforce-Call-Options": CLIENT,
        **(request.headers or {}),
    }
    if request.body is not None:
        headers["Content-Type"] = "application/json"
    return headers


def _decode(status: int, raw: bytes) -> Any:
    if not raw.strip():
        return None
    try:
        return msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError):
        if 200 <= status < 300:
            raise Nonsense("Salesforce answered what is no JSON") from None
        return None
