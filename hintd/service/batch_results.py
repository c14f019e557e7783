"""The rows of a page, made of what stands after it, and what the Contacts are stamped with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from hintd.core.batch import CHANGED, BatchItem, BatchKind, BatchRow, Direction, RowOutcome, Skip
from hintd.core.contact import LAST_BATCH_ID, LAST_BATCH_RESULT
from hintd.core.model import Link, Outcome, OutcomeKind
from hintd.ports import ContactChange
from hintd.service.batch_matching import LINKED
from hintd.service.batch_page import Hands, Turn
from hintd.service.batch_rows import Ended, linked_by, make_row


async def positions_told(hands: Hands, items: Sequence[BatchItem]) -> set[int]:
    """The positions that have a row: beyond the checkpoint a stop may have left some, of pages that were under way."""
    first, last = items[0].position, items[-1].position
    rows = await hands.store.rows(hands.batch.id, after=first - 1, limit=last - first + 1)
    return {row.position for row in rows}


async def rows_of(hands: Hands, turns: Sequence[Turn]) -> list[BatchRow]:
    """One row per record that came to an end, made of what stands now."""
    ended = [(turn, turn.end) for turn in turns if turn.end is not None]
    links = await _links_after(hands, ended)
    told = await hands.store.changes_of(hands.batch.id, [link.id for link in links.values()]) if links else {}
    rows = []
    for turn, end in ended:
        link = turn.would_be or links.get(turn.item.record_id)
        changes = turn.told or (told.get(link.id, ()) if link is not None else ())
        rows.append(_with_stamp(hands, turn, make_row(hands.batch, turn.item, end, link, tuple(changes))))
    return await _compared(hands, [turn.item.record_id for turn, _ in ended], rows)


async def _links_after(hands: Hands, ended: Sequence[tuple[Turn, Ended]]) -> Mapping[str, Link]:
    return await _links_of(hands, [turn.item.record_id for turn, end in ended if end.outcome is not None])


async def _links_of(hands: Hands, own: Sequence[str]) -> Mapping[str, Link]:
    return await hands.store.links_of(hands.work.connection.id, hands.batch.direction.own_side, own) if own else {}


async def rows_of_stopped(hands: Hands, items: Sequence[BatchItem]) -> list[BatchRow]:
    """Rows for those records of an aborted batch that were stopped after something of them was written: that stands,
    and the scheduler finishes the pair."""
    told = await positions_told(hands, items) if items else set()
    links = await _links_of(hands, [item.record_id for item in items if item.position not in told])
    changes = await hands.store.changes_of(hands.batch.id, [link.id for link in links.values()]) if links else {}
    stopped = Ended(Outcome(OutcomeKind.APPLIED, "stopped"))
    return [
        make_row(hands.batch, item, stopped, link, changes.get(link.id, ()))
        for item in items
        if (link := links.get(item.record_id)) is not None
        if link.id in changes or link.linked_by.endswith(f":{hands.batch.id}")
    ]


async def _compared(hands: Hands, record_ids: Sequence[str], rows: list[BatchRow]) -> list[BatchRow]:
    """The rows, those marked that come out otherwise than the preview said which the batch was started from."""
    preview_id = hands.batch.options.from_preview
    if preview_id is None or not rows:
        return rows
    own = hands.batch.direction.own_side
    previewed = await hands.store.rows_about(preview_id, own, record_ids)
    return [
        replace(row, replanned=each not in previewed or _said(previewed[each]) != _said(row))
        for each, row in zip(record_ids, rows, strict=True)
    ]


def _said(row: BatchRow) -> tuple[str, frozenset[tuple[object, ...]]]:
    """What a person looked at.  The id of a record that is only made by the run is not known before."""
    return row.counted_as, frozenset((entry.field, entry.side, entry.old, entry.new) for entry in row.fields)


def _with_stamp(hands: Hands, turn: Turn, row: BatchRow) -> BatchRow:
    """Stamped is what was written with the word that it came out as, and what there is nothing to stamp of: a Contact
    that is linked with another patient has a row, and a stamp, of its own."""
    written = turn.stamped and row.counted_as == _planned(hands, turn.item)
    from_patients = hands.batch.direction is Direction.PATIENTS_TO_CONTACTS
    of_another = from_patients and row.reason == Skip.MATCH_LINKED_ELSEWHERE
    return replace(row, stamped=written or of_another or row.outcome is RowOutcome.NOT_FOUND)


def stamp_of(hands: Hands, row: BatchRow) -> ContactChange | None:
    """The stamp that a row still needs on its Contact."""
    wanted = hands.batch.options.stamp_all or row.outcome in CHANGED
    if row.stamped or row.contact_id is None or not wanted:
        return None
    fields = stamp_fields(hands, row.counted_as)
    return (row.contact_id, fields) if fields else None


# --- stamps ----------------------------------------------------------------------------------------------------------


def stamp_fields(hands: Hands, result: str) -> dict[str, str]:
    """What says on a Contact which batch it was in, and how it came out; empty where the org lacks the fields."""
    if hands.batch.kind is BatchKind.PREVIEW:
        return {}
    stamp = {LAST_BATCH_ID: hands.batch.id, LAST_BATCH_RESULT: result}
    return {name: value for name, value in stamp.items() if name in hands.work.book.shape}


def planned_stamp(hands: Hands, item: BatchItem) -> dict[str, str]:
    """What the write itself carries; a row that comes out otherwise is stamped again."""
    return stamp_fields(hands, _planned(hands, item))


def _planned(hands: Hands, item: BatchItem) -> str:
    if item.decision == LINKED:
        return "updated"
    creates = item.partner_id is None
    by = linked_by(hands.batch, creates=creates).partition(":")[0]
    return by if creates else "linked"
