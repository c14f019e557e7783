"""Files are taken as they come, as the body or in a form, up to a limit."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import aiohttp
import pytest
from structlog.testing import capture_logs

from hintd.core.contact_list import UnreadableFile
from tests.fakes.desk import CONTACT, World
from tests.web.conftest import TERMS, Caller

PATH = "/connections/north/uploads"
LIMIT = TERMS.max_upload_bytes
LINE = f"{CONTACT},x\r\n".encode()


async def in_pieces(content: bytes, size: int = 700) -> AsyncIterator[bytes]:
    for start in range(0, len(content), size):
        yield content[start : start + size]


def announced(length: int) -> bytes:
    """The head of a request whose body is still to come."""
    head = f"POST /api/v1{PATH} HTTP/1.1\r\nHost: hintd\r\nAuthorization: Bearer {TERMS.token}\r\n"
    return f"{head}Content-Length: {length}\r\n\r\n".encode()


def a_form(content: bytes) -> aiohttp.FormData:
    form = aiohttp.FormData()
    form.add_field("note", "not the file")
    form.add_field("file", content, filename="ids.csv", content_type="text/csv")
    return form


async def test_body_arrives_as_it_was_sent(api: Caller, world: World) -> None:
    reply = await api.ask("POST", PATH, data=in_pieces(LINE * 5_000))
    assert reply.status == 201
    assert reply.json == {"upload_id": "upl-1", "ids": 5_000, "repeated": 0, "ignored": 0}
    assert world.uploads == [LINE * 5_000]


async def test_file_of_a_form_arrives_as_it_was_sent(api: Caller, world: World) -> None:
    assert (await api.ask("POST", PATH, data=a_form(LINE * 5_000))).status == 201
    assert world.uploads == [LINE * 5_000]


async def test_desk_reads_while_the_sender_still_sends(api: Caller, world: World) -> None:
    begun = asyncio.Event()

    async def sender() -> AsyncIterator[bytes]:
        yield LINE
        await begun.wait()
        yield LINE

    world.on_chunk = begun.set
    assert (await api.ask("POST", PATH, data=sender())).json["ids"] == 2


async def test_file_of_the_largest_size_is_taken_and_no_larger(api: Caller, world: World) -> None:
    assert (await api.ask("POST", PATH, data=b"x" * LIMIT)).status == 201
    assert (await api.ask("POST", PATH, data=b"x" * (LIMIT + 1))).error == (413, "too_large")
    assert [len(content) for content in world.uploads] == [LIMIT]


async def test_file_that_is_announced_too_large_is_refused_before_it_comes(api: Caller) -> None:
    reader, writer = await asyncio.open_connection(api.client.host, api.client.port)
    writer.write(announced(LIMIT + 1))
    assert b" 413 " in await asyncio.wait_for(reader.readline(), 5)
    writer.close()
    await writer.wait_closed()


async def test_file_of_no_announced_length_is_bounded_too(api: Caller, world: World) -> None:
    reply = await api.ask("POST", PATH, data=in_pieces(b"x" * (LIMIT + 1)))
    assert reply.error == (413, "too_large")
    assert str(LIMIT) in reply.json["error"]["message"]
    assert world.uploads == []


BOUND = "multipart/form-data; boundary=x"
BAD_FORMS = {
    "empty": (BOUND, b"--x--\r\n"),
    "no file": (BOUND, b'--x\r\nContent-Disposition: form-data; name="file"\r\n\r\n003\r\n--x--\r\n'),
    "other boundary": (BOUND, b"--y--\r\n"),
    "no boundary": ("multipart/form-data", b"--x--\r\n"),
    "no form": (BOUND, b"003"),
    "bad header": (BOUND, b"--x\r\nno header at all\r\n\r\n003\r\n--x--\r\n"),
}


@pytest.mark.parametrize(("kind", "body"), BAD_FORMS.values(), ids=BAD_FORMS.keys())
async def test_form_without_a_readable_file_is_refused(api: Caller, world: World, kind: str, body: bytes) -> None:
    reply = await api.ask("POST", PATH, data=body, headers={"Content-Type": kind})
    assert reply.error == (400, "usage")
    assert world.uploads == []


async def test_file_that_the_desk_refuses_is_told_why(api: Caller, world: World) -> None:
    world.trouble = UnreadableFile("The file has no Contact id in its first column.")
    reply = await api.ask("POST", PATH, data=LINE)
    assert reply.error == (400, "unreadable_file")


async def test_sender_that_breaks_off_leaves_nothing(api: Caller, world: World) -> None:
    begun = asyncio.Event()
    world.on_chunk = begun.set
    reader, writer = await asyncio.open_connection(api.client.host, api.client.port)
    with capture_logs() as lines:
        writer.write(announced(500) + LINE)
        await begun.wait()
        writer.close()
        await writer.wait_closed()
        await reader.read()
        assert (await api.ask("POST", PATH, data=LINE)).status == 201
    assert world.uploads == [LINE]
    assert lines == []
