"""The two remotes, and the permission to call them.

Every remote call takes a ``Call``: the class it is budgeted under and the purpose it is counted under.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol

from hintd.core.errors import Refusal, RemoteError
from hintd.core.fields import Book
from hintd.core.model import Contact, Patient


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
        """Waits until one call may be made, urgent classes first.  Raises Retryable when the day's are used up, and
        StoreDown: where calls cannot be counted, none is made."""
        ...

    async def throttled(self) -> None:
        """The remote answered 429: all processes slow down, and recover step by step.  Raises StoreDown."""
        ...

    async def left_today(self, *, urgent: bool) -> int:
        """Calls that may be made until 00:00 UTC; some are kept back for the urgent classes.  Raises StoreDown."""
        ...

    def calls_per_second(self) -> float:
        """How many are allowed now, as last seen: fewer than configured after a 429."""
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
    """``before`` and ``after``: whole reads right before and right after the write, in the same request; None from
    writes of many at once, which alone say of an upsert whether it ``created`` the Contact."""

    result: WriteResult
    contact_id: str | None
    before: Contact | None = None
    after: Contact | None = None
    refusal: Refusal | None = None
    created: bool = False


ContactChange = tuple[str, Mapping[str, Any]]
"""The id of a Contact, or of the patient of a Contact that is to be made, and the new values by API name."""

Saved = ContactWrite | RemoteError
"""What became of one record of many; the error stands for one of which nobody knows, or that may be tried again."""


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

    async def save_contacts(
        self, updates: Sequence[ContactChange], creations: Sequence[ContactChange], call: Call
    ) -> tuple[Sequence[Saved], Sequence[Saved]]:
        """Write many Contacts, ``updates`` by Contact id and ``creations`` by patient id, up to 1,000 in one call:
        unconditional, nothing is read back, each accepted or refused by itself, in the order given.  Safe to repeat;
        no id may come twice among those of its kind."""
        ...

    async def changed_contacts(self, call: Call, *, since: datetime | None, next: str | None = None) -> ContactPage:
        """Whole reads by SystemModstamp, deleted ones included, oldest first; ``since`` None: all, in no order."""
        ...

    async def calls_left(self, call: Call) -> int | None:
        """API calls left of the org's allowance of 24 hours, as last told with any answer; asks only where nothing was
        told yet.  None: the org does not say."""
        ...
