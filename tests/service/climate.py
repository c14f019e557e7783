"""What a simulated world is like: how many pairs and workers, what bites, and how badly."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

STORM_EDITS = (8, 22)


@dataclass(frozen=True, slots=True)
class Climate:
    """What a seed's world is like; drawn once, so that some worlds are harsh in one way only."""

    pairs: int
    workers: int
    codes: bool
    hides_title: bool
    stamps_no_ops: bool
    creates_contacts: bool
    uppercases: bool
    interferes: bool
    validates: bool
    duels: bool
    kills: float
    remote_faults: float
    store_faults: float
    losses: float
    outages: bool
    edits: int
    pace_s: float
    batches: bool = False


def draw_climate(random: Random) -> Climate:
    def sometimes(share: float) -> bool:
        return random.random() < share

    return Climate(
        pairs=random.randint(1, 3),
        workers=random.randint(1, 3),
        codes=sometimes(0.5),
        hides_title=sometimes(0.3),
        stamps_no_ops=sometimes(0.3),
        creates_contacts=sometimes(0.7),
        uppercases=sometimes(0.2),
        interferes=sometimes(0.2),
        validates=sometimes(0.1),
        duels=sometimes(0.1),
        kills=random.choice((0.0, 0.0, 0.003, 0.01)),
        remote_faults=random.choice((0.0, 0.05, 0.15)),
        store_faults=random.choice((0.0, 0.0, 0.02)),
        losses=random.choice((0.0, 0.1, 0.3)),
        outages=sometimes(0.3),
        edits=random.randint(*STORM_EDITS),
        pace_s=random.choice((0.3, 2.0, 10.0)),
        batches=sometimes(0.3),
    )
