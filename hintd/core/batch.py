"""Batches (README rules 6 to 8): their words, their life, and what they cost.  Pure.

A batch is a run, which writes, or a preview, which writes to no remote.  Its work is a list of items, one per record of
its own side (patients, or the Contacts of a file); each ends as exactly one row of its results.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum

from hintd.core.model import HistoryEntry, Side


class BatchKind(StrEnum):
    RUN = "run"
    PREVIEW = "preview"


class Direction(StrEnum):
    PATIENTS_TO_CONTACTS = "patients-to-contacts"
    CONTACTS_TO_PATIENTS = "contacts-to-patients"

    @property
    def own_side(self) -> Side:
        """The side whose records are the items."""
        return Side.HINT if self is Direction.PATIENTS_TO_CONTACTS else Side.SALESFORCE


class BatchState(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    WAITING = "waiting"  # a remote is down or the day's calls are used up: goes on by itself
    PAUSED = "paused"
    ABORTING = "aborting"
    ABORTED = "aborted"
    DONE = "done"
    FAILED = "failed"


ENDED = frozenset({BatchState.ABORTED, BatchState.DONE, BatchState.FAILED})


class Stage(StrEnum):
    READING = "reading"  # both sides into the index, patients into the batch
    MATCHING = "matching"  # every pair is decided before the first write
    WRITING = "writing"  # page after page; of a preview: planning
    STAMPING = "stamping"  # the rows' stamps on the Contacts that no page has written


class RowOutcome(StrEnum):
    """How an item ended: a closed list."""

    LINKED = "linked"
    CREATED_CONTACT = "created_contact"
    CREATED_PATIENT = "created_patient"
    UPDATED = "updated"
    UNCHANGED = "unchanged"
    SKIPPED = "skipped"
    NOT_FOUND = "not_found"
    FAILED = "failed"
    IGNORED_LINE = "ignored_line"


CHANGED = frozenset({RowOutcome.LINKED, RowOutcome.CREATED_CONTACT, RowOutcome.CREATED_PATIENT, RowOutcome.UPDATED})


class Skip(StrEnum):
    """Why an item was skipped: a closed list."""

    ALREADY_LINKED = "already_linked"
    AMBIGUOUS = "ambiguous"
    NO_MATCH = "no_match"
    MATCH_LINKED_ELSEWHERE = "match_linked_elsewhere"
    UNLINKED_BY_PERSON = "unlinked_by_person"
    NO_DATE_OF_BIRTH = "no_date_of_birth"
    ARCHIVED = "archived"
    PERSON_ACCOUNT = "person_account"


class Command(StrEnum):
    PAUSE = "pause"
    RESUME = "resume"
    ABORT = "abort"


@dataclass(frozen=True, slots=True)
class BatchOptions:
    """``create_unmatched``: create the missing record on the other side; ``include_archived``: archived patients too;
    ``upload_id``: the ids of a Contacts batch; ``from_preview``: the preview whose plan was looked at; ``stamp_all``:
    the stamp is written to every Contact with a row, else to the changed ones only."""

    create_unmatched: bool = False
    include_archived: bool = False
    upload_id: str | None = None
    from_preview: str | None = None
    stamp_all: bool = True


@dataclass(frozen=True, slots=True)
class Batch:
    """``counts``: rows by outcome word, skipped ones as ``skipped:<reason>``; their sum is ``done``.  ``total`` is None
    until the reading has ended.  ``wanted``: a command that the worker has not obeyed yet.  ``calls``: calls made, or
    in a preview needed, by ``hint_read``, ``hint_write``, ``salesforce_read``, ``salesforce_write``."""

    id: str
    connection_id: int
    kind: BatchKind
    direction: Direction
    state: BatchState
    options: BatchOptions
    requested_by: str
    created_at: datetime
    stage: Stage | None = None
    done: int = 0
    total: int | None = None
    counts: Mapping[str, int] = field(default_factory=dict)
    calls: Mapping[str, int] = field(default_factory=dict)
    started_at: datetime | None = None
    finished_at: datetime | None = None
    wanted: Command | None = None
    waiting_for: str | None = None  # a sentence
    waits_until: datetime | None = None
    message: str | None = None  # why it failed, or a warning that was given at its start
    read_until: str | None = None  # how far the reading is; opaque
    checkpoint: int = 0  # the position of the last item whose row is stored


@dataclass(frozen=True, slots=True)
class BatchItem:
    """A record to be worked on.  ``position``: its place, from 1; of a file, its line.  ``decision``: a word of
    ``hintd.core.match.Match``, ``linked``, or a ``Skip``; None until the matching."""

    position: int
    record_id: str
    partner_id: str | None = None
    decision: str | None = None
    why: str = ""  # record ids considered, and the fields that differed: no values


@dataclass(frozen=True, slots=True)
class BatchRow:
    """One line of the results.  ``message``: plain words; may quote a remote's, so it is sealed at rest.  ``fields``:
    what was (or, in a preview, would be) changed.  ``replanned``: its inputs had changed since the preview."""

    position: int
    contact_id: str | None
    patient_id: str | None
    outcome: RowOutcome
    reason: str = ""
    message: str = ""
    fields: tuple[HistoryEntry, ...] = ()
    replanned: bool = False
    stamped: bool = False

    @property
    def counted_as(self) -> str:
        return f"{self.outcome}:{self.reason}" if self.outcome is RowOutcome.SKIPPED else str(self.outcome)


class CommandRefused(Exception):
    """The command does not fit the batch's state; ``str()`` is a sentence."""


_AT_REST = frozenset({BatchState.PAUSED, BatchState.WAITING})
"""While it writes, a worker still has to tell in the results what was written of the pages that were under way."""


def obey(batch: Batch, command: Command) -> BatchState | None:
    """The state that a command leads to at once; None: the worker obeys it within a page.  Repeating a command that
    was obeyed changes nothing.  Raises CommandRefused."""
    state = batch.state
    if state in ENDED:
        if command is Command.ABORT and state is BatchState.ABORTED:
            return state
        raise CommandRefused(f"Batch {batch.id} is {state} already: there is nothing left to {command}.")
    match command:
        case Command.PAUSE:
            if state is BatchState.ABORTING:
                raise CommandRefused(f"Batch {batch.id} is being aborted and cannot be paused.")
            return BatchState.PAUSED if state in (BatchState.QUEUED, BatchState.PAUSED, BatchState.WAITING) else None
        case Command.RESUME:
            if state is BatchState.ABORTING:
                raise CommandRefused(f"Batch {batch.id} is being aborted and cannot go on.")
            return BatchState.QUEUED if state in (BatchState.PAUSED, BatchState.WAITING) else state
        case Command.ABORT:
            at_once = state is BatchState.QUEUED or (state in _AT_REST and batch.stage is not Stage.WRITING)
            return BatchState.ABORTED if at_once else BatchState.ABORTING


AT_WORK = frozenset({BatchState.RUNNING, BatchState.ABORTING})


def give_command(batch: Batch, command: Command) -> Batch:
    """The batch with the command obeyed at once, or left in ``wanted`` for the worker.  Resuming takes back a pause
    that the worker has not obeyed yet.  Raises CommandRefused."""
    state = obey(batch, command) or batch.state
    wanted = None if command is Command.RESUME and batch.wanted is None else command
    return replace(batch, state=state, wanted=wanted if state in AT_WORK else None)


def leave_at(batch: Batch, state: BatchState) -> Batch:
    """The batch in the state that its worker leaves it at.  A command that came meanwhile is obeyed in it, so that none
    is lost to a batch that comes to rest: where the worker pauses and was told to go on, it is queued again."""
    if batch.wanted is not None and state not in ENDED:
        state = obey(replace(batch, state=state), batch.wanted) or state
    return replace(batch, state=state, wanted=batch.wanted if state in AT_WORK else None)


def eta_s(done: int, total: int | None, elapsed_s: float) -> float | None:
    """Seconds left at the rate so far; None while nothing can be said."""
    if not total or done <= 0 or elapsed_s <= 0:
        return None
    return max(0.0, (total - done) * elapsed_s / done)
