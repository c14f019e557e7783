"""One request to an org: token, limits, counting, and what a bad answer means."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import aiohttp
import pytest

from hintd.core.errors import CredentialsRefused, Misconfigured, Refused, RemoteDown, Retryable
from hintd.ports import Call, CallClass
from hintd.salesforce.contacts import SalesforceClient
from hintd.salesforce.transport import Request, Transport
from hintd.salesforce.wire import Nonsense
from tests.salesforce.conftest import token_source
from tests.salesforce.rest_org import CUT, HOLD, ROOT, Org, contact_id, error

READ = Call(CallClass.SWEEP, "sweep")
WRITE = Call(CallClass.REAL_TIME, "write")


async def test_every_request_names_the_client_and_tells_the_usage(client: SalesforceClient, org: Org) -> None:
    await client.get_contacts([org.add(1)], READ)
    assert org.headers[-1]["Sforce-Call-Options"] == "client=hintd"
    assert client.usage == (18, 100000)


async def test_a_refused_token_is_renewed_once_for_all_and_the_requests_go_through(
    client: SalesforceClient, org: Org, counts: Counter[tuple[str, str]]
) -> None:
    ann = org.add(1, LastName="Ann")
    org.revoke_token()
    found = await asyncio.gather(*(client.get_contacts([ann], READ) for _ in range(5)))
    assert [list(contacts) for contacts in found] == [[ann]] * 5
    assert org.logins == 2
    assert counts == {("sweep", "failed"): 5, ("sweep", "ok"): 5}


async def test_a_token_refused_twice_is_refused_credentials(client: SalesforceClient, org: Org) -> None:
    org.faults = [(401, error("INVALID_SESSION_ID"))] * 2
    with pytest.raises(CredentialsRefused, match="IP address"):
        await client.get_contacts([contact_id(1)], READ)
    assert len(org.requests) == 2


@pytest.mark.parametrize(
    ("fault", "kind", "result"),
    [
        pytest.param((200, b"<html>maintenance</html>"), Nonsense, "ok", id="no JSON"),
        pytest.param((200, {"unexpected": 1}), Nonsense, "ok", id="another shape"),
        pytest.param((200, [{"Id": 7}]), Nonsense, "ok", id="a Contact that is none"),
        pytest.param((503, b"<html>"), RemoteDown, "failed", id="503"),
        pytest.param((429, b""), RemoteDown, "throttled", id="429"),
        pytest.param(
            (403, error("REQUEST_LIMIT_EXCEEDED", "TotalRequests")), RemoteDown, "throttled", id="daily limit"
        ),
        pytest.param((400, error("MALFORMED_ID")), Refused, "refused", id="malformed id"),
        pytest.param((404, error("NOT_FOUND")), Misconfigured, "refused", id="unknown resource"),
        pytest.param(CUT, Retryable, "failed", id="lost answer"),
    ],
)
async def test_a_bad_answer_becomes_what_it_means_and_is_not_repeated(
    client: SalesforceClient, org: Org, fault: Any, kind: type[Exception], result: str
) -> None:
    org.faults = [fault]
    with pytest.raises(kind) as raised:
        await client.get_contacts([contact_id(1)], READ)
    assert raised.type is kind
    assert len(org.requests) == 1


async def test_an_org_that_is_not_there_is_down(client: SalesforceClient, org: Org) -> None:
    org.url = "http://127.0.0.1:1"
    org.revoke_token()
    with pytest.raises(RemoteDown):
        await client.get_contacts([contact_id(1)], READ)


async def test_a_silent_org_is_given_up_after_the_timeout(org: Org, session: aiohttp.ClientSession) -> None:
    transport = Transport(session, token_source(org, session), count=lambda *_: None, timeout_s=0.2)
    org.faults = [HOLD]
    with pytest.raises(Retryable, match="lost"):
        await transport.send(Request("GET", f"{ROOT}/limits"), READ)


async def test_answers_are_counted_by_purpose_and_result(
    client: SalesforceClient, org: Org, counts: Counter[tuple[str, str]]
) -> None:
    org.faults = [(503, b""), (429, b""), (400, error("MALFORMED_ID")), CUT]
    for _ in range(4):
        with pytest.raises((Retryable, Refused)):
            await client.get_contacts([contact_id(1)], READ)
    await client.get_contacts([contact_id(1)], WRITE)
    assert counts == {
        ("sweep", "failed"): 2,
        ("sweep", "throttled"): 1,
        ("sweep", "refused"): 1,
        ("write", "ok"): 1,
    }
