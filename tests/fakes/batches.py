"""The stores of batches in memory: what the services are tested and simulated with."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TypeVar

from hintd.core.batch import (
    AT_WORK,
    CHANGED,
    ENDED,
    Batch,
    BatchItem,
    BatchKind,
    BatchRow,
    BatchState,
    Command,
    Direction,
    RowOutcome,
    give_command,
    leave_at,
)
from hintd.core.contact_list import Line, LineKind
from hintd.core.match import Candidate, IndexRow
from hintd.core.model import HistoryEntry, Link, Side
from hintd.ports import Advance, BatchRunning, Claim, FenceLost, NewBatch, NoSuchBatch, Page, ToMatch, Upload
from tests.fakes.memory import BatchRecord, Memory

T = TypeVar("T")


class MemoryBatches:
    def __init__(self, memory: Memory) -> None:
        self._memory = memory

    async def add(self, new: NewBatch) -> Batch:
        known = [each for each in self._memory.batches.values() if each.batch.connection_id == new.connection_id]
        for record in known:
            if record.request_id == new.request_id:
                return record.batch
        for record in known:
            if new.kind is record.batch.kind is BatchKind.RUN and record.batch.state not in ENDED:
                raise BatchRunning(record.batch.id)
        batch = Batch(
            id=f"bat-{len(self._memory.batches) + 1:012x}",
            connection_id=new.connection_id,
            kind=new.kind,
            direction=new.direction,
            state=BatchState.QUEUED,
            options=new.options,
            requested_by=new.requested_by,
            created_at=new.at,
            message=new.message,
        )
        self._memory.batches[batch.id] = BatchRecord(batch, new.request_id)
        return batch

    async def get(self, batch_id: str) -> Batch:
        return self._record(batch_id).batch

    async def of_request(self, connection_id: int, request_id: str) -> Batch | None:
        wanted = (connection_id, request_id)
        known = self._memory.batches.values()
        return next((each.batch for each in known if (each.batch.connection_id, each.request_id) == wanted), None)

    async def all(self, connection_id: int, *, limit: int = 50) -> Sequence[Batch]:
        newest_first = reversed(self._memory.batches.values())
        return [each.batch for each in newest_first if each.batch.connection_id == connection_id][:limit]

    async def command(self, batch_id: str, command: Command, *, at: datetime) -> Batch:
        record = self._record(batch_id)
        after = give_command(record.batch, command)
        if after.state is not record.batch.state:
            after = replace(after, waiting_for=None, waits_until=None)
        return _store(record, _ended_at(after, at))

    async def claim(self, *, owner: str, now: datetime, lease_s: float) -> Claim | None:
        for record in self._memory.batches.values():
            if self._is_active(record.batch.connection_id) and _may_be_claimed(record, now):
                record.fence += 1
                record.lease_until = now + timedelta(seconds=lease_s)
                state = BatchState.ABORTING if record.batch.state is BatchState.ABORTING else BatchState.RUNNING
                batch = replace(record.batch, state=state, waiting_for=None, waits_until=None)
                return Claim(_store(record, batch), record.fence)
        return None

    async def renew(self, claim: Claim, *, now: datetime, lease_s: float) -> Batch:
        record = held(self._memory, claim)
        record.lease_until = now + timedelta(seconds=lease_s)
        return record.batch

    async def advance(self, claim: Claim, advance: Advance, *, now: datetime) -> Batch:
        record = held(self._memory, claim)
        after = record.batch if advance.state is None else _left_at(record.batch, advance)
        after = replace(
            after,
            stage=advance.stage or after.stage,
            total=after.total if advance.total is None else advance.total,
            started_at=advance.started_at or after.started_at,
            finished_at=advance.finished_at or after.finished_at,
            message=after.message if advance.message is None else advance.message,
            read_until=after.read_until if advance.read_until is None else advance.read_until,
            calls=add_counts(after.calls, advance.calls or {}),
        )
        if advance.let_go or after.state not in AT_WORK:
            record.lease_until = None
        return _store(record, _ended_at(after, now))

    def _record(self, batch_id: str) -> BatchRecord:
        if (record := self._memory.batches.get(batch_id)) is None:
            raise NoSuchBatch(f"There is no batch {batch_id}.")
        return record

    def _is_active(self, connection_id: int) -> bool:
        connection = self._memory.connections.get(connection_id)
        return connection is None or connection.state == "active"


def held(memory: Memory, claim: Claim) -> BatchRecord:
    record = memory.batches.get(claim.batch.id)
    if record is None or record.fence != claim.fence or record.lease_until is None:
        raise FenceLost(f"the lease of batch {claim.batch.id} was lost")
    return record


def add_counts(one: Mapping[str, int], other: Mapping[str, int]) -> dict[str, int]:
    return {word: one.get(word, 0) + other.get(word, 0) for word in (*one, *other)}


def _may_be_claimed(record: BatchRecord, now: datetime) -> bool:
    match record.batch.state:
        case BatchState.QUEUED:
            return True
        case BatchState.WAITING:
            return record.batch.waits_until is None or record.batch.waits_until <= now
        case BatchState.RUNNING | BatchState.ABORTING:
            return record.lease_until is None or record.lease_until <= now
    return False


def _left_at(batch: Batch, advance: Advance) -> Batch:
    assert advance.state is not None
    after = leave_at(batch, advance.state)
    if after.state is not advance.state:
        return replace(after, waiting_for=None, waits_until=None)
    return replace(after, waiting_for=advance.waiting_for, waits_until=advance.waits_until)


def _ended_at(batch: Batch, at: datetime) -> Batch:
    return replace(batch, finished_at=batch.finished_at or at) if batch.state in ENDED else batch


def _store(record: BatchRecord, batch: Batch) -> Batch:
    record.batch = batch
    if batch.state in ENDED:
        record.items.clear()
        record.patients.clear()
    return batch


class MemoryBatchWork:
    def __init__(self, memory: Memory) -> None:
        self._memory = memory

    async def put_patients(self, claim: Claim, patients: Sequence[tuple[str, bytes]], *, read_until: str) -> None:
        record = held(self._memory, claim)
        record.patients.update(patients)
        record.batch = replace(record.batch, read_until=read_until)

    async def patients(self, batch_id: str, patient_ids: Sequence[str]) -> Mapping[str, bytes]:
        record = self._memory.batches.get(batch_id)
        known = record.patients if record else {}
        return {patient_id: known[patient_id] for patient_id in patient_ids if patient_id in known}

    async def list_items(self, claim: Claim) -> int:
        record = held(self._memory, claim)
        if record.batch.direction is Direction.PATIENTS_TO_CONTACTS:
            if not record.items:
                listed = enumerate(sorted(record.patients), start=1)
                record.items = {position: BatchItem(position, patient_id) for position, patient_id in listed}
            return len(record.items)
        return self._list_lines(record)

    def _list_lines(self, record: BatchRecord) -> int:
        upload, lines = self._memory.uploads.get(record.batch.options.upload_id or "", (None, []))
        if upload is None or upload.connection_id != record.batch.connection_id:
            return 0
        for line in lines:
            if line.kind is LineKind.ID:
                record.items.setdefault(line.number, BatchItem(line.number, str(line.contact_id)))
        _keep_rows(record, [_row_of_line(line) for line in lines if line.kind is not LineKind.ID])
        return len(lines)

    async def to_match(self, claim: Claim, *, after: int, limit: int) -> Sequence[ToMatch]:
        return [
            self._to_match(claim.batch, item) for item in await self.items(claim.batch.id, after=after, limit=limit)
        ]

    def _to_match(self, batch: Batch, item: BatchItem) -> ToMatch:
        side, connection_id = batch.direction.own_side, batch.connection_id
        own = self._memory.records.get((connection_id, side, item.record_id))
        return ToMatch(
            item=item,
            own=None if own is None else _without_reach(own),
            candidates=self._alike(connection_id, side.other, own),
            rivals=self._alike(connection_id, side, own),
            linked_with=self._linked_with(connection_id, side, item.record_id),
            parted_from=frozenset(
                contact_id if side is Side.HINT else patient_id
                for of_connection, contact_id, patient_id in self._memory.parted
                if of_connection == connection_id
                and item.record_id == (patient_id if side is Side.HINT else contact_id)
            ),
        )

    def _alike(self, connection_id: int, side: Side, own: IndexRow | None) -> tuple[Candidate, ...]:
        if own is None or not own.match_name or not own.date_of_birth:
            return ()
        rows = [
            row
            for (of_connection, of_side, _), row in self._memory.records.items()
            if of_connection == connection_id
            and of_side is side
            and (row.match_name, row.date_of_birth) == (own.match_name, own.date_of_birth)
            and not row.gone
        ]
        return tuple(
            Candidate(_without_reach(row), self._linked_with(connection_id, side, row.record_id))
            for row in sorted(rows, key=lambda row: row.record_id)
        )

    def _linked_with(self, connection_id: int, side: Side, record_id: str) -> str | None:
        row = self._memory.row_of(connection_id, side, record_id)
        return None if row is None else row.link.record_id(side.other)

    async def decide(self, claim: Claim, items: Sequence[BatchItem]) -> None:
        record = held(self._memory, claim)
        for item in items:
            if (stands := record.items.get(item.position)) is not None:
                record.items[item.position] = replace(item, record_id=stands.record_id)

    async def items(self, batch_id: str, *, after: int, limit: int) -> Sequence[BatchItem]:
        record = self._memory.batches.get(batch_id)
        return _page(record.items if record else {}, after, limit)

    async def count_decided(self, batch_id: str, decision: str) -> int:
        return sum(1 for item in self._memory.batches[batch_id].items.values() if item.decision == decision)

    async def store_page(self, claim: Claim, page: Page) -> Batch:
        record = held(self._memory, claim)
        _keep_rows(record, page.rows)
        record.batch = replace(
            record.batch,
            checkpoint=max(record.batch.checkpoint, page.checkpoint),
            calls=add_counts(record.batch.calls, page.calls),
        )
        return record.batch

    async def rows(
        self, batch_id: str, *, after: int = 0, limit: int = 200, outcome: RowOutcome | None = None
    ) -> Sequence[BatchRow]:
        rows = self._rows(batch_id)
        return _page({at: row for at, row in rows.items() if outcome in (None, row.outcome)}, after, limit)

    async def rows_about(self, batch_id: str, side: Side, record_ids: Sequence[str]) -> Mapping[str, BatchRow]:
        rows = self._memory.batches[batch_id].rows.values()
        about = ((row.patient_id if side is Side.HINT else row.contact_id, row) for row in rows)
        return {record_id: row for record_id, row in about if record_id is not None and record_id in record_ids}

    async def unstamped(self, batch_id: str, *, limit: int, changed_only: bool) -> Sequence[BatchRow]:
        wanted = CHANGED if changed_only else frozenset(RowOutcome) - {RowOutcome.IGNORED_LINE}
        rows = self._rows(batch_id)
        found = {at: row for at, row in rows.items() if row.contact_id and not row.stamped and row.outcome in wanted}
        return _page(found, 0, limit)

    def _rows(self, batch_id: str) -> Mapping[int, BatchRow]:
        record = self._memory.batches.get(batch_id)
        return record.rows if record else {}

    async def mark_stamped(self, claim: Claim, positions: Sequence[int]) -> None:
        rows = held(self._memory, claim).rows
        rows.update({position: replace(rows[position], stamped=True) for position in positions if position in rows})

    async def links_of(self, connection_id: int, side: Side, record_ids: Sequence[str]) -> Mapping[str, Link]:
        found = {record_id: self._memory.row_of(connection_id, side, record_id) for record_id in record_ids}
        return {record_id: row.link for record_id, row in found.items() if row is not None}

    async def changes_of(self, batch_id: str, link_ids: Sequence[int]) -> Mapping[int, tuple[HistoryEntry, ...]]:
        histories = {link_id: self._memory.histories.get(link_id, []) for link_id in link_ids}
        ours = {
            link_id: tuple(sorted((e for e in history if e.batch_id == batch_id), key=lambda entry: entry.at))
            for link_id, history in histories.items()
        }
        return {link_id: entries for link_id, entries in ours.items() if entries}


def _page(by_position: Mapping[int, T], after: int, limit: int) -> list[T]:
    return [by_position[position] for position in sorted(by_position) if position > after][:limit]


def _keep_rows(record: BatchRecord, rows: Sequence[BatchRow]) -> None:
    new = {row.position: row for row in reversed(rows) if row.position not in record.rows}
    record.rows.update(new)
    counts = add_counts(record.batch.counts, Counter(row.counted_as for row in new.values()))
    record.batch = replace(record.batch, done=record.batch.done + len(new), counts=counts)


def _row_of_line(line: Line) -> BatchRow:
    reason = "repeated" if line.kind is LineKind.REPEATED else "not_a_contact_id"
    return BatchRow(line.number, line.contact_id, None, RowOutcome.IGNORED_LINE, reason)


def _without_reach(row: IndexRow) -> IndexRow:
    """Matching does not need it, so it is left sealed."""
    return replace(row, email=None, phone=None)


class MemoryUploads:
    def __init__(self, memory: Memory) -> None:
        self._memory = memory

    async def add(self, connection_id: int, lines: AsyncIterator[Line], *, at: datetime) -> Upload:
        kept = [line async for line in lines]
        kinds = Counter(line.kind for line in kept)
        counts = (kinds[LineKind.ID], kinds[LineKind.REPEATED], kinds[LineKind.IGNORED])
        upload = Upload(f"upl-{len(self._memory.uploads) + 1:012x}", connection_id, *counts)
        self._memory.uploads[upload.id] = (upload, kept)
        return upload

    async def get(self, connection_id: int, upload_id: str) -> Upload | None:
        upload, _ = self._memory.uploads.get(upload_id, (None, []))
        return upload if upload is not None and upload.connection_id == connection_id else None
