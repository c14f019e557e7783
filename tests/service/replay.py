"""Plays worlds from their seeds; ``python -m tests.service.replay SEED`` replays one and prints its story."""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass

from tests.fakes.clock import VirtualLoop
from tests.service.simulation import World, listen_to_logs
from tests.service.verdict import WRITES, has_parked_pair, has_unlinked_newcomer, judge_world

Meddling = Callable[[World], None]


@dataclass(frozen=True, slots=True)
class Played:
    seed: int
    world: World
    broken: list[str]

    def story(self) -> str:
        """What happened, without the random ids of the sweeps' notices."""
        return re.sub(r"[0-9a-f]{32}", "…", "\n".join(self.world.story))


def play(seed: int) -> Played:
    """One world from beginning to end, and what of the rules did not hold."""
    return play_with(seed)


def play_with(seed: int, begun: Meddling = lambda _: None, at_rest: Meddling = lambda _: None) -> Played:
    """A world that somebody meddles with, to see whether the verdict finds it."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(_play(seed, begun, at_rest))


async def _play(seed: int, begun: Meddling, at_rest: Meddling) -> Played:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    world = World(seed, loop)
    with listen_to_logs(world):
        try:
            begun(world)
            await world.run()
            at_rest(world)
            broken = judge_world(world)
            broken += await _writes_at_rest(world)
        finally:
            await world.close()
    return Played(seed, world, broken)


async def _writes_at_rest(world: World) -> list[str]:
    """Once more all over: that may still settle a newcomer whose match has become free, and nothing after it."""
    for last in (False, True):
        world.tell("--- a further round ---")
        had_newcomer = has_unlinked_newcomer(world)
        calls_before, saves_before = len(world.calls), world.account.saves
        await world.further_round()
        writes = [call for call in world.calls[calls_before:] if call in WRITES]
        if not writes or (has_parked_pair(world) and world.account.saves == saves_before):
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
