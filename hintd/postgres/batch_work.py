"""What a batch works on, and its results: every write is one statement that stores nothing when the fence was lost."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

import asyncpg

from hintd.core.batch import CHANGED, Batch, BatchItem, BatchRow, Direction, RowOutcome
from hintd.core.model import HistoryEntry, Link, Side
from hintd.ports import Claim, FenceLost, Page, ToMatch
from hintd.postgres.batch_codec import counts_text, read_batch, read_item, read_row, row_columns
from hintd.postgres.batch_listing import COUNT_ANEW, LAST_POSITION, LIST_LINES, LIST_PATIENTS
from hintd.postgres.batch_matching import TO_MATCH, read_to_match
from hintd.postgres.codec import decode_entry, decode_link
from hintd.postgres.pool import Database, Seal

_PUT_PATIENTS = """
with held as (
    update batch set read_until = $3 where id = $1 and fence = $2 and lease_owner is not null returning id
), stored as (
    insert into batch_patient
    select held.id, given.* from held, unnest($4::text[], $5::bytea[]) as given
    on conflict (batch_id, patient_id) do update set body = excluded.body
)
select id from held
"""

_PATIENTS = "select patient_id, body from batch_patient where batch_id = $1 and patient_id = any ($2::text[])"

_DECIDE = """
with held as (
    select id from batch where id = $1 and fence = $2 and lease_owner is not null for share
), decided as (
    update batch_item set partner_id = given.partner_id, decision = given.decision, why = given.why
    from held, unnest($3::integer[], $4::text[], $5::text[], $6::text[]) as given (at, partner_id, decision, why)
    where batch_id = held.id and position = given.at
)
select id from held
"""

_ITEMS = "select * from batch_item where batch_id = $1 and position > $2 order by position limit $3"

_COUNT_DECIDED = "select count(*) from batch_item where batch_id = $1 and decision = $2"

_STORE_PAGE = """
with held as (
    select id from batch where id = $1 and fence = $2 and lease_owner is not null for update
), stored as (
    insert into batch_row select given.* from held, unnest($3::batch_row[]) as given
    on conflict do nothing
    returning case outcome when 'skipped' then 'skipped:' || reason else outcome end as word
), counted as (
    select coalesce(sum(amount), 0)::integer as done, coalesce(jsonb_object_agg(word, amount), '{}') as counts
    from (select word, count(*) as amount from stored group by word) words
)
update batch set checkpoint = greatest(checkpoint, $4), done = batch.done + counted.done,
    counts = add_counts(batch.counts, counted.counts), calls = add_counts(calls, $5)
from held, counted where batch.id = held.id
returning batch.*
"""

_ROWS = """
select * from batch_row where batch_id = $1 and position > $2 and ($4::text is null or outcome = $4)
order by position limit $3
"""

_ROWS_ABOUT = {
    Side.HINT: "select * from batch_row where batch_id = $1 and patient_id = any ($2::text[])",
    Side.SALESFORCE: "select * from batch_row where batch_id = $1 and contact_id = any ($2::text[])",
}

# "coalesce" keeps Postgres off the index by outcome: the one of what is unstamped is in order and ever shorter.
_UNSTAMPED = """
select * from batch_row
where batch_id = $1 and contact_id is not null and not stamped and outcome <> 'ignored_line'
    and coalesce(outcome = any ($3::text[]), true)
order by position limit $2
"""

_MARK_STAMPED = """
with held as (
    select id from batch where id = $1 and fence = $2 and lease_owner is not null for share
), marked as (
    update batch_row set stamped = true from held where batch_id = held.id and position = any ($3::integer[])
)
select id from held
"""

_LINKS = {
    Side.HINT: """
select * from link where connection_id = $1 and patient_id = any ($2::text[]) and state <> 'unlinked'
""",
    Side.SALESFORCE: """
select * from link where connection_id = $1 and contact_id = any ($2::text[]) and state <> 'unlinked'
""",
}

_CHANGES = "select * from history where link_id = any ($2::bigint[]) and batch_id = $1 order by at, id"


class PostgresBatchWork:
    def __init__(self, database: Database, *, seal: Seal, unseal: Seal) -> None:
        self._db = database
        self._seal = seal
        self._unseal = unseal

    async def put_patients(self, claim: Claim, patients: Sequence[tuple[str, bytes]], *, read_until: str) -> None:
        latest = dict(patients)
        bodies = [self._seal(body) for body in latest.values()]
        await self._write(claim, _PUT_PATIENTS, read_until, list(latest), bodies)

    async def patients(self, batch_id: str, patient_ids: Sequence[str]) -> Mapping[str, bytes]:
        rows = await self._db.rows(_PATIENTS, batch_id, patient_ids)
        return {row["patient_id"]: self._unseal(row["body"]) for row in rows}

    async def list_items(self, claim: Claim) -> int:
        if claim.batch.direction is Direction.PATIENTS_TO_CONTACTS:
            await self._write(claim, LIST_PATIENTS)
            listed = await self._db.value(LAST_POSITION, claim.batch.id)
        else:
            listed = (await self._write(claim, LIST_LINES, claim.batch.options.upload_id))["lines"]
        await self._db.run(COUNT_ANEW)
        return int(listed)

    async def to_match(self, claim: Claim, *, after: int, limit: int) -> Sequence[ToMatch]:
        batch = claim.batch
        side = batch.direction.own_side
        rows = await self._db.rows(TO_MATCH, batch.id, batch.connection_id, side, after, limit)
        return read_to_match(rows, side)

    async def decide(self, claim: Claim, items: Sequence[BatchItem]) -> None:
        positions, partners = [item.position for item in items], [item.partner_id for item in items]
        decisions, reasons = [item.decision for item in items], [item.why for item in items]
        await self._write(claim, _DECIDE, positions, partners, decisions, reasons)

    async def items(self, batch_id: str, *, after: int, limit: int) -> Sequence[BatchItem]:
        return [read_item(row) for row in await self._db.rows(_ITEMS, batch_id, after, limit)]

    async def count_decided(self, batch_id: str, decision: str) -> int:
        return int(await self._db.value(_COUNT_DECIDED, batch_id, decision))

    async def store_page(self, claim: Claim, page: Page) -> Batch:
        rows = [row_columns(claim.batch.id, row, self._seal) for row in page.rows]
        calls = counts_text(page.calls)
        return read_batch(await self._write(claim, _STORE_PAGE, rows, page.checkpoint, calls))

    async def rows(
        self, batch_id: str, *, after: int = 0, limit: int = 200, outcome: RowOutcome | None = None
    ) -> Sequence[BatchRow]:
        rows = await self._db.rows(_ROWS, batch_id, after, limit, outcome)
        return [read_row(row, self._unseal) for row in rows]

    async def rows_about(self, batch_id: str, side: Side, record_ids: Sequence[str]) -> Mapping[str, BatchRow]:
        rows = [read_row(row, self._unseal) for row in await self._db.rows(_ROWS_ABOUT[side], batch_id, record_ids)]
        return {str(row.patient_id if side is Side.HINT else row.contact_id): row for row in rows}

    async def unstamped(self, batch_id: str, *, limit: int, changed_only: bool) -> Sequence[BatchRow]:
        rows = await self._db.rows(_UNSTAMPED, batch_id, limit, sorted(CHANGED) if changed_only else None)
        return [read_row(row, self._unseal) for row in rows]

    async def mark_stamped(self, claim: Claim, positions: Sequence[int]) -> None:
        await self._write(claim, _MARK_STAMPED, positions)

    async def links_of(self, connection_id: int, side: Side, record_ids: Sequence[str]) -> Mapping[str, Link]:
        rows = await self._db.rows(_LINKS[side], connection_id, record_ids)
        links = (decode_link(self._unseal(row["base"]), row) for row in rows)
        return {link.record_id(side): link for link in links}

    async def changes_of(self, batch_id: str, link_ids: Sequence[int]) -> Mapping[int, tuple[HistoryEntry, ...]]:
        changes: defaultdict[int, list[HistoryEntry]] = defaultdict(list)
        for row in await self._db.rows(_CHANGES, batch_id, link_ids):
            changes[row["link_id"]].append(decode_entry(self._unseal(row["change"]), row))
        return {link_id: tuple(entries) for link_id, entries in changes.items()}

    async def _write(self, claim: Claim, sql: str, *args: object) -> asyncpg.Record:
        """A fenced statement about the claim's batch.  Raises FenceLost, which is to have nothing stored."""
        row = await self._db.row(sql, claim.batch.id, claim.fence, *args)
        if row is None:
            raise FenceLost(f"the lease of batch {claim.batch.id} was lost")
        return row
