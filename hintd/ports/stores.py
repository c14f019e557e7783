"""What is kept: links with their history, indexes, parked items, the log, cursors, leases and connections."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol

from hintd.core.match import Candidate, IndexRow
from hintd.core.model import HistoryEntry, Link, LinkState, Notice, Outcome, OutcomeKind, Owner, Side, Source


@dataclass(frozen=True, slots=True)
class Taken:
    """A link under our lease.  ``fence`` grows with every taking: a settlement with an older one is refused."""

    link: Link
    fence: int


@dataclass(frozen=True, slots=True)
class Busy:
    """The link is under another's lease until about ``until``."""

    until: datetime
    link_id: int


class StoreDown(Exception):
    """The store did not answer: what was asked may or may not be stored, and asking again later is safe."""


class FenceLost(Exception):
    """The lease ran out and another took the link, or it was given back: nothing of the settlement was stored."""


class AlreadyLinked(Exception):
    """One of the two records has a link already: ``link``."""

    def __init__(self, link: Link) -> None:
        super().__init__(f"{link.contact_id} is linked with {link.patient_id}")
        self.link = link


@dataclass(frozen=True, slots=True)
class LinkUpdate:
    """The link as it shall be, under ``fence``; storing it gives the lease back."""

    link: Link
    fence: int
    history: tuple[HistoryEntry, ...] = ()


@dataclass(frozen=True, slots=True)
class ToPark:
    """Something set aside for a person.  ``message`` may quote patients' values: sealed at rest, never logged.
    At most one item is open per connection, kind, Contact and patient: parking again counts an attempt.  Items that
    name no record are told apart by their body."""

    kind: str  # a closed list, README chapter 13
    cause: str
    owner: Owner
    message: str
    contact_id: str | None = None
    patient_id: str | None = None
    body: bytes | None = None  # what could not be decoded, or the notice to take up again


@dataclass(frozen=True, slots=True)
class ParkedItem:
    id: int
    kind: str
    cause: str
    owner: Owner
    message: str
    contact_id: str | None
    patient_id: str | None
    since: datetime
    attempts: int
    state: str  # open, resolved, discarded
    body: bytes | None = None


class Level(StrEnum):
    DEBUG = "debug"
    ERROR = "error"
    EXCEPTION = "exception"


@dataclass(frozen=True, slots=True)
class LogEntry:
    """One entry of the log: ids, field names and rule names, never a patient's value."""

    at: datetime
    level: Level
    what: str
    message: str
    contact_id: str | None = None
    patient_id: str | None = None
    batch_id: str | None = None


@dataclass(frozen=True, slots=True)
class Settlement:
    """Everything that the end of one piece of work stores, in one transaction."""

    connection_id: int
    at: datetime
    notice: Notice | None = None
    outcome: Outcome | None = None
    link: LinkUpdate | None = None
    park: tuple[ToPark, ...] = ()
    unpark: bool = False  # resolve the open parked items of the link's two records, or of the notice's record
    unlinked_by_person: tuple[str, str] | None = None  # (contact id, patient id): remember, README rule 9
    log: tuple[LogEntry, ...] = ()
    index: tuple[IndexRow, ...] = ()


class Links(Protocol):
    """Links, their leases and the one write path of the service."""

    async def find(self, connection_id: int, side: Side, record_id: str) -> Link | None:
        """The standing link (linking or linked) of a record, without a lease."""
        ...

    async def take(
        self, connection_id: int, side: Side, record_id: str, *, owner: str, now: datetime, lease_s: float
    ) -> Taken | Busy | None:
        """Take the standing link of a record under a lease; None when the record has no link."""
        ...

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
        """A new link in state LINKING under our lease.  Raises AlreadyLinked."""
        ...

    async def remember(self, update: LinkUpdate) -> None:
        """Store what is known of the link, with its history so far, and keep the lease: right before a remote write, so
        that the write is known for our own after a crash.  Its records and state stay as they were.  Raises FenceLost.
        """
        ...

    async def settle(self, settlement: Settlement) -> None:
        """Store it all or nothing.  Raises FenceLost, and AlreadyLinked when the link was moved to a record that has
        one.  Settling a notice id a second time stores nothing, and gives the lease back."""
        ...

    async def give_back(self, taken: Taken) -> None:
        """Give the lease back with nothing stored."""
        ...

    async def all(
        self, connection_id: int, *, after_id: int = 0, limit: int = 500, state: LinkState | None = None
    ) -> Sequence[Link]:
        """Links by id, in pages; ``state`` None: the standing ones."""
        ...

    async def count(self, connection_id: int) -> int:
        """How many links stand."""
        ...

    async def history(self, link_id: int, *, limit: int = 200) -> Sequence[HistoryEntry]:
        """Newest first."""
        ...

    async def was_unlinked_by_person(
        self, connection_id: int, *, contact_id: str | None = None, patient_id: str | None = None
    ) -> Sequence[tuple[str, str]]:
        """The pairs (contact id, patient id) that a person parted and nobody linked again; with both ids given, that
        pair or nothing."""
        ...


class Index(Protocol):
    """What matching and searching read; also fed by ``Settlement.index``."""

    async def put(self, connection_id: int, rows: Sequence[IndexRow]) -> None:
        """Insert or replace; a row older than the one that stands is left out."""
        ...

    async def tidy(self) -> None:
        """After very many rows were put: the store counts them anew, so that look-ups stay quick."""
        ...

    async def get(self, connection_id: int, side: Side, record_id: str) -> IndexRow | None: ...

    async def candidates(
        self, connection_id: int, side: Side, match_name: str, date_of_birth: str
    ) -> Sequence[Candidate]:
        """The records of ``side`` with this name and date of birth, gone ones left out."""
        ...

    async def search(self, connection_id: int, text: str, *, limit: int = 20) -> Sequence[Candidate]:
        """Patients by similarity of name (trigrams), best first, gone ones left out."""
        ...


class Parking(Protocol):
    async def items(self, connection_id: int | None = None, *, limit: int = 200) -> Sequence[ParkedItem]: ...

    async def get(self, item_id: int) -> tuple[int | None, ParkedItem] | None:
        """The connection's id and the item, also a closed one."""
        ...

    async def close(self, item_id: int, *, state: str, now: datetime) -> bool:
        """``resolved`` or ``discarded``; False when it was closed already."""
        ...

    async def park_message(
        self,
        connection_id: int | None,
        item: ToPark,
        notice_id: str | None,
        now: datetime,
        *,
        source: Source | None = None,
    ) -> None:
        """Park a message that is no notice, or a dead letter; settles ``notice_id`` as parked where one is known: a
        notice settled before parks nothing.  ``source`` None is counted as ``unknown``."""
        ...


@dataclass(frozen=True, slots=True)
class EventEnd:
    """The one end of an event that is about no record."""

    id: str
    source: Source
    outcome: Outcome
    at: datetime


@dataclass(frozen=True, slots=True)
class LogFilter:
    level: Level | None = None
    record_id: str | None = None
    batch_id: str | None = None
    since: datetime | None = None
    after_id: int = 0
    limit: int = 200


class Log(Protocol):
    async def write(self, connection_id: int | None, entries: Sequence[LogEntry]) -> None: ...

    async def settle(self, connection_id: int | None, end: EventEnd, entries: Sequence[LogEntry]) -> None:
        """Store the end and the entries in one transaction; of an event that was settled before, neither."""
        ...

    async def end_of(self, connection_id: int | None, event_id: str) -> OutcomeKind | None:
        """How a settled event ended; None: it was not settled yet."""
        ...

    async def read(self, connection_id: int | None, only: LogFilter) -> Sequence[tuple[int, LogEntry]]:
        """Oldest first, with their ids; ``connection_id`` None: of all connections."""
        ...

    async def newest(self, connection_id: int | None, only: LogFilter) -> Sequence[tuple[int, LogEntry]]:
        """As ``read``, but of all that fit the last ``only.limit``."""
        ...

    async def forget(self, before: datetime) -> None:
        """Entries, and the ledger of settled events, older than ``before``."""
        ...


class Cursors(Protocol):
    """Replay cursors and watermarks by name, opaque bytes."""

    async def load(self, connection_id: int, name: str) -> bytes | None: ...

    async def save(self, connection_id: int, name: str, value: bytes) -> None: ...


class Leases(Protocol):
    """Elections: who is the stream of a connection, who the scheduler."""

    async def hold(self, name: str, *, owner: str, now: datetime, lease_s: float) -> int | None:
        """Take or renew; the fencing token, or None while another holds it."""
        ...

    async def let_go(self, name: str, *, owner: str) -> None: ...


@dataclass(frozen=True, slots=True)
class Connection:
    """One Hint practice with one Salesforce org.  ``secrets`` are sealed at rest and never printed."""

    id: int
    name: str
    practice_id: str
    practice_name: str
    installation_id: str
    organization_id: str
    organization_name: str
    state: str  # active, paused, disconnected
    created_at: datetime
    settings: Mapping[str, Any] = field(default_factory=dict)
    webhook: Mapping[str, str] = field(default_factory=dict)  # id, url
    default_account_id: str | None = None
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    paused_why: str | None = None


class NameTaken(Exception):
    """Another connection has this name."""


class Connections(Protocol):
    async def all(self) -> Sequence[Connection]: ...

    async def by_name(self, name: str) -> Connection | None: ...

    async def add(self, connection: Connection) -> Connection:
        """Stores it (its id is ignored) and returns it with its id.  Raises NameTaken.  Adding a practice again
        replaces all but its id and, unless it was disconnected, ``created_at``: new patients stay new."""
        ...

    async def change(self, connection: Connection) -> None: ...

    async def event_counts(self, connection_id: int | None = None) -> Mapping[tuple[str, str], int]:
        """From the ledger: (source, outcome) to number of settled events."""
        ...

    async def last_event_at(self, connection_id: int, source: Source) -> datetime | None:
        """When the ledger's newest event of this source was settled."""
        ...
