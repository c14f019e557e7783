"""Batches: uploading ids, previewing, starting, following, commanding, and reading results (README rules 6 to 8)."""

from __future__ import annotations

from uuid import uuid4

from hintd.core.batch import BatchKind, Command
from hintd.service.batch_answers import BatchJson, ResultsJson, results_json
from hintd.service.batches import BatchRequest
from hintd.web.desk import Desk
from hintd.web.events import csv_of_results, status_events
from hintd.web.routes import Asked, File, Route, Streamed
from hintd.web.shapes import BatchesJson, BatchStartedJson, UploadJson
from hintd.web.wishes import BatchWish, Nothing, Outcomes, Results, UpTo


async def list_batches(desk: Desk, asked: Asked[UpTo, Nothing]) -> BatchesJson:
    """The connection's batches and previews, the newest first."""
    return {"batches": await desk.batches.all(asked.name, limit=asked.query.limit)}


async def start_batch(desk: Desk, asked: Asked[Nothing, BatchWish]) -> BatchStartedJson:
    """Start a batch; it is answered at once with its id. One runs at a time: another is refused with the running
    one's id."""
    return await desk.batches.start(asked.name, _request(BatchKind.RUN, asked))


async def preview_batch(desk: Desk, asked: Asked[Nothing, BatchWish]) -> BatchStartedJson:
    """Start a preview: a batch of its own that writes nothing and blocks nothing."""
    return await desk.batches.start(asked.name, _request(BatchKind.PREVIEW, asked))


def _request(kind: BatchKind, asked: Asked[Nothing, BatchWish]) -> BatchRequest:
    wish = asked.body
    return BatchRequest(
        kind,
        wish.direction,
        asked.person,
        wish.request_id or uuid4().hex,
        create_unmatched=wish.create_unmatched,
        include_archived=wish.include_archived,
        upload_id=wish.upload_id,
        from_preview=wish.from_preview,
    )


async def upload_ids(desk: Desk, asked: Asked[Nothing, File]) -> UploadJson:
    """Upload a CSV file whose first column is the Contact's id, for a batch of Contacts to patients."""
    return await desk.batches.upload(asked.name, asked.body)


async def show_batch(desk: Desk, asked: Asked[Nothing, Nothing]) -> BatchJson:
    """How a batch stands."""
    return await desk.batches.status(asked.path["batch_id"])


async def pause_batch(desk: Desk, asked: Asked[Nothing, Nothing]) -> BatchJson:
    """Pause a batch: it stops within a page, and keeps its place."""
    return await desk.batches.command(asked.path["batch_id"], Command.PAUSE)


async def resume_batch(desk: Desk, asked: Asked[Nothing, Nothing]) -> BatchJson:
    """Let a paused or waiting batch go on."""
    return await desk.batches.command(asked.path["batch_id"], Command.RESUME)


async def abort_batch(desk: Desk, asked: Asked[Nothing, Nothing]) -> BatchJson:
    """Abort a batch: it stops within a page; what is done stays done and is in the results."""
    return await desk.batches.command(asked.path["batch_id"], Command.ABORT)


async def show_results(desk: Desk, asked: Asked[Results, Nothing]) -> ResultsJson:
    """One page of a batch's results. They quote patients' values."""
    batch = await desk.batches.status(asked.path["batch_id"])
    wish = asked.query
    rows = await desk.batches.rows(batch["batch_id"], after=wish.after, limit=wish.limit, outcome=wish.outcome)
    return results_json(batch["batch_id"], rows, wish.limit)


async def download_results(desk: Desk, asked: Asked[Outcomes, Nothing]) -> Streamed:
    """A batch's results as CSV, safe to open in a spreadsheet. They quote patients' values."""
    batch = await desk.batches.status(asked.path["batch_id"])
    rows = csv_of_results(desk.batches, batch["batch_id"], asked.query.outcome)
    return Streamed("text/csv", rows, f"{batch['batch_id']}.csv")


async def follow_batch(desk: Desk, asked: Asked[Nothing, Nothing]) -> Streamed:
    """A batch's status as server-sent events: one when it changes, until the batch has ended."""
    return Streamed("text/event-stream", status_events(lambda: show_batch(desk, asked), asked.pace))


_BATCHES = "/connections/{name}/batches"

BATCH_ROUTES = (
    Route("GET", _BATCHES, list_batches),
    Route("POST", _BATCHES, start_batch, status=202),
    Route("POST", f"{_BATCHES}/preview", preview_batch, status=202),
    Route("POST", "/connections/{name}/uploads", upload_ids, status=201),
    Route("GET", "/batches/{batch_id}", show_batch),
    Route("POST", "/batches/{batch_id}/pause", pause_batch),
    Route("POST", "/batches/{batch_id}/resume", resume_batch),
    Route("POST", "/batches/{batch_id}/abort", abort_batch),
    Route("GET", "/batches/{batch_id}/results", show_results),
    Route("GET", "/batches/{batch_id}/results.csv", download_results, media_type="text/csv"),
    Route("GET", "/batches/{batch_id}/events", follow_batch, media_type="text/event-stream"),
)
