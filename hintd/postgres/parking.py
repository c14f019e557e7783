"""What was set aside for a person.  Items of a link are parked by its settlement; the rest comes through here."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import asyncpg

from hintd.core.model import OutcomeKind, Owner, Source
from hintd.ports import ParkedItem, ToPark
from hintd.postgres.pool import Database, Seal
from hintd.postgres.rows import NO_LINK, SETTLE, Row, parked_rows

_OPEN_ITEMS = """
select * from parked where state = 'open' and ($1::integer is null or connection_id = $1) order by id limit $2
"""
_GET = "select * from parked where id = $1"
_CLOSE = "update parked set state = $2, closed_at = $3 where id = $1 and state = 'open' returning id"


class PostgresParking:
    def __init__(self, database: Database, *, seal: Seal, unseal: Seal) -> None:
        self._db = database
        self._seal = seal
        self._unseal = unseal

    async def items(self, connection_id: int | None = None, *, limit: int = 200) -> Sequence[ParkedItem]:
        return [self._item(row) for row in await self._db.rows(_OPEN_ITEMS, connection_id, limit)]

    async def get(self, item_id: int) -> tuple[int | None, ParkedItem] | None:
        row = await self._db.row(_GET, item_id)
        return None if row is None else (row["connection_id"], self._item(row))

    async def close(self, item_id: int, *, state: str, now: datetime) -> bool:
        return await self._db.value(_CLOSE, item_id, state, now) is not None

    async def park_message(
        self,
        connection_id: int | None,
        item: ToPark,
        notice_id: str | None,
        now: datetime,
        *,
        source: Source | None = None,
    ) -> None:
        event: Row = (None, None, None, None)
        if notice_id is not None:
            event = (notice_id, source or "unknown", OutcomeKind.PARKED, item.kind)
        park = parked_rows([item], self._seal)
        await self._db.value(SETTLE, connection_id, now, *event, *NO_LINK, park, None, None, None, None, [], [])

    def _item(self, row: asyncpg.Record) -> ParkedItem:
        return ParkedItem(
            id=row["id"],
            kind=row["kind"],
            cause=row["cause"],
            owner=Owner(row["owner"]),
            message=self._unseal(row["message"]).decode(),
            contact_id=row["contact_id"],
            patient_id=row["patient_id"],
            since=row["since"],
            attempts=row["attempts"],
            state=row["state"],
            body=None if row["body"] is None else self._unseal(row["body"]),
        )
