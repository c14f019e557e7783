"""Batches as they are told: names, times, pages, and CSV that no spreadsheet runs."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from hintd.core.batch import (
    Batch,
    BatchKind,
    BatchOptions,
    BatchRow,
    BatchState,
    Direction,
    RowOutcome,
    Skip,
    Stage,
)
from hintd.core.model import HistoryEntry, Side
from hintd.service.batch_answers import batch_json, csv_lines, results_json, row_json

START = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
RUNNING = Batch(
    "bat-000000000001",
    1,
    BatchKind.RUN,
    Direction.PATIENTS_TO_CONTACTS,
    BatchState.RUNNING,
    BatchOptions(),
    "ada",
    START,
    stage=Stage.WRITING,
    done=25,
    total=100,
    counts={"linked": 20, "skipped:ambiguous": 5},
    calls={"hint_read": 1},
    started_at=START,
)
ROW = BatchRow(3, "003000000000001AAA", "pat-1", RowOutcome.SKIPPED, Skip.AMBIGUOUS, "Two Contacts match.")


def told(batch: Batch, seconds: float = 50) -> Any:
    """As JSON says it."""
    return msgspec.to_builtins(batch_json(batch, "north", START + timedelta(seconds=seconds)))


def change(old: Any, new: Any) -> HistoryEntry:
    return HistoryEntry(START, "email", Side.HINT, old, new, "filled")


def cells(*rows: BatchRow) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(csv_lines(rows), newline="")))


def test_batch_is_told_by_its_names() -> None:
    assert told(RUNNING) == {
        "batch_id": "bat-000000000001",
        "kind": "run",
        "direction": "patients-to-contacts",
        "connection": "north",
        "state": "running",
        "stage": "writing",
        "done": 25,
        "total": 100,
        "counts": {"linked": 20, "skipped:ambiguous": 5},
        "calls": {"hint_read": 1},
        "started_at": "2026-11-22T12:00:00Z",
        "finished_at": None,
        "eta_s": 150.0,
        "wanted": None,
        "waiting_for": None,
        "message": None,
    }


@pytest.mark.parametrize(
    "batch",
    [
        *(replace(RUNNING, state=state) for state in BatchState if state is not BatchState.RUNNING),
        replace(RUNNING, started_at=None),
        replace(RUNNING, total=None),
        replace(RUNNING, done=0),
    ],
    ids=lambda batch: f"{batch.state} {batch.done} of {batch.total}",
)
def test_time_left_is_told_only_where_it_can_be(batch: Batch) -> None:
    assert told(batch)["eta_s"] is None


def test_row_is_told_with_what_changed() -> None:
    row = replace(ROW, fields=(change(None, "a@example.org"),))
    assert msgspec.to_builtins(row_json(row)) == {
        "position": 3,
        "contact_id": "003000000000001AAA",
        "patient_id": "pat-1",
        "outcome": "skipped",
        "reason": "ambiguous",
        "message": "Two Contacts match.",
        "fields": [{"name": "email", "side": "hint", "old": None, "new": "a@example.org"}],
        "replanned": False,
    }


@pytest.mark.parametrize(
    ("limit", "following"), [(1, 3), (2, None)], ids=["a full page has another behind it", "a short one is the last"]
)
def test_page_tells_where_the_next_begins(limit: int, following: int | None) -> None:
    page = results_json("bat-1", [ROW], limit)
    assert (page["batch_id"], len(page["rows"]), page["next"]) == ("bat-1", 1, following)


def test_empty_page_is_the_last() -> None:
    assert results_json("bat-1", [], 200)["next"] is None


def test_csv_has_a_header_and_ends_its_lines_as_the_standard_says() -> None:
    header, line, end = csv_lines([ROW]).split("\r\n")
    assert header == "position,contact_id,patient_id,outcome,reason,message,fields"
    assert line == "3,003000000000001AAA,pat-1,skipped,ambiguous,Two Contacts match.,"
    assert end == ""


def test_header_of_csv_is_told_once() -> None:
    assert csv_lines([]) + csv_lines([ROW], head=False) == csv_lines([ROW])


def test_csv_names_ids_that_are_not_there_by_nothing() -> None:
    (row,) = cells(BatchRow(1, None, None, RowOutcome.IGNORED_LINE))
    assert (row["contact_id"], row["patient_id"]) == ("", "")


@pytest.mark.parametrize("message", ["=1+1", "+1", "-1", "@SUM(A1)", "\tx", "\rx", '=cmd|"/C calc"!A0'])
def test_no_cell_is_run_by_a_spreadsheet(message: str) -> None:
    (row,) = cells(replace(ROW, message=message))
    assert row["message"] == f"'{message}"


@pytest.mark.parametrize("message", ["a=b", "1, 2; 3", 'say "no"', "two\nlines", "Zoë", "'quoted'", ""])
def test_other_cells_read_back_as_they_are(message: str) -> None:
    (row,) = cells(replace(ROW, message=message))
    assert row["message"] == message


@pytest.mark.parametrize(
    ("old", "new", "text"),
    [
        (None, "x", "email in Hint: (blank) -> x"),
        ("x", "", "email in Hint: x -> (blank)"),
        (False, True, "email in Hint: no -> yes"),
    ],
)
def test_csv_tells_changes_in_words(old: Any, new: Any, text: str) -> None:
    (row,) = cells(replace(ROW, fields=(change(old, new), change(old, new))))
    assert row["fields"] == f"{text}; {text}"
