"""Nothing of the API is open without the token."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from hintd.web.api import ROUTES
from hintd.web.routes import Route
from tests.fakes.desk import World
from tests.web.conftest import TERMS, TOKEN, Caller, serving

REFUSED = {
    "missing": {},
    "empty": {"Authorization": "Bearer "},
    "no scheme": {"Authorization": TOKEN},
    "other scheme": {"Authorization": f"Basic {TOKEN}"},
    "wrong": {"Authorization": "Bearer another"},
    "longer": {"Authorization": f"Bearer {TOKEN}x"},
    "beginning": {"Authorization": f"Bearer {TOKEN[:-1]}"},
}


@pytest.mark.parametrize("headers", REFUSED.values(), ids=REFUSED.keys())
async def test_without_the_token_nothing_is_told(api: Caller, headers: dict[str, str]) -> None:
    reply = await api.ask("GET", "/connections", token=None, headers=headers)
    assert reply.error == (401, "no_token")
    assert reply.headers["WWW-Authenticate"] == "Bearer"
    assert TOKEN not in reply.body.decode()


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
async def test_every_route_wants_the_token(api: Caller, world: World, route: Route) -> None:
    reply = await api.ask(route.method, route.path, token=None)
    assert reply.error == (401, "no_token")
    assert world.done == []


@pytest.mark.parametrize("path", ["/openapi.json", "/nothing/here", "/batches"])
async def test_other_addresses_want_it_too(api: Caller, path: str) -> None:
    assert (await api.ask("GET", path, token=None)).error == (401, "no_token")


async def test_token_that_is_no_text_is_a_wrong_one(api: Caller) -> None:
    reader, writer = await asyncio.open_connection(api.client.host, api.client.port)
    writer.write(b"GET /api/v1/connections HTTP/1.0\r\nAuthorization: Bearer \xff\xc3\r\n\r\n")
    assert b" 401 " in await reader.readline()
    writer.close()
    await writer.wait_closed()


async def test_scheme_may_be_spelt_in_any_case(api: Caller) -> None:
    headers = {"Authorization": f"bearer {TOKEN}"}
    assert (await api.ask("GET", "/connections", token=None, headers=headers)).status == 200


@pytest.mark.parametrize("token", [None, "", TOKEN], ids=["none", "empty", "some"])
async def test_without_a_configured_token_the_api_is_closed(world: World, token: str | None) -> None:
    async with serving(world, replace(TERMS, token="")) as closed:
        reply = await closed.ask("GET", "/connections", token=token)
    assert reply.error == (503, "no_token_configured")
    assert "api_token" in reply.json["error"]["message"]


def test_token_is_in_no_representation() -> None:
    assert TOKEN not in repr(TERMS)
