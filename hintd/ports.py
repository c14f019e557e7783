"""What the services need from the outside, in hintd's own words: two remotes, a bus and the stores.

Adapters implement these; the tests' memory fakes do too, and one contract suite runs on both.  Every remote call
takes a ``Call``: the class it is budgeted under and the purpose it is counted under.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol

from hintd.core.errors import Refusal
from hintd.core.fields import Book
from hintd.core.match import Candidate as Candidate
from hintd.core.match import IndexRow as IndexRow
from hintd.core.model import Contact, Link, LinkState, Notice, Outcome, Owner, Patient, Side, Source
from hintd.core.model import HistoryEntry as HistoryEntry

# --- remotes ---------------------------------------------------------------------------------------------------------


class CallClass(StrEnum):
    """Classes of the call budget, most urgent first."""

    REAL_TIME = "real_time"
    MANUAL = "manual"
    RETRY = "retry"
    BATCH = "batch"
    SWEEP = "sweep"


@dataclass(frozen=True, slots=True)
class Call:
    """Why a remote call is made: ``purpose`` is a word for the metrics, such as ``write`` or ``read_doubtful``."""

    call_class: CallClass
    purpose: str


@dataclass(frozen=True, slots=True)
class PatientPage:
    """One page of a list; ``total`` is what the remote says it has in all."""

    patients: tuple[Patient, ...]
    total: int


class Budget(Protocol):
    """Permission to call Hint, whose rate and daily limits hold for the partner, over all practices and processes."""

    async def spend(self, call: Call) -> None:
        """Waits until one call may be made, urgent classes first.  Raises Retryable when the day's are used up."""
        ...

    def throttled(self) -> None:
        """The remote answered 429: slow down, recover step by step."""
        ...


CountCall = Callable[[str, Call, str], None]
"""(remote ``hint`` or ``salesforce``, the call, result ``ok``, ``refused``, ``throttled`` or ``failed``): one call."""


class HintPractice(Protocol):
    """One practice of Hint.  Errors: those of ``hintd.core.errors``; ``Refused`` where Hint will not take a record."""

    async def get_patient(self, patient_id: str, call: Call) -> Patient | None:
        """The patient, also a merged-away or archived one; None when Hint answers 404, which proves no deletion."""
        ...

    async def find_by_contact(self, contact_id: str, call: Call) -> Patient | None:
        """The patient whose ``integration_record_id`` is this Contact id."""
        ...

    async def list_patients(
        self,
        call: Call,
        *,
        offset: int,
        limit: int = 100,
        updated_since: datetime | None = None,
        everyone: bool = False,
    ) -> PatientPage:
        """A page, oldest change first; ``everyone`` includes archived patients (``filter=all``)."""
        ...

    async def update_patient(self, patient_id: str, attributes: Mapping[str, Any], call: Call) -> Patient | None:
        """PATCH; the patient as Hint stored it; None when Hint answers 404."""
        ...

    async def create_patient(self, attributes: Mapping[str, Any], call: Call) -> Patient:
        """POST; not idempotent: always carries ``integration_record_id``; after a 422 look it up by that."""
        ...


class WriteResult(StrEnum):
    WRITTEN = "written"
    STALE = "stale"  # changed since: nothing was written, ``after`` is what stands there now
    GONE = "gone"  # deleted or merged away
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class ContactWrite:
    """``before`` and ``after``: whole reads right before and right after the write, in the same request."""

    result: WriteResult
    contact_id: str | None
    before: Contact | None = None
    after: Contact | None = None
    refusal: Refusal | None = None


@dataclass(frozen=True, slots=True)
class ContactPage:
    """``next`` names the page that follows, None at the end."""

    contacts: tuple[Contact, ...]
    next: str | None


class SalesforceOrg(Protocol):
    """One Salesforce org.  Field values are the API's JSON values by API name."""

    async def book(self, *, fresh: bool = False) -> Book:
        """The field table bound to what describe says of Contact: read once, again when ``fresh``."""
        ...

    async def get_contacts(self, contact_ids: Sequence[str], call: Call) -> Mapping[str, Contact]:
        """Whole reads by id, up to 2,000; ids that cannot be read (deleted, hidden) are missing from the answer."""
        ...

    async def find_fate(self, contact_id: str, call: Call) -> Contact | None:
        """The Contact as queryAll shows it, deleted or merged away included; None when it was purged."""
        ...

    async def write_contact(
        self, contact_id: str, fields: Mapping[str, Any], unmodified_since: datetime | None, call: Call
    ) -> ContactWrite:
        """One composite request, one call: GET, PATCH (conditional when ``unmodified_since`` is given), GET."""
        ...

    async def upsert_contact(self, patient_id: str, fields: Mapping[str, Any], call: Call) -> ContactWrite:
        """Create, or update, the Contact whose external id is the patient id: safe to repeat.  One call, reads back."""
        ...

    async def changed_contacts(self, call: Call, *, since: datetime | None, next: str | None = None) -> ContactPage:
        """Whole reads by SystemModstamp, deleted ones included, oldest first; ``since`` None: all."""
        ...


# --- bus -------------------------------------------------------------------------------------------------------------


class Queue(StrEnum):
    """The queues; real-time changes, batches and control never wait behind each other."""

    CHANGES = "changes"
    BATCHES = "batches"
    CONTROL = "control"


class BusDown(Exception):
    """The bus did not confirm a message: it may or may not have it.  Publishing again is safe."""


class Delivery(Protocol):
    """One message in hand.  Exactly one of ``ack``, ``retry`` or ``release`` settles it; unsettled it comes back.
    All may raise ``BusDown``: then the message comes back too."""

    body: bytes
    attempt: int  # 1 for the first delivery; counts killed consumers as well

    async def ack(self) -> None: ...

    async def retry(self, delay_s: float) -> None:
        """Give it back, to come again after about ``delay_s`` seconds, its attempt counted up."""
        ...

    async def release(self) -> None:
        """Give it back at once, not counted as an attempt where the bus can tell (a stop, not a failure)."""
        ...


class Bus(Protocol):
    """Durable queues, at least once.  A message delivered more often than the limit goes to the dead letters."""

    async def publish(self, queue: Queue, body: bytes, *, key: str) -> None:
        """Returns when the message is durable.  ``key``: the record it is about.  Raises BusDown."""
        ...

    def consume(self, queue: Queue, *, prefetch: int) -> AbstractAsyncContextManager[AsyncIterator[Delivery]]:
        """Deliveries for ever; leaving the context stops taking, and gives back what was not handed out."""
        ...

    def consume_dead(self) -> AbstractAsyncContextManager[AsyncIterator[Delivery]]:
        """The dead letters of all queues."""
        ...

    async def waiting(self) -> Mapping[Queue, int]:
        """How many messages wait or are in hand, delayed ones included."""
        ...


# --- stores ----------------------------------------------------------------------------------------------------------


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
class LogFilter:
    level: Level | None = None
    record_id: str | None = None
    batch_id: str | None = None
    since: datetime | None = None
    after_id: int = 0
    limit: int = 200


class Log(Protocol):
    async def write(self, connection_id: int | None, entries: Sequence[LogEntry]) -> None: ...

    async def read(self, connection_id: int | None, only: LogFilter) -> Sequence[tuple[int, LogEntry]]:
        """Oldest first, with their ids; ``connection_id`` None: of all connections."""
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
