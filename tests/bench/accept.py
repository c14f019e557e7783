"""Accepting webhooks: hintd's listener against bare aiohttp with the same signature and the same kind of storing."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

import aio_pika
import asyncpg

from hintd.composition import open_house
from hintd.config import load_config
from hintd.ports import Connection
from hintd.rabbit.topology import split_url
from tests.bench import daemon, floor_accept
from tests.bench.figures import Figure, at_least, at_most, median_of
from tests.bench.processes import LOAD_CORE, SERVER_CORE, bench_child, program, result_of
from tests.bench.servers import Servers
from tests.bench.webhook import PRACTICE_ID, SECRET
from tests.private_rabbit import free_port

CONNECTIONS = (1, 16, 64)
THROUGHPUT, P99 = 0.8, 1.5  # of the floor's
_PATIENTS = 200

Empty = Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Pace:
    seconds: float
    runs: int


@dataclass(frozen=True, slots=True)
class Rig:
    """Both servers side by side; only one is under load at a time.  ``empty`` throws away what they have stored."""

    store: str
    ports: Mapping[str, int]
    empty: Empty


async def measure(servers: Servers, *, quick: bool) -> AsyncIterator[Figure]:
    pace = Pace(0.7, 5) if quick else Pace(1.5, 9)
    async with _on_postgres(servers) as rig:
        async for figure in _figures(servers, rig, pace):
            yield figure
    if servers.rabbit is not None:
        async with _on_rabbit(servers) as rig:
            async for figure in _figures(servers, rig, pace):
                yield figure


async def _figures(servers: Servers, rig: Rig, pace: Pace) -> AsyncIterator[Figure]:
    for connections in CONNECTIONS:
        runs: defaultdict[str, list[Mapping[str, float]]] = defaultdict(list)
        for _ in range(pace.runs):
            for name, path in (("floor", "/hook"), ("hintd", "/hint/webhooks")):
                runs[name].append(await _load(servers, rig.ports[name], path, connections, pace.seconds))
                await rig.empty()
        for figure in _compare(f"{rig.store}, {connections} connections", runs):
            yield figure


async def _load(servers: Servers, port: int, path: str, connections: int, seconds: float) -> Mapping[str, float]:
    asked = {
        "port": port, "path": path, "connections": connections, "warm_up_s": seconds / 4, "seconds": seconds,
        "patients": _PATIENTS, "secret": SECRET,
    }  # fmt: skip
    found = await result_of("load", asked, servers.logs / "load.log", core=LOAD_CORE)
    if found["refused"]:
        raise RuntimeError(f"{found['refused']} of {found['requests']} webhooks were refused; see {servers.logs}")
    return found


def _compare(what: str, runs: Mapping[str, list[Mapping[str, float]]]) -> tuple[Figure, ...]:
    """The ratio is the median of the ratios of neighbouring runs: what else the machine does weighs on both."""
    floor, hintd = median_of(runs["floor"]), median_of(runs["hintd"])
    ratios = median_of(
        [{n: h[n] / f[n] for n in ("per_s", "p99_ms")} for f, h in zip(runs["floor"], runs["hintd"], strict=True)]
    )
    return (
        Figure(
            "accept",
            f"{what}",
            "/s",
            hintd["per_s"],
            floor["per_s"],
            **at_least(ratios["per_s"], THROUGHPUT),
            runs={name: [run["per_s"] for run in runs[name]] for name in runs},
        ),
        Figure("accept", f"{what}, p50", "ms", hintd["p50_ms"], floor["p50_ms"]),
        Figure(
            "accept",
            f"{what}, p99",
            "ms",
            hintd["p99_ms"],
            floor["p99_ms"],
            **at_most(ratios["p99_ms"], P99),
            runs={name: [run["p99_ms"] for run in runs[name]] for name in runs},
        ),
    )


@asynccontextmanager
async def _on_postgres(servers: Servers) -> AsyncIterator[Rig]:
    async with servers.database() as dsn, _both(servers, dsn, "postgres", dsn, "") as ports:
        connection = await asyncpg.connect(dsn)

        async def empty() -> None:
            await connection.execute(f"truncate inbox, {floor_accept.TABLE}")

        yield Rig("embedded bus", ports, empty)
        await connection.close()


@asynccontextmanager
async def _on_rabbit(servers: Servers) -> AsyncIterator[Rig]:
    async with servers.database() as dsn, servers.queues() as url:
        address, prefix = split_url(url)
        async with _both(servers, dsn, "rabbit", str(address), url) as ports, await aio_pika.connect(address) as broker:
            channel = await broker.channel()

            async def empty() -> None:
                for name in (f"{prefix}.changes", floor_accept.TABLE):
                    await (await channel.get_queue(name)).purge()

            yield Rig("RabbitMQ", ports, empty)
            await channel.queue_delete(floor_accept.TABLE)


@asynccontextmanager
async def _both(
    servers: Servers, dsn: str, store: str, floor_url: str, bus_url: str
) -> AsyncIterator[Mapping[str, int]]:
    settings, port = daemon.settings_of(servers, dsn, bus_url), free_port()
    await _add_practice(settings)
    floor = {"store": store, "url": floor_url, "port": port, "secret": SECRET}
    async with (
        program(bench_child("floor_accept", floor), servers.logs / "floor.log", core=SERVER_CORE),
        daemon.running(servers, settings, roles=("listener",), core=SERVER_CORE) as hintd,
    ):
        yield {"floor": port, "hintd": hintd.port}


async def _add_practice(settings: daemon.Settings) -> None:
    """The listener keeps only what comes from a practice that it knows."""
    ids = (PRACTICE_ID, "Bench", "int-bench", "00D000000000001EAA", "Bench")
    async with open_house(load_config(None, settings)) as house:
        await house.stores.connections.add(Connection(0, "bench", *ids, "active", datetime.now(UTC)))
