"""A small HTTP server that acts as Hint: it keeps what it was asked and answers what the test laid out."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import msgspec
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from hintd.ports import Call


@dataclass
class Asked:
    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.body)


@dataclass
class Reply:
    """``drop`` closes the connection without an answer, ``hang`` never answers, ``cut`` breaks off in the body."""

    status: int = 200
    json: Any = None
    body: bytes | None = None
    headers: dict[str, str] = field(default_factory=dict)
    act: str = "answer"


class FakeHint:
    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.replies: deque[Reply] = deque()
        self.url = ""
        self.released = asyncio.Event()

    def will(self, *replies: Reply) -> None:
        self.replies.extend(replies)

    @property
    def paths(self) -> list[str]:
        return [f"{asked.method} {asked.path}" for asked in self.asked]

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(
            Asked(
                request.method, request.raw_path.split("?")[0], dict(request.query), dict(request.headers),
                await request.read(),
            )
        )  # fmt: skip
        reply = self.replies.popleft()
        if reply.act == "drop":
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        if reply.act == "hang":
            await self.released.wait()
        body = msgspec.json.encode(reply.json) if reply.body is None else reply.body
        if reply.act == "cut":
            return await self._cut(request, body)
        return web.Response(status=reply.status, body=body, headers=reply.headers)

    async def _cut(self, request: web.Request, body: bytes) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": str(len(body))})
        await response.prepare(request)
        await response.write(body[: len(body) // 2])
        assert request.transport is not None
        request.transport.close()
        return response


@pytest.fixture
async def hint() -> AsyncIterator[FakeHint]:
    fake = FakeHint()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", fake.answer)
    async with TestServer(app) as server:
        fake.url = str(server.make_url("")).rstrip("/")
        yield fake
        fake.released.set()


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


class OpenBudget:
    """Lets every call through and remembers it."""

    def __init__(self) -> None:
        self.spent: list[Call] = []
        self.throttles = 0

    async def spend(self, call: Call) -> None:
        self.spent.append(call)

    async def throttled(self) -> None:
        self.throttles += 1

    async def left_today(self, *, urgent: bool) -> int:
        return 500_000

    def calls_per_second(self) -> float:
        return 20.0


class Counts:
    def __init__(self) -> None:
        self.results: list[str] = []

    def __call__(self, remote: str, call: Call, result: str) -> None:
        assert remote == "hint"
        self.results.append(result)


@pytest.fixture
def budget() -> OpenBudget:
    return OpenBudget()


@pytest.fixture
def counts() -> Counts:
    return Counts()
