"""Resident memory of the one-process daemon over many events: it has to stay where it is after the first of them."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

from tests.bench import webhook
from tests.bench.figures import Figure, at_most
from tests.bench.processes import LOAD_CORE, result_of
from tests.bench.servers import Servers
from tests.bench.stage import Played, hintd_stage, until

SAMPLES = 10
MOST_GROWTH = 0.05  # of what it is after the first tenth
_PAIRS = 200
_SANDBOX_SECRET = "sbx-webhook-secret"


async def measure(servers: Servers, *, quick: bool) -> AsyncIterator[Figure]:
    events = 10_000 if quick else 100_000
    async with hintd_stage(servers, _PAIRS) as hintd:
        before = hintd.daemon.child.rss_mb
        bodies = servers.logs / "bodies"
        bodies.write_bytes(b"\n".join(await _bodies(hintd)))
        samples = [await _after(servers, hintd, bodies, events // SAMPLES) for _ in range(SAMPLES)]
    growth = samples[-1] / samples[0] - 1
    what = f"resident memory, {events:,} events, half of linked patients and half of unlinked ones"
    yield Figure("memory", f"{what}: before", "MB", before)
    yield Figure("memory", f"{what}: after a tenth", "MB", samples[0])
    yield Figure(
        "memory", f"{what}: after all", "MB", samples[-1], **at_most(growth, MOST_GROWTH, "growth"),
        runs={"hintd": [before, *samples]},
    )  # fmt: skip


async def _after(servers: Servers, hintd: Played, bodies: Path, events: int) -> float:
    """Post so many webhooks, wait until all have their outcome, and look."""
    settled = await hintd.daemon.settled()
    asked = {
        "port": hintd.daemon.port, "path": "/hint/webhooks", "connections": 8, "count": events, "bodies": str(bodies),
        "secret": _SANDBOX_SECRET,
    }  # fmt: skip
    found = await result_of("load", asked, servers.logs / "load.log", core=LOAD_CORE)
    if found["refused"]:
        raise RuntimeError(f"{found['refused']} webhooks were refused; see {servers.logs}")

    async def all_settled() -> bool:
        return await hintd.daemon.settled() >= settled + events

    await until(all_settled, "all events to settle", within_s=600.0)
    return hintd.daemon.child.rss_mb


async def _bodies(hintd: Played) -> list[bytes]:
    """Webhooks about the linked patients as they stand, which are echoes, between ones about unlinked patients."""
    shown = {p["id"]: p for p in (await hintd.stage.control("GET", "/records"))["hint"]}
    practice = {"practice_id": (await _practice_id(hintd))}
    out: list[bytes] = []
    for number, (patient_id, _) in enumerate(await hintd.stage.pairs()):
        for record in (shown[patient_id], webhook.patient(number)):
            out.append(webhook.encode(json.loads(webhook.event(record, number)) | practice))
    return out


async def _practice_id(hintd: Played) -> str:
    shown = await hintd.daemon.command("connection", "show", "bench")
    return str(shown["practice"]["id"])
