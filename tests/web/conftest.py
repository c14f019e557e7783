"""The API over a fake desk, behind the operator's port as the daemon mounts it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest
from aiohttp.test_utils import TestClient, TestServer

from hintd.web.api import Terms, make_api_app
from hintd.web.operator import make_operator_app
from tests.fakes.desk import World

TOKEN = "a token for tests"
TERMS = Terms(token=TOKEN, max_body_bytes=2_000, max_upload_bytes=200_000, look_every_s=0.001)


@dataclass(frozen=True)
class Reply:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.body)

    @property
    def error(self) -> tuple[int, str]:
        """Status and code."""
        return self.status, self.json["error"]["code"]


@dataclass(frozen=True)
class Caller:
    """A client below /api/v1; it bears the token unless told otherwise."""

    client: TestClient[Any, Any]

    async def ask(self, method: str, path: str, *, token: str | None = TOKEN, **more: Any) -> Reply:
        headers = {**more.pop("headers", {}), **({} if token is None else {"Authorization": f"Bearer {token}"})}
        async with self.client.request(method, f"/api/v1{path}", headers=headers, **more) as response:
            return Reply(response.status, response.headers.copy(), await response.read())

    async def get(self, path: str, **query: str | int) -> Reply:
        return await self.ask("GET", path, params=query)

    async def post(self, path: str, body: Any = ...) -> Reply:
        return await self.ask("POST", path, **({} if body is ... else {"json": body}))


async def no_metrics() -> bytes:
    return b""


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
async def api(world: World) -> AsyncIterator[Caller]:
    async with serving(world) as caller:
        yield caller


@asynccontextmanager
async def serving(world: World, terms: Terms = TERMS) -> AsyncIterator[Caller]:
    """The API on terms of the test's own."""
    app = make_operator_app(no_metrics, dict, api=make_api_app(world.desk(), terms))
    async with TestClient(TestServer(app)) as client:
        yield Caller(client)
