"""The connections (one Hint practice with one Salesforce org each), their sealed secrets, and the ledger's counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

import asyncpg

from hintd.core.model import Source
from hintd.ports import Connection, NameTaken
from hintd.postgres.codec import decode_object, encode
from hintd.postgres.pool import Database, Seal

_ALL = "select * from connection order by id"
_BY_NAME = "select * from connection where name = $1"

# A practice that was disconnected and comes back is connected anew: its new patients are those from now on.
_ADD = """
insert into connection (practice_id, name, practice_name, installation_id, organization_id, organization_name, state,
    settings, webhook, default_account_id, secrets, paused_why, created_at)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
on conflict (practice_id) do update set
    name = excluded.name, practice_name = excluded.practice_name, installation_id = excluded.installation_id,
    organization_id = excluded.organization_id, organization_name = excluded.organization_name,
    state = excluded.state, settings = excluded.settings, webhook = excluded.webhook,
    default_account_id = excluded.default_account_id, secrets = excluded.secrets, paused_why = excluded.paused_why,
    created_at = case connection.state when 'disconnected' then excluded.created_at else connection.created_at end
returning *
"""

_CHANGE = """
update connection set practice_id = $1, name = $2, practice_name = $3, installation_id = $4, organization_id = $5,
    organization_name = $6, state = $7, settings = $8, webhook = $9, default_account_id = $10, secrets = $11,
    paused_why = $12
where id = $13
"""

_EVENT_COUNTS = """
select source, outcome, count(*) as events from event
where $1::integer is null or connection_id = $1
group by source, outcome
"""

_LAST_EVENT_AT = "select max(at) from event where connection_id = $1 and source = $2"


class PostgresConnections:
    def __init__(self, database: Database, *, seal_secret: Seal, unseal_secret: Seal) -> None:
        self._db = database
        self._seal = seal_secret
        self._unseal = unseal_secret

    async def all(self) -> Sequence[Connection]:
        return [self._connection(row) for row in await self._db.rows(_ALL)]

    async def by_name(self, name: str) -> Connection | None:
        row = await self._db.row(_BY_NAME, name)
        return None if row is None else self._connection(row)

    async def add(self, connection: Connection) -> Connection:
        try:
            row = await self._db.row(_ADD, *self._columns(connection), connection.created_at)
        except asyncpg.UniqueViolationError:
            raise NameTaken(f"another connection is named {connection.name}") from None
        assert row is not None  # an upsert without a condition returns its row
        return self._connection(row)

    async def change(self, connection: Connection) -> None:
        try:
            await self._db.run(_CHANGE, *self._columns(connection), connection.id)
        except asyncpg.UniqueViolationError:
            raise NameTaken(f"another connection is named {connection.name}") from None

    async def event_counts(self, connection_id: int | None = None) -> Mapping[tuple[str, str], int]:
        rows = await self._db.rows(_EVENT_COUNTS, connection_id)
        return {(row["source"], row["outcome"]): row["events"] for row in rows}

    async def last_event_at(self, connection_id: int, source: Source) -> datetime | None:
        at: datetime | None = await self._db.value(_LAST_EVENT_AT, connection_id, source)
        return at

    def _columns(self, connection: Connection) -> tuple[object, ...]:
        return (
            connection.practice_id,
            connection.name,
            connection.practice_name,
            connection.installation_id,
            connection.organization_id,
            connection.organization_name,
            connection.state,
            encode(connection.settings),
            encode(connection.webhook),
            connection.default_account_id,
            self._seal(encode(connection.secrets)),
            connection.paused_why,
        )

    def _connection(self, row: asyncpg.Record) -> Connection:
        return Connection(
            id=row["id"],
            name=row["name"],
            practice_id=row["practice_id"],
            practice_name=row["practice_name"],
            installation_id=row["installation_id"],
            organization_id=row["organization_id"],
            organization_name=row["organization_name"],
            state=row["state"],
            created_at=row["created_at"],
            settings=decode_object(row["settings"]),
            webhook=decode_object(row["webhook"]),
            default_account_id=row["default_account_id"],
            secrets=decode_object(self._unseal(row["secrets"])),
            paused_why=row["paused_why"],
        )
