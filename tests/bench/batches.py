"""Batches: the calls that they make, their time against what the rate limits allow, and what else they weigh on.

Hint's limit is enforced by the sandbox, Salesforce takes 300 ms for a call; memory is measured without either.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from hintd.sandbox.salesforce.table import crowd_id
from tests.bench.figures import Figure, at_most
from tests.bench.practice import Batched, Practice, open_clinic
from tests.bench.processes import LOAD_CORE, result_of
from tests.bench.servers import Servers

SALESFORCE_MS = 300
FROM_PATIENTS, FROM_CONTACTS = "patients-to-contacts", "contacts-to-patients"


@dataclass(frozen=True, slots=True)
class Scale:
    """Numbers of records; ``slow`` and ``fast`` are of the batches at 20 and at 100 requests/s."""

    fast: int
    slow: int
    beside: int
    edits: int
    small: int
    large: int
    obvious: int


FULL = Scale(10_000, 1_000, 100_000, 200, 10_000, 1_000_000, 500)
QUICK = Scale(1_000, 300, 10_000, 50, 2_000, 20_000, 30)


async def measure(servers: Servers, *, quick: bool) -> AsyncIterator[Figure]:
    scale = QUICK if quick else FULL
    for per_second, records in ((100, scale.fast), (20, scale.slow)):
        async with open_clinic(servers, Practice(records, per_second, SALESFORCE_MS)) as clinic:
            batched = await clinic.batch("start", FROM_PATIENTS, "--create-unmatched")
        for figure in _from_patients(batched, records, per_second):
            yield figure
    async for figure in _from_contacts(servers, scale):
        yield figure
    async for figure in _beside(servers, scale):
        yield figure
    async for figure in _memory(servers, scale):
        yield figure
    yield await _obvious(servers, scale, batched.seconds / records)


def _from_patients(batched: Batched, records: int, per_second: int) -> list[Figure]:
    what = f"{FROM_PATIENTS}, {records:,} records, Hint {per_second}/s"
    hint, salesforce = batched.calls_to("hint"), batched.calls_to("salesforce")
    reads = batched.calls_to("hint", "list")
    return [
        Figure("batch", f"{what}: reads of Hint", "calls", reads, **at_most(reads / (records / 100), 1.02, "x N/100")),
        Figure("batch", f"{what}: Salesforce calls per record", "calls", salesforce / records,
               **at_most(salesforce / records, 0.006, "")),
        _time(what, batched, hint, per_second),
    ]  # fmt: skip


def _time(what: str, batched: Batched, hint_calls: int, per_second: int) -> Figure:
    """The bound: the calls to Hint that were made, at the rate that Hint allows."""
    bound = hint_calls / per_second
    return Figure(
        "batch", f"{what}: time", "s", batched.seconds, bound, **at_most(batched.seconds / bound, 1.05, "x bound")
    )


async def _from_contacts(servers: Servers, scale: Scale) -> AsyncIterator[Figure]:
    for per_second, records in ((100, scale.fast // 2), (20, scale.slow)):
        async with open_clinic(servers, Practice(records, per_second, SALESFORCE_MS)) as clinic:
            file = _list_of_ids(servers.logs / "contacts.csv", records)
            batched = await clinic.batch("start", FROM_CONTACTS, "--csv", str(file))
        what = f"{FROM_CONTACTS}, {records:,} records, Hint {per_second}/s"
        hint, matched = batched.calls_to("hint"), batched.status["counts"]["linked"]
        yield Figure("batch", f"{what}: Hint calls per matched record", "calls", hint / matched,
                     **at_most(hint / matched, 1.02, ""))  # fmt: skip
        yield _time(what, batched, hint, per_second)


def _list_of_ids(file: Path, records: int) -> Path:
    file.write_text("Contact ID\n" + "".join(f"{crowd_id(number)}\n" for number in range(records)))
    return file


async def _beside(servers: Servers, scale: Scale) -> AsyncIterator[Figure]:
    """Real-time latency with and without a batch at work."""
    practice = Practice(scale.beside, 100, SALESFORCE_MS, pairs=scale.edits)
    async with open_clinic(servers, practice) as clinic:
        sides = {"hint": "webhook to Salesforce write", "salesforce": "change event to Hint write"}
        alone = {side: await clinic.stage.edit(side, scale.edits, rate=5) for side in sides}
        batch = asyncio.create_task(clinic.batch("start", FROM_PATIENTS))
        await clinic.until_writing()
        for side, way in sides.items():
            beside = await clinic.stage.edit(side, scale.edits, rate=5)
            if batch.done():
                raise RuntimeError("the batch ended before the edits did: ask for a larger one")
            what = f"{way}, p99 during a batch of {scale.beside:,}"
            yield Figure("batch", what, "ms", beside["p99_ms"], alone[side]["p99_ms"],
                         **at_most(beside["p99_ms"] / alone[side]["p99_ms"], 2, "x alone"))  # fmt: skip
        batch.cancel()
        with suppress(asyncio.CancelledError):
            await batch


async def _memory(servers: Servers, scale: Scale) -> AsyncIterator[Figure]:
    """A preview: the same reading, matching and planning, and no remote's own pace in it."""
    found = {}
    for records in (scale.small, scale.large):
        async with open_clinic(servers, Practice(records)) as clinic:
            found[records] = await clinic.batch("preview", FROM_PATIENTS, "--create-unmatched")
    small, large = found[scale.small], found[scale.large]
    what = f"preview of {scale.large:,} records, beside one of {scale.small:,}"
    yield Figure("batch", f"{what}: peak memory", "MB", large.peak_mb, small.peak_mb,
                 **at_most(large.peak_mb / small.peak_mb, 1.2))  # fmt: skip
    per_large, per_small = 1e3 * large.seconds / scale.large, 1e3 * small.seconds / scale.small
    yield Figure("batch", f"{what}: time per record", "ms", per_large, per_small, **at_most(per_large / per_small, 1.2))


async def _obvious(servers: Servers, scale: Scale, ours_s: float) -> Figure:
    """simple-salesforce, a query and an update per record, and the patient's PATCH; hintd's is of the 20/s batch."""
    async with open_clinic(servers, Practice(scale.obvious, 20, SALESFORCE_MS)) as clinic:
        asked = {"url": clinic.stage.url, "records": scale.obvious}
        took = await result_of("floor_batch", asked, servers.logs / "floor.log", core=LOAD_CORE)
    theirs = took["seconds"] / scale.obvious
    what = f"a record, beside simple-salesforce with one query and one update each ({scale.obvious} records)"
    return Figure("batch", what, "ms", 1e3 * ours_s, 1e3 * theirs, compared=ours_s / theirs)
