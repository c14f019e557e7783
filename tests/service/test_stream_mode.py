"""What the stream's process tells others is believed for a while, and of one connection."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hintd.service.stream_mode import STALE_AFTER_S, StreamMode, load_mode, save_mode
from tests.fakes.memory import Memory
from tests.fakes.stores import MemoryCursors

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
TOLD = StreamMode("stream", NOW, 0.4)


async def test_what_was_told_is_known_until_it_is_stale() -> None:
    cursors = MemoryCursors(Memory())
    await save_mode(cursors, 1, TOLD)
    assert await load_mode(cursors, 1, NOW) == TOLD
    assert await load_mode(cursors, 1, NOW + timedelta(seconds=STALE_AFTER_S)) is None


async def test_nothing_is_known_of_a_connection_that_nobody_told_of() -> None:
    cursors = MemoryCursors(Memory())
    await save_mode(cursors, 1, TOLD)
    assert await load_mode(cursors, 2, NOW) is None
