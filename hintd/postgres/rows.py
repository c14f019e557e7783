"""Settlements and their parts as rows of the composite types that the SQL functions take, sealed on the way."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

from hintd.core.match import IndexRow
from hintd.core.model import HistoryEntry, Side
from hintd.core.search import search_name
from hintd.ports import LinkUpdate, LogEntry, Settlement, ToPark
from hintd.postgres.codec import encode
from hintd.postgres.pool import Seal

Row = tuple[object, ...]

SETTLE = """
select settle($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15::history_row[],
    $16::parked_row[], $17, $18, $19, $20, $21::log_row[], $22::record_row[])
"""

NO_LINK: Row = ((None,) * 8) + ([],)


def settle_row(settlement: Settlement, seal: Seal) -> Row:
    """The arguments of SETTLE."""
    return (
        settlement.connection_id,
        settlement.at,
        *_event(settlement),
        *_link(settlement.link, seal),
        parked_rows(settlement.park, seal),
        *(_records_to_unpark(settlement) if settlement.unpark else (None, None)),
        *(settlement.unlinked_by_person or (None, None)),
        log_rows(settlement.log),
        record_rows(settlement.index, seal),
    )


def _event(settlement: Settlement) -> Row:
    notice, outcome = settlement.notice, settlement.outcome
    if notice is None or outcome is None:
        return (None, None, None, None)
    return (notice.id, notice.source, outcome.kind, outcome.reason)


def _link(update: LinkUpdate | None, seal: Seal) -> Row:
    if update is None:
        return NO_LINK
    link = update.link
    base = seal(encode(link))
    names = (link.contact_id, link.patient_id, link.state, link.linked_at, link.linked_by)
    return (link.id, update.fence, *names, base, history_rows(update.history, seal))


def history_rows(entries: Sequence[HistoryEntry], seal: Seal) -> list[Row]:
    return [_history_row(entry, seal) for entry in entries]


def _history_row(entry: HistoryEntry, seal: Seal) -> Row:
    change = seal(encode((entry.old, entry.new)))
    return (entry.at, entry.field, entry.side, change, entry.cause, entry.batch_id)


def _records_to_unpark(settlement: Settlement) -> tuple[str | None, str | None]:
    """(Contact id, patient id)"""
    if settlement.link is not None:
        return settlement.link.link.contact_id, settlement.link.link.patient_id
    if (notice := settlement.notice) is None:
        return None, None
    return (None, notice.record_id) if notice.side is Side.HINT else (notice.record_id, None)


def parked_rows(items: Iterable[ToPark], seal: Seal) -> list[Row]:
    return [_parked_row(item, seal) for item in items]


def _parked_row(item: ToPark, seal: Seal) -> Row:
    body = None if item.body is None else seal(item.body)
    records = (item.contact_id, item.patient_id)
    return (item.kind, item.cause, item.owner, *records, _mark(item), seal(item.message.encode()), body)


def _mark(item: ToPark) -> str:
    """A digest that tells two items apart that name no record; a record's items are one per kind."""
    if item.contact_id or item.patient_id:
        return ""
    return hashlib.sha256(item.message.encode() if item.body is None else item.body).hexdigest()


def log_rows(entries: Iterable[LogEntry]) -> list[Row]:
    return [(e.at, e.level, e.what, e.message, e.contact_id, e.patient_id, e.batch_id) for e in entries]


def record_rows(rows: Iterable[IndexRow], seal: Seal) -> list[Row]:
    return [_record_row(row, seal) for row in rows]


def _record_row(row: IndexRow, seal: Seal) -> Row:
    names = (row.match_name, row.first_name, row.last_name, row.suffix, row.date_of_birth)
    reach = seal(encode((row.email, row.phone)))
    words = search_name(row.first_name, row.last_name)
    return (row.side, row.record_id, row.stamp, *names, words, reach, row.gone, row.created_at, row.claimed)
