"""Elections by a row per office: its owner, until when, and a fence that grows with every change of owner."""

from __future__ import annotations

from datetime import datetime, timedelta

from hintd.postgres.pool import Database

_HOLD = """
insert into lease values ($1, $2, 1, $4)
on conflict (name) do update set
    owner = excluded.owner,
    until = excluded.until,
    fence = lease.fence + (lease.owner is distinct from excluded.owner)::integer
where lease.owner is null or lease.owner = excluded.owner or lease.until <= $3
returning fence
"""
_LET_GO = "update lease set owner = null, until = null where name = $1 and owner = $2"


class PostgresLeases:
    def __init__(self, database: Database) -> None:
        self._db = database

    async def hold(self, name: str, *, owner: str, now: datetime, lease_s: float) -> int | None:
        until = now + timedelta(seconds=lease_s)
        fence: int | None = await self._db.value(_HOLD, name, owner, now, until)
        return fence

    async def let_go(self, name: str, *, owner: str) -> None:
        await self._db.run(_LET_GO, name, owner)
