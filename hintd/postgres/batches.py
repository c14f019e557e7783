"""The life of batches: one row each, claimed under a lease with a fence as links are.

What a command or a worker makes of a batch is decided by ``hintd.core.batch`` on the row as read, and stored only if
its state and its wanted command are still those; otherwise it is decided again.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

import asyncpg

from hintd.core.batch import AT_WORK, ENDED, Batch, BatchState, Command, give_command, leave_at
from hintd.ports import Advance, BatchRunning, Claim, NewBatch, NoSuchBatch
from hintd.postgres.batch_codec import counts_text, read_batch, read_held
from hintd.postgres.codec import encode
from hintd.postgres.pool import Database

_ADD = """
insert into batch (connection_id, kind, direction, options, requested_by, request_id, created_at, message)
values ($1, $2, $3, $4, $5, $6, $7, $8)
on conflict (connection_id, request_id) do nothing
returning *
"""
_OF_REQUEST = "select * from batch where connection_id = $1 and request_id = $2"
_RUN = """
select id from batch where connection_id = $1 and kind = 'run' and state not in ('aborted', 'done', 'failed')
"""

_GET = "select * from batch where id = $1"
_ALL = "select * from batch where connection_id = $1 order by number desc limit $2"

_COMMAND = """
update batch set state = $4, wanted = $5, finished_at = $6,
    waiting_for = case state when $4 then waiting_for end, waits_until = case state when $4 then waits_until end
where id = $1 and state = $2 and wanted is not distinct from $3
returning *
"""

_CLAIM = """
update batch set fence = fence + 1, lease_owner = $1, lease_until = $3, waiting_for = null, waits_until = null,
    state = case state when 'aborting' then 'aborting' else 'running' end
where id = (
    select batch.id from batch join connection on connection.id = connection_id
    where connection.state = 'active' and batch.state not in ('aborted', 'done', 'failed') and case batch.state
        when 'queued' then true
        when 'waiting' then coalesce(waits_until <= $2, true)
        when 'paused' then false
        else coalesce(lease_until <= $2, true)
    end
    order by number limit 1
    for update of batch skip locked
)
returning *
"""

_RENEW = "update batch set lease_until = $3 where id = $1 and fence = $2 and lease_owner is not null returning *"

_HELD = "select * from batch where id = $1 and fence = $2 and lease_owner is not null"

_ADVANCE = """
update batch set state = $5, wanted = $6, waiting_for = $7, waits_until = $8, finished_at = $9,
    stage = coalesce($10, stage), total = coalesce($11, total), started_at = coalesce($12, started_at),
    message = coalesce($13, message), read_until = coalesce($14, read_until), calls = add_counts(calls, $15),
    lease_owner = case when $16 then null else lease_owner end,
    lease_until = case when $16 then null else lease_until end
where id = $1 and fence = $2 and lease_owner is not null and state = $3 and wanted is not distinct from $4
returning *
"""

# In portions: a batch may have a million patients, and a statement has a time limit.  Null: nothing is left.
_CLEAR = """
with ended as (
    select id from batch where has_work and state in ('aborted', 'done', 'failed')
    order by number limit 1
    for update skip locked
), items as (
    delete from batch_item where ctid = any (array(
        select ctid from batch_item where batch_id = (select id from ended) limit $1))
    returning 1
), patients as (
    delete from batch_patient where ctid = any (array(
        select ctid from batch_patient where batch_id = (select id from ended) limit $1))
    returning 1
), cleared as (
    update batch set has_work = false
    where id = (select id from ended) and not exists (select from items) and not exists (select from patients)
)
select id from ended
"""
_PORTION = 20_000


class PostgresBatches:
    def __init__(self, database: Database) -> None:
        self._db = database

    async def add(self, new: NewBatch) -> Batch:
        wish = (new.kind, new.direction, encode(new.options).decode(), new.requested_by, new.request_id)
        try:
            row = await self._db.row(_ADD, new.connection_id, *wish, new.at, new.message)
        except asyncpg.UniqueViolationError:
            running = await self._db.value(_RUN, new.connection_id)
            # Ended between the two statements: there is room now.
            if running is None:
                return await self.add(new)
            raise BatchRunning(running) from None
        row = row or await self._db.row(_OF_REQUEST, new.connection_id, new.request_id)
        assert row is not None  # batches are never deleted
        return read_batch(row)

    async def get(self, batch_id: str) -> Batch:
        row = await self._db.row(_GET, batch_id)
        if row is None:
            raise NoSuchBatch(f"There is no batch {batch_id}.")
        return read_batch(row)

    async def of_request(self, connection_id: int, request_id: str) -> Batch | None:
        row = await self._db.row(_OF_REQUEST, connection_id, request_id)
        return None if row is None else read_batch(row)

    async def all(self, connection_id: int, *, limit: int = 50) -> Sequence[Batch]:
        return [read_batch(row) for row in await self._db.rows(_ALL, connection_id, limit)]

    async def command(self, batch_id: str, command: Command, *, at: datetime) -> Batch:
        row = None
        while row is None:  # again only when the batch has changed between the two statements
            batch = await self.get(batch_id)
            after = give_command(batch, command)
            row = await self._db.row(_COMMAND, batch_id, *_change(batch, after), _finished_at(after, at))
        if after.state in ENDED:
            await self._db.value(_CLEAR, _PORTION)  # who gives a command does not wait for more than that
        return read_batch(row)

    async def claim(self, *, owner: str, now: datetime, lease_s: float) -> Claim | None:
        await self._db.value(_CLEAR, _PORTION)  # of a batch that a command ended, or whose worker died at its end
        row = await self._db.row(_CLAIM, owner, now, now + timedelta(seconds=lease_s))
        return None if row is None else Claim(read_batch(row), row["fence"])

    async def renew(self, claim: Claim, *, now: datetime, lease_s: float) -> Batch:
        row = await self._db.row(_RENEW, claim.batch.id, claim.fence, now + timedelta(seconds=lease_s))
        return read_held(claim, row)

    async def advance(self, claim: Claim, advance: Advance, *, now: datetime) -> Batch:
        row = None
        while row is None:  # again only when a command came between the two statements
            batch = read_held(claim, await self._db.row(_HELD, claim.batch.id, claim.fence))
            after = batch if advance.state is None else leave_at(batch, advance.state)
            row = await self._db.row(_ADVANCE, *_advance_row(claim, batch, after, advance, now))
        if after.state in ENDED:
            while await self._db.value(_CLEAR, _PORTION) is not None:
                pass
        return read_batch(row)


def _change(batch: Batch, after: Batch) -> tuple[BatchState | Command | None, ...]:
    """What the row must still hold, and what it shall hold."""
    return (batch.state, batch.wanted, after.state, after.wanted)


def _finished_at(after: Batch, at: datetime) -> datetime | None:
    return after.finished_at or at if after.state in ENDED else None


def _advance_row(claim: Claim, batch: Batch, after: Batch, advance: Advance, now: datetime) -> tuple[object, ...]:
    """The arguments of _ADVANCE."""
    waiting = (batch.waiting_for, batch.waits_until)
    if advance.state is not None:  # another state than asked for: a command ended the wait before it began
        waiting = (advance.waiting_for, advance.waits_until) if after.state is advance.state else (None, None)
    return (
        batch.id,
        claim.fence,
        *_change(batch, after),
        *waiting,
        advance.finished_at or _finished_at(after, now),
        advance.stage,
        advance.total,
        advance.started_at,
        advance.message,
        advance.read_until,
        counts_text(advance.calls or {}),
        advance.let_go or after.state not in AT_WORK,
    )
