"""The demo's processes: hintd and the sandbox as children, each with its log in a file, all stopped at the end."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from hintd.cli.failures import NOT_THERE, CommandFailed

_STOP_S = 30.0
_TAIL = 12  # lines of a log


@dataclass(frozen=True)
class Child:
    name: str
    process: asyncio.subprocess.Process
    log: Path

    def check_alive(self) -> None:
        """Raises CommandFailed when the process has ended."""
        if self.process.returncode is not None:
            raise CommandFailed(
                f"{self.name} ended with code {self.process.returncode}; the end of its log:\n{self.tail()}",
                kind="child_ended",
                code=NOT_THERE,
            )

    def tail(self) -> str:
        with self.log.open(errors="replace") as lines:
            return "".join(deque(lines, _TAIL)).rstrip()


def environment() -> dict[str, str]:
    """Ours without hintd's settings: the demo has a configuration of its own."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HINTD_")}
    return kept | {name: os.environ[name] for name in ("HINTD_PG_BIN",) if name in os.environ}


@asynccontextmanager
async def started(name: str, arguments: Sequence[str], log: Path) -> AsyncIterator[Child]:
    """``hintd`` with these arguments, in our process group, until the block is left."""
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "hintd", *arguments, stdout=output, stderr=output, env=environment(), cwd=log.parent
        )
    try:
        yield Child(name, process, log)
    finally:
        await asyncio.shield(_stop(process))


async def _stop(process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    with suppress(ProcessLookupError):
        process.terminate()
    try:
        async with asyncio.timeout(_STOP_S):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()


async def command(config: Path, *arguments: str) -> Any:
    """The JSON document that ``hintd`` answers.  Raises CommandFailed with its own sentence."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "hintd", *arguments, "--config", str(config), "--json"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=environment(),
        cwd=config.parent,
    )
    try:
        out, err = await process.communicate()
    except BaseException:
        await asyncio.shield(_stop(process))
        raise
    if process.returncode != 0:
        told = err.decode(errors="replace").strip()
        raise CommandFailed(f"hintd {' '.join(arguments)} ended with code {process.returncode}: {told}")
    return msgspec.json.decode(out)


def choose_port(wanted: int) -> int:
    """``wanted``, or a free one where that is taken."""
    for port in (wanted, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with suppress(OSError):
                probe.bind(("127.0.0.1", port))
                return int(probe.getsockname()[1])
    raise CommandFailed("No TCP port of this machine is free.", code=NOT_THERE)


def choose_ports(wanted: Sequence[int], choose: Callable[[int], int] = choose_port) -> list[int]:
    """One for each, no two the same."""
    ports: list[int] = []
    for port in wanted:
        found = choose(port)
        ports.append(found if found not in ports else choose(0))
    return ports
