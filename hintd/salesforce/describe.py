"""What an org says of its Contact object, through simple-salesforce in a bounded thread pool.

simple-salesforce is synchronous, knows https only and sets no timeout: an adapter in its ``requests`` session puts the
true address and the timeout under every request, and asyncio stops waiting if even that does not return.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

import msgspec
import requests
from requests.adapters import HTTPAdapter
from simple_salesforce.api import SFType
from simple_salesforce.exceptions import SalesforceError

from hintd.core.errors import RemoteDown, Retryable
from hintd.core.fields import ContactShape, FieldShape
from hintd.ports import Call, CountCall
from hintd.salesforce.auth import Token, TokenSource
from hintd.salesforce.classify import classify, failure
from hintd.salesforce.transport import CLIENT, result_word
from hintd.salesforce.wire import Nonsense, convert, read_errors


class _Choice(msgspec.Struct, frozen=True):
    value: str
    active: bool = True


class _Described(msgspec.Struct, frozen=True, rename="camel"):
    name: str
    type: str = "string"
    length: int | None = 0
    nillable: bool = True
    createable: bool = True
    updateable: bool = True
    restricted_picklist: bool = False
    picklist_values: tuple[_Choice, ...] | None = ()
    external_id: bool = False
    unique: bool = False


class _Description(msgspec.Struct, frozen=True):
    fields: tuple[_Described, ...]


def read_shape(description: Any) -> ContactShape:
    """The fields of a describe answer by API name.  Raises Nonsense."""
    return {told.name: _field_shape(told) for told in convert(description, _Description).fields}


def _field_shape(told: _Described) -> FieldShape:
    return FieldShape(
        told.name,
        told.type,
        length=told.length or 0,
        nillable=told.nillable,
        createable=told.createable,
        updateable=told.updateable,
        restricted=told.restricted_picklist,
        choices=tuple(choice.value for choice in told.picklist_values or () if choice.active),
        external_id=told.external_id,
        unique=told.unique,
    )


class Describer:
    """Describes Contact, at most ``threads`` at a time, each within ``timeout_s``."""

    def __init__(
        self, tokens: TokenSource, *, api_version: str, count: CountCall, timeout_s: float = 30.0, threads: int = 2
    ) -> None:
        self._tokens = tokens
        self._api_version = api_version
        self._count = count
        self._timeout_s = timeout_s
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="salesforce-describe")

    def close(self) -> None:
        """Takes no more; a request under way ends by its own timeout."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def contact_shape(self, call: Call) -> ContactShape:
        """Per user: fields hidden from hintd's user are not in it.  Raises the errors of ``hintd.core.errors``."""
        token = await self._tokens.token()
        try:
            return read_shape(await self._ask(token, call))
        except SalesforceError as error:
            if error.status != 401:
                raise _meaning(error) from None
        try:
            return read_shape(await self._ask(await self._tokens.refresh(token), call))
        except SalesforceError as error:
            raise _meaning(error) from None

    async def _ask(self, token: Token, call: Call) -> Any:
        loop = asyncio.get_running_loop()
        result = "failed"
        try:
            asked = loop.run_in_executor(self._pool, describe_contact, token, self._api_version, self._timeout_s)
            description = await asyncio.wait_for(asked, 2 * self._timeout_s)
            result = "ok"
        except SalesforceError as error:
            result = result_word(error.status, error.content)
            raise
        except requests.ConnectionError as error:
            raise RemoteDown("Salesforce cannot be reached") from error
        except (requests.RequestException, TimeoutError) as error:
            raise Retryable(f"Salesforce's answer was lost: {type(error).__name__}") from error
        except ValueError:
            raise Nonsense("Salesforce answered what is no JSON") from None
        finally:
            self._count("salesforce", call, result)
        return description


def describe_contact(token: Token, api_version: str, timeout_s: float) -> Any:
    """The describe answer of Contact, decoded.  Blocks.  Raises SalesforceError, requests' exceptions, ValueError."""
    with requests.Session() as session:
        # or requests would put a .netrc's password in place of the token
        session.trust_env = False
        session.mount("https://", _Adapter(token.instance_url, timeout_s))
        session.headers["Sforce-Call-Options"] = CLIENT
        contact = SFType(
            "Contact",
            token.access_token,
            urlsplit(token.instance_url).netloc,
            sf_version=api_version,
            session=session,
            object_pairs_hook=dict,
        )
        return contact.describe()


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


def _meaning(error: SalesforceError) -> Exception:
    """simple-salesforce's exception prints the body of the answer; ours must not."""
    return failure(classify(error.status, read_errors(error.content)))
