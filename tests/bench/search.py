"""Live search among the patients of a large practice, as the API answers it."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator

from tests.bench.figures import Figure, at_most, quantile
from tests.bench.practice import Practice, open_clinic
from tests.bench.servers import Servers

_TYPED = ("ada", "smith", "gar", "garcia jo", "o'brien", "lopez", "mar", "w", "xy", "johnson mi")
MOST_MS = 30.0


async def measure(servers: Servers, *, quick: bool) -> AsyncIterator[Figure]:
    patients, rounds = (10_000, 5) if quick else (100_000, 20)
    async with open_clinic(servers, Practice(patients)) as clinic:
        taken = []
        for _ in range(rounds):
            for text in _TYPED:
                begun = time.perf_counter()
                await clinic.daemon.api(f"/connections/bench/patients?text={text}")
                taken.append(1000 * (time.perf_counter() - begun))
    ordered = sorted(taken)
    for share, name in ((0.5, "p50"), (0.99, "p99")):
        value = quantile(ordered, share)
        what = f"live search among {patients:,} patients, {name}"
        yield Figure("search", what, "ms", value, **at_most(value, MOST_MS, "ms"))
