"""``hintd batch results``: one row per record, a page on the screen or all of them as CSV."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import click

from hintd.cli.common import Answer, Caller, answering, table
from hintd.core.batch import BatchRow, RowOutcome
from hintd.service.batch_answers import csv_lines, results_json
from hintd.web.desk import BatchDesk

_HEAD = ("position", "contact_id", "patient_id", "outcome", "reason", "message")
_CSV_PAGE = 1_000


@click.command()
@click.argument("batch_id", metavar="BATCH")
@click.option(
    "--csv", "file", type=click.Path(path_type=Path, dir_okay=False), help="Write all rows to this file instead."
)
@click.option("--outcome", type=click.Choice([each.value for each in RowOutcome]), help="Only rows that ended so.")
@click.option("--after", default=0, help="Only rows behind this position: the page's `next`.")
@click.option("--limit", default=200, show_default=True, help="At most so many rows.")
@answering
async def results(
    caller: Caller, batch_id: str, file: Path | None, outcome: str | None, after: int, limit: int
) -> Answer:
    """What came of every record of a batch; of a preview, what would.  Quotes patients' values."""
    only = RowOutcome(outcome) if outcome else None
    async with caller.desk() as desk:
        await desk.batches.status(batch_id)
        if file is not None:
            count = await _write_csv(file, _pages(desk.batches, batch_id, only))
            return Answer({"batch_id": batch_id, "csv": str(file), "rows": count}, f"{count} rows are in {file}.")
        rows = await desk.batches.rows(batch_id, after=after, limit=limit, outcome=only)
    page = results_json(batch_id, rows, limit)
    text = table([[getattr(row, key) for key in _HEAD] for row in rows], _HEAD)
    if page["next"] is not None:
        text += f"\nMore with --after {page['next']}"
    return Answer(page, text)


async def _pages(desk: BatchDesk, batch_id: str, only: RowOutcome | None) -> AsyncIterator[Sequence[BatchRow]]:
    after = 0
    while page := await desk.rows(batch_id, after=after, limit=_CSV_PAGE, outcome=only):
        yield page
        after = page[-1].position


async def _write_csv(file: Path, pages: AsyncIterator[Sequence[BatchRow]]) -> int:
    """Readable by its owner only, as it quotes patients' values.  The number of rows."""
    count = 0
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", newline="") as out:
        out.write(csv_lines(()))
        async for page in pages:
            out.write(csv_lines(page, head=False))
            count += len(page)
    return count
