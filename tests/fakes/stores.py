"""The stores in memory: what the services are tested and simulated with.

Every method decides and changes without awaiting, so each is one transaction.  The contract suite proves that these
and Postgres behave alike.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from hintd.core.match import Candidate, IndexRow
from hintd.core.model import HistoryEntry, Link, LinkState, OutcomeKind, Side, Source
from hintd.core.search import search_name
from hintd.ports import (
    Busy,
    Connection,
    EventEnd,
    FenceLost,
    LinkUpdate,
    LogEntry,
    LogFilter,
    NameTaken,
    ParkedItem,
    Settlement,
    Taken,
    ToPark,
)
from tests.fakes.memory import Ledgered, LinkRow, Memory, Office
from tests.fakes.trigrams import similarity, word_similarity

WORDS_ALIKE = 0.6  # pg_trgm.word_similarity_threshold


class MemoryLinks:
    def __init__(self, memory: Memory) -> None:
        self._memory = memory

    async def find(self, connection_id: int, side: Side, record_id: str) -> Link | None:
        row = self._memory.row_of(connection_id, side, record_id)
        return None if row is None else row.link

    async def take(
        self, connection_id: int, side: Side, record_id: str, *, owner: str, now: datetime, lease_s: float
    ) -> Taken | Busy | None:
        row = self._memory.row_of(connection_id, side, record_id)
        if row is None:
            return None
        if row.lease_until is not None and row.lease_until > now:
            return Busy(row.lease_until, row.link.id)
        row.fence += 1
        row.lease_until = now + timedelta(seconds=lease_s)
        return Taken(row.link, row.fence)

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
        link_id = len(self._memory.links) + 1
        link = Link(link_id, connection_id, contact_id, patient_id, LinkState.LINKING, now, by)
        self._memory.refuse_second_link(link)
        self._memory.put_link(LinkRow(link, fence=1, lease_until=now + timedelta(seconds=lease_s)))
        self._memory.parted.pop((connection_id, contact_id, patient_id), None)
        return Taken(link, 1)

    async def remember(self, update: LinkUpdate) -> None:
        link = update.link
        row = self._memory.links.get(link.id)
        if row is None or row.fence != update.fence or row.lease_until is None:
            raise FenceLost(f"the lease of link {link.id} was lost")
        stands = row.link
        row.link = replace(
            link,
            contact_id=stands.contact_id,
            patient_id=stands.patient_id,
            state=stands.state,
            linked_at=stands.linked_at,
            linked_by=stands.linked_by,
        )
        self._memory.histories.setdefault(link.id, []).extend(update.history)

    async def settle(self, settlement: Settlement) -> None:
        memory, update = self._memory, settlement.link
        row = None if update is None else memory.links.get(update.link.id)
        ours = row is not None and update is not None and row.fence == update.fence
        notice, outcome = settlement.notice, settlement.outcome
        if notice is not None and outcome is not None and notice.id in memory.ledger:
            if ours and row is not None:
                row.lease_until = None
            return
        if update is not None:
            if (
                not ours
                or row is None
                or row.lease_until is None
                or update.link.connection_id != row.link.connection_id
            ):
                raise FenceLost(f"the lease of link {update.link.id} was lost")
            if update.link.state is not LinkState.UNLINKED:
                memory.refuse_second_link(update.link)
            memory.put_link(LinkRow(update.link, row.fence, None))
            memory.histories.setdefault(update.link.id, []).extend(update.history)
        if notice is not None and outcome is not None:
            end = Ledgered(settlement.connection_id, notice.source, outcome.kind, outcome.reason, settlement.at)
            memory.ledger[notice.id] = end
        self._settle_the_rest(settlement)

    def _settle_the_rest(self, settlement: Settlement) -> None:
        memory, connection_id = self._memory, settlement.connection_id
        just_parked = memory.park(connection_id, settlement.park, settlement.at)
        if settlement.unpark:
            _unpark(memory, connection_id, _records_to_unpark(settlement), just_parked)
        if settlement.unlinked_by_person is not None:
            memory.parted.setdefault((connection_id, *settlement.unlinked_by_person), settlement.at)
        memory.log.extend((connection_id, entry) for entry in settlement.log)
        memory.put_records(connection_id, settlement.index)

    async def give_back(self, taken: Taken) -> None:
        row = self._memory.links[taken.link.id]
        if row.fence == taken.fence:
            row.lease_until = None

    async def all(
        self, connection_id: int, *, after_id: int = 0, limit: int = 500, state: LinkState | None = None
    ) -> Sequence[Link]:
        found = [
            row.link
            for row in self._memory.links.values()
            if row.link.connection_id == connection_id
            and row.link.id > after_id
            and (row.link.state is state if state else row.link.state is not LinkState.UNLINKED)
        ]
        return sorted(found, key=lambda link: link.id)[:limit]

    async def count(self, connection_id: int) -> int:
        return sum(
            1
            for row in self._memory.links.values()
            if row.link.connection_id == connection_id and row.link.state is not LinkState.UNLINKED
        )

    async def history(self, link_id: int, *, limit: int = 200) -> Sequence[HistoryEntry]:
        entries = enumerate(self._memory.histories.get(link_id, []))
        newest_first = sorted(entries, key=lambda numbered: (numbered[1].at, numbered[0]), reverse=True)
        return [entry for _, entry in newest_first[:limit]]

    async def was_unlinked_by_person(
        self, connection_id: int, *, contact_id: str | None = None, patient_id: str | None = None
    ) -> Sequence[tuple[str, str]]:
        found = [
            (at, contact, patient)
            for (connection, contact, patient), at in self._memory.parted.items()
            if connection == connection_id and contact_id in (None, contact) and patient_id in (None, patient)
        ]
        return [(contact, patient) for _, contact, patient in sorted(found)]


def _records_to_unpark(settlement: Settlement) -> tuple[str | None, str | None]:
    if settlement.link is not None:
        return settlement.link.link.contact_id, settlement.link.link.patient_id
    if (notice := settlement.notice) is None:
        return None, None
    return (None, notice.record_id) if notice.side is Side.HINT else (notice.record_id, None)


def _unpark(memory: Memory, connection_id: int, records: tuple[str | None, str | None], but: set[int]) -> None:
    contact_id, patient_id = records
    for item_id in set(memory.open_items.values()) - but:
        of_connection, item = memory.parked[item_id]
        concerned = (item.contact_id is not None and item.contact_id == contact_id) or (
            item.patient_id is not None and item.patient_id == patient_id
        )
        if of_connection == connection_id and concerned:
            memory.close_item(item_id, "resolved")


class MemoryIndex:
    def __init__(self, memory: Memory) -> None:
        self._memory = memory

    async def put(self, connection_id: int, rows: Sequence[IndexRow]) -> None:
        self._memory.put_records(connection_id, rows)

    async def get(self, connection_id: int, side: Side, record_id: str) -> IndexRow | None:
        return self._memory.records.get((connection_id, side, record_id))

    async def candidates(
        self, connection_id: int, side: Side, match_name: str, date_of_birth: str
    ) -> Sequence[Candidate]:
        if not match_name or not date_of_birth:
            return []
        wanted = (match_name, date_of_birth)
        rows = [row for row in self._rows(connection_id, side) if (row.match_name, row.date_of_birth) == wanted]
        return [self._candidate(connection_id, row) for row in sorted(rows, key=lambda row: row.record_id)]

    async def tidy(self) -> None:
        """Nothing is counted here."""

    async def search(self, connection_id: int, text: str, *, limit: int = 20) -> Sequence[Candidate]:
        if not (words := search_name(text)):
            return []
        ranked = []
        for row in self._rows(connection_id, Side.HINT):
            name = search_name(row.first_name, row.last_name)
            alike = word_similarity(words, name)
            if alike >= WORDS_ALIKE or words in name:
                ranked.append((-alike, -similarity(words, name), name, row.record_id, row))
        return [self._candidate(connection_id, row) for *_, row in sorted(ranked, key=lambda each: each[:4])[:limit]]

    def _rows(self, connection_id: int, side: Side) -> list[IndexRow]:
        return [
            row
            for (connection, of_side, _), row in self._memory.records.items()
            if connection == connection_id and of_side is side and not row.gone
        ]

    def _candidate(self, connection_id: int, row: IndexRow) -> Candidate:
        link = self._memory.row_of(connection_id, row.side, row.record_id)
        return Candidate(row, None if link is None else link.link.record_id(row.side.other))


class MemoryParking:
    def __init__(self, memory: Memory) -> None:
        self._memory = memory

    async def items(self, connection_id: int | None = None, *, limit: int = 200) -> Sequence[ParkedItem]:
        found = (self._memory.parked[item_id] for item_id in sorted(self._memory.open_items.values()))
        return [item for of_connection, item in found if connection_id in (None, of_connection)][:limit]

    async def get(self, item_id: int) -> tuple[int | None, ParkedItem] | None:
        return self._memory.parked.get(item_id)

    async def close(self, item_id: int, *, state: str, now: datetime) -> bool:
        return self._memory.close_item(item_id, state)

    async def park_message(
        self,
        connection_id: int | None,
        item: ToPark,
        notice_id: str | None,
        now: datetime,
        *,
        source: Source | None = None,
    ) -> None:
        if notice_id in self._memory.ledger:
            return
        if notice_id is not None:
            self._memory.ledger[notice_id] = Ledgered(connection_id, source or "unknown", "parked", item.kind, now)
        self._memory.park(connection_id, [item], now)


class MemoryLog:
    def __init__(self, memory: Memory) -> None:
        self._memory = memory

    async def write(self, connection_id: int | None, entries: Sequence[LogEntry]) -> None:
        self._memory.log.extend((connection_id, entry) for entry in entries)

    async def settle(self, connection_id: int | None, end: EventEnd, entries: Sequence[LogEntry]) -> None:
        if end.id in self._memory.ledger:
            return
        outcome = end.outcome
        self._memory.ledger[end.id] = Ledgered(connection_id, end.source, outcome.kind, outcome.reason, end.at)
        await self.write(connection_id, entries)

    async def end_of(self, connection_id: int | None, event_id: str) -> OutcomeKind | None:
        end = self._memory.ledger.get(event_id)
        return OutcomeKind(end.outcome) if end is not None and end.connection_id == connection_id else None

    async def read(self, connection_id: int | None, only: LogFilter) -> Sequence[tuple[int, LogEntry]]:
        return self._fitting(connection_id, only)[: only.limit]

    async def newest(self, connection_id: int | None, only: LogFilter) -> Sequence[tuple[int, LogEntry]]:
        return self._fitting(connection_id, only)[-only.limit :]

    def _fitting(self, connection_id: int | None, only: LogFilter) -> list[tuple[int, LogEntry]]:
        return [
            (entry_id, entry)
            for entry_id, (of_connection, entry) in enumerate(self._memory.log, start=1)
            if entry_id > only.after_id
            and connection_id in (None, of_connection)
            and only.level in (None, entry.level)
            and only.record_id in (None, entry.contact_id, entry.patient_id)
            and only.batch_id in (None, entry.batch_id)
            and (only.since is None or entry.at >= only.since)
        ]

    async def forget(self, before: datetime) -> None:
        self._memory.log[:] = [(whose, entry) for whose, entry in self._memory.log if entry.at >= before]


class MemoryCursors:
    def __init__(self, memory: Memory) -> None:
        self._memory = memory

    async def load(self, connection_id: int, name: str) -> bytes | None:
        return self._memory.cursors.get((connection_id, name))

    async def save(self, connection_id: int, name: str, value: bytes) -> None:
        self._memory.cursors[connection_id, name] = value


class MemoryLeases:
    def __init__(self, memory: Memory) -> None:
        self._memory = memory

    async def hold(self, name: str, *, owner: str, now: datetime, lease_s: float) -> int | None:
        office = self._memory.offices.setdefault(name, Office(None, 0, now))
        if office.owner not in (None, owner) and office.until > now:
            return None
        office.fence += office.owner != owner
        office.owner, office.until = owner, now + timedelta(seconds=lease_s)
        return office.fence

    async def let_go(self, name: str, *, owner: str) -> None:
        office = self._memory.offices.get(name)
        if office is not None and office.owner == owner:
            office.owner = None


class MemoryConnections:
    def __init__(self, memory: Memory) -> None:
        self._memory = memory

    async def all(self) -> Sequence[Connection]:
        return list(self._memory.connections.values())

    async def by_name(self, name: str) -> Connection | None:
        return next((each for each in self._memory.connections.values() if each.name == name), None)

    async def add(self, connection: Connection) -> Connection:
        known = self._memory.connections
        former = next((each for each in known.values() if each.practice_id == connection.practice_id), None)
        if former is None:
            stored = replace(connection, id=len(known) + 1)
        else:
            made_anew = former.state == "disconnected"
            created_at = connection.created_at if made_anew else former.created_at
            stored = replace(connection, id=former.id, created_at=created_at)
        self._store(stored)
        return stored

    async def change(self, connection: Connection) -> None:
        former = self._memory.connections.get(connection.id)
        if former is not None:
            self._store(replace(connection, created_at=former.created_at))

    def _store(self, connection: Connection) -> None:
        if any(c.name == connection.name and c.id != connection.id for c in self._memory.connections.values()):
            raise NameTaken(f"another connection is named {connection.name}")
        self._memory.connections[connection.id] = connection

    async def event_counts(self, connection_id: int | None = None) -> Mapping[tuple[str, str], int]:
        ends = self._memory.ledger.values()
        return Counter((end.source, end.outcome) for end in ends if connection_id in (None, end.connection_id))

    async def last_event_at(self, connection_id: int, source: Source) -> datetime | None:
        ends = self._memory.ledger.values()
        found = (end.at for end in ends if (end.connection_id, end.source) == (connection_id, source))
        return max(found, default=None)
