"""Child processes: each measured program is one of its own, pinned to a core, and is ended when its block is left.

A child of the bench's own takes its options as one JSON argument and says with one JSON line on stdout that it is ready
(or what it found).
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

_FIRST_LINE_S = 300.0  # a load generator's line is its result
_STOP_S = 15.0

SERVER_CORE, LOAD_CORE = 0, 1


class ChildFailed(Exception):
    """A child ended, or stayed silent; ``str()`` says which one and where its log is."""


class Child:
    """A running child; ``ready`` is the JSON line it began with, empty for a program that says none."""

    def __init__(self, process: asyncio.subprocess.Process, log: Path, ready: Mapping[str, Any]) -> None:
        self.process, self.log, self.ready = process, log, ready

    @property
    def rss_mb(self) -> float:
        """Resident memory of the process, in MB."""
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1024
        raise ChildFailed(f"process {self.process.pid} is gone; see {self.log}")


@asynccontextmanager
async def program(
    command: list[str],
    log: Path,
    *,
    core: int | None,
    environ: Mapping[str, str] | None = None,
    says_ready: bool = True,
) -> AsyncIterator[Child]:
    """``core`` None: not pinned."""
    with log.open("ab") as stderr:
        process = await asyncio.create_subprocess_exec(
            *command, stdout=asyncio.subprocess.PIPE, stderr=stderr, env={**os.environ, **(environ or {})}
        )
    if core is not None:
        os.sched_setaffinity(process.pid, {core % (os.cpu_count() or 1)})
    try:
        yield Child(process, log, await _first_line(process, log) if says_ready else {})
    finally:
        await _end(process)


def bench_child(module: str, options: Mapping[str, Any]) -> list[str]:
    return [sys.executable, "-m", f"tests.bench.{module}", json.dumps(options)]


async def result_of(module: str, options: Mapping[str, Any], log: Path, *, core: int | None) -> Mapping[str, Any]:
    """Run a child to its one line."""
    async with program(bench_child(module, options), log, core=core) as child:
        return child.ready


async def _first_line(process: asyncio.subprocess.Process, log: Path) -> Mapping[str, Any]:
    assert process.stdout is not None
    try:
        line = await asyncio.wait_for(process.stdout.readline(), _FIRST_LINE_S)
    except TimeoutError:
        raise ChildFailed(f"a child said nothing; see {log}") from None
    if not line:
        raise ChildFailed(f"a child ended at its start; see {log}")
    return json.loads(line)  # type: ignore[no-any-return]


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.terminate()
    try:
        await asyncio.wait_for(process.wait(), _STOP_S)
    except TimeoutError:
        process.kill()
        await process.wait()


def say(line: Mapping[str, Any]) -> None:
    """For a child: tell the bench."""
    print(json.dumps(line), flush=True)


def options() -> dict[str, Any]:
    """For a child: what the bench asked for."""
    return json.loads(sys.argv[1])  # type: ignore[no-any-return]
