"""Starting batches and giving them commands (README rule 8): the same for the command line, the API and messages.

The truth is the batch's row in Postgres; a lost or repeated request changes nothing.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import datetime

from hintd.core.batch import Batch, BatchKind, BatchOptions, BatchState, Command, Direction
from hintd.ports import Connection, NewBatch
from hintd.service.newcomers import creates_contacts
from hintd.service.work import Stores

MOST_IDS = 10_000
"""Contact ids that a control message may carry; more come as a file."""

CallsLeft = Callable[[], Awaitable[int]]
"""How many calls to Hint a batch may still make today."""


class BatchRefused(Exception):
    """A rule forbids it; ``str()`` is a sentence that says which, and what to do."""


class BatchUnclear(BatchRefused):
    """What was asked makes no sense for its direction, whatever is stored."""


@dataclass(frozen=True, slots=True)
class BatchRequest:
    """``create_unmatched`` None: the connection's check box for a batch from the patients, else off."""

    kind: BatchKind
    direction: Direction
    requested_by: str
    request_id: str
    create_unmatched: bool | None = None
    include_archived: bool = False
    upload_id: str | None = None
    from_preview: str | None = None


async def start_batch(
    stores: Stores,
    connection: Connection,
    request: BatchRequest,
    *,
    now: datetime,
    calls_left: CallsLeft,
    stamp_all: bool,
) -> Batch:
    """A queued batch; a worker takes it up within a second.  Raises BatchRefused, BatchRunning, and NoSuchBatch where
    there is no such preview."""
    check_request(request, has_ids=request.upload_id is not None)
    if connection.state == "disconnected":
        raise BatchRefused(f"Connection {connection.name} is disconnected. Connect it again first.")
    if request.from_preview is not None:
        request = await _as_previewed(stores, connection, request)
    await _check_upload(stores, connection, request)
    options = BatchOptions(
        create_unmatched=_creates(connection, request),
        include_archived=request.include_archived,
        upload_id=request.upload_id,
        from_preview=request.from_preview,
        stamp_all=stamp_all,
    )
    warning = await _warning(stores, connection, request, calls_left)
    new = NewBatch(
        connection.id,
        request.kind,
        request.direction,
        options,
        request.requested_by,
        request.request_id,
        now,
        warning,
    )
    return await stores.batches.add(new)


def check_request(request: BatchRequest, *, has_ids: bool) -> None:
    """To be called before a file of Contact ids is stored for the request; ``has_ids``: such a file comes with it, or
    is there.  Raises BatchUnclear."""
    if request.direction is Direction.PATIENTS_TO_CONTACTS:
        if has_ids:
            raise BatchUnclear(
                f"A batch of {request.direction} takes all patients of the practice. Contact ids are for "
                f"{Direction.CONTACTS_TO_PATIENTS}."
            )
        return
    if request.include_archived:
        raise BatchUnclear(f"Archived patients are a matter of {Direction.PATIENTS_TO_CONTACTS} only.")
    if has_ids is (request.from_preview is not None):
        raise BatchUnclear(
            f"A batch of {request.direction} needs its Contacts: either a file of their ids (--csv FILE), or a preview "
            "whose Contacts it takes (--from-preview BATCH)."
        )


def _creates(connection: Connection, request: BatchRequest) -> bool:
    if request.create_unmatched is not None:
        return request.create_unmatched
    return request.direction is Direction.PATIENTS_TO_CONTACTS and creates_contacts(connection)


async def _as_previewed(stores: Stores, connection: Connection, request: BatchRequest) -> BatchRequest:
    """What the preview was asked for is what is run, but for what the request says itself."""
    preview = await stores.batches.get(str(request.from_preview))
    if preview.connection_id != connection.id or preview.kind is not BatchKind.PREVIEW:
        raise BatchRefused(f"{preview.id} is no preview of connection {connection.name}.")
    if preview.direction is not request.direction:
        raise BatchRefused(f"Preview {preview.id} was of {preview.direction}; this batch is {request.direction}.")
    if preview.state is not BatchState.DONE:
        raise BatchRefused(f"Preview {preview.id} is {preview.state}; it can be followed only when it is done.")
    asked = request.create_unmatched
    return replace(
        request,
        upload_id=request.upload_id or preview.options.upload_id,
        create_unmatched=preview.options.create_unmatched if asked is None else asked,
        include_archived=request.include_archived or preview.options.include_archived,
    )


async def _check_upload(stores: Stores, connection: Connection, request: BatchRequest) -> None:
    if request.upload_id is not None and await stores.uploads.get(connection.id, request.upload_id) is None:
        raise BatchRefused(f"There is no upload {request.upload_id} of connection {connection.name}.")


async def _warning(stores: Stores, connection: Connection, request: BatchRequest, calls_left: CallsLeft) -> str | None:
    """Said at the start, when the calls that are left for today may not do; the batch then waits for midnight."""
    needed = await _hint_calls(stores, connection, request)
    if needed is None or request.kind is BatchKind.PREVIEW:
        return None
    left = await calls_left()
    if needed <= left:
        return None
    return (
        f"About {needed} calls to Hint are needed and {left} are left for today: the batch will wait until 00:00 UTC "
        "and go on then."
    )


async def _hint_calls(stores: Stores, connection: Connection, request: BatchRequest) -> int | None:
    """At most; what a preview has found where there is one."""
    if request.from_preview is not None:
        preview = await stores.batches.get(request.from_preview)
        return preview.calls.get("hint_read", 0) + preview.calls.get("hint_write", 0)
    if request.upload_id is not None:
        upload = await stores.uploads.get(connection.id, request.upload_id)
        return None if upload is None else upload.ids
    return None


async def command_batch(stores: Stores, batch_id: str, command: Command, *, now: datetime) -> Batch:
    """Pause, resume or abort; obeyed within one page.  Raises NoSuchBatch and CommandRefused."""
    return await stores.batches.command(batch_id, command, at=now)
