"""``python -m tests.bench``: measures hintd against floors of the same run and prints a table.

A floor is the least that the job needs, in a few lines of the bare libraries.  Floor and hintd take turns, and what is
compared are the medians: the machine may have other things to do.  Nothing here fails for being slow.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from tests.bench import accept, batches, calls, latency, memory, search
from tests.bench.figures import Figure, table
from tests.bench.servers import Servers, open_servers
from tests.services import NoServer

Measure = Callable[..., AsyncIterator[Figure]]
PARTS: dict[str, Measure] = {
    "accept": accept.measure,
    "latency": latency.measure,
    "calls": calls.measure,
    "memory": memory.measure,
    "batch": batches.measure,
    "search": search.measure,
}


async def measure(parts: list[str], servers: Servers, *, quick: bool) -> list[Figure]:
    figures: list[Figure] = []
    for part in parts:
        async for figure in PARTS[part](servers, quick=quick):
            print(f"  {figure.part}: {figure.what}: {figure.value:.4g} {figure.unit}", file=sys.stderr, flush=True)
            figures.append(figure)
    return figures


async def bench(arguments: argparse.Namespace) -> None:
    logs = Path(tempfile.mkdtemp(prefix="hintd-bench-"))
    parts = arguments.only or list(PARTS)
    async with open_servers(logs, with_rabbit=bool({"accept", "latency"} & set(parts))) as servers:
        idle = os.getloadavg()[0]  # before we load the machine ourselves
        figures = await measure(parts, servers, quick=arguments.quick)
        machine = f"{await servers.machine()}; load average {idle:.1f} at the start"
    if arguments.json:
        found = {"machine": machine, "quick": arguments.quick, "figures": [figure.as_json() for figure in figures]}
        print(json.dumps(found, indent=1))
    else:
        print(f"{table(figures)}\n\n{machine}{'; --quick' if arguments.quick else ''}")
    shutil.rmtree(logs)  # kept when something failed: it says why


def _parts(text: str) -> list[str]:
    parts = text.split(",")
    if unknown := set(parts) - set(PARTS):
        raise argparse.ArgumentTypeError(f"there is no {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    return parts


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=(__doc__ or "").partition("\n\n")[2])
    parser.add_argument("--quick", action="store_true", help="shorter and fewer runs: a look, not a measurement")
    parser.add_argument("--only", type=_parts, metavar="PARTS", help=f"some of {','.join(PARTS)}")
    parser.add_argument("--json", action="store_true", help="print JSON, with the single runs, instead of the table")
    try:
        asyncio.run(bench(parser.parse_args()))
    except NoServer as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
