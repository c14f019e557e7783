"""What may go wrong below the API and the command line, in words for people: the one table that both answer from.

Each maps a ``Meaning`` to its own codes, and adds what only it can meet.  The first row that fits an error counts:
derived classes stand before those they derive from.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, auto

from hintd.core.batch import CommandRefused
from hintd.core.contact_list import UnreadableFile
from hintd.core.errors import CredentialsRefused, Misconfigured, Refused, Retryable
from hintd.ports import AlreadyLinked, BatchRunning, BusDown, FenceLost, NameTaken, NoSuchBatch, StoreDown
from hintd.sealing import CannotUnseal
from hintd.service.batches import BatchRefused, BatchUnclear
from hintd.service.exchange import RecordGone
from hintd.service.linking import LinkingRefused


class Meaning(Enum):
    """What a failure means to who asked."""

    UNUSABLE = auto()  # what was asked makes no sense as it is
    TOO_LARGE = auto()
    UNKNOWN = auto()  # there is no such thing
    AGAINST_RULE = auto()
    PREVENTED = auto()  # a record as it stands, or another worker, was in the way
    NOT_SET_UP = auto()  # a remote does not let hintd in, or lacks something
    DOWN = auto()  # a remote or a server does not answer
    BROKEN = auto()


@dataclass(frozen=True, slots=True)
class Foreseen:
    """``word``: for programs; ``sentence``: for people, without any patient's value; ``ids``: what it is about."""

    meaning: Meaning
    word: str
    sentence: str
    ids: Mapping[str, str] = field(default_factory=dict)


_GONE = "A record of the pair cannot be found: it was deleted or merged, or hintd's user may not see it."
_REFUSED = "{}: the remote does not take it, and nothing was written."
_STORE_DOWN = "Postgres does not answer. What was asked may be done or not: look, and try again."
_SEALED = "{}. Check [security] encryption_keys: an older key may be missing."

_TABLE: tuple[tuple[type[Exception], Meaning, str, str], ...] = (
    (NoSuchBatch, Meaning.UNKNOWN, "unknown_batch", "{}"),
    (UnreadableFile, Meaning.UNUSABLE, "unreadable_file", "{}"),
    (BatchUnclear, Meaning.UNUSABLE, "usage", "{}"),
    (BatchRefused, Meaning.AGAINST_RULE, "refused", "{}"),
    (BatchRunning, Meaning.AGAINST_RULE, "batch_running", "{}"),
    (CommandRefused, Meaning.AGAINST_RULE, "refused", "{}"),
    (LinkingRefused, Meaning.AGAINST_RULE, "refused", "{}"),
    (NameTaken, Meaning.AGAINST_RULE, "name_taken", "{}. Choose another name."),
    (AlreadyLinked, Meaning.AGAINST_RULE, "linked_already", "{}. Unlink it first, or leave it."),
    (FenceLost, Meaning.PREVENTED, "in_hand", "Another worker took the pair over meanwhile: try again."),
    (RecordGone, Meaning.PREVENTED, "record_gone", _GONE),
    (Refused, Meaning.PREVENTED, "refused_by_remote", _REFUSED),
    (CredentialsRefused, Meaning.NOT_SET_UP, "credentials_refused", "{}"),
    (Misconfigured, Meaning.NOT_SET_UP, "misconfigured", "{}"),
    (Retryable, Meaning.DOWN, "remote_down", "{} Try again later."),
    (StoreDown, Meaning.DOWN, "postgres_down", _STORE_DOWN),
    (BusDown, Meaning.DOWN, "bus_down", "Nothing durable is up to keep the message. Try again later."),
    (CannotUnseal, Meaning.BROKEN, "cannot_unseal", _SEALED),
)


def foreseen(error: BaseException) -> Foreseen | None:
    """None for what nobody foresaw, whose text may quote anything."""
    for kind, meaning, word, sentence in _TABLE:
        if isinstance(error, kind):
            return Foreseen(meaning, word, sentence.format(error), _ids(error))
    return None


def _ids(error: BaseException) -> Mapping[str, str]:
    match error:
        case BatchRunning():
            return {"batch_id": error.batch_id}
        case AlreadyLinked():
            return {"contact_id": error.link.contact_id, "patient_id": error.link.patient_id}
        case _:
            return {}
