"""Logging in: both flows, one request for many callers, and sentences that say what to do."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import pytest

from hintd.core.errors import CredentialsRefused, RemoteDown
from hintd.salesforce.auth import Auth, Credentials, TokenSource, default_audience
from hintd.salesforce.wire import Nonsense
from tests.salesforce.conftest import KeyPair
from tests.salesforce.rest_org import ORG_ID, USER_ID, Org


class Clock:
    def __init__(self) -> None:
        self.moment = datetime.now(UTC)

    def __call__(self) -> datetime:
        return self.moment

    def pass_s(self, seconds: float) -> None:
        self.moment += timedelta(seconds=seconds)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def tokens(org: Org, session: aiohttp.ClientSession, keys: KeyPair, clock: Clock) -> TokenSource:
    credentials = Credentials(Auth.JWT, org.url, "key", username="hintd@example.com", private_key=keys.private)
    return TokenSource(session, credentials, clock)


def with_secret(org: Org, session: aiohttp.ClientSession, clock: Clock, secret: str) -> TokenSource:
    credentials = Credentials(Auth.CLIENT_CREDENTIALS, org.url, "key", client_secret=secret)
    return TokenSource(session, credentials, clock)


async def test_the_jwt_flow_brings_token_address_org_and_user(tokens: TokenSource, org: Org) -> None:
    token = await tokens.token()
    assert (token.access_token, token.instance_url) == ("token-1", org.url)
    assert (token.organization_id, token.user_id) == (ORG_ID, USER_ID)


async def test_the_client_credentials_flow_brings_a_token(
    org: Org, session: aiohttp.ClientSession, clock: Clock
) -> None:
    assert (await with_secret(org, session, clock, "s3cret").token()).access_token == "token-1"


async def test_many_callers_cost_one_login(tokens: TokenSource, org: Org) -> None:
    first = await asyncio.gather(*(tokens.token() for _ in range(20)))
    again = await asyncio.gather(*(tokens.refresh(first[0]) for _ in range(20)))
    assert org.logins == 2
    assert {token.access_token for token in again} == {"token-2"}


async def test_a_late_caller_with_an_old_token_gets_the_new_one_without_a_login(tokens: TokenSource, org: Org) -> None:
    stale = await tokens.token()
    fresh = await tokens.refresh(stale)
    assert await tokens.refresh(stale) is fresh
    assert org.logins == 2


async def test_a_cancelled_caller_does_not_take_the_login_from_the_others(tokens: TokenSource) -> None:
    first, second = asyncio.create_task(tokens.token()), asyncio.create_task(tokens.token())
    await asyncio.sleep(0)
    first.cancel()
    assert (await second).access_token == "token-1"
    assert first.cancelled()


@pytest.mark.parametrize(
    ("body", "advice"),
    [
        ({"error": "invalid_grant", "error_description": "user hasn't approved this consumer"}, "pre-authorise"),
        ({"error": "invalid_grant"}, "pre-authorise"),
        ({"error": "invalid_client_id"}, "consumer key"),
        ({"error": "invalid_client"}, "client_secret"),
        ({"error": "inactive_user"}, "activate"),
        ({"error": "something_new"}, "Login History"),
    ],
    ids=["not approved", "no description", "client id", "client", "inactive user", "unknown"],
)
async def test_a_refused_login_says_what_to_do(
    tokens: TokenSource, org: Org, body: dict[str, str], advice: str
) -> None:
    org.token_faults = [(400, body)]
    with pytest.raises(CredentialsRefused, match=advice):
        await tokens.token()


@pytest.mark.parametrize(
    ("status", "body"),
    [
        pytest.param(503, b"<html>", id="503"),
        pytest.param(429, {}, id="429"),
        pytest.param(400, {"error": "rate_limit_exceeded"}, id="rate limit"),
        pytest.param(404, b"<html>not here</html>", id="no login at this address"),
    ],
)
async def test_a_login_that_does_not_serve_is_a_remote_that_is_down(
    tokens: TokenSource, org: Org, status: int, body: Any
) -> None:
    org.token_faults = [(status, body)]
    with pytest.raises(RemoteDown):
        await tokens.token()


async def test_an_unreachable_login_is_a_remote_that_is_down(session: aiohttp.ClientSession, clock: Clock) -> None:
    credentials = Credentials(Auth.CLIENT_CREDENTIALS, "http://127.0.0.1:1", "key", client_secret="s3cret")
    with pytest.raises(RemoteDown):
        await TokenSource(session, credentials, clock).token()


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"no json", id="no JSON"),
        pytest.param({"access_token": "t"}, id="members missing"),
        pytest.param({"access_token": "t", "instance_url": "http://127.0.0.1", "id": "x"}, id="no org"),
        pytest.param(
            {"access_token": "t", "instance_url": "http://evil.example", "id": f"/{ORG_ID}/{USER_ID}"}, id="plain http"
        ),
    ],
)
async def test_a_token_answer_that_makes_no_sense_is_not_used(tokens: TokenSource, org: Org, body: Any) -> None:
    org.token_faults = [(200, body)]
    with pytest.raises(Nonsense):
        await tokens.token()


async def test_failed_logins_are_spaced_by_growing_waits(tokens: TokenSource, org: Org, clock: Clock) -> None:
    org.token_faults = [(503, None)] * 3
    for wait_s in (1.1, 2.1, 0.0):
        with pytest.raises(RemoteDown):
            await tokens.token()
        spent = org.logins
        with pytest.raises(RemoteDown) as too_early:
            await tokens.token()
        assert org.logins == spent
        assert too_early.value.after_s
        clock.pass_s(wait_s)
    clock.pass_s(4.1)
    assert (await tokens.token()).access_token == "token-4"


async def test_refused_credentials_stay_refused_until_the_backoff_is_over(
    org: Org, session: aiohttp.ClientSession, clock: Clock
) -> None:
    tokens = with_secret(org, session, clock, "wrong")
    for _ in range(3):
        with pytest.raises(CredentialsRefused):
            await tokens.token()
    assert org.logins == 1


async def test_an_unusable_private_key_is_refused_without_showing_it(
    org: Org, session: aiohttp.ClientSession, clock: Clock
) -> None:
    credentials = Credentials(Auth.JWT, org.url, "key", username="u", private_key="-----BEGIN MARK-----")
    with pytest.raises(CredentialsRefused, match="RSA key in PEM") as refused:
        await TokenSource(session, credentials, clock).token()
    assert "MARK" not in str(refused.value)


async def test_secrets_show_in_no_repr(tokens: TokenSource, org: Org) -> None:
    credentials = Credentials(Auth.JWT, org.url, "key", username="u", private_key="PEM", client_secret="s3cret")
    assert "PEM" not in repr(credentials)
    assert "s3cret" not in repr(credentials)
    assert "token-1" not in repr(await tokens.token())


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        pytest.param({"login_url": "http://login.salesforce.com"}, "https", id="plain http"),
        pytest.param({"login_url": "login.salesforce.com"}, "no http", id="no scheme"),
        pytest.param({"username": ""}, "needs username", id="no username"),
        pytest.param({"private_key": ""}, "needs private_key", id="no key"),
        pytest.param({"auth": "client_credentials"}, "needs client_secret", id="no secret"),
        pytest.param({"auth": "client_credentials", "client_secret": "s"}, "My Domain", id="login host"),
        pytest.param({"auth": "password"}, "neither jwt", id="unknown flow"),
    ],
)
def test_credentials_that_cannot_work_are_refused_with_a_sentence(changes: dict[str, Any], sentence: str) -> None:
    good = {
        "auth": "jwt",
        "login_url": "https://login.salesforce.com",
        "client_id": "key",
        "username": "u",
        "private_key": "PEM",
    }
    assert Credentials(**good).auth is Auth.JWT  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=sentence):
        Credentials(**{**good, **changes})


@pytest.mark.parametrize(
    ("login_url", "audience"),
    [
        ("https://login.salesforce.com", "https://login.salesforce.com"),
        ("https://acme.my.salesforce.com", "https://login.salesforce.com"),
        ("https://test.salesforce.com", "https://test.salesforce.com"),
        ("https://acme--uat.sandbox.my.salesforce.com", "https://test.salesforce.com"),
    ],
)
def test_the_audience_follows_the_kind_of_org(login_url: str, audience: str) -> None:
    assert default_audience(login_url) == audience
