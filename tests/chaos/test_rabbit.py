"""RabbitMQ stopped, killed and started again under running processes."""

from __future__ import annotations

import random
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import pytest

from tests.chaos.clinic import Edits
from tests.chaos.waiting import wait_until_nothing
from tests.chaos.world import World, judge, open_world
from tests.private_rabbit import PrivateRabbit
from tests.services import server_directory

pytestmark = pytest.mark.chaos


@asynccontextmanager
async def away(rabbit: PrivateRabbit, how: signal.Signals) -> AsyncIterator[None]:
    """Within the block there is no RabbitMQ."""
    rabbit.stop(how)
    try:
        yield
    finally:
        rabbit.start()


async def make(world: World, edits: Edits, count: int) -> None:
    for edit in edits.plan(count):
        await world.clinic.make(edit)


async def in_the_inbox(dsn: str) -> int:
    connection = await asyncpg.connect(dsn)
    try:
        return int(await connection.fetchval("select count(*) from inbox where queue = 'changes'"))
    finally:
        await connection.close()


@pytest.mark.parametrize(
    "how",
    [
        pytest.param(signal.SIGTERM, id="stopped"),
        pytest.param(signal.SIGKILL, id="killed", marks=pytest.mark.long),
    ],
)
async def test_changes_are_accepted_while_rabbitmq_is_away_and_arrive_when_it_is_back(
    tmp_path: Path, store_dsn: str, how: signal.Signals
) -> None:
    with server_directory() as directory, PrivateRabbit(directory) as rabbit:
        async with open_world(tmp_path, dsn=store_dsn, bus_url=rabbit.url) as world:
            fleet = [world.hintd("worker", "worker"), world.hintd("front", "listener", "stream", "scheduler")]
            edits = Edits(world.pairs, random.Random(6))
            async with world.running(*fleet):
                await make(world, edits, 100)
                async with away(rabbit, how):
                    await make(world, edits, 60)
                    await wait_until_nothing(world.clinic.undelivered, "webhooks are accepted", within_s=30.0)
                    assert await in_the_inbox(store_dsn) > 0
                await make(world, edits, 60)
                await judge(world, edits, fleet)
                await world.end(fleet)
