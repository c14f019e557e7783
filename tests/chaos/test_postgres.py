"""Postgres taken away under running processes: connections cut, connections gone silent, the server killed."""

from __future__ import annotations

import asyncio
import os
import random
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import asyncpg
import pytest

from hintd.embedded.postgres import EmbeddedPostgres
from tests.chaos.clinic import Edits
from tests.chaos.proxy import Proxy
from tests.chaos.waiting import wait_until
from tests.chaos.world import judge, open_world
from tests.services import server_directory

pytestmark = pytest.mark.chaos

_CUT_ALL = """
select count(pg_terminate_backend(pid)) from pg_stat_activity
where datname = current_database() and application_name = 'hintd'
"""


@pytest.mark.parametrize("bus", ["rabbitmq", "inbox"])
async def test_connections_cut_again_and_again_lose_nothing(
    tmp_path: Path, store_dsn: str, amqp_url: str, bus: str
) -> None:
    bus_url = amqp_url if bus == "rabbitmq" else ""
    async with open_world(tmp_path, dsn=store_dsn, bus_url=bus_url) as world:
        fleet = [world.hintd("worker", "worker"), world.hintd("front", "listener", "stream", "scheduler")]
        edits = Edits(world.pairs, random.Random(3))
        async with world.running(*fleet):
            butcher = await asyncpg.connect(store_dsn)
            cut = 0
            for number, edit in enumerate(edits.plan(200)):
                await world.clinic.make(edit)
                if number % 10 == 5:
                    cut += await butcher.fetchval(_CUT_ALL)
            await butcher.close()
            assert cut > 0
            await judge(world, edits, fleet)
            await world.end(fleet)


@pytest.mark.parametrize("bus", [pytest.param("rabbitmq", marks=pytest.mark.long), "inbox"])
async def test_connections_gone_silent_are_given_up_and_nothing_is_lost(
    tmp_path: Path, store_dsn: str, amqp_url: str, bus: str
) -> None:
    server = urlsplit(store_dsn)
    named = parse_qs(server.query)  # a server on a socket is named there
    host, port = named.get("host", [server.hostname or "127.0.0.1"])[0], named.get("port", [server.port or 5432])[0]
    async with Proxy(host, int(port)) as proxy:
        login = server.netloc.rpartition("@")[0]
        spoiled = server._replace(netloc=f"{login}@127.0.0.1:{proxy.port}", query="").geturl()
        bus_url = amqp_url if bus == "rabbitmq" else ""
        async with open_world(tmp_path, dsn=store_dsn, dsn_of_hintd=spoiled, bus_url=bus_url) as world:
            fleet = [world.hintd("worker", "worker"), world.hintd("front", "listener", "stream", "scheduler")]
            edits = Edits(world.pairs, random.Random(4))
            async with world.running(*fleet):
                for number, edit in enumerate(edits.plan(120)):
                    await world.clinic.make(edit)
                    if number in (40, 80):
                        assert proxy.go_silent() > 0
                await judge(world, edits, fleet)
                await world.end(fleet)


async def test_the_embedded_server_killed_under_the_daemon_comes_back_and_nothing_is_lost() -> None:
    with server_directory() as directory:
        async with open_world(directory, dsn="") as world, stopped_at_the_end(directory / "data"):
            daemon = world.hintd("daemon")
            edits = Edits(world.pairs, random.Random(5))
            async with world.running(daemon):
                for number, edit in enumerate(edits.plan(100)):
                    await world.clinic.make(edit)
                    if number == 50:
                        await kill_server(directory / "data")
                await judge(world, edits, [daemon])
                await daemon.kill()
                for edit in edits.plan(30):
                    await world.clinic.make(edit)
                await daemon.start()
                await judge(world, edits, [daemon])
                await world.end([daemon])


@asynccontextmanager
async def stopped_at_the_end(data_dir: Path) -> AsyncIterator[None]:
    """Also a server whose users were killed."""
    try:
        yield
    finally:
        server = EmbeddedPostgres(data_dir)
        await asyncio.to_thread(server.start)
        await asyncio.to_thread(server.stop)


async def kill_server(data_dir: Path) -> None:
    """``kill -9`` of the postmaster, once there is one that is not the last one killed."""
    pid_file = EmbeddedPostgres(data_dir).place / "data" / "postmaster.pid"

    async def is_ready() -> bool:
        lines = pid_file.read_text().splitlines() if pid_file.exists() else []
        return len(lines) > 7 and lines[7].strip() == "ready" and Path(f"/proc/{lines[0]}").exists()

    await wait_until(is_ready, "the embedded server is ready", within_s=60.0)
    os.kill(int(pid_file.read_text().splitlines()[0]), signal.SIGKILL)
