"""Which record of a batch belongs with which (README rules 4, 6 and 7): decided over the whole batch before its first
write, so that the order of the records does not matter, and looked at once more right before each write."""

from __future__ import annotations

from dataclasses import replace

from hintd.core.batch import Batch, BatchItem, Direction, Skip
from hintd.core.match import Considered, Decision, Match, decide_match, row_suffix, suffixes_contradict
from hintd.ports import BatchWork, Claim, ToMatch

LINKED = "linked"
NOT_KNOWN = "not_known"
"""The index has no such record, or has it as gone: the remote is asked before anything is said of it."""

_PAGE = 500


async def match_all(work: BatchWork, claim: Claim) -> None:
    """Decide every item; those decided before a crash are decided again, which changes nothing before the writing."""
    after = 0
    while True:
        page = await work.to_match(claim, after=after, limit=_PAGE)
        if not page:
            return
        await work.decide(claim, [decide_item(claim.batch, each) for each in page])
        after = page[-1].item.position


def decide_item(batch: Batch, found: ToMatch) -> BatchItem:
    """The item with its decision: ``linked``, ``not_known``, a ``Match`` or a ``Skip``."""
    if found.linked_with is not None:
        return replace(found.item, partner_id=found.linked_with, decision=LINKED, why="")
    own = found.own
    if own is None or (own.gone and not _takes_archived(batch)):
        return replace(found.item, partner_id=None, decision=NOT_KNOWN, why="")
    decision = decide_match(own, found.candidates, found.rivals)
    return replace(
        found.item,
        partner_id=decision.record_id if decision.match is Match.ONE else None,
        decision=_word(batch, found, decision),
        why=_why(decision.considered),
    )


def _takes_archived(batch: Batch) -> bool:
    return batch.direction is Direction.PATIENTS_TO_CONTACTS and batch.options.include_archived


def _word(batch: Batch, found: ToMatch, decision: Decision) -> str:
    if decision.match is Match.ONE and decision.record_id in found.parted_from:
        return Skip.UNLINKED_BY_PERSON
    if decision.match is Match.NONE and batch.options.create_unmatched:
        if found.parted_from:  # nothing new is created for a record that a person has parted (README rule 9)
            return Skip.UNLINKED_BY_PERSON
        if _has_twin(found):
            return Match.AMBIGUOUS
    return decision.match


def _has_twin(found: ToMatch) -> bool:
    """Another free record of the own side is of the same person, as far as can be told: creating a record for each
    would make two of one."""
    own = found.own
    return own is not None and any(
        rival.row.record_id != own.record_id
        and rival.linked_with is None
        and not suffixes_contradict(row_suffix(rival.row), row_suffix(own))
        for rival in found.rivals
    )


def _why(considered: tuple[Considered, ...]) -> str:
    """Ids and names of fields, no values."""
    return "; ".join(
        f"{c.record_id}: {', '.join(c.differed)} differ" if c.differed else f"{c.record_id} agrees"
        for c in considered[:10]
    )


def settled(before: BatchItem, now: BatchItem) -> BatchItem:
    """What to do with an item, from its decision before the first write and the one of this moment.  Linked meanwhile
    is linked; else what forbids a write stands, whichever of the two says so."""
    if now.decision == LINKED or before.decision is None:
        return now
    allowing = (Match.ONE, Match.NONE)
    if before.decision in allowing or before.decision in (LINKED, NOT_KNOWN):
        return now
    return before
