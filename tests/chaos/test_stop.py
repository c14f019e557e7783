"""SIGTERM in the midst of changes: what is in hand is finished, the exit code says so, and nothing is lost."""

from __future__ import annotations

import random
import time
from pathlib import Path

import asyncpg
import pytest

from tests.chaos.clinic import Edits
from tests.chaos.world import STOP_TIMEOUT_S, judge, open_world

pytestmark = pytest.mark.chaos


async def links_in_hand(dsn: str) -> int:
    connection = await asyncpg.connect(dsn)
    try:
        return int(await connection.fetchval("select count(*) from link where lease_owner is not null"))
    finally:
        await connection.close()


@pytest.mark.parametrize("bus", ["rabbitmq", pytest.param("inbox", marks=pytest.mark.long)])
async def test_a_stopped_process_finishes_what_it_has_in_hand(
    tmp_path: Path, store_dsn: str, amqp_url: str, bus: str
) -> None:
    bus_url = amqp_url if bus == "rabbitmq" else ""
    async with open_world(tmp_path, dsn=store_dsn, bus_url=bus_url) as world:
        daemon = world.hintd("daemon")
        edits = Edits(world.pairs, random.Random(8))
        await world.clinic.ask("POST", "settings", {"hint_latency_ms": 200, "salesforce_latency_ms": 200})
        async with world.running(daemon):
            for _ in range(2):
                for edit in edits.plan(50):
                    await world.clinic.make(edit)
                begun = time.monotonic()
                assert await daemon.end() == 0
                assert time.monotonic() - begun < STOP_TIMEOUT_S
                assert await links_in_hand(store_dsn) == 0
                await daemon.start()
                await world.ready([daemon])
            await judge(world, edits, [daemon])
            assert "stop_deadline_passed" not in {line["event"] for line in daemon.log_lines()}
            await world.end([daemon])
