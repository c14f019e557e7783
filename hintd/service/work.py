"""What every piece of the service works with: the stores, the two remotes of one connection, and the clock."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime

from hintd.core.fields import Book
from hintd.core.model import Side
from hintd.ports import (
    Batches,
    BatchWork,
    Call,
    CallClass,
    Connection,
    Connections,
    Cursors,
    HintPractice,
    Index,
    Leases,
    Level,
    Links,
    Log,
    LogEntry,
    Parking,
    SalesforceOrg,
    Uploads,
)
from hintd.service.hands import Hands

LEASE_S = 30.0
"""The default of ``Work.lease_s``: so long a killed worker's links wait.  An exchange that outlives it loses its fence
and is done again, so it is as long as the slowest remote call may take."""


NEW = "new:"
"""Begins the id of a record still to be made: the link is claimed first, so that a repeated attempt finds it."""


@dataclass(frozen=True, slots=True)
class Stores:
    links: Links
    index: Index
    parking: Parking
    log: Log
    cursors: Cursors
    leases: Leases
    connections: Connections
    batches: Batches
    batch_work: BatchWork
    uploads: Uploads


@dataclass(frozen=True, slots=True)
class Remotes:
    """The two remotes of one connection."""

    connection: Connection
    hint: HintPractice
    salesforce: SalesforceOrg


@dataclass(frozen=True, slots=True)
class Work:
    """One connection's surroundings for one piece of work; ``owner`` names this process in leases."""

    stores: Stores
    remotes: Remotes
    book: Book
    owner: str
    now: Callable[[], datetime]
    call_class: CallClass = CallClass.REAL_TIME
    lease_s: float = LEASE_S
    hands: Hands = field(default_factory=Hands)  # shared by all work of a process
    batch_id: str | None = None  # marks the history and the log of what a batch does
    prefer: Side | None = None  # who wins the conflicts of linked pairs, in place of the fields' own winners

    @property
    def connection(self) -> Connection:
        return self.remotes.connection

    def call(self, purpose: str) -> Call:
        return Call(self.call_class, purpose)

    def calling_as(self, call_class: CallClass) -> Work:
        return replace(self, call_class=call_class)

    def entry(self, level: Level, what: str, message: str, **ids: str | None) -> LogEntry:
        """A log entry of now; ``ids``: ``contact_id``, ``patient_id``."""
        return LogEntry(self.now(), level, what, message, **ids, batch_id=self.batch_id)
