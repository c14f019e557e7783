"""Replays one seed of the simulation and prints its story: ``python -m tests.service.replay SEED``."""

from __future__ import annotations

import asyncio
import sys
from dataclasses import dataclass

from tests.fakes.clock import VirtualLoop
from tests.service.simulation import World, silence_logs
from tests.service.verdict import WRITES, has_unlinked_newcomer, has_parked_pair, judge_world


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
    """Once more all over: that may still settle a newcomer whose match has become free, and nothing after it."""
    for last in (False, True):
        world.tell("--- a further round ---")
        had_newcomer = has_unlinked_newcomer(world)
        calls_before, saves_before = len(world.calls), world.account.saves
        await world.further_round()
        writes = [call for call in world.calls[calls_before:] if call in WRITES]
        if has_parked_pair(world) and world.account.saves == saves_before:
            return []
        if not writes:
            return []
        if last or not had_newcomer:
            break
    return [f"a further round made the writes {writes}"]


def main() -> int:
    played = play(int(sys.argv[1]))
    print(played.world.climate)
    print("\n".join(played.world.story))
    print("\n".join(played.broken) or "every rule held")
    return 1 if played.broken else 0


if __name__ == "__main__":
    raise SystemExit(main())
