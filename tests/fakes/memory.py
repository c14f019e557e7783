"""What the memory stores share, as the stores of one database do; a crash of the service loses none of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from hintd.core.batch import Batch, BatchItem, BatchRow
from hintd.core.contact_list import Line
from hintd.core.match import IndexRow
from hintd.core.model import HistoryEntry, Link, LinkState, Side
from hintd.ports import AlreadyLinked, Connection, LogEntry, ParkedItem, ToPark, Upload


@dataclass(slots=True)
class LinkRow:
    link: Link
    fence: int = 0
    lease_until: datetime | None = None  # None: nobody has it


@dataclass(frozen=True, slots=True)
class Ledgered:
    connection_id: int | None
    source: str
    outcome: str
    reason: str
    at: datetime


@dataclass(slots=True)
class Office:
    owner: str | None
    fence: int
    until: datetime


@dataclass(slots=True)
class BatchRecord:
    batch: Batch
    request_id: str
    fence: int = 0
    lease_until: datetime | None = None  # None: nobody has it
    patients: dict[str, bytes] = field(default_factory=dict)
    items: dict[int, BatchItem] = field(default_factory=dict)  # by position, in its order
    rows: dict[int, BatchRow] = field(default_factory=dict)


ParkedKey = tuple[int | None, str, str | None, str | None, bytes | str]


@dataclass(slots=True)
class Memory:
    """Everything that is stored.  Tests may read it; ``ledger`` is every event's one end, by notice id."""

    links: dict[int, LinkRow] = field(default_factory=dict)
    standing: dict[tuple[int, Side, str], int] = field(default_factory=dict)  # record to link id
    histories: dict[int, list[HistoryEntry]] = field(default_factory=dict)
    ledger: dict[str, Ledgered] = field(default_factory=dict)
    parted: dict[tuple[int, str, str], datetime] = field(default_factory=dict)
    parked: dict[int, tuple[int | None, ParkedItem]] = field(default_factory=dict)
    open_items: dict[ParkedKey, int] = field(default_factory=dict)
    log: list[tuple[int | None, LogEntry]] = field(default_factory=list)
    records: dict[tuple[int, Side, str], IndexRow] = field(default_factory=dict)
    cursors: dict[tuple[int, str], bytes] = field(default_factory=dict)
    offices: dict[str, Office] = field(default_factory=dict)
    connections: dict[int, Connection] = field(default_factory=dict)
    batches: dict[str, BatchRecord] = field(default_factory=dict)  # oldest first
    uploads: dict[str, tuple[Upload, list[Line]]] = field(default_factory=dict)

    def row_of(self, connection_id: int, side: Side, record_id: str) -> LinkRow | None:
        link_id = self.standing.get((connection_id, side, record_id))
        return None if link_id is None else self.links[link_id]

    def refuse_second_link(self, link: Link) -> None:
        for side in (Side.SALESFORCE, Side.HINT):
            row = self.row_of(link.connection_id, side, link.record_id(side))
            if row is not None and row.link.id != link.id:
                raise AlreadyLinked(row.link)

    def put_link(self, row: LinkRow) -> None:
        if (former := self.links.get(row.link.id)) is not None:
            for side in Side:
                self.standing.pop((former.link.connection_id, side, former.link.record_id(side)), None)
        self.links[row.link.id] = row
        if row.link.state is not LinkState.UNLINKED:
            for side in Side:
                self.standing[row.link.connection_id, side, row.link.record_id(side)] = row.link.id

    def park(self, connection_id: int | None, items: Sequence[ToPark], now: datetime) -> set[int]:
        return {self._park(connection_id, item, now) for item in items}

    def _park(self, connection_id: int | None, item: ToPark, now: datetime) -> int:
        key = _parked_key(connection_id, item)
        if (item_id := self.open_items.get(key)) is None:
            item_id = self.open_items[key] = len(self.parked) + 1
            former = None
        else:
            former = self.parked[item_id][1]
        parked = ParkedItem(
            id=item_id,
            kind=item.kind,
            cause=item.cause,
            owner=item.owner,
            message=item.message,
            contact_id=item.contact_id,
            patient_id=item.patient_id,
            since=former.since if former else now,
            attempts=former.attempts + 1 if former else 1,
            state="open",
            body=item.body if item.body is not None or former is None else former.body,
        )
        self.parked[item_id] = (connection_id, parked)
        return item_id

    def close_item(self, item_id: int, state: str) -> bool:
        found = self.parked.get(item_id)
        if found is None or found[1].state != "open":
            return False
        connection_id, item = found
        self.parked[item_id] = (connection_id, replace(item, state=state))
        self.open_items = {key: open_id for key, open_id in self.open_items.items() if open_id != item_id}
        return True

    def put_records(self, connection_id: int, rows: Sequence[IndexRow]) -> None:
        for row in rows:
            key = (connection_id, row.side, row.record_id)
            if key not in self.records or self.records[key].stamp <= row.stamp:
                self.records[key] = row


def _parked_key(connection_id: int | None, item: ToPark) -> ParkedKey:
    named = item.contact_id or item.patient_id
    mark = "" if named else item.message if item.body is None else item.body
    return connection_id, item.kind, item.contact_id, item.patient_id, mark
