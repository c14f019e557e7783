"""The pages of a batch, one after the other: what each needs is fetched ahead, its records are worked on side by side,
and its rows are made of what stands afterwards."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from hintd.core.batch import CHANGED, BatchItem, BatchKind, BatchRow, Direction, RowOutcome
from hintd.core.model import Contact, Patient, Side
from hintd.ports import Claim, ContactChange, IndexRow, ToMatch
from hintd.service.batch_matching import LINKED, decide_item, settled
from hintd.service.batch_page import Hands, Turn
from hintd.service.batch_record import Records
from hintd.service.batch_results import planned_stamp, positions_told
from hintd.service.batch_writes import Gathering

BLOCK = 2000  # Contacts that one call reads

_LAST_WORD_S = 0.2  # for storing that a claim is given up

_patients = msgspec.json.Decoder(Patient)


@dataclass(slots=True)
class Ahead:
    """Contacts read ahead, a block at a time: one call for ten pages.  ``until``: the last position covered."""

    contacts: dict[str, Contact] = field(default_factory=dict)
    until: int = 0


@dataclass(slots=True)
class PageWork:
    """One page under way.  ``checkpoint``: the position of its last record."""

    checkpoint: int
    turns: Sequence[Turn]
    gathering: Gathering
    working: asyncio.Task[None]
    reads: dict[str, int]

    async def until_flushed(self) -> None:
        """Until its Contacts are written, or it ended without."""
        flushed = asyncio.create_task(self.gathering.flushed.wait(), name="page flushed")
        try:
            await asyncio.wait({flushed, self.working}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            flushed.cancel()

    async def cut_off(self, grace_s: float) -> None:
        """First what waits to be written is stopped, so that its links are given up; then what still does not end is
        cancelled: its links stay as they were remembered, and are looked at again."""
        await asyncio.wait({self.working}, timeout=grace_s)
        await self.gathering.close()
        await asyncio.wait({self.working}, timeout=_LAST_WORD_S)
        self.working.cancel()
        await asyncio.wait({self.working})

    def calls(self, rows: Sequence[BatchRow]) -> dict[str, int]:
        """Calls made; of a preview the writes that would be needed."""
        hint_writes = sum(turn.hint_writes for turn in self.turns)
        salesforce_writes = self.gathering.calls + self._rehearsed_calls(rows)
        return {"hint_write": hint_writes, "salesforce_write": salesforce_writes, **self.reads}

    def _rehearsed_calls(self, rows: Sequence[BatchRow]) -> int:
        """One, where Contacts would be made, written or stamped."""
        if not rows or self.turns[0].batch.kind is not BatchKind.PREVIEW:
            return 0
        creations = any(row.outcome is RowOutcome.CREATED_CONTACT for row in rows)
        stamps_all = self.turns[0].batch.options.stamp_all
        updates = any(row.contact_id and not row.stamped and (stamps_all or row.outcome in CHANGED) for row in rows)
        return int(creations or updates)


async def begin_page(
    hands: Hands, claim: Claim, items: Sequence[BatchItem], ahead: Ahead, stamps: Sequence[ContactChange]
) -> PageWork:
    """Fetch what the page needs and set its records to work, but for those that have a row."""
    told = await positions_told(hands, items)
    both = zip(items, await hands.store.to_match(claim, after=items[0].position - 1, limit=len(items)), strict=True)
    left = [(item, found) for item, found in both if item.position not in told]
    fresh = [found for _, found in left]
    decided = [settled(item, decide_item(hands.batch, found)) for item, found in left]
    reads: dict[str, int] = {}
    records = await _records(hands, decided, fresh, ahead, reads)
    gathering = Gathering(hands.work.remotes.salesforce, hands.work.call("batch_write"), len(decided), stamps)
    turns = [Turn(hands, records, item, gathering, planned_stamp(hands, item)) for item in decided]
    return PageWork(
        items[-1].position, turns, gathering, asyncio.create_task(_take_turns(turns), name="batch page"), reads
    )


async def _take_turns(turns: Sequence[Turn]) -> None:
    async with asyncio.TaskGroup() as group:
        for turn in turns:
            group.create_task(turn.take(), name="batch record")
            await asyncio.sleep(0)  # in one go they would hold up everything else for a while


# --- the records of a page -------------------------------------------------------------------------------------------


async def _records(
    hands: Hands, items: Sequence[BatchItem], fresh: Sequence[ToMatch], ahead: Ahead, reads: dict[str, int]
) -> Records:
    reads["salesforce_read"] = await _look_ahead(hands, items, ahead)
    contacts = {each: ahead.contacts[each] for each in _contact_ids(hands, items) if each in ahead.contacts}
    contacts |= await _contacts_again(hands, items, fresh, contacts, reads)
    return Records(contacts, await _page_patients(hands, items, fresh, reads))


async def _look_ahead(hands: Hands, items: Sequence[BatchItem], ahead: Ahead) -> int:
    """The calls that it took."""
    if not items or items[-1].position <= ahead.until:
        return 0
    block = await hands.store.items(hands.batch.id, after=items[0].position - 1, limit=BLOCK)
    wanted = _contact_ids(hands, [*items, *block])
    read = await hands.work.remotes.salesforce.get_contacts(wanted, hands.work.call("batch_read")) if wanted else {}
    ahead.contacts, ahead.until = dict(read), block[-1].position
    return -(-len(wanted) // BLOCK)


def _contact_ids(hands: Hands, items: Sequence[BatchItem]) -> list[str]:
    if hands.batch.direction is Direction.CONTACTS_TO_PATIENTS:
        ids = [item.record_id for item in items]
    else:
        ids = [item.partner_id for item in items if item.partner_id is not None]
    return list(dict.fromkeys(each for each in ids if not each.startswith("new:")))


async def _contacts_again(
    hands: Hands,
    items: Sequence[BatchItem],
    fresh: Sequence[ToMatch],
    held: Mapping[str, Contact],
    reads: dict[str, int],
) -> Mapping[str, Contact]:
    """Contacts that changed, or became the match, since the block was read."""
    stamps = {c.row.record_id: c.row.stamp for found in fresh for c in found.candidates}
    stamps |= {
        found.own.record_id: found.own.stamp for found in fresh if found.own and found.own.side is Side.SALESFORCE
    }
    wanted = [
        each
        for each in _contact_ids(hands, items)
        if each not in held or (each in stamps and held[each].stamp < stamps[each])
    ]
    known_missing = hands.batch.direction is Direction.CONTACTS_TO_PATIENTS
    wanted = [each for each in wanted if each in held or not known_missing or each in stamps]
    if not wanted:
        return {}
    reads["salesforce_read"] = reads.get("salesforce_read", 0) + 1
    return await hands.work.remotes.salesforce.get_contacts(wanted, hands.work.call("batch_read"))


async def _page_patients(
    hands: Hands, items: Sequence[BatchItem], fresh: Sequence[ToMatch], reads: dict[str, int]
) -> dict[str, Patient]:
    """From the list as read, or one by one where it was not; those that changed since are read again."""
    from_patients = hands.batch.direction is Direction.PATIENTS_TO_CONTACTS
    wanted = [item.record_id if from_patients else item.partner_id for item in items if _needs_patient(hands, item)]
    ids = [each for each in dict.fromkeys(wanted) if each is not None and not each.startswith("new:")]
    bodies = await hands.store.patients(hands.batch.id, ids)
    patients = {each: _patients.decode(body) for each, body in bodies.items()}
    stamps = {row.record_id: row.stamp for found in fresh for row in _hint_rows(found)}
    again = [e for e in ids if e not in patients or (e in stamps and patients[e].stamp < stamps[e])]
    for read in await asyncio.gather(*(_read_patient(hands, each) for each in again)):
        reads["hint_read"] = reads.get("hint_read", 0) + 1
        if read is not None:
            patients[read.id] = read
    return patients


def _needs_patient(hands: Hands, item: BatchItem) -> bool:
    """Of a batch from the Contacts only those that will be linked."""
    return hands.batch.direction is Direction.PATIENTS_TO_CONTACTS or item.decision not in (LINKED, None)


def _hint_rows(found: ToMatch) -> list[IndexRow]:
    rows = [c.row for c in found.candidates]
    return [
        row
        for row in ([found.own, *rows] if found.own else rows)
        if row.side is Side.HINT and found.linked_with is None
    ]


async def _read_patient(hands: Hands, patient_id: str) -> Patient | None:
    async with hands.lanes:
        return await hands.work.remotes.hint.get_patient(patient_id, hands.work.call("batch_read"))
