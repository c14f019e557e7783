"""Files of Contact ids: stored whole or not at all, and found by their own connection only."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from hintd.core.batch import BatchOptions
from hintd.core.contact_list import Line, LineKind
from tests.contract.batches import CONTACTS, claimed, contact_id, line, other_connection, streamed
from tests.contract.stores import NOW, Stores


async def test_an_upload_tells_what_was_in_the_file(stores: Stores) -> None:
    lines = [line(1, LineKind.IGNORED), line(2), line(4), line(5, LineKind.REPEATED, contact=2)]
    upload = await stores.uploads.add(1, streamed(lines), at=NOW)
    assert (upload.connection_id, upload.ids, upload.repeated, upload.ignored) == (1, 2, 1, 1)
    assert upload.id.startswith("upl-")
    assert await stores.uploads.get(1, upload.id) == upload


async def test_an_upload_is_its_connections_own(stores: Stores) -> None:
    upload = await stores.uploads.add(1, streamed([line(1)]), at=NOW)
    assert await stores.uploads.get(await other_connection(stores), upload.id) is None
    assert await stores.uploads.get(1, "upl-000000000000") is None


async def test_uploads_of_many_groups_of_lines_keep_all_of_them(stores: Stores) -> None:
    upload = await stores.uploads.add(1, streamed(line(number) for number in range(1, 12_002)), at=NOW)
    claim = await claimed(stores, direction=CONTACTS, options=BatchOptions(upload_id=upload.id))
    assert (upload.ids, await stores.batch_work.list_items(claim)) == (12_001, 12_001)
    last = await stores.batch_work.items(claim.batch.id, after=11_999, limit=10)
    assert [(item.position, item.record_id) for item in last] == [
        (12_000, contact_id(12_000)),
        (12_001, contact_id(12_001)),
    ]


class Unreadable(Exception):
    """What a reader of files raises in their midst."""


@pytest.mark.parametrize("trouble", [Unreadable, ConnectionResetError, asyncio.CancelledError])
async def test_of_a_file_that_breaks_off_nothing_is_stored_and_its_own_error_is_seen(
    stores: Stores, trouble: type[BaseException]
) -> None:
    async def broken() -> AsyncIterator[Line]:
        for number in range(1, 6_002):
            yield line(number)
        raise trouble

    with pytest.raises(trouble):
        await stores.uploads.add(1, broken(), at=NOW)
    upload = await stores.uploads.add(1, streamed([line(7)]), at=NOW)
    claim = await claimed(stores, direction=CONTACTS, options=BatchOptions(upload_id=upload.id))
    assert await stores.batch_work.list_items(claim) == 1


async def test_many_files_come_at_once(stores: Stores) -> None:
    files = [streamed(line(number) for number in range(1, 3 + size)) for size in range(8)]
    uploads = await asyncio.gather(*(stores.uploads.add(1, lines, at=NOW) for lines in files))
    assert [upload.ids for upload in uploads] == list(range(2, 10))
