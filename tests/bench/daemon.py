"""hintd itself as a measured process: the settings it runs with, and when it is ready."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp

from tests.bench.processes import Child, ChildFailed, program
from tests.bench.servers import Servers
from tests.bench.webhook import SECRET
from tests.private_rabbit import free_port

Settings = Mapping[str, str]

API_TOKEN = "bench-api-token"
_READY_S = 60.0


@dataclass(frozen=True, slots=True)
class Daemon:
    child: Child
    port: int
    operator_port: int
    environ: Settings

    async def command(self, *arguments: str) -> Any:
        """The answer of one of hintd's own commands, run beside the daemon.  Raises ChildFailed."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "hintd", *arguments, "--json"),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={**os.environ, **self.environ},
        )
        out, err = await process.communicate()
        if process.returncode:
            raise ChildFailed(f"hintd {' '.join(arguments)} failed: {err.decode()}")
        return json.loads(out)

    async def metrics(self) -> dict[str, float]:
        """Every sample of ``/metrics`` by its name with labels."""
        async with aiohttp.ClientSession() as session, session.get(self._operator("/metrics")) as got:
            lines = (await got.text()).splitlines()
        return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if line[0] != "#")}

    async def api(self, path: str) -> Any:
        """The JSON of a GET below ``/api/v1``."""
        headers = {"Authorization": f"Bearer {API_TOKEN}"}
        async with (
            aiohttp.ClientSession(headers=headers) as session,
            session.get(self._operator(f"/api/v1{path}")) as got,
        ):
            got.raise_for_status()
            return await got.json()

    async def settled(self) -> float:
        """Events that ended in an outcome."""
        return _sum(await self.metrics(), "hintd_events_total{")

    async def accepted(self) -> float:
        return _sum(await self.metrics(), "hintd_events_accepted_total{")

    async def wait_ready(self) -> None:
        """Raises ChildFailed with what is not ready."""
        answer = "no answer"
        async with aiohttp.ClientSession() as session:
            for _ in range(int(_READY_S / 0.1)):
                try:
                    async with session.get(f"http://127.0.0.1:{self.port}/readyz") as got:
                        answer = await got.text()
                        if got.status == 200:
                            return
                except aiohttp.ClientError:
                    if self.child.process.returncode is not None:
                        break
                await asyncio.sleep(0.1)
        raise ChildFailed(f"hintd is not ready: {answer}; see {self.child.log}")

    def _operator(self, path: str) -> str:
        return f"http://127.0.0.1:{self.operator_port}{path}"


def _sum(samples: Mapping[str, float], prefix: str) -> float:
    return sum(value for name, value in samples.items() if name.startswith(prefix))


def settings_of(servers: Servers, dsn: str, bus_url: str = "") -> dict[str, str]:
    """As environment.  Limits are off, and the sweeps far apart: only what is measured shall happen."""
    return {
        "HINTD_POSTGRES__DSN": dsn,
        "HINTD_BUS__URL": bus_url,
        "HINTD_HINT__WEBHOOK_SECRET": SECRET,
        "HINTD_SECURITY__ENCRYPTION_KEYS": servers.key,
        "HINTD_SYNC__SWEEP_INTERVAL_S": "86400",
        "HINTD_SERVICE__API_TOKEN": API_TOKEN,
    }


def remote_settings(url: str, grpc: str) -> dict[str, str]:
    """As environment: a sandbox's remotes, and no limits."""
    return {
        "HINTD_HINT__API_URL": url,
        "HINTD_HINT__PARTNER_KEY": "sbx-partner-key",
        "HINTD_HINT__WEBHOOK_SECRET": "sbx-webhook-secret",
        "HINTD_HINT__REQUESTS_PER_SECOND": "100000",
        "HINTD_HINT__REQUESTS_PER_DAY": "1000000000",
        "HINTD_SALESFORCE__LOGIN_URL": url,
        "HINTD_SALESFORCE__PUBSUB_ADDRESS": grpc,
        "HINTD_SALESFORCE__PUBSUB_TLS": "false",
        "HINTD_SALESFORCE__AUTH": "client_credentials",
        "HINTD_SALESFORCE__CLIENT_ID": "sbx-client",
        "HINTD_SALESFORCE__CLIENT_SECRET": "sbx-secret",
    }


@asynccontextmanager
async def running(
    servers: Servers, settings: Settings, *, roles: Sequence[str] = (), core: int | None
) -> AsyncIterator[Daemon]:
    """``hintd run`` with these roles, all by default, until the block is left."""
    port, operator_port = free_port(), free_port()
    listen = {
        "HINTD_SERVICE__PUBLIC_LISTEN": f"127.0.0.1:{port}",
        "HINTD_SERVICE__OPERATOR_LISTEN": f"127.0.0.1:{operator_port}",
        "HINTD_SERVICE__PUBLIC_URL": f"http://127.0.0.1:{port}",
    }
    command = [sys.executable, "-m", "hintd", "run", *(f"--role={role}" for role in roles)]
    log = servers.logs / "hintd.log"
    environ = {**settings, **listen}
    async with program(command, log, core=core, environ=environ, says_ready=False) as child:
        daemon = Daemon(child, port, operator_port, environ)
        await daemon.wait_ready()
        yield daemon
