"""simple-salesforce in a bounded thread pool: one request at a time and thread, each with a timeout, each counted.

simple-salesforce is synchronous, knows https only and sets no timeout: an adapter in its ``requests`` session puts the
true address and the timeout under every request, and asyncio stops waiting if even that does not return.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from simple_salesforce.exceptions import SalesforceError, SalesforceOperationError

from hintd.core.errors import RemoteDown, RemoteError, Retryable
from hintd.ports import Call, CountCall
from hintd.salesforce.auth import Token, TokenSource
from hintd.salesforce.classify import classify, failure
from hintd.salesforce.transport import CLIENT, result_word
from hintd.salesforce.wire import Nonsense, read_errors

T = TypeVar("T")

Step = Callable[[requests.Session, Token], T]
"""Makes one request and returns what it answered.  Blocks."""


class Blocking:
    """The threads, at most ``threads``; the tokens are the caller's."""

    def __init__(self, tokens: TokenSource, *, count: CountCall, timeout_s: float, threads: int, name: str) -> None:
        self._tokens = tokens
        self._count = count
        self._timeout_s = timeout_s
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix=name)

    def close(self) -> None:
        """Takes no more; a request under way ends by its own timeout."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def run(self, step: Step[T], call: Call) -> T:
        """Take a step, and once more if its token is refused.  Raises the errors of ``hintd.core.errors``."""
        token = await self._tokens.token()
        try:
            return await self._run_once(step, token, call)
        except SalesforceError as error:
            if error.status != 401:
                raise _meaning(error) from None
        try:
            return await self._run_once(step, await self._tokens.refresh(token), call)
        except SalesforceError as error:
            raise _meaning(error) from None

    async def _run_once(self, step: Step[T], token: Token, call: Call) -> T:
        loop = asyncio.get_running_loop()
        result = "failed"
        try:
            asked = loop.run_in_executor(self._pool, _take, step, token, self._timeout_s)
            answer = await asyncio.wait_for(asked, 2 * self._timeout_s)
            result = "ok"
        except SalesforceError as error:
            result = result_word(error.status, error.content)
            raise
        except requests.ConnectionError as error:
            raise RemoteDown("Salesforce cannot be reached") from error
        except (requests.RequestException, TimeoutError) as error:
            raise Retryable(f"Salesforce's answer was lost: {type(error).__name__}") from error
        except (ValueError, KeyError, SalesforceOperationError):
            raise Nonsense("Salesforce answered what is no answer to that") from None
        finally:
            self._count("salesforce", call, result)
        return answer


def _take(step: Step[T], token: Token, timeout_s: float) -> T:
    with requests.Session() as session:
        # or requests would put a .netrc's password in place of the token
        session.trust_env = False
        session.mount("https://", _Adapter(token.instance_url, timeout_s))
        session.headers["Sforce-Call-Options"] = CLIENT
        return step(session, token)


def host_of(token: Token) -> str:
    """The org's host, as simple-salesforce wants it."""
    return urlsplit(token.instance_url).netloc


class _Adapter(HTTPAdapter):
    """Sends what is meant for https://… to ``base`` (the same, or http on a loopback address), with a timeout."""

    def __init__(self, base: str, timeout_s: float) -> None:
        super().__init__(pool_connections=1, pool_maxsize=1)
        self._base = base
        self._timeout_s = timeout_s

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        base = urlsplit(self._base)
        target = urlsplit(request.url or "")
        if target.netloc == base.netloc:
            request.url = target._replace(scheme=base.scheme).geturl()
        kwargs["timeout"] = self._timeout_s
        return super().send(request, *args, **kwargs)


def _meaning(error: SalesforceError) -> RemoteError:
    """simple-salesforce's exception prints the body of the answer; ours must not."""
    return failure(classify(error.status, read_errors(error.content)))
