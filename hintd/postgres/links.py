"""Links, their leases and the one write path of the service.

A lease is two columns of the link's row: no transaction stays open while a remote is called.  The fence grows with
every taking, and a settlement under an older one is refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

import asyncpg

from hintd.core.model import HistoryEntry, Link, LinkState, Side
from hintd.ports import AlreadyLinked, Busy, FenceLost, LinkUpdate, Settlement, Taken
from hintd.postgres.codec import decode_entry, decode_link, encode
from hintd.postgres.pool import Database, Seal
from hintd.postgres.rows import SETTLE, history_rows, settle_row

_FENCE_LOST = "HF001"  # raised by the SQL function settle

_FIND = """
select * from link where id = case $2
    when 'hint' then (select id from link where connection_id = $1 and patient_id = $3 and state <> 'unlinked')
    else (select id from link where connection_id = $1 and contact_id = $3 and state <> 'unlinked')
end
"""

_TAKE = """
update link set fence = fence + 1, lease_owner = $4, lease_until = $6
where id = case $2
    when 'hint' then (select id from link where connection_id = $1 and patient_id = $3 and state <> 'unlinked')
    else (select id from link where connection_id = $1 and contact_id = $3 and state <> 'unlinked')
end and state <> 'unlinked' and (lease_owner is null or lease_until <= $5)
returning *
"""

_OPEN = """
with opened as (
    insert into link (connection_id, contact_id, patient_id, state, linked_at, linked_by, base, fence, lease_owner,
        lease_until)
    values ($1, $2, $3, 'linking', $4, $5, $6, 1, $7, $8)
    on conflict do nothing
    returning *
), together_again as (
    delete from parted where connection_id = $1 and contact_id = $2 and patient_id = $3
        and exists (select from opened)
)
select * from opened
"""

_STANDING_OF_EITHER = """
select * from link
where connection_id = $1 and state <> 'unlinked' and (contact_id = $2 or patient_id = $3) and id <> $4
order by id limit 1
"""

_REMEMBER = """
with kept as (
    update link set base = $4 where connection_id = $1 and id = $2 and fence = $3 and lease_owner is not null
    returning connection_id, id
), told as (
    insert into history (connection_id, link_id, at, field, side, change, cause, batch_id)
    select kept.connection_id, kept.id, h.at, h.field, h.side, h.change, h.cause, h.batch_id
    from kept, unnest($5::history_row[]) as h
)
select id from kept
"""

_GIVE_BACK = """
update link set lease_owner = null, lease_until = null where connection_id = $1 and id = $2 and fence = $3
"""

_PAGE = """
select * from link
where connection_id = $1 and id > $2 and (state = $4 or ($4::text is null and state <> 'unlinked'))
order by id limit $3
"""

_COUNT = "select count(*) from link where connection_id = $1 and state <> 'unlinked'"

_HISTORY = "select * from history where link_id = $1 order by at desc, id desc limit $2"

_PARTED = """
select contact_id, patient_id from parted
where connection_id = $1 and ($2::text is null or contact_id = $2) and ($3::text is null or patient_id = $3)
order by at, contact_id, patient_id
"""


class PostgresLinks:
    def __init__(self, database: Database, *, seal: Seal, unseal: Seal) -> None:
        self._db = database
        self._seal = seal
        self._unseal = unseal

    async def find(self, connection_id: int, side: Side, record_id: str) -> Link | None:
        row = await self._db.row(_FIND, connection_id, side, record_id)
        return None if row is None else self._link(row)

    async def take(
        self, connection_id: int, side: Side, record_id: str, *, owner: str, now: datetime, lease_s: float
    ) -> Taken | Busy | None:
        until = now + timedelta(seconds=lease_s)
        row = await self._db.row(_TAKE, connection_id, side, record_id, owner, now, until)
        if row is not None:
            return Taken(self._link(row), row["fence"])
        standing = await self._db.row(_FIND, connection_id, side, record_id)
        # Given back between the two statements: busy until now, so that the caller asks again at once.
        return None if standing is None else Busy(standing["lease_until"] or now, standing["id"])

    async def open(
        self,
        connection_id: int,
        contact_id: str,
        patient_id: str,
        *,
        by: str,
        owner: str,
        now: datetime,
        lease_s: float,
    ) -> Taken:
        link = Link(0, connection_id, contact_id, patient_id, LinkState.LINKING, now, by)
        until = now + timedelta(seconds=lease_s)
        base = self._seal(encode(link))
        row = None
        while row is None:  # again only when the link in the way was unlinked between the two statements
            row = await self._db.row(_OPEN, connection_id, contact_id, patient_id, now, by, base, owner, until)
            if row is None:
                await self._refuse_second_link(link)
        return Taken(self._link(row), row["fence"])

    async def remember(self, update: LinkUpdate) -> None:
        link, base = update.link, self._seal(encode(update.link))
        history = history_rows(update.history, self._seal)
        if await self._db.row(_REMEMBER, link.connection_id, link.id, update.fence, base, history) is None:
            raise FenceLost(f"the lease of link {link.id} was lost")

    async def settle(self, settlement: Settlement) -> None:
        try:
            await self._db.value(SETTLE, *settle_row(settlement, self._seal))
        except asyncpg.UniqueViolationError:
            if settlement.link is not None:
                await self._refuse_second_link(settlement.link.link)
            raise
        except asyncpg.PostgresError as error:
            if error.sqlstate != _FENCE_LOST:
                raise
            raise FenceLost(error.args[0]) from None

    async def give_back(self, taken: Taken) -> None:
        await self._db.run(_GIVE_BACK, taken.link.connection_id, taken.link.id, taken.fence)

    async def all(
        self, connection_id: int, *, after_id: int = 0, limit: int = 500, state: LinkState | None = None
    ) -> Sequence[Link]:
        return [self._link(row) for row in await self._db.rows(_PAGE, connection_id, after_id, limit, state)]

    async def count(self, connection_id: int) -> int:
        return int(await self._db.value(_COUNT, connection_id))

    async def history(self, link_id: int, *, limit: int = 200) -> Sequence[HistoryEntry]:
        rows = await self._db.rows(_HISTORY, link_id, limit)
        return [decode_entry(self._unseal(row["change"]), row) for row in rows]

    async def was_unlinked_by_person(
        self, connection_id: int, *, contact_id: str | None = None, patient_id: str | None = None
    ) -> Sequence[tuple[str, str]]:
        rows = await self._db.rows(_PARTED, connection_id, contact_id, patient_id)
        return [(row["contact_id"], row["patient_id"]) for row in rows]

    async def _refuse_second_link(self, link: Link) -> None:
        ids = (link.connection_id, link.contact_id, link.patient_id, link.id)
        if (row := await self._db.row(_STANDING_OF_EITHER, *ids)) is not None:
            raise AlreadyLinked(self._link(row))

    def _link(self, row: asyncpg.Record) -> Link:
        return decode_link(self._unseal(row["base"]), row)
