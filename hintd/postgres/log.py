"""The log that people read: ids, field names and sentences, never a patient's value, so nothing here is sealed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from hintd.ports import Level, LogEntry, LogFilter
from hintd.postgres.pool import Database
from hintd.postgres.rows import log_rows

_WRITE = "select write_log($1, $2::log_row[])"

_READ = """
select * from log
where id > $2
    and ($1::integer is null or connection_id = $1)
    and ($3::text is null or level = $3)
    and ($4::text is null or contact_id = $4 or patient_id = $4)
    and ($5::text is null or batch_id = $5)
    and ($6::timestamptz is null or at >= $6)
order by id limit $7
"""

_FORGET = """
with forgotten as (delete from event where at < $1)
delete from log where at < $1
"""


class PostgresLog:
    def __init__(self, database: Database) -> None:
        self._db = database

    async def write(self, connection_id: int | None, entries: Sequence[LogEntry]) -> None:
        await self._db.run(_WRITE, connection_id, log_rows(entries))

    async def read(self, connection_id: int | None, only: LogFilter) -> Sequence[tuple[int, LogEntry]]:
        wanted = (only.after_id, only.level, only.record_id, only.batch_id, only.since, only.limit)
        return [
            (
                row["id"],
                LogEntry(
                    at=row["at"],
                    level=Level(row["level"]),
                    what=row["what"],
                    message=row["message"],
                    contact_id=row["contact_id"],
                    patient_id=row["patient_id"],
                    batch_id=row["batch_id"],
                ),
            )
            for row in await self._db.rows(_READ, connection_id, *wanted)
        ]

    async def forget(self, before: datetime) -> None:
        await self._db.run(_FORGET, before)
