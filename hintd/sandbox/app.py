"""The sandbox put together: one HTTP port for Hint, Salesforce, the control port and the page; gRPC beside it."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Self

from aiohttp import web

from hintd.sandbox import control, page
from hintd.sandbox.changes import Changes
from hintd.sandbox.clock import Clock
from hintd.sandbox.crowd import Crowd
from hintd.sandbox.faults import Faults, with_faults, with_latency
from hintd.sandbox.hint.side import HintSide
from hintd.sandbox.options import Options, Settings
from hintd.sandbox.people import make_people
from hintd.sandbox.salesforce.side import SalesforceSide

_MAX_BODY = 50 * 2**20  # bytes; what one request to Salesforce may have
_MAX_LINE = 64 * 2**10  # bytes; above where Salesforce refuses, so that its own refusal is what a client sees


class Sandbox:
    """Both remotes with their records, clock and faults.  ``running()`` serves them."""

    def __init__(self, options: Options) -> None:
        self.settings = Settings(options)
        self.clock = Clock()
        self.faults = Faults()
        self.changes = Changes()
        self.crowd = Crowd(options.patients, options.contacts, options.match_share, options.seed)
        people = () if self.crowd.big else make_people(options.people, options.seed, options.samples)
        self.hint = HintSide(self.settings, self.clock, self.changes, people, self.crowd)
        self.salesforce = SalesforceSide(self.settings, self.clock, self.faults, self.changes, people, self.crowd)
        self.port = options.port

    @property
    def url(self) -> str:
        return f"http://{self.settings.now.host}:{self.port}"

    @property
    def grpc_address(self) -> str:
        return f"{self.settings.now.host}:{self.salesforce.grpc_port}"

    def application(self) -> web.Application:
        app = web.Application(
            client_max_size=_MAX_BODY,
            middlewares=[
                with_latency("hint", lambda: self.settings.now.hint_latency_ms),
                with_latency("salesforce", lambda: self.settings.now.salesforce_latency_ms),
                with_faults("hint", self.faults),
                with_faults("salesforce", self.faults),
            ],
        )
        self.hint.routes(app)
        self.salesforce.routes(app)
        control.routes(app, self)
        page.routes(app)
        return app

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Self]:
        """Serve until the block is left.  ``port`` and ``url`` say where, also where a port 0 was asked for."""
        runner = web.AppRunner(self.application(), access_log=None, shutdown_timeout=1, max_line_size=_MAX_LINE)
        await runner.setup()
        try:
            site = web.TCPSite(runner, self.settings.now.host, self.settings.now.port)
            await site.start()
            self.port = runner.addresses[0][1]
            await self.salesforce.start(self.settings.now.grpc_port)
            await self.hint.start()
            yield self
        finally:
            await self.hint.stop()
            await self.salesforce.stop()
            await runner.cleanup()


async def serve(options: Options, announce: Callable[[Sandbox], str] | None = None) -> None:
    """Serve a sandbox until SIGINT or SIGTERM, saying on stdout where to look, in the words of ``announce``."""
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    async with Sandbox(options).running() as sandbox:
        print((announce or _where_to_look)(sandbox), flush=True)
        await stopped.wait()


def _where_to_look(sandbox: Sandbox) -> str:
    return "\n".join(
        (
            f"page        {sandbox.url}/",
            f"Hint        {sandbox.url}/api",
            f"Salesforce  {sandbox.url}/services   Pub/Sub {sandbox.grpc_address}",
            f"control     {sandbox.url}/control",
        )
    )
