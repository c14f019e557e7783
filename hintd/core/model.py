"""What hintd knows of the two records of a person, of their link, and of the events about them.

Every other module speaks in these values.  A record's synced fields are ``Values``: the field's name in
``hintd.core.fields`` to what the side holds, in that side's own spelling.  Spelling is kept because equal
values are never rewritten (README rule 1.4); comparing goes through ``hintd.core.normalize.same``.

A name missing from ``Values`` means *unknown* (not shown, or not part of a partial read); ``None`` means *blank*.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType

Value = str | bool | None
Values = Mapping[str, Value]

NOTHING: Values = MappingProxyType({})


class Side(StrEnum):
    """One of the two systems."""

    HINT = "hint"
    SALESFORCE = "salesforce"

    @property
    def other(self) -> Side:
        return Side.SALESFORCE if self is Side.HINT else Side.HINT


@dataclass(frozen=True, slots=True)
class Phone:
    """One entry of a Hint patient's ``phones``, as Hint holds it."""

    number: str
    type: str
    us_formattable: bool = True
    id: str | None = None


@dataclass(frozen=True, slots=True)
class Patient:
    """A Hint patient as read; always whole, except where Hint does not show a field (README decision table: title)."""

    id: str
    stamp: datetime  # updated_at
    values: Values
    created_at: datetime
    suffix: str | None = None
    archived: bool = False
    merged_into: str | None = None
    contact_id: str | None = None  # integration_record_id
    web_link: str | None = None  # integration_web_link
    error_message: str | None = None  # integration_error_message
    phones: tuple[Phone, ...] = ()


@dataclass(frozen=True, slots=True)
class Contact:
    """A Salesforce Contact as read.  ``whole`` is false for a change event, which carries the changed fields only.

    In a partial read ``None`` for ``synced``, and a missing key of ``values``, mean unknown; ``patient_id`` and
    ``error_message`` are known only if their names are in ``known``.
    """

    id: str
    stamp: datetime  # LastModifiedDate, whole seconds
    values: Values
    whole: bool = True
    suffix: str | None = None
    deleted: bool = False
    winner_id: str | None = None  # MasterRecordId: the Contact that this one was merged into
    patient_id: str | None = None  # Hint_Patient_Id__c
    synced: bool | None = None  # Synced_to_Hint__c
    error_message: str | None = None  # Hint_Sync_Error__c
    person_account: bool = False
    account_id: str | None = None
    reread: frozenset[str] = frozenset()  # field names whose value the event did not carry (diffFields): read them
    known: frozenset[str] = frozenset({"patient_id", "synced", "error_message"})


Record = Patient | Contact


class LinkState(StrEnum):
    LINKING = "linking"  # claimed: both records are taken, the first exchange is not finished
    LINKED = "linked"
    UNLINKED = "unlinked"  # kept for its history


@dataclass(frozen=True, slots=True)
class Seen:
    """A value that one side holds and the pair has not agreed on yet, with the record stamp it was first seen with."""

    value: Value
    stamp: datetime


@dataclass(frozen=True, slots=True)
class Sent:
    """A value that hintd sent to a side without getting an answer: if that side shows it later, it is hintd's own write
    and nobody's edit.  ``replaced`` is what the side was believed to hold, ``cause`` why it was sent."""

    value: Value
    replaced: Value
    cause: str


@dataclass(frozen=True, slots=True)
class Half:
    """One side of the base: what the side held when the pair last agreed, and how new that knowledge is.

    ``stamp`` is the newest record version taken into account; ``whole_stamp`` the newest one known from a whole read
    (a change event shows a part, so another change may hide behind it); ``read_at`` is our clock at the start of the
    last finished read, for coalescing.
    """

    values: Values = field(default_factory=dict)
    stamp: datetime | None = None
    whole_stamp: datetime | None = None
    read_at: datetime | None = None
    seen: Mapping[str, Seen] = field(default_factory=dict)
    sent: Mapping[str, tuple[Sent, ...]] = field(default_factory=dict)  # oldest first


@dataclass(frozen=True, slots=True)
class Turn:
    """hintd wrote a field to ``side`` at ``at``: kept to see whether the two sides write at each other."""

    at: datetime
    side: Side


@dataclass(frozen=True, slots=True)
class Overwrote:
    """hintd wrote a field to Hint, which has no conditional writes: an edit stamped after ``known_until`` and before
    the write's own stamp ``until``, whose event comes late, was overwritten unseen.  ``replaced`` is what Hint was
    believed to hold; ``won_at`` the winner's stamp, None where the field was only written along with another."""

    known_until: datetime | None
    replaced: Value
    won_at: datetime | None
    until: datetime | None = None
    wrote: Value = None  # what Hint made of it; once Hint shows something else, a later edit decides
    sent: tuple[Value, ...] = ()  # by hintd without an answer until then: nobody's edits


@dataclass(frozen=True, slots=True)
class Owed:
    """An edit that was overwritten unseen and turned out to be the later one: ``sides`` are still to be given it."""

    value: Value
    cause: str
    sides: tuple[Side, ...]


@dataclass(frozen=True, slots=True)
class Link:
    """A Contact id paired with a patient id, and the base of the three-way merge."""

    id: int
    connection_id: int
    contact_id: str
    patient_id: str
    state: LinkState
    linked_at: datetime
    linked_by: str  # "match", "batch:…", "contact_batch:…", "adopted", "person:…", "chosen:…", "merge", "created_…"
    hint: Half = Half()
    salesforce: Half = Half()
    held: Mapping[str, str] = field(default_factory=dict)  # field -> sentence: the other side cannot hold the value
    frozen: Mapping[str, str] = field(default_factory=dict)  # field -> sentence: it flipped too often
    turns: Mapping[str, tuple[Turn, ...]] = field(default_factory=dict)
    overwrote: Mapping[str, Overwrote] = field(default_factory=dict)
    owed: Mapping[str, Owed] = field(default_factory=dict)
    reported: str | None = None  # the sentence that stands on both records, where staff look

    def half(self, side: Side) -> Half:
        return self.hint if side is Side.HINT else self.salesforce

    def record_id(self, side: Side) -> str:
        return self.patient_id if side is Side.HINT else self.contact_id


class Source(StrEnum):
    """Where a change notice came from; the label of ``hintd_events_accepted_total``."""

    WEBHOOK = "webhook"
    STREAM = "stream"
    SWEEP = "sweep"
    CONTROL = "control"


class Change(StrEnum):
    """What an event says happened; where it matters, the remote is asked before it is believed."""

    CHANGED = "changed"
    CREATED = "created"
    DELETED = "deleted"
    UNDELETED = "undeleted"
    GAP = "gap"  # something happened to the record that the event does not show: read it


@dataclass(frozen=True, slots=True)
class Notice:
    """A change notice: this record may have changed.

    ``connection`` is the Hint practice id, the tenancy key.  ``snapshot`` is what the event showed of the record, as
    JSON bytes in the remote's own shape, of a webhook the whole event; it carries patients' values, so it is sealed
    wherever it is stored.
    """

    id: str
    source: Source
    connection: str
    side: Side
    record_id: str
    change: Change
    stamp: datetime | None
    accepted_at: datetime
    snapshot: bytes | None = None
    attempt: int = 1


class OutcomeKind(StrEnum):
    APPLIED = "applied"
    NO_CHANGE = "no_change"
    PARKED = "parked"
    IGNORED = "ignored"


@dataclass(frozen=True, slots=True)
class Outcome:
    """The one end of an event: its kind and the rule or reason, a word of a closed list, never a value."""

    kind: OutcomeKind
    reason: str


class Owner(StrEnum):
    """Who can mend a parked item."""

    CLINIC = "clinic"
    SALESFORCE_ADMIN = "salesforce_admin"
    HINT_ADMIN = "hint_admin"
    ON_CALL = "on_call"


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """One change of a value and its cause.  ``side`` is where ``old`` became ``new``; values are sealed at rest.

    Causes: ``linked``, ``filled``, ``changed_in_hint``, ``changed_in_salesforce``, ``conflict_hint_won``,
    ``conflict_salesforce_won``, ``conflict_lost`` (``old`` is the value that was given up), ``reverted``, ``agreed``
    (both sides were changed to the same value), ``demanded`` (another field could not be written without it),
    ``moved_up`` (the second line of a street whose first is blank), ``restored``, ``adopted``.
    """

    at: datetime
    field: str
    side: Side
    old: Value
    new: Value
    cause: str
    batch_id: str | None = None
