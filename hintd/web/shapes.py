"""What the API answers with: the same names and shapes as the commands print with ``--json``.

Batches and their results are in ``hintd.service.batch_answers``.  The documentation is made of these types, their
docstrings are in it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, TypedDict

from hintd.core.match import Match
from hintd.core.model import HistoryEntry, LinkState, OutcomeKind, Owner, Value
from hintd.ports import Level
from hintd.service.batch_answers import BatchJson, FieldJson
from hintd.service.explaining import Gate


class NamedJson(TypedDict):
    """A practice or an organization."""

    id: str
    name: str


class HintStatusJson(TypedDict):
    """``status``: active, paused or disconnected.  What is not known is null."""

    status: str
    webhook_url: str | None
    last_event_at: datetime | None


class SalesforceStatusJson(TypedDict):
    """``mode``: stream or polling; ``lag_s``: how long the latest event of the stream took to come.  What is not known
    is null."""

    status: str
    mode: str | None
    lag_s: float | None


class ConnectionJson(TypedDict):
    """One Hint practice with one Salesforce org."""

    name: str
    practice: NamedJson
    organization: NamedJson
    hint: HintStatusJson
    salesforce: SalesforceStatusJson
    settings: Mapping[str, Any]
    paused_why: str | None


class ConnectionsJson(TypedDict):
    """All connections."""

    connections: Sequence[ConnectionJson]


class PatientFoundJson(TypedDict):
    """A patient as found by name."""

    patient_id: str
    name: str
    date_of_birth: str | None
    email: str | None
    phone: str | None
    linked_contact_id: str | None


class PatientsJson(TypedDict):
    """The most alike first."""

    patients: Sequence[PatientFoundJson]


class FieldStateJson(TypedDict):
    """``state``: equal, accepted, held, frozen or waiting."""

    name: str
    hint: Value
    salesforce: Value
    base_hint: Value
    base_salesforce: Value
    state: str


class LinkJson(TypedDict):
    """A pair with every field as last known of both sides."""

    contact_id: str
    patient_id: str
    state: LinkState
    linked_at: datetime
    linked_by: str
    fields: Sequence[FieldStateJson]


class LinkedJson(TypedDict):
    """What came of linking; ``state`` is null where nothing was linked."""

    contact_id: str
    patient_id: str | None
    state: LinkState | None
    outcome: OutcomeKind
    reason: str


class PartedJson(TypedDict):
    """Two records that are no longer linked."""

    contact_id: str
    patient_id: str
    state: LinkState
    outcome: OutcomeKind


class PairJson(TypedDict):
    """A Contact and its patient."""

    contact_id: str
    patient_id: str


class LinkPreviewJson(TypedDict):
    """What linking would do.  ``held``: field to the sentence why one side cannot hold the value; ``unlinks``: the
    pairs that would be parted first."""

    contact_id: str
    patient_id: str | None
    fields: Sequence[FieldJson]
    held: Mapping[str, str]
    unlinks: Sequence[PairJson]
    hint_writes: int
    salesforce_writes: int


class HistoryJson(TypedDict):
    """What was changed in a pair and why, the newest first."""

    contact_id: str
    patient_id: str
    changes: Sequence[HistoryEntry]


class CandidateJson(TypedDict):
    """A record that was considered as a match: the names of the fields that agree and that differ."""

    id: str
    agreed: Sequence[str]
    differed: Sequence[str]
    linked_with: str | None


class ExplanationJson(TypedDict):
    """Why a record is linked or not."""

    record_id: str
    linked_with: str | None
    decision: Match
    candidates: Sequence[CandidateJson]
    gates: Sequence[Gate]


class UnfrozenJson(TypedDict):
    """The fields that were released."""

    contact_id: str
    released: Sequence[str]


class RestoredJson(TypedDict):
    """A value of the pair's history that is being put back on both sides."""

    contact_id: str
    patient_id: str
    field: str
    outcome: OutcomeKind
    reason: str


class ParkedJson(TypedDict):
    """Something set aside for a person.  ``message`` may quote a patient's values."""

    id: int
    kind: str
    cause: str
    owner: Owner
    contact_id: str | None
    patient_id: str | None
    since: datetime
    attempts: int
    message: str
    state: str


class ParkedItemsJson(TypedDict):
    """The open items, the oldest first."""

    items: Sequence[ParkedJson]


class ParkedEndJson(TypedDict):
    """How an item stands after what was done about it.  ``link``: what came of linking, where that was asked."""

    id: int
    state: str
    link: LinkedJson | None


class BatchesJson(TypedDict):
    """The newest first."""

    batches: Sequence[BatchJson]


class BatchStartedJson(TypedDict):
    """The batch is queued; its status says how it goes on.  ``message``: a warning."""

    batch_id: str
    message: str | None


class UploadJson(TypedDict):
    """A file of Contact ids as read."""

    upload_id: str
    ids: int
    repeated: int
    ignored: int


class LogEntryJson(TypedDict):
    """Ids, field names and sentences, never a patient's value."""

    id: int
    at: datetime
    level: Level
    what: str
    contact_id: str | None
    patient_id: str | None
    batch_id: str | None
    message: str


class LogJson(TypedDict):
    """The oldest first."""

    entries: Sequence[LogEntryJson]


class ErrorJson(TypedDict):
    """``code``: a word that programs can rely on; ``message``: a sentence that says what to do."""

    code: str
    message: str


class FailureJson(TypedDict):
    """What every refused or failed request is answered with; the ids it is about may stand beside the message."""

    error: ErrorJson
