"""``kill -9`` of workers, of the listener, of the stream and of the scheduler in the midst of changes."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.chaos.clinic import Edits
from tests.chaos.processes import Hintd
from tests.chaos.world import World, judge, open_world

pytestmark = pytest.mark.chaos


async def edit_and_kill(world: World, fleet: list[Hintd], edits: Edits, *, count: int, kills: list[Hintd]) -> None:
    """The kills are spread at random over the edits; a killed process is started again at once, and the edits go on
    while it starts."""
    moments = sorted(edits.chance.sample(range(count), len(kills)))
    victims = dict(zip(moments, kills, strict=True))
    for number, edit in enumerate(edits.plan(count)):
        await world.clinic.make(edit)
        if number in victims:
            await world.ready(fleet)
            await victims[number].kill()
            await victims[number].start()
    await world.ready(fleet)


def fleet_of(world: World) -> list[Hintd]:
    return [
        world.hintd("worker-1", "worker"),
        world.hintd("worker-2", "worker"),
        world.hintd("listener", "listener"),
        world.hintd("stream", "stream"),
        world.hintd("scheduler", "scheduler"),
    ]


async def everything_arrives(world: World, *, seed: int, count: int, each: int) -> None:
    """Every process is killed ``each`` times, in random order."""
    fleet = fleet_of(world)
    edits = Edits(world.pairs, random.Random(seed))
    kills = fleet * each
    edits.chance.shuffle(kills)
    async with world.running(*fleet):
        await edit_and_kill(world, fleet, edits, count=count, kills=kills)
        await judge(world, edits, fleet)
        await world.end(fleet)


async def test_with_rabbitmq_all_changes_arrive_once_though_every_process_is_killed(
    tmp_path: Path, store_dsn: str, amqp_url: str
) -> None:
    async with open_world(tmp_path, dsn=store_dsn, bus_url=amqp_url) as world:
        await everything_arrives(world, seed=1, count=500, each=1)


async def test_with_the_inbox_as_bus_all_changes_arrive_once_though_every_process_is_killed(
    tmp_path: Path, store_dsn: str
) -> None:
    async with open_world(tmp_path, dsn=store_dsn) as world:
        fleet = [world.hintd("worker", "worker"), world.hintd("front", "listener", "stream", "scheduler")]
        edits = Edits(world.pairs, random.Random(2))
        async with world.running(*fleet):
            await edit_and_kill(world, fleet, edits, count=200, kills=fleet)
            await judge(world, edits, fleet)
            await world.end(fleet)


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("seed", range(10, 15))
async def test_all_changes_arrive_once_over_many_kills(
    tmp_path: Path, store_dsn: str, amqp_url: str, seed: int
) -> None:
    async with open_world(tmp_path, dsn=store_dsn, bus_url=amqp_url) as world:
        await everything_arrives(world, seed=seed, count=2_000, each=6)
