"""The sandbox with a stopwatch, a child process: it edits people on one side and waits for the write on the other.

Both ends are taken in the sandbox's own process, at the commit of the edit and at the commit of the write that follows
it, so a latency holds the webhook or change event, whoever syncs, and the call that he makes.

Besides the sandbox's own ports there is one for the bench: ``GET /pairs``, and ``POST /edits`` with ``side``, ``edits``
and ``rate`` (edits per second; 0: all at once).  With ``patients`` there is a generated practice beside the pairs.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from dataclasses import dataclass, field
from typing import Any

import uvloop
from aiohttp import web

from hintd.sandbox.app import Sandbox
from hintd.sandbox.changes import CLINIC, Change
from hintd.sandbox.options import Options
from hintd.sandbox.people import make_people
from tests.bench.figures import quantile
from tests.bench.processes import options, say

_ARRIVES_S = 120.0

Pair = tuple[str, str]
"""A patient's id and a Contact's."""


def make_pairs(sandbox: Sandbox, count: int) -> list[Pair]:
    """People known to both sides, linked as an earlier integration would have left them, with equal e-mail."""
    pairs = []
    people = (p for p in make_people(2 * count, seed=1) if p.patient is not None and p.contact is not None)
    for number, person in enumerate(itertools.islice(people, count)):
        email = {"email": f"person{number}@mail.example"}
        stored = sandbox.hint.patients.create({**(person.patient or {}), **email}, CLINIC)
        linked = {"Synced_to_Hint__c": True, "Hint_Patient_Id__c": stored.id, "Email": email["email"]}
        contact_id = sandbox.salesforce.user_create({**(person.contact or {}), **linked})
        sandbox.hint.patients.update(stored, {"integration_record_id": contact_id}, CLINIC)
        pairs.append((stored.id, contact_id))
    return pairs


@dataclass
class Stopwatch:
    """``running`` holds what was edited and not yet written, by the record where the write is awaited."""

    sandbox: Sandbox
    pairs: list[Pair]
    running: dict[tuple[str, str], float] = field(default_factory=dict)
    latencies: list[float] = field(default_factory=list)
    written: asyncio.Event = field(default_factory=asyncio.Event)
    numbers: Any = field(default_factory=lambda: itertools.count(1))

    def see(self, change: Change) -> None:
        begun = self.running.pop((change.side, change.record_id), None)
        if begun is not None:
            self.latencies.append(time.perf_counter() - begun)
            self.written.set()

    async def edit(self, side: str, edits: int, rate: float) -> dict[str, Any]:
        """Each pair is edited in turn, and again only when its last edit has arrived."""
        self.latencies, started = [], time.perf_counter()
        for number, pair in zip(range(edits), itertools.cycle(self.pairs), strict=False):
            if rate:
                await asyncio.sleep(started + number / rate - time.perf_counter())
            self._edit_one(side, pair)
        async with asyncio.timeout(_ARRIVES_S):
            while self.running:
                self.written.clear()
                await self.written.wait()
        return self._found(edits, time.perf_counter() - started)

    def _edit_one(self, side: str, pair: Pair) -> None:
        (patient_id, contact_id), email = pair, f"edit{next(self.numbers)}@mail.example"
        awaited = ("salesforce", contact_id) if side == "hint" else ("hint", patient_id)
        if awaited in self.running:
            raise RuntimeError("a record was edited again before its last edit had arrived: ask for fewer")
        self.running[awaited] = time.perf_counter()
        if side == "hint":
            self.sandbox.hint.patients.update(self.sandbox.hint.patients.get(patient_id), {"email": email}, CLINIC)
        else:
            self.sandbox.salesforce.user_edit(contact_id, {"Email": email})

    def _found(self, edits: int, took_s: float) -> dict[str, Any]:
        timed = sorted(self.latencies)
        return {
            "p50_ms": 1000 * quantile(timed, 0.5),
            "p99_ms": 1000 * quantile(timed, 0.99),
            "per_s": edits / took_s,
            "edits": edits,
        }


async def serve(pairs: int, patients: int = 0, match_share: float = 1.0) -> None:
    free = Options(port=0, grpc_port=0, people=0, hint_requests_per_second=0, hint_requests_per_day=0,
                   salesforce_daily_calls=0, patients=patients, contacts=patients,
                   match_share=match_share)  # fmt: skip
    async with Sandbox(free).running() as sandbox:
        stopwatch = Stopwatch(sandbox, make_pairs(sandbox, pairs))
        sandbox.changes.listen(stopwatch.see)
        runner = web.AppRunner(_port(stopwatch), access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        say({"url": sandbox.url, "grpc": sandbox.grpc_address, "port": runner.addresses[0][1]})
        await asyncio.Event().wait()


def _port(stopwatch: Stopwatch) -> web.Application:
    async def pairs(_: web.Request) -> web.Response:
        return web.json_response(stopwatch.pairs)

    async def edits(request: web.Request) -> web.Response:
        return web.json_response(await stopwatch.edit(**(await request.json())))

    app = web.Application()
    app.router.add_get("/pairs", pairs)
    app.router.add_post("/edits", edits)
    return app


if __name__ == "__main__":
    uvloop.run(serve(**options()))
