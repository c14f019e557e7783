"""The safety net (README chapter "How it works"): records changed since the watermark become change notices.

A webhook or a change event may be lost.  A sweep reads what changed since the last one, minus an overlap, because
commit order is not stamp order; the pages bring whole records, so what is known already costs no further call.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import uuid4

from hintd.core.model import Change, LinkState, Notice, Patient, Record, Side, Source
from hintd.core.observe import Newness, judge, latest, own_fields_differ
from hintd.core.plan import has_unfinished
from hintd.ports import CallClass
from hintd.service.snapshots import freeze_record, index_row
from hintd.service.work import Work

AcceptAll = Callable[[Sequence[Notice]], Awaitable[None]]
_PAGE = 100


@dataclass(frozen=True, slots=True)
class Swept:
    """What one sweep of one side did: records seen, notices made of them."""

    side: Side
    seen: int
    noticed: int


async def sweep_connection(
    work: Work, accept: AcceptAll, *, overlap_s: float, since: datetime | None = None
) -> list[Swept]:
    """Sweep both sides.  ``since`` overrides the watermarks (a gap whose beginning is known)."""
    return [await sweep_side(work, side, accept, overlap_s=overlap_s, since=since) for side in Side]


async def sweep_side(
    work: Work, side: Side, accept: AcceptAll, *, overlap_s: float, since: datetime | None = None
) -> Swept:
    """Pages from the watermark on; it moves only after the notices of all pages are durable."""
    work = work.calling_as(CallClass.SWEEP)
    watermark = await load_watermark(work, side)
    start = since or watermark
    start = start - timedelta(seconds=overlap_s) if start is not None else None
    seen, noticed, newest, begun = 0, 0, watermark, work.now()
    async for page in changed_records(work, side, start):
        notices = [_notice(work, side, record) for record in page if await _is_news(work, side, record)]
        await accept(notices)
        seen, noticed = seen + len(page), noticed + len(notices)
        newest = _newest(newest, page)
    if newest is not None:
        await save_watermark(work, side, min(newest, begun))
    return Swept(side, seen, noticed)


async def changed_records(work: Work, side: Side, since: datetime | None) -> AsyncIterator[Sequence[Record]]:
    """Pages of whole records, oldest change first; when ``since`` is None all of them, Contacts in no order.

    What changes while they are read may be missed even where a later change is seen: no watermark may be later than
    the beginning of the reading.
    """
    if side is Side.HINT:
        async for patients in patient_pages(work, since):
            yield patients
    else:
        async for contacts in _contact_pages(work, since):
            yield contacts


def _newest(newest: datetime | None, page: Sequence[Record]) -> datetime | None:
    for record in page:
        newest = latest(newest, record.stamp)
    return newest


async def patient_pages(
    work: Work, since: datetime | None, *, everyone: bool = True
) -> AsyncIterator[Sequence[Patient]]:
    """``everyone``: archived patients too.

    Each page begins at the stamp where the last one ended: a record that changes while we page moves to the end, and
    with plain offsets all behind it would move up by one and one would slip through.
    """
    start, offset = since, 0
    while True:
        page = await work.remotes.hint.list_patients(
            work.call("list"), offset=offset, limit=_PAGE, updated_since=start, everyone=everyone
        )
        yield page.patients
        if len(page.patients) < _PAGE:
            return
        end = page.patients[-1].stamp
        at_end = sum(1 for patient in page.patients if patient.stamp == end)
        start, offset = (end, at_end) if end != start else (start, offset + len(page.patients))


async def _contact_pages(work: Work, since: datetime | None) -> AsyncIterator[Sequence[Record]]:
    following: str | None = None
    while True:
        page = await work.remotes.salesforce.changed_contacts(work.call("list"), since=since, next=following)
        yield page.contacts
        following = page.next
        if following is None:
            return


async def _is_news(work: Work, side: Side, record: Record) -> bool:
    """Unless this version of the record is known already."""
    link = await work.stores.links.find(work.connection.id, side, record.id)
    if link is None:
        row = await work.stores.index.get(work.connection.id, side, record.id)
        return row is None or row.stamp < record.stamp
    if link.state is LinkState.LINKING or own_fields_differ(link, record) or _is_gone(record):
        return True
    known = link.half(side).whole_stamp
    if known is None or known < record.stamp or has_unfinished(link, work.book):
        return True
    return judge(link, record, work.book) is Newness.DOUBTFUL  # another edit within the second that is known


def _is_gone(record: Record) -> bool:
    """Deleted or merged away, which an answer to a write may have shown already without anyone acting on it."""
    return record.merged_into is not None if isinstance(record, Patient) else record.deleted


def _notice(work: Work, side: Side, record: Record) -> Notice:
    gone = not isinstance(record, Patient) and record.deleted
    return Notice(
        id=uuid4().hex,
        source=Source.SWEEP,
        connection=work.connection.practice_id,
        side=side,
        record_id=record.id,
        change=Change.DELETED if gone else Change.CHANGED,
        stamp=record.stamp,
        accepted_at=work.now(),
        snapshot=freeze_record(record),
    )


def look_again(work: Work, side: Side, record_id: str) -> Notice:
    """A notice that makes hintd read both records of a link: a person's retry, or a first exchange left half-way."""
    return Notice(
        id=uuid4().hex,
        source=Source.CONTROL,
        connection=work.connection.practice_id,
        side=side,
        record_id=record_id,
        change=Change.GAP,
        stamp=None,
        accepted_at=work.now(),
    )


async def take_up_again(work: Work, accept: AcceptAll) -> int:
    """Links whose first exchange was left half-way, longer ago than a lease lasts: their number.  One that a remote
    refused waits for a change or a person."""
    standing = await work.stores.links.all(work.connection.id, state=LinkState.LINKING)
    long_ago = work.now() - timedelta(seconds=work.lease_s)
    links = [link for link in standing if link.linked_at < long_ago and link.reported is None]
    side_of_link = ((link, Side.SALESFORCE if link.patient_id.startswith("new:") else Side.HINT) for link in links)
    notices = [look_again(work, side, link.record_id(side)) for link, side in side_of_link]
    await accept(notices)
    return len(notices)


async def load_watermark(work: Work, side: Side) -> datetime | None:
    stored = await work.stores.cursors.load(work.connection.id, f"watermark.{side}")
    return datetime.fromisoformat(stored.decode()) if stored is not None else None


async def save_watermark(work: Work, side: Side, at: datetime) -> None:
    await work.stores.cursors.save(work.connection.id, f"watermark.{side}", at.isoformat().encode())


async def fill_index(
    work: Work,
    progress: Callable[[Side, int], None] = lambda *_: None,
    also: Callable[[Sequence[Record]], Awaitable[None]] | None = None,
) -> dict[Side, int]:
    """Read every record of both sides into the index and set the watermarks; the number of records by side.

    ``also`` gets every page after it was indexed, Contacts before patients, so that nobody has to read them again.
    """
    counts: dict[Side, int] = {}
    for side in (Side.SALESFORCE, Side.HINT):
        newest: datetime | None = None
        counts[side], begun = 0, work.now()
        async for page in changed_records(work, side, None):
            await work.stores.index.put(work.connection.id, [row for r in page if (row := index_row(r)) is not None])
            if also is not None:
                await also(page)
            counts[side] += len(page)
            progress(side, counts[side])
            newest = _newest(newest, page)
        if newest is not None:
            await save_watermark(work, side, min(newest, begun))
    await work.stores.index.tidy()
    return counts
