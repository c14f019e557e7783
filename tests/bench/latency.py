"""From the edit on one side to the write on the other, over the wire, and how many of them one process does."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass

from tests.bench.figures import Figure, at_most, median_of
from tests.bench.servers import Servers
from tests.bench.stage import Played, Stage, floor_stage, hintd_stage

ADDED_P50_MS, ADDED_P99_MS = 10.0, 50.0
LATENCIES_MS = (0, 50)
WAYS = {"hint": "webhook to Salesforce write", "salesforce": "change event to Hint write"}
RATE = 20.0  # edits per second: far below what either can do, so that nothing waits in line

Runs = Mapping[str, list[Mapping[str, float]]]


@dataclass(frozen=True, slots=True)
class Pace:
    """``edits`` of a paced run, ``burst`` of a saturated one."""

    edits: int
    burst: int
    runs: int


async def measure(servers: Servers, *, quick: bool) -> AsyncIterator[Figure]:
    pace = Pace(40, 60, 3) if quick else Pace(100, 200, 5)
    async with AsyncExitStack() as stack:
        floor = await stack.enter_async_context(floor_stage(servers, pace.burst))
        buses = {"embedded bus": ""}
        if servers.rabbit is not None:
            buses["RabbitMQ"] = await stack.enter_async_context(servers.queues())
        for name, url in buses.items():
            async with hintd_stage(servers, pace.burst, url) as hintd:
                async for figure in _figures(name, floor, hintd, pace):
                    yield figure


async def _figures(bus: str, floor: Stage, hintd: Played, pace: Pace) -> AsyncIterator[Figure]:
    for milliseconds in LATENCIES_MS:
        for stage in (floor, hintd.stage):
            await stage.set_latency(milliseconds)
        for side, way in WAYS.items():
            what = f"{way}, remotes {milliseconds} ms, {bus}"
            for figure in _compare_latency(what, await _runs(floor, hintd, side, pace.edits, RATE, pace.runs)):
                yield figure
            yield _compare_rate(what, await _runs(floor, hintd, side, pace.burst, 0, pace.runs))


async def _runs(floor: Stage, hintd: Played, side: str, edits: int, rate: float, runs: int) -> Runs:
    found: defaultdict[str, list[Mapping[str, float]]] = defaultdict(list)
    for _ in range(runs):
        found["floor"].append(await floor.edit(side, edits, rate))
        found["hintd"].append(await hintd.stage.edit(side, edits, rate))
        await hintd.at_rest()
    return found


def _compare_latency(what: str, runs: Runs) -> tuple[Figure, ...]:
    floor, hintd = median_of(runs["floor"]), median_of(runs["hintd"])
    figures = []
    for name, most in (("p50_ms", ADDED_P50_MS), ("p99_ms", ADDED_P99_MS)):
        added, shown = hintd[name] - floor[name], {who: [run[name] for run in runs[who]] for who in runs}
        title = f"{what}, {name.removesuffix('_ms')}"
        figures.append(
            Figure("latency", title, "ms", hintd[name], floor[name], **at_most(added, most, "ms more"), runs=shown)
        )
    return tuple(figures)


def _compare_rate(what: str, runs: Runs) -> Figure:
    floor, hintd = (median_of(runs[who])["per_s"] for who in ("floor", "hintd"))
    shown = {who: [run["per_s"] for run in runs[who]] for who in runs}
    return Figure("latency", f"{what}, one process", "/s", hintd, floor, hintd / floor, runs=shown)
