"""Where syncing is measured: a sandbox of its own for the floor and one for each hintd, so that they can take turns."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp

from tests.bench import daemon
from tests.bench.daemon import Daemon
from tests.bench.processes import LOAD_CORE, SERVER_CORE, bench_child, program
from tests.bench.servers import Servers
from tests.private_rabbit import free_port

_SECRET, _PARTNER, _PRACTICE = "sbx-webhook-secret", "sbx-partner-key", "sbx-practice-token"
_REST_S = 60.0
_WARM_UP = 20


@dataclass(frozen=True, slots=True)
class Stage:
    """A sandbox with pairs; ``edit`` answers the latencies of a run."""

    session: aiohttp.ClientSession
    url: str
    grpc: str
    port: int

    async def edit(self, side: str, edits: int, rate: float = 0) -> Mapping[str, float]:
        asked = {"side": side, "edits": edits, "rate": rate}
        return await self._ask("POST", f"http://127.0.0.1:{self.port}/edits", asked)  # type: ignore[no-any-return]

    async def pairs(self) -> list[list[str]]:
        return await self._ask("GET", f"http://127.0.0.1:{self.port}/pairs")  # type: ignore[no-any-return]

    async def control(self, method: str, path: str, body: Any = None) -> Any:
        return await self._ask(method, f"{self.url}/control{path}", body)

    async def set_latency(self, milliseconds: float) -> None:
        both = {"hint_latency_ms": milliseconds, "salesforce_latency_ms": milliseconds}
        await self.control("POST", "/settings", both)

    async def calls(self) -> dict[str, int]:
        """REST calls since the last reset, by "METHOD template"; those of the event stream are none."""
        shown = await self.control("GET", "/calls")
        made = {**shown["hint"]["by"], **shown["salesforce"]["by"]}
        return {name: count for name, count in made.items() if "/" in name}

    async def hint(self, method: str, path: str, body: Any, key: str = _PARTNER) -> Any:
        return await self._ask(method, f"{self.url}/api{path}", body, {"Authorization": f"Bearer {key}"})

    async def _ask(self, method: str, url: str, body: Any = None, headers: Mapping[str, str] | None = None) -> Any:
        async with self.session.request(method, url, json=body, headers=headers) as got:
            if not got.ok:
                raise RuntimeError(f"{method} {url}: {got.status} {await got.text()}")
            return await got.json() if got.status != 204 else None


@dataclass(frozen=True, slots=True)
class Played:
    """A stage with hintd, connected and with all pairs linked."""

    stage: Stage
    daemon: Daemon

    async def at_rest(self) -> None:
        """Every accepted event has its outcome, and no further one has come for a moment."""

        async def counts() -> tuple[float, float]:
            return await self.daemon.accepted(), await self.daemon.settled()

        async def resting() -> bool:
            before = await counts()
            await asyncio.sleep(0.3)
            return before[0] == before[1] and await counts() == before

        await until(resting, "hintd to come to rest")


async def until(look: Callable[[], Awaitable[bool]], expected: str, within_s: float = _REST_S) -> None:
    deadline = time.monotonic() + within_s
    while not await look():
        if time.monotonic() > deadline:
            raise RuntimeError(f"waited {within_s:g} s for {expected}")
        await asyncio.sleep(0.05)


@asynccontextmanager
async def set_stage(servers: Servers, pairs: int) -> AsyncIterator[Stage]:
    child = program(bench_child("stopwatch", {"pairs": pairs}), servers.logs / "stopwatch.log", core=LOAD_CORE)
    timeout = aiohttp.ClientTimeout(total=600)
    async with child as running, aiohttp.ClientSession(timeout=timeout) as session:
        ready = running.ready
        yield Stage(session, ready["url"], ready["grpc"], ready["port"])


@asynccontextmanager
async def floor_stage(servers: Servers, pairs: int) -> AsyncIterator[Stage]:
    """A stage where the floor syncs."""
    async with set_stage(servers, pairs) as stage:
        port = free_port()
        asked = {
            "url": stage.url, "grpc": stage.grpc, "port": port, "secret": _SECRET, "hint_key": _PRACTICE,
            "contact_of": dict(await stage.pairs()),
        }  # fmt: skip
        installation = await stage.hint("POST", "/partner/installations/connect", {"code": "sbx-code"})
        path = f"/integrations/{installation['id']}/webhook_endpoints"
        await stage.hint("POST", path, {"webhook_url": f"http://127.0.0.1:{port}/hook"})
        async with program(bench_child("floor_sync", asked), servers.logs / "floor.log", core=SERVER_CORE):
            await _warm_up(stage)
            yield stage


@asynccontextmanager
async def hintd_stage(servers: Servers, pairs: int, bus_url: str = "") -> AsyncIterator[Played]:
    """A stage where hintd syncs: one process with all roles."""
    async with set_stage(servers, pairs) as stage, servers.database() as dsn:
        settings = daemon.settings_of(servers, dsn, bus_url) | daemon.remote_settings(stage.url, stage.grpc)
        async with daemon.running(servers, settings, core=SERVER_CORE) as running:
            await running.command("connection", "add", "bench", "--hint-code=sbx-code", "--default-account=Bench")
            played = Played(stage, running)
            await until(lambda: _stream_is_open(stage), "the change stream")
            await played.at_rest()
            await _warm_up(stage)
            await played.at_rest()
            yield played


async def _stream_is_open(stage: Stage) -> bool:
    made = (await stage.control("GET", "/calls"))["salesforce"]["by"]
    return any(name.startswith("Subscribe") for name in made)


async def _warm_up(stage: Stage) -> None:
    """Tokens, descriptions, schemas and prepared statements are had after this."""
    for side in ("hint", "salesforce"):
        await stage.edit(side, _WARM_UP, rate=20)
