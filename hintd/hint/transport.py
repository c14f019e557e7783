"""The one place that talks HTTP to Hint: asks the budget, sends, times out, counts, and types what went wrong.

Sentences name the request by its path template.  Hint's own words may quote a patient's values, so they leave this
module in a ``Refusal`` only; what aiohttp says is dropped for the same reason (``from None``), but for its type.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import quote

import aiohttp
import msgspec
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_attempt
from yarl import URL

from hintd.core.errors import CredentialsRefused, Misconfigured, Refusal, Refused, RemoteDown, Retryable, Throttled
from hintd.core.model import Owner
from hintd.core.record import BadRecord
from hintd.hint.wire import ErrorBody
from hintd.ports import Budget, Call, CountCall

T = TypeVar("T")

THROTTLED_AFTER_S = 1.0
"""After a 429, which brings no Retry-After; the budget has slowed down meanwhile."""

_REFUSALS = frozenset({400, 409, 422})


@dataclass(frozen=True, slots=True)
class Request:
    """``path`` is a template below ``/api``, its ``{names}`` filled from ``ids``; ``str()`` shows the template."""

    method: str
    path: str
    ids: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    body: Mapping[str, Any] | None = field(default=None, repr=False)

    def __str__(self) -> str:
        return f"{self.method} {self.path}"

    @property
    def filled_path(self) -> str:
        return self.path.format_map({name: quote(record_id, safe="") for name, record_id in self.ids.items()})


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)


class ConnectionBroken(RemoteDown):
    """The connection broke before the answer was complete: the request may have been carried out."""


class _Disconnected(Exception):
    """What aiohttp would take for a reason to send again."""


async def _send_one_time(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    """aiohttp repeats GET and DELETE on a broken connection by itself, uncounted: not here."""
    try:
        return await handler(request)
    except aiohttp.ClientConnectorError:
        raise
    except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError):
        raise _Disconnected from None


class Transport:
    """Sends with one key: a practice's token, or the partner's.  ``remedy`` says what to do when it is refused."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        *,
        api_url: str,
        token: str,
        remedy: str,
        budget: Budget,
        count: CountCall,
        timeout_s: float = 30.0,
    ) -> None:
        self._session = session
        self._base = api_url.rstrip("/") + "/api"
        self._headers = {
            "Authorization": f"Bearer {token}",
            "Accept": "application/json",
            "Content-Type": "application/json",
            "User-Agent": "hintd",
        }
        self._remedy = remedy
        self._budget = budget
        self._count = count
        self._timeout = aiohttp.ClientTimeout(total=timeout_s)

    async def send(self, request: Request, call: Call, read: Callable[[Answer], T]) -> T | None:
        """What ``read`` makes of a good answer; None when Hint answers 404.

        Raises the errors of ``hintd.core.errors``; an answer that ``read`` cannot read is Retryable.
        """
        if request.method != "GET":
            return await self._send_once(request, call, read)
        # No wait between the two: the common case is a keep-alive connection that Hint has just closed.
        twice = AsyncRetrying(retry=retry_if_exception_type(ConnectionBroken), stop=stop_after_attempt(2), reraise=True)
        return await twice(self._send_once, request, call, read)

    async def _send_once(self, request: Request, call: Call, read: Callable[[Answer], T]) -> T | None:
        await self._budget.spend(call)
        result = "failed"  # also when we are cancelled while Hint works on it
        try:
            answer = await self._exchange(request)
            if answer.status == 429:
                result = "throttled"
                await self._budget.throttled()
            elif 400 <= answer.status < 500 and answer.status != 404:
                result = "refused"
            value = self._judge(request, answer, read)
            result = "ok"
            return value
        finally:
            self._count("hint", call, result)

    async def _exchange(self, request: Request) -> Answer:
        try:
            async with self._session.request(
                request.method,
                URL(self._base + request.filled_path, encoded=True),
                params=request.query,
                data=None if request.body is None else msgspec.json.encode(request.body),
                headers=self._headers,
                timeout=self._timeout,
                allow_redirects=False,
                middlewares=(_send_one_time,),
            ) as response:
                return Answer(response.status, response.headers, await response.read())
        except aiohttp.ClientConnectorError as error:
            raise RemoteDown(f"Hint cannot be reached: {type(error).__name__} at {request}.") from None
        except (_Disconnected, aiohttp.ClientPayloadError):
            raise ConnectionBroken(f"The connection to Hint broke at {request}.") from None
        except TimeoutError:
            raise RemoteDown(f"Hint did not answer {request} within {self._timeout.total:g} s.") from None
        except (aiohttp.ClientError, OSError) as error:
            raise RemoteDown(f"Hint gave no usable answer: {type(error).__name__} at {request}.") from None

    def _judge(self, request: Request, answer: Answer, read: Callable[[Answer], T]) -> T | None:
        if 200 <= answer.status < 300:
            return _read(request, answer, read)
        if answer.status == 404:
            return None
        raise classify(request, answer, self._remedy)


def _read(request: Request, answer: Answer, read: Callable[[Answer], T]) -> T:
    try:
        return read(answer)
    except BadRecord as fault:
        raise Retryable(f"Hint's answer to {request} cannot be read: {fault}.") from None
    except (ValueError, RecursionError) as error:  # of msgspec; the sentences of its errors may quote a value
        raise Retryable(f"Hint's answer to {request} cannot be read: {type(error).__name__}.") from None


def classify(request: Request, answer: Answer, remedy: str) -> Exception:
    """The error that an answer other than 2xx and 404 means."""
    status = answer.status
    if status in _REFUSALS:
        return Refused(Refusal(str(status), message_of(answer), Owner.CLINIC))
    if status in (401, 403):
        return CredentialsRefused(f"Hint answered {status} to {request}. {remedy}")
    if status == 428:
        return Misconfigured(
            f"Hint answered 428 to {request}: this needs a practice's token, not the partner key. {remedy}"
        )
    if status == 429:
        return Throttled(f"Hint throttles: 429 to {request}.", after_s=THROTTLED_AFTER_S)
    if status >= 500:
        return RemoteDown(f"Hint answered {status} to {request}.")
    return Retryable(f"Hint answered {status} to {request}, which means nothing here.")


def message_of(answer: Answer) -> str:
    """Hint's sentence for people; it may quote a patient's values."""
    try:
        message = msgspec.json.decode(answer.body, type=ErrorBody).message
    except (ValueError, RecursionError):
        message = None
    return message or f"Hint refused with {answer.status} and gave no reason."
