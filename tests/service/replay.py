"""Replays one seed of the simulation and prints its story: ``python -m tests.service.replay SEED``."""

from __future__ import annotations

import asyncio
import sys
from dataclasses import dataclass

from tests.fakes.clock import VirtualLoop
from tests.service.simulation import World, silence_logs
from tests.service.verdict import WRITES, judge_world


@dataclass(frozen=True, slots=True)
class Played:
    world: World
    broken: list[str]


def play(seed: int) -> Played:
    """One world from beginning to end."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(_play(seed))


async def _play(seed: int) -> Played:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    world = World(seed, loop)
    silence_logs(world)
    try:
        await world.run()
        broken = judge_world(world)
        broken += await _rests(world)
    finally:
        await world.close()
    return Played(world, broken)


async def _rests(world: World) -> list[str]:
    world.tell("--- a further round ---")
    calls_before = len(world.calls)
    await world.further_round()
    writes = [call for call in world.calls[calls_before:] if call in WRITES]
    return [f"a further round made the writes {writes}"] if writes else []


def main() -> int:
    played = play(int(sys.argv[1]))
    print(played.world.climate)
    print("\n".join(played.world.story))
    print("\n".join(played.broken) or "every rule held")
    return 1 if played.broken else 0


if __name__ == "__main__":
    raise SystemExit(main())
