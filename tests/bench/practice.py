"""Where batches are measured: a sandbox with a generated practice, and hintd connected to it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import aiohttp

from tests.bench import daemon
from tests.bench.daemon import Daemon
from tests.bench.processes import LOAD_CORE, SERVER_CORE, bench_child, program
from tests.bench.servers import Servers
from tests.bench.stage import Stage, until

NO_LIMIT = 1_000_000
_LOOK_S = 0.2
_NOT_ENDED = ("queued", "running", "waiting")


@dataclass(frozen=True, slots=True)
class Practice:
    """``patients`` patients and as many Contacts, of which ``match_share`` belong together.  ``per_second``: what Hint
    allows and hintd keeps to; ``salesforce_ms``: how long Salesforce takes for a call; ``pairs``: linked people
    besides, to be edited while a batch runs."""

    patients: int
    per_second: int = NO_LIMIT
    salesforce_ms: float = 0
    pairs: int = 0
    match_share: float = 1.0


@dataclass(frozen=True, slots=True)
class Batched:
    """How a batch went: seconds, the calls that it made by "REMOTE PURPOSE", the worker's highest memory in MB."""

    seconds: float
    status: Mapping[str, Any]
    calls: Mapping[str, int]
    peak_mb: float

    def calls_to(self, remote: str, purpose: str = "") -> int:
        return sum(count for name, count in self.calls.items() if name.startswith(f"{remote} {purpose}"))


@dataclass(frozen=True, slots=True)
class Clinic:
    """hintd beside a sandbox with a practice."""

    stage: Stage
    daemon: Daemon

    async def batch(self, *arguments: str) -> Batched:
        """Start a batch (``start`` or ``preview`` and what follows the connection) and wait for its end."""
        before = await self._calls()
        verb, *rest = arguments
        started = await self.daemon.command("batch", verb, "bench", *rest)
        peak, status = 0.0, await self.status(started["batch_id"])
        while status["state"] in _NOT_ENDED:
            await asyncio.sleep(_LOOK_S)
            peak, status = max(peak, self.daemon.child.rss_mb), await self.status(started["batch_id"])
        if status["state"] != "done":
            raise RuntimeError(f"a batch did not end well: {status}")
        made = {name: count - before.get(name, 0) for name, count in (await self._calls()).items()}
        begun, ended = (datetime.fromisoformat(status[name]) for name in ("started_at", "finished_at"))
        return Batched((ended - begun).total_seconds(), status, made, peak)

    async def until_writing(self) -> None:
        """Until the newest batch has begun to write."""

        async def writes() -> bool:
            batches = (await self.daemon.api("/connections/bench/batches"))["batches"]
            return bool(batches) and batches[0]["stage"] == "writing"

        await until(writes, "the batch to write", within_s=600.0)

    async def status(self, batch_id: str) -> Mapping[str, Any]:
        return await self.daemon.api(f"/batches/{batch_id}")

    async def _calls(self) -> dict[str, int]:
        """Calls of class batch, as hintd counts them."""
        found: dict[str, int] = {}
        for name, value in (await self.daemon.metrics()).items():
            if name.startswith("hintd_remote_calls_total{") and 'class="batch"' in name:
                labels = dict(
                    part.split("=") for part in name.partition("{")[2].rstrip("}").replace('"', "").split(",")
                )
                key = f"{labels['remote']} {labels['purpose']}"
                found[key] = found.get(key, 0) + int(value)
        return found


@asynccontextmanager
async def open_clinic(servers: Servers, practice: Practice) -> AsyncIterator[Clinic]:
    """A fresh database, the embedded bus, one hintd process with all roles, connected with indexes filled."""
    asked = {"pairs": practice.pairs, "patients": practice.patients, "match_share": practice.match_share}
    child = program(bench_child("stopwatch", asked), servers.logs / "stopwatch.log", core=LOAD_CORE)
    timeout = aiohttp.ClientTimeout(total=3600)
    async with child as running, aiohttp.ClientSession(timeout=timeout) as session, servers.database() as dsn:
        ready = running.ready
        stage = Stage(session, ready["url"], ready["grpc"], ready["port"])
        settings = {
            **daemon.settings_of(servers, dsn),
            **daemon.remote_settings(stage.url, stage.grpc),
            "HINTD_HINT__REQUESTS_PER_SECOND": str(practice.per_second),
            "HINTD_LIMITS__MAX_CSV_ROWS": "2000000",
        }
        async with daemon.running(servers, settings, core=SERVER_CORE) as hintd:
            await hintd.command("connection", "add", "bench", "--hint-code=sbx-code", "--default-account=Bench")
            limits = {"hint_requests_per_second": 0 if practice.per_second == NO_LIMIT else practice.per_second}
            await stage.control("POST", "/settings", {**limits, "salesforce_latency_ms": practice.salesforce_ms})
            yield Clinic(stage, hintd)
