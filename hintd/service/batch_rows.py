"""From the end of one record's work to its row in the results, in plain words (README rule 8)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hintd.core.batch import Batch, BatchItem, BatchRow, Direction, RowOutcome, Skip
from hintd.core.model import HistoryEntry, Link, Outcome, OutcomeKind
from hintd.ports import ToPark

SENTENCES: Mapping[str, str] = {
    Skip.ALREADY_LINKED: "The Contact is linked already.",
    Skip.AMBIGUOUS: "Several records match; a person has to choose.",
    Skip.NO_MATCH: "Nobody on the other side has this name and date of birth.",
    Skip.MATCH_LINKED_ELSEWHERE: "The only match is synced with another record.",
    Skip.UNLINKED_BY_PERSON: "A person unlinked these two; only a person links them again.",
    Skip.NO_DATE_OF_BIRTH: "There is no date of birth, so nobody can be matched.",
    Skip.ARCHIVED: "The patient is archived or was merged away.",
    Skip.PERSON_ACCOUNT: "The Contact belongs to a person account; hintd does not sync those.",
    RowOutcome.NOT_FOUND: "The record is not there: its id is unknown, it was deleted, or hintd's user cannot see it.",
}


_NOT_MADE = ("conflict_lost", "agreed")
"""Causes of history that tell of no write: the value that lost, and what both sides had changed to alike."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How the work on one record ended: with an outcome of its exchange, with ``skip``, or with ``failure`` (code and
    sentence)."""

    outcome: Outcome | None = None
    skip: Skip | None = None
    not_found: bool = False
    failure: tuple[str, str] | None = None
    parked: Sequence[ToPark] = ()
    held: Mapping[str, str] | None = None


def make_row(
    batch: Batch, item: BatchItem, ended: Ended, link: Link | None, changes: Sequence[HistoryEntry]
) -> BatchRow:
    """``link``: the standing link of the record after its work; ``changes``: the batch's own history of it."""
    contact_id, patient_id = _ids(batch, item, link)
    made = tuple(entry for entry in changes if entry.cause not in _NOT_MADE)
    outcome, reason, message = _judge(batch, ended, link, made)
    return BatchRow(
        item.position,
        contact_id,
        patient_id,
        outcome,
        reason,
        ". ".join(filter(None, (message.rstrip("."), f"Considered: {item.why}" if item.why else ""))),
        made,
    )


def _ids(batch: Batch, item: BatchItem, link: Link | None) -> tuple[str | None, str | None]:
    if link is not None:
        return _made(link.contact_id), _made(link.patient_id)
    own, partner = item.record_id, item.partner_id
    return (partner, own) if batch.direction is Direction.PATIENTS_TO_CONTACTS else (own, partner)


def _made(record_id: str) -> str | None:
    return None if record_id.startswith("new:") or " " in record_id else record_id


def _judge(
    batch: Batch, ended: Ended, link: Link | None, changes: Sequence[HistoryEntry]
) -> tuple[RowOutcome, str, str]:
    if ended.skip is not None:
        return RowOutcome.SKIPPED, ended.skip, SENTENCES[ended.skip]
    if ended.not_found:
        return RowOutcome.NOT_FOUND, "", SENTENCES[RowOutcome.NOT_FOUND]
    if ended.failure is not None:
        return RowOutcome.FAILED, *ended.failure
    if _has_failed(batch, ended, link, changes):
        return RowOutcome.FAILED, *_refusal(ended)
    if ended.outcome is not None and ended.outcome.reason == "contact_deleted":
        return RowOutcome.NOT_FOUND, "", "The Contact was deleted in Salesforce; the two are no longer linked."
    outcome = outcome_of(batch, link, changes)
    return outcome, _held_reason(ended), ". ".join((ended.held or {}).values())


def _has_failed(batch: Batch, ended: Ended, link: Link | None, changes: Sequence[HistoryEntry]) -> bool:
    """Set aside as a whole; or a pair that stood before, all of whose changes were refused."""
    if ended.outcome is None or ended.outcome.kind is not OutcomeKind.PARKED:
        return False
    if ended.outcome.reason != "held_field":
        return True
    was_refused = any(item.kind.startswith("refused_by") for item in ended.parked)
    return was_refused and outcome_of(batch, link, changes) is RowOutcome.UNCHANGED


def _refusal(ended: Ended) -> tuple[str, str]:
    why = next((item for item in ended.parked if item.kind != "held_field"), None)
    return (why.cause, why.message) if why is not None else ("refused", "The record could not be written.")


def _held_reason(ended: Ended) -> str:
    is_parked = ended.outcome is not None and ended.outcome.kind is OutcomeKind.PARKED
    return "held_field" if is_parked else ""


def outcome_of(batch: Batch, link: Link | None, changes: Sequence[HistoryEntry]) -> RowOutcome:
    """From what stands: it comes out the same when a crash had the page done twice."""
    by, _, batch_id = (link.linked_by if link is not None else "").partition(":")
    if batch_id == batch.id:
        made = {"created_contact": RowOutcome.CREATED_CONTACT, "created_patient": RowOutcome.CREATED_PATIENT}
        return made.get(by, RowOutcome.LINKED)
    return RowOutcome.UPDATED if changes else RowOutcome.UNCHANGED


def linked_by(batch: Batch, *, creates: bool) -> str:
    """What a link of this batch says of its origin; who wins its first exchange follows from it."""
    if batch.direction is Direction.PATIENTS_TO_CONTACTS:
        return f"created_contact:{batch.id}" if creates else f"batch:{batch.id}"
    return f"created_patient:{batch.id}" if creates else f"contact_batch:{batch.id}"
