"""Replay cursors and watermarks: opaque bytes by connection and name."""

from __future__ import annotations

from hintd.postgres.pool import Database

_LOAD = "select value from cursor where connection_id = $1 and name = $2"
_SAVE = """
insert into cursor values ($1, $2, $3) on conflict (connection_id, name) do update set value = excluded.value
"""


class PostgresCursors:
    def __init__(self, database: Database) -> None:
        self._db = database

    async def load(self, connection_id: int, name: str) -> bytes | None:
        value: bytes | None = await self._db.value(_LOAD, connection_id, name)
        return value

    async def save(self, connection_id: int, name: str, value: bytes) -> None:
        await self._db.run(_SAVE, connection_id, name, value)
