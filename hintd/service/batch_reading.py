"""What a batch reads before it decides: the indexes brought up to date, and the patients with their values.

Hint has no read of many patients by id, so the whole list is read where that costs fewer calls than reading the
matched ones one by one.  Patients wait, sealed, in Postgres: memory does not grow with the practice.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from hintd.core.batch import Batch, Direction
from hintd.core.model import Patient, Record, Side
from hintd.ports import Advance, Batches, BatchWork, Claim
from hintd.service.snapshots import freeze_record, index_row
from hintd.service.sweep import changed_records, load_watermark, patient_pages
from hintd.service.work import Work

Check = Callable[[], None]
"""Raises when the batch was paused or aborted."""


@dataclass(frozen=True, slots=True)
class Reading:
    """``overlap_s``: how far before a sweep's watermark the reading begins, as a sweep's own does."""

    work: Work
    batches: Batches
    store: BatchWork
    check: Check
    overlap_s: float


async def read_for(reading: Reading, claim: Claim) -> None:
    """Both indexes up to date; of a batch from the patients, the patients with their values."""
    await refresh_index(reading, claim, Side.SALESFORCE)
    if claim.batch.direction is Direction.PATIENTS_TO_CONTACTS:
        await read_patients(reading, claim)
    else:
        await refresh_index(reading, claim, Side.HINT)


async def refresh_index(reading: Reading, claim: Claim, side: Side) -> None:
    """What changed since the last sweep, or all of a side that was never swept; the watermark stays the sweep's."""
    watermark = await load_watermark(reading.work, side)
    since = watermark - timedelta(seconds=reading.overlap_s) if watermark is not None else None
    async for page in changed_records(reading.work, side, since):
        reading.check()
        await _index(reading.work, page)
        await _count(reading, claim, "hint_read" if side is Side.HINT else "salesforce_read")


async def read_patients(reading: Reading, claim: Claim) -> None:
    """Every patient of the practice with its values; goes on where a crash left it."""
    until = claim.batch.read_until
    since = datetime.fromisoformat(until) if until else None
    async for page in _pages(reading.work, claim.batch, since):
        reading.check()
        await _index(reading.work, page)
        if page:
            bodies = [(patient.id, freeze_record(patient)) for patient in page]
            await reading.store.put_patients(claim, bodies, read_until=page[-1].stamp.isoformat())
        await _count(reading, claim, "hint_read")


def _pages(work: Work, batch: Batch, since: datetime | None) -> AsyncIterator[Sequence[Patient]]:
    return patient_pages(work, since, everyone=batch.options.include_archived)


async def _index(work: Work, records: Sequence[Record]) -> None:
    rows = [row for record in records if (row := index_row(record)) is not None]
    await work.stores.index.put(work.connection.id, rows)


async def _count(reading: Reading, claim: Claim, what: str) -> None:
    await reading.batches.advance(claim, Advance(calls={what: 1}), now=reading.work.now())


def listing_is_cheaper(matched: int, patients: int) -> bool:
    """Is reading the list, 100 patients to a call, cheaper than reading the matched ones one by one?"""
    return matched > -(-patients // 100)
