"""Batches as they are told: the JSON of the command line and of the API, and the CSV of the results.

Both answer through here, so that a name means the same in both.  Results quote patients' values: they are for signed-in
people, and for no log.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import TypedDict

from hintd.core.batch import Batch, BatchKind, BatchRow, BatchState, Command, Direction, RowOutcome, Stage, eta_s
from hintd.core.model import HistoryEntry, Side, Value

_TAKEN_FOR_FORMULAS = ("=", "+", "-", "@", "\t", "\r")


class BatchJson(TypedDict):
    """``counts``: rows by outcome, skipped ones as ``skipped:<reason>``.  ``wanted``: a command not obeyed yet."""

    batch_id: str
    kind: BatchKind
    direction: Direction
    connection: str
    state: BatchState
    stage: Stage | None
    done: int
    total: int | None
    counts: Mapping[str, int]
    calls: Mapping[str, int]
    started_at: datetime | None
    finished_at: datetime | None
    eta_s: float | None
    wanted: Command | None
    waiting_for: str | None
    message: str | None


class FieldJson(TypedDict):
    """On ``side``, ``old`` became ``new``; in a preview it would."""

    name: str
    side: Side
    old: Value
    new: Value


class RowJson(TypedDict):
    """``position``: the record's place in the batch; of a file, its line.  ``replanned``: not as the preview said."""

    position: int
    contact_id: str | None
    patient_id: str | None
    outcome: RowOutcome
    reason: str
    message: str
    fields: list[FieldJson]
    replanned: bool


class ResultsJson(TypedDict):
    """One page.  ``next``: what to give as ``after`` for the page behind it; null: that was the last."""

    batch_id: str
    rows: list[RowJson]
    next: int | None


_COLUMNS = ("position", "contact_id", "patient_id", "outcome", "reason", "message", "fields")


def batch_json(batch: Batch, connection_name: str, now: datetime) -> BatchJson:
    """``batch status``.  The time left is told only of what runs."""
    runs = batch.state is BatchState.RUNNING
    elapsed_s = (now - batch.started_at).total_seconds() if runs and batch.started_at else 0.0
    return BatchJson(
        batch_id=batch.id,
        kind=batch.kind,
        direction=batch.direction,
        connection=connection_name,
        state=batch.state,
        stage=batch.stage,
        done=batch.done,
        total=batch.total,
        counts=dict(batch.counts),
        calls=dict(batch.calls),
        started_at=batch.started_at,
        finished_at=batch.finished_at,
        eta_s=eta_s(batch.done, batch.total, elapsed_s),
        wanted=batch.wanted,
        waiting_for=batch.waiting_for,
        message=batch.message,
    )


def row_json(row: BatchRow) -> RowJson:
    return RowJson(
        position=row.position,
        contact_id=row.contact_id,
        patient_id=row.patient_id,
        outcome=row.outcome,
        reason=row.reason,
        message=row.message,
        fields=[FieldJson(name=f.field, side=f.side, old=f.old, new=f.new) for f in row.fields],
        replanned=row.replanned,
    )


def results_json(batch_id: str, rows: Sequence[BatchRow], limit: int) -> ResultsJson:
    """``rows``: at most ``limit`` as the store gave them; a page that is not full is the last."""
    following = rows[-1].position if len(rows) >= limit else None
    return ResultsJson(batch_id=batch_id, rows=[row_json(row) for row in rows], next=following)


def csv_lines(rows: Iterable[BatchRow], *, head: bool = True) -> str:
    """The rows as lines of CSV, behind the header row unless it was told already.  No cell is taken for a formula."""
    text = io.StringIO()
    writer = csv.writer(text)
    if head:
        writer.writerow(_COLUMNS)
    writer.writerows([_harmless(cell) for cell in _cells(row)] for row in rows)
    return text.getvalue()


def _cells(row: BatchRow) -> tuple[str, ...]:
    return (
        str(row.position),
        row.contact_id or "",
        row.patient_id or "",
        str(row.outcome),
        row.reason,
        row.message,
        "; ".join(map(_change, row.fields)),
    )


def _change(entry: HistoryEntry) -> str:
    return f"{entry.field} in {entry.side.capitalize()}: {_spelt(entry.old)} -> {_spelt(entry.new)}"


def _spelt(value: Value) -> str:
    match value:
        case None | "":
            return "(blank)"
        case bool():
            return "yes" if value else "no"
        case _:
            return value


def _harmless(cell: str) -> str:
    """Spreadsheets run what begins like a formula; an apostrophe before it makes it text."""
    return f"'{cell}" if cell.startswith(_TAKEN_FOR_FORMULAS) else cell
