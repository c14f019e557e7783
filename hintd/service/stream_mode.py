"""How a connection's changes come from Salesforce just now, told by the process that holds its stream to all others."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

import msgspec

from hintd.ports import Cursors

_CURSOR = "stream.mode"
STALE_AFTER_S = 60.0
"""Older than that, nobody holds the stream any more: nothing is known."""

Mode = Literal["stream", "polling"]


class StreamMode(msgspec.Struct, frozen=True):
    """``lag_s``: how long the latest event took to come, or None before the first and while polling."""

    mode: Mode
    at: datetime
    lag_s: float | None = None


async def save_mode(cursors: Cursors, connection_id: int, mode: StreamMode) -> None:
    await cursors.save(connection_id, _CURSOR, msgspec.json.encode(mode))


async def load_mode(cursors: Cursors, connection_id: int, now: datetime) -> StreamMode | None:
    """None where nothing is known: neither mode works, or no process tells of it."""
    stored = await cursors.load(connection_id, _CURSOR)
    if stored is None:
        return None
    mode = msgspec.json.decode(stored, type=StreamMode)
    return mode if (now - mode.at).total_seconds() < STALE_AFTER_S else None
