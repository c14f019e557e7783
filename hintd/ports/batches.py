"""What is kept of batches: their life, their items, their results, and the files of ids that they work on."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from hintd.core.batch import (
    Batch,
    BatchItem,
    BatchKind,
    BatchOptions,
    BatchRow,
    BatchState,
    Command,
    Direction,
    RowOutcome,
    Stage,
)
from hintd.core.contact_list import Line
from hintd.core.match import Candidate, IndexRow
from hintd.core.model import HistoryEntry, Link, Side


@dataclass(frozen=True, slots=True)
class NewBatch:
    """``request_id`` makes a repeated request find the batch that the first one made."""

    connection_id: int
    kind: BatchKind
    direction: Direction
    options: BatchOptions
    requested_by: str
    request_id: str
    at: datetime
    message: str | None = None  # a warning


class BatchRunning(Exception):
    """Another run of the connection has not ended: ``batch_id``."""

    def __init__(self, batch_id: str) -> None:
        super().__init__(f"Batch {batch_id} of this connection has not ended. Wait for it, or abort it first.")
        self.batch_id = batch_id


class NoSuchBatch(Exception):
    """There is no batch of this id; ``str()`` is a sentence that says so."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A batch under our lease; what is stored under an older fence is refused with FenceLost."""

    batch: Batch
    fence: int


@dataclass(frozen=True, slots=True)
class Advance:
    """What changes of a batch that goes on; None leaves as it is.  Storing it keeps the lease, unless ``let_go``."""

    state: BatchState | None = None
    stage: Stage | None = None
    total: int | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    waiting_for: str | None = None  # stored as given whenever ``state`` is given, as are ``waits_until`` and ``wanted``
    waits_until: datetime | None = None
    message: str | None = None
    read_until: str | None = None
    calls: Mapping[str, int] | None = None  # added to what is stored
    let_go: bool = False


@dataclass(frozen=True, slots=True)
class Page:
    """The end of one page: its rows, and where the next one begins.  Stored all or nothing; rows of positions that are
    stored already are left out, and not counted twice."""

    rows: tuple[BatchRow, ...]
    checkpoint: int
    calls: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Upload:
    """A file of Contact ids as read: how many usable ids, repeated ids and ignored lines it has."""

    id: str
    connection_id: int
    ids: int
    repeated: int
    ignored: int


@dataclass(frozen=True, slots=True)
class ToMatch:
    """What the matching of one item needs: its own row (None: not known), who has its name and date of birth on the
    other side and on its own, its standing link, and the partners that a person parted it from."""

    item: BatchItem
    own: IndexRow | None
    candidates: tuple[Candidate, ...]
    rivals: tuple[Candidate, ...]
    linked_with: str | None
    parted_from: frozenset[str]


class Batches(Protocol):
    """The life of batches.  At most one run per connection has not ended; previews block nothing."""

    async def add(self, new: NewBatch) -> Batch:
        """A queued batch with a new id (``bat-`` and 12 hex digits).  Raises BatchRunning.  The same ``request_id``
        again returns the batch that it made."""
        ...

    async def get(self, batch_id: str) -> Batch:
        """Raises NoSuchBatch."""
        ...

    async def of_request(self, connection_id: int, request_id: str) -> Batch | None:
        """The batch that a request has made."""
        ...

    async def all(self, connection_id: int, *, limit: int = 50) -> Sequence[Batch]:
        """Newest first."""
        ...

    async def command(self, batch_id: str, command: Command, *, at: datetime) -> Batch:
        """Obey it at once, or leave it in ``wanted`` for the worker (``hintd.core.batch.obey`` decides).  Raises
        NoSuchBatch and CommandRefused."""
        ...

    async def claim(self, *, owner: str, now: datetime, lease_s: float) -> Claim | None:
        """The oldest batch that is queued, or waits until now, or is running or aborting under a lease that ran out;
        only of active connections."""
        ...

    async def renew(self, claim: Claim, *, now: datetime, lease_s: float) -> Batch:
        """Keep the lease; the batch as it stands, with ``wanted``.  Raises FenceLost."""
        ...

    async def advance(self, claim: Claim, advance: Advance, *, now: datetime) -> Batch:
        """Raises FenceLost.  Ending a batch throws its items and patients away, and keeps its rows."""
        ...


class BatchWork(Protocol):
    """What a batch works on, and its results.  All of it scoped by the batch; writes raise FenceLost."""

    async def put_patients(self, claim: Claim, patients: Sequence[tuple[str, bytes]], *, read_until: str) -> None:
        """Patients as read, (id, JSON) each, sealed at rest; a later one of the same id replaces the earlier."""
        ...

    async def patients(self, batch_id: str, patient_ids: Sequence[str]) -> Mapping[str, bytes]: ...

    async def list_items(self, claim: Claim) -> int:
        """Make the items: of every patient put, in the order of ids; or of the upload's ids, whose ignored and repeated
        lines become rows at once (``ignored_line``, reason ``not_a_contact_id`` or ``repeated``, counted and done).
        Their number, those rows included.  Doing it again changes nothing."""
        ...

    async def to_match(self, claim: Claim, *, after: int, limit: int) -> Sequence[ToMatch]:
        """Items by position, with all that their matching needs: one statement, a join."""
        ...

    async def decide(self, claim: Claim, items: Sequence[BatchItem]) -> None:
        """Store ``partner_id``, ``decision`` and ``why``."""
        ...

    async def count_decided(self, batch_id: str, decision: str) -> int:
        """How many items have this decision."""
        ...

    async def items(self, batch_id: str, *, after: int, limit: int) -> Sequence[BatchItem]:
        """By position."""
        ...

    async def store_page(self, claim: Claim, page: Page) -> Batch:
        """Rows, checkpoint, ``done``, counts and calls in one transaction."""
        ...

    async def rows(
        self, batch_id: str, *, after: int = 0, limit: int = 200, outcome: RowOutcome | None = None
    ) -> Sequence[BatchRow]:
        """By position."""
        ...

    async def rows_about(self, batch_id: str, side: Side, record_ids: Sequence[str]) -> Mapping[str, BatchRow]:
        """The rows of some records, by the given ids."""
        ...

    async def unstamped(self, batch_id: str, *, limit: int, changed_only: bool) -> Sequence[BatchRow]:
        """Rows with a Contact whose stamp is not known to be written, by position."""
        ...

    async def mark_stamped(self, claim: Claim, positions: Sequence[int]) -> None: ...

    async def links_of(self, connection_id: int, side: Side, record_ids: Sequence[str]) -> Mapping[str, Link]:
        """The standing links of many records at once, by the given record ids; without leases."""
        ...

    async def changes_of(self, batch_id: str, link_ids: Sequence[int]) -> Mapping[int, tuple[HistoryEntry, ...]]:
        """The history that this batch has written for these links, oldest first, by link id."""
        ...


class Uploads(Protocol):
    async def add(self, connection_id: int, lines: AsyncIterator[Line], *, at: datetime) -> Upload:
        """Stores the lines as they come; memory does not grow with them.  All or nothing."""
        ...

    async def get(self, connection_id: int, upload_id: str) -> Upload | None: ...
