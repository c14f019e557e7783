"""The real process, ``python -m hintd run --config FILE``, for tests."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from tests.system.world import eventually

_STOPS_WITHIN_S = 20.0


@dataclass
class Process:
    process: asyncio.subprocess.Process
    log_file: Path

    @property
    def log(self) -> str:
        return self.log_file.read_text()

    async def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """The exit code."""
        if self.process.returncode is None:
            self.process.send_signal(number)
        return await asyncio.wait_for(self.process.wait(), _STOPS_WITHIN_S)


def write_config(path: Path, variables: Mapping[str, str]) -> None:
    """A TOML file that says what the environment variables would."""
    sections: dict[str, list[str]] = {}
    for name, value in variables.items():
        section, _, key = name.removeprefix("HINTD_").lower().partition("__")
        sections.setdefault(section, []).append(f"{key} = {_literal(key, value)}")
    path.write_text("\n".join(f"[{section}]\n" + "\n".join(lines) + "\n" for section, lines in sections.items()))


def _literal(key: str, value: str) -> str:
    if key == "encryption_keys":
        return f'["{value}"]'
    return value if value in ("true", "false") or value.isdigit() else f'"{value}"'


@asynccontextmanager
async def hintd_process(config: Path, ready_url: str, *roles: str) -> AsyncIterator[Process]:
    """Running and ready; stopped at the end if the test has not done so."""
    log_file = config.with_suffix(".log")
    arguments = ["-m", "hintd", "run", "--config", str(config), *(f"--role={role}" for role in roles)]
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("HINTD_")}
    with log_file.open("wb") as stderr:
        process = await asyncio.create_subprocess_exec(
            sys.executable, *arguments, stdout=stderr, stderr=stderr, env=inherited
        )
    running = Process(process, log_file)
    try:
        async with aiohttp.ClientSession() as session:
            await eventually(lambda: _is_ready(session, ready_url, running), "the process is ready")
        yield running
    finally:
        await running.stop()


async def _is_ready(session: aiohttp.ClientSession, url: str, running: Process) -> bool:
    assert running.process.returncode is None, running.log
    try:
        async with session.get(url) as got:
            return got.status == 200
    except aiohttp.ClientConnectionError:
        return False
