"""The log that people read: ids, field names and sentences, never a patient's value, so nothing here is sealed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import asyncpg

from hintd.core.model import OutcomeKind
from hintd.ports import EventEnd, Level, LogEntry, LogFilter
from hintd.postgres.pool import Database
from hintd.postgres.rows import NO_LINK, SETTLE, Row, log_rows

_WRITE = "select write_log($1, $2::log_row[])"

_END_OF = "select outcome from event where notice_id = $2 and connection_id is not distinct from $1"

_FITTING = """
select * from log
where id > $2
    and ($1::integer is null or connection_id = $1)
    and ($3::text is null or level = $3)
    and ($4::text is null or contact_id = $4 or patient_id = $4)
    and ($5::text is null or batch_id = $5)
    and ($6::timestamptz is null or at >= $6)
"""
_READ = _FITTING + "order by id limit $7"
_NEWEST = _FITTING + "order by id desc limit $7"

_FORGET = """
with forgotten as (delete from event where at < $1)
delete from log where at < $1
"""


class PostgresLog:
    def __init__(self, database: Database) -> None:
        self._db = database

    async def write(self, connection_id: int | None, entries: Sequence[LogEntry]) -> None:
        await self._db.run(_WRITE, connection_id, log_rows(entries))

    async def settle(self, connection_id: int | None, end: EventEnd, entries: Sequence[LogEntry]) -> None:
        event: Row = (end.id, end.source, end.outcome.kind, end.outcome.reason)
        told = log_rows(entries)
        await self._db.value(SETTLE, connection_id, end.at, *event, *NO_LINK, [], None, None, None, None, told, [])

    async def end_of(self, connection_id: int | None, event_id: str) -> OutcomeKind | None:
        outcome = await self._db.value(_END_OF, connection_id, event_id)
        return None if outcome is None else OutcomeKind(outcome)

    async def read(self, connection_id: int | None, only: LogFilter) -> Sequence[tuple[int, LogEntry]]:
        return await self._entries(_READ, connection_id, only)

    async def newest(self, connection_id: int | None, only: LogFilter) -> Sequence[tuple[int, LogEntry]]:
        return (await self._entries(_NEWEST, connection_id, only))[::-1]

    async def _entries(self, sql: str, connection_id: int | None, only: LogFilter) -> Sequence[tuple[int, LogEntry]]:
        wanted = (only.after_id, only.level, only.record_id, only.batch_id, only.since, only.limit)
        return [(row["id"], _entry(row)) for row in await self._db.rows(sql, connection_id, *wanted)]

    async def forget(self, before: datetime) -> None:
        await self._db.run(_FORGET, before)


def _entry(row: asyncpg.Record) -> LogEntry:
    return LogEntry(
        at=row["at"],
        level=Level(row["level"]),
        what=row["what"],
        message=row["message"],
        contact_id=row["contact_id"],
        patient_id=row["patient_id"],
        batch_id=row["batch_id"],
    )
