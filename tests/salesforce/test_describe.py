"""Describing Contact through simple-salesforce: the right address, a timeout, and the field table that comes of it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from hintd.core.errors import CredentialsRefused, RemoteDown, Retryable
from hintd.core.fields import FIELDS, FieldShape
from hintd.core.rules import Rules
from hintd.ports import Call, CallClass
from hintd.salesforce.auth import TokenSource
from hintd.salesforce.contacts import SalesforceClient
from hintd.salesforce.describe import Describer, read_shape
from hintd.salesforce.wire import Nonsense
from tests.salesforce.conftest import token_source
from tests.salesforce.rest_org import HOLD, VERSION, Org, error

CALL = Call(CallClass.MANUAL, "describe")
Counts = Counter[str]


@pytest.fixture
def counts() -> Counts:
    return Counter()


@pytest.fixture
def tokens(org: Org, session: aiohttp.ClientSession) -> TokenSource:
    return token_source(org, session)


@pytest.fixture
async def describer(tokens: TokenSource, counts: Counts) -> AsyncIterator[Describer]:
    def count(remote: str, call: Call, result: str) -> None:
        counts[result] += 1

    describer = Describer(tokens, api_version=VERSION, count=count, timeout_s=5)
    yield describer
    describer.close()


@pytest.fixture
async def client(session: aiohttp.ClientSession, tokens: TokenSource) -> AsyncIterator[SalesforceClient]:
    client = SalesforceClient(session, tokens, api_version=VERSION, fields=FIELDS, rules=Rules(), count=lambda *_: None)
    yield client
    client.close()


async def test_describe_tells_lengths_choices_and_flags(describer: Describer, counts: Counts) -> None:
    shape = await describer.contact_shape(CALL)
    assert shape["LastName"] == FieldShape("LastName", "string", length=80, nillable=False)
    assert shape["Salutation"] == FieldShape("Salutation", "picklist", restricted=True, choices=("Dr.",))
    assert shape["Hint_Patient_Id__c"].external_id and shape["Hint_Patient_Id__c"].unique
    assert not shape["Id"].updateable
    assert counts == {"ok": 1}


async def test_describe_names_the_client_and_uses_the_version(describer: Describer, org: Org) -> None:
    await describer.contact_shape(CALL)
    assert org.requests == [f"GET /services/data/v{VERSION}/sobjects/Contact/describe"]
    assert org.headers[0]["Sforce-Call-Options"] == "client=hintd"


async def test_a_netrc_does_not_take_the_tokens_place(
    describer: Describer, org: Org, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("default login x password y\n")
    monkeypatch.setenv("NETRC", str(netrc))
    await describer.contact_shape(CALL)
    assert org.headers[0]["Authorization"] == "Bearer token-1"


async def test_a_refused_token_is_renewed_once(describer: Describer, org: Org, counts: Counts) -> None:
    org.faults = [(401, error("INVALID_SESSION_ID"))]
    assert "LastName" in await describer.contact_shape(CALL)
    assert (org.logins, counts) == (2, {"failed": 1, "ok": 1})


@pytest.mark.parametrize(
    ("faults", "kind"),
    [
        pytest.param([(401, error("INVALID_SESSION_ID"))] * 2, CredentialsRefused, id="token refused twice"),
        pytest.param([(503, b"<html>")], RemoteDown, id="503"),
        pytest.param([(400, error("UNABLE_TO_LOCK_ROW"))], Retryable, id="retryable"),
        pytest.param([(200, b"<html>")], Retryable, id="no JSON"),
        pytest.param([(200, {"fields": 7})], Nonsense, id="another shape"),
    ],
)
async def test_a_describe_that_fails_is_classified(
    describer: Describer, org: Org, faults: list[tuple[int, object]], kind: type[Exception]
) -> None:
    org.faults = list(faults)
    with pytest.raises(kind):
        await describer.contact_shape(CALL)


async def test_an_org_that_is_not_there_is_down(describer: Describer, org: Org) -> None:
    org.url = "http://127.0.0.1:1"
    with pytest.raises(RemoteDown):
        await describer.contact_shape(CALL)


async def test_a_silent_org_is_given_up_after_the_timeout(tokens: TokenSource, org: Org) -> None:
    describer = Describer(tokens, api_version=VERSION, count=lambda *_: None, timeout_s=0.2)
    org.faults = [HOLD]
    with pytest.raises(Retryable, match="lost"):
        await describer.contact_shape(CALL)
    describer.close()


async def test_describes_beyond_the_threads_wait_their_turn(tokens: TokenSource, org: Org) -> None:
    describer = Describer(tokens, api_version=VERSION, count=lambda *_: None, timeout_s=5, threads=1)
    shapes = await asyncio.gather(*(describer.contact_shape(CALL) for _ in range(3)))
    describer.close()
    assert [len(shape) for shape in shapes] == [len(org.fields)] * 3


def test_unknown_members_and_nulls_of_a_description_are_passed_over() -> None:
    told = {"name": "Email", "type": "email", "length": None, "picklistValues": None, "newInWinter30": {}}
    assert read_shape({"fields": [told], "urls": {}}) == {"Email": FieldShape("Email", "email")}


async def test_the_book_binds_the_fields_that_the_org_has(client: SalesforceClient) -> None:
    book = await client.book()
    assert {field.name for field in book.fields} >= {"last_name", "email", "date_of_birth", "prefix"}
    assert "middle_name" in book.missing


async def test_the_book_is_described_once_for_all_and_again_when_asked(client: SalesforceClient, org: Org) -> None:
    books = await asyncio.gather(*(client.book() for _ in range(10)))
    assert all(book is books[0] for book in books)
    assert await client.book() is books[0]
    assert len(org.requests) == 1
    org.drop_field("Email")
    assert "email" in (await client.book(fresh=True)).missing
    assert "email" in (await client.book()).missing
    assert len(org.requests) == 2
