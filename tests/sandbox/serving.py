"""A sandbox over real HTTP, a listener for its webhooks, and the calls that the tests make to both."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from aiohttp import web

from hintd.sandbox.app import Sandbox
from hintd.sandbox.options import Options

PARTNER, PRACTICE = "sbx-partner-key", "sbx-practice-token"


@dataclass
class Answer:
    status: int
    body: Any
    headers: Any


class Client:
    """Calls one sandbox; ``key`` as bearer where given."""

    def __init__(self, session: aiohttp.ClientSession, base: str) -> None:
        self.session = session
        self.base = base

    async def __call__(self, method: str, path: str, body: Any = None, *, key: str | None = None) -> Answer:
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        async with self.session.request(method, self.base + path, json=body, headers=headers) as got:
            text = await got.text()
            return Answer(got.status, json.loads(text) if text else None, got.headers)

    async def hint(self, method: str, path: str, body: Any = None, *, key: str = PRACTICE) -> Answer:
        return await self(method, "/api" + path, body, key=key)

    async def control(self, method: str, path: str, body: Any = None) -> Answer:
        return await self(method, "/control" + path, body)

    async def connect(self) -> Any:
        got = await self.hint("POST", "/partner/installations/connect", {"code": "sbx-code"}, key=PARTNER)
        return got.body

    async def patient(self, **fields: Any) -> Any:
        """A patient that the clinic has just entered."""
        body = {"first_name": "Test", "last_name": "Person", "dob": "1980-02-03"} | fields
        return (await self.control("POST", "/patients", body)).body


@dataclass
class Served:
    sandbox: Sandbox
    call: Client


@asynccontextmanager
async def served(**options: Any) -> AsyncIterator[Served]:
    """A running sandbox on free ports, without people and quotas unless asked for."""
    quiet = Options(**({"port": 0, "grpc_port": 0, "people": 0, "hint_requests_per_second": 0} | options))
    async with Sandbox(quiet).running() as sandbox, aiohttp.ClientSession() as session:
        yield Served(sandbox, Client(session, sandbox.url))


@dataclass
class Listener:
    """What arrived at the registered address.  ``answers`` gives the status of each next one; then 200."""

    url: str = ""
    bodies: list[bytes] = field(default_factory=list)
    signatures: list[str] = field(default_factory=list)
    answers: list[int] = field(default_factory=list)
    arrived: asyncio.Condition = field(default_factory=asyncio.Condition)

    @property
    def events(self) -> list[Any]:
        return [json.loads(body) for body in self.bodies]

    @property
    def types(self) -> list[str]:
        return [event["type"] for event in self.events]

    async def until(self, ready: Callable[[], bool]) -> None:
        async with self.arrived:
            await asyncio.wait_for(self.arrived.wait_for(ready), 10)

    async def count(self, number: int) -> None:
        await self.until(lambda: len(self.bodies) >= number)

    async def _take(self, request: web.Request) -> web.Response:
        async with self.arrived:
            self.bodies.append(await request.read())
            self.signatures.append(request.headers["X-Hint-Signature"])
            self.arrived.notify_all()
            return web.Response(status=self.answers.pop(0) if self.answers else 200)


@asynccontextmanager
async def listening(call: Client) -> AsyncIterator[Listener]:
    """Connect the practice and register a listener for its webhooks."""
    listener, app = Listener(), web.Application()
    app.router.add_post("/hook", listener._take)
    runner = web.AppRunner(app, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    listener.url = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
    installation = await call.connect()
    path = f"/integrations/{installation['id']}/webhook_endpoints"
    await call.hint("POST", path, {"webhook_url": listener.url}, key=PARTNER)
    try:
        yield listener
    finally:
        await runner.cleanup()
