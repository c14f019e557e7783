"""From what a person asks of ``hintd batch`` to a queued batch: the file is read in chunks and stored as an upload."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path
from uuid import uuid4

from hintd.core.batch import BatchKind, Direction
from hintd.service.batches import BatchRequest, check_request
from hintd.web.desk import BatchDesk
from hintd.web.shapes import BatchStartedJson

_CHUNK_BYTES = 1 << 18


@dataclass(frozen=True, slots=True)
class Wish:
    """What the options of ``start`` and ``preview`` say."""

    direction: str
    file: Path | None
    create_unmatched: bool | None
    include_archived: bool
    from_preview: str | None


async def request_batch(desk: BatchDesk, name: str, kind: BatchKind, wish: Wish, *, person: str) -> BatchStartedJson:
    """Raises what the desk and ``check_request`` raise; then nothing is queued."""
    request = BatchRequest(
        kind,
        Direction(wish.direction),
        requested_by=person,
        request_id=uuid4().hex,
        create_unmatched=wish.create_unmatched,
        include_archived=wish.include_archived,
        from_preview=wish.from_preview,
    )
    check_request(request, has_ids=wish.file is not None)
    if wish.file is not None:
        stored = await desk.upload(name, _chunks(wish.file))
        request = replace(request, upload_id=stored["upload_id"])
    return await desk.start(name, request)


async def _chunks(file: Path) -> AsyncIterator[bytes]:
    with file.open("rb") as source:
        while chunk := source.read(_CHUNK_BYTES):
            yield chunk
