"""Files as they are sent: the body itself, or the file of a form.  Read piece by piece, never held as a whole."""

from __future__ import annotations

from collections.abc import AsyncIterator

from aiohttp import BodyPartReader, web
from aiohttp.http import HttpProcessingError

from hintd.web.desk import TooLarge, Unusable
from hintd.web.wishes import bounded

_CHUNK_BYTES = 65536


async def file_chunks(request: web.Request, max_bytes: int) -> AsyncIterator[bytes]:
    """The file's bytes.  Raises TooLarge, before anything is read where the length is announced, and Unusable."""
    if (request.content_length or 0) > max_bytes:
        raise TooLarge(f"The file is larger than [limits] max_upload_bytes ({max_bytes} bytes).", "too_large")
    chunks = _form_file(request) if request.content_type.startswith("multipart/") else _body(request)
    async for chunk in bounded(chunks, max_bytes):
        yield chunk


def _body(request: web.Request) -> AsyncIterator[bytes]:
    return request.content.iter_chunked(_CHUNK_BYTES)


async def _form_file(request: web.Request) -> AsyncIterator[bytes]:
    part = await _first_file(request)
    while chunk := await part.read_chunk(_CHUNK_BYTES):
        yield chunk


async def _first_file(request: web.Request) -> BodyPartReader:
    try:
        async for part in await request.multipart():
            if isinstance(part, BodyPartReader) and part.filename is not None:
                return part
    except (ValueError, AssertionError, HttpProcessingError):
        raise Unusable("The form cannot be read: it is no valid multipart/form-data.", "usage") from None
    raise Unusable("The form has no file field.", "usage")
