"""Processes of ``hintd`` that a test starts, kills and starts again; whatever becomes of the test, they are ended."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

from tests.chaos.waiting import wait_until

_STOP_S = 40.0
_READY_S = 60.0


class Ended(Exception):
    """A process ended by itself; ``str()`` says which one, and the end of its log."""


class Process:
    """One process and its log, which goes on over restarts."""

    def __init__(self, name: str, arguments: Sequence[str], log: Path, environ: Mapping[str, str]) -> None:
        self.name = name
        self._command = [sys.executable, "-m", "hintd", *arguments]
        self._log, self._environ = log, {**os.environ, **environ}
        self._running: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        with self._log.open("ab") as log:
            self._running = await asyncio.create_subprocess_exec(
                *self._command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                env=self._environ,
            )

    async def kill(self) -> None:
        """``kill -9``."""
        await self.end(signal.SIGKILL)

    async def end(self, how: signal.Signals = signal.SIGTERM) -> int:
        """The exit code."""
        running = self._standing()
        running.send_signal(how)
        return await asyncio.wait_for(running.wait(), _STOP_S)

    async def first_document(self) -> Any:
        """The JSON object that the process begins with."""
        running = self._standing()
        assert running.stdout is not None
        try:
            return json.loads(await asyncio.wait_for(running.stdout.readuntil(b"\n}\n"), _READY_S))
        except asyncio.IncompleteReadError:
            raise Ended(f"{self.name} ended at its start:\n{self.log_tail()}") from None

    def check(self) -> None:
        """Raises Ended when it is not running any more."""
        self._standing()

    def log_lines(self) -> list[dict[str, Any]]:
        """The JSON lines of its log."""
        lines = self._log.read_text(errors="replace").splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]

    def log_tail(self) -> str:
        return self._log.read_text(errors="replace")[-4000:]

    def discard(self) -> None:
        """For the end of a test: without waiting for anything."""
        if self._running is not None and self._running.returncode is None:
            self._running.kill()

    async def gone(self) -> None:
        if self._running is not None:
            await self._running.wait()

    def _standing(self) -> asyncio.subprocess.Process:
        if self._running is None or self._running.returncode is not None:
            code = None if self._running is None else self._running.returncode
            raise Ended(f"{self.name} ended by itself with {code}:\n{self.log_tail()}")
        return self._running


class Hintd(Process):
    """``hintd run`` in some roles, with the port where it says whether it is ready."""

    def __init__(self, name: str, roles: Sequence[str], config: Path, operator_port: int) -> None:
        chosen = [word for role in roles for word in ("--role", role)]
        environ = {"HINTD_SERVICE__OPERATOR_LISTEN": f"127.0.0.1:{operator_port}"}
        super().__init__(name, ["run", "--config", str(config), *chosen], config.with_name(f"{name}.log"), environ)
        self.roles = tuple(roles)
        self._operator = f"http://127.0.0.1:{operator_port}"

    async def wait_ready(self, session: aiohttp.ClientSession) -> None:
        async def ready() -> bool:
            self.check()
            try:
                async with session.get(f"{self._operator}/readyz") as got:
                    return got.status == 200
            except aiohttp.ClientError:
                return False

        await wait_until(ready, f"{self.name} is ready", within_s=_READY_S)

    async def waiting(self, session: aiohttp.ClientSession) -> float:
        """Messages that wait at the bus or are in hand of this process; one that was just started counts as busy."""
        try:
            async with session.get(f"{self._operator}/metrics") as got:
                lines = (await got.text()).splitlines()
        except aiohttp.ClientConnectorError:
            return 1.0
        return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith("hintd_waiting{"))


@asynccontextmanager
async def ending(*processes: Process) -> AsyncIterator[None]:
    """None of them outlives the block."""
    try:
        yield
    finally:
        for process in processes:
            process.discard()
        for process in processes:
            await process.gone()
