"""The files of Contact ids, line by line; what else the lines held is not kept."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Sequence
from datetime import datetime

import asyncpg

from hintd.core.contact_list import Line, LineKind
from hintd.ports import Upload
from hintd.postgres.pool import Connection, Database, naming_the_loss

_BEGIN = "insert into upload (connection_id, at, ids, repeated, ignored) values ($1, $2, 0, 0, 0) returning id"
_LINES = "insert into upload_line select $1, * from unnest($2::integer[], $3::text[], $4::text[])"
_END = "update upload set ids = $2, repeated = $3, ignored = $4 where id = $1 returning *"
_GET = "select * from upload where connection_id = $1 and id = $2"
_GROUP = 5_000  # lines per statement


class PostgresUploads:
    def __init__(self, database: Database) -> None:
        self._db = database

    async def add(self, connection_id: int, lines: AsyncIterator[Line], *, at: datetime) -> Upload:
        counts: Counter[LineKind] = Counter()
        async with self._db.transaction() as session:
            upload_id = (await _ask(session, _BEGIN, connection_id, at))["id"]
            async for group in _grouped(lines):
                counts.update(line.kind for line in group)
                await _store(session, upload_id, group)
            ends = (counts[LineKind.ID], counts[LineKind.REPEATED], counts[LineKind.IGNORED])
            row = await _ask(session, _END, upload_id, *ends)
        return _upload(row)

    async def get(self, connection_id: int, upload_id: str) -> Upload | None:
        row = await self._db.row(_GET, connection_id, upload_id)
        return None if row is None else _upload(row)


async def _grouped(lines: AsyncIterator[Line]) -> AsyncIterator[list[Line]]:
    group: list[Line] = []
    async for line in lines:
        group.append(line)
        if len(group) == _GROUP:
            yield group
            group = []
    if group:
        yield group


async def _store(session: Connection, upload_id: str, group: Sequence[Line]) -> None:
    columns = ([line.number for line in group], [line.kind for line in group], [line.contact_id for line in group])
    with naming_the_loss():
        await session.execute(_LINES, upload_id, *columns)


async def _ask(session: Connection, sql: str, *args: object) -> asyncpg.Record:
    with naming_the_loss():
        row = await session.fetchrow(sql, *args)
    assert row is not None  # both statements return the row that they wrote
    return row


def _upload(row: asyncpg.Record) -> Upload:
    return Upload(row["id"], row["connection_id"], row["ids"], row["repeated"], row["ignored"])
