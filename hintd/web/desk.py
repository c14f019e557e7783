"""What the API and the command line ask of the rest of hintd, in hintd's words.

Every method that names a connection, a batch or a parked item raises ``Unknown`` (NoSuchBatch) when there is none, and
acts within its connection only.  Besides the errors below they raise those that ``hintd.service.failures`` foresees.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol

from hintd.core.batch import BatchRow, Command, RowOutcome
from hintd.core.model import Side
from hintd.ports import LogFilter
from hintd.service.batch_answers import BatchJson
from hintd.service.batches import BatchRequest
from hintd.service.failures import Meaning
from hintd.service.restoring import Wanted
from hintd.web.shapes import (
    BatchStartedJson,
    ConnectionJson,
    ExplanationJson,
    HistoryJson,
    LinkedJson,
    LinkJson,
    LinkPreviewJson,
    LogEntryJson,
    ParkedEndJson,
    ParkedJson,
    PartedJson,
    PatientFoundJson,
    RestoredJson,
    UnfrozenJson,
    UploadJson,
)


class DeskError(Exception):
    """Why a request comes to nothing: ``str()`` is a sentence, ``code`` a word, ``ids`` the records it is about."""

    meaning: ClassVar[Meaning] = Meaning.UNUSABLE

    def __init__(self, sentence: str, code: str, **ids: str | None) -> None:
        super().__init__(sentence)
        self.code = code
        self.ids = {name: value for name, value in ids.items() if value is not None}


class Unusable(DeskError):
    """What was asked makes no sense as it is."""


class Unknown(DeskError):
    """There is no such connection, link, batch or item."""

    meaning = Meaning.UNKNOWN


class AgainstRule(DeskError):
    """A rule forbids it."""

    meaning = Meaning.AGAINST_RULE


class TooLarge(DeskError):
    """It is larger than a limit allows."""

    meaning = Meaning.TOO_LARGE


class ConnectionDesk(Protocol):
    async def all(self) -> Sequence[ConnectionJson]: ...

    async def one(self, name: str) -> ConnectionJson: ...


class LinkDesk(Protocol):
    """``name``: the connection's; ``person``: who asks, for the history.  Contact ids have 18 characters."""

    async def search(self, name: str, text: str, *, limit: int) -> Sequence[PatientFoundJson]:
        """Asks no remote."""
        ...

    async def show(self, name: str, side: Side, record_id: str) -> LinkJson: ...

    async def explain(self, name: str, side: Side, record_id: str) -> ExplanationJson: ...

    async def history(self, name: str, contact_id: str, *, limit: int) -> HistoryJson: ...

    async def create(
        self, name: str, contact_id: str, patient_id: str | None, *, take_over: bool, person: str
    ) -> LinkedJson:
        """``patient_id`` None: link it with a new patient."""
        ...

    async def preview(
        self, name: str, contact_id: str, patient_id: str | None, *, take_over: bool, person: str
    ) -> LinkPreviewJson:
        """What ``create`` would do; writes nothing."""
        ...

    async def remove(self, name: str, contact_id: str, *, person: str) -> PartedJson: ...

    async def unfreeze(self, name: str, contact_id: str, field: str | None, *, person: str) -> UnfrozenJson:
        """``field`` None: all frozen ones."""
        ...

    async def restore(self, name: str, contact_id: str, wanted: Wanted, *, person: str) -> RestoredJson:
        """Put a value of the pair's history back on both sides."""
        ...


class ParkedDesk(Protocol):
    async def open_items(self, name: str | None, *, limit: int) -> Sequence[ParkedJson]:
        """``name`` None: of all connections."""
        ...

    async def one(self, item_id: int) -> ParkedJson:
        """Also a closed one."""
        ...

    async def retry(self, item_id: int, *, person: str) -> ParkedEndJson: ...

    async def discard(self, item_id: int, *, person: str) -> ParkedEndJson: ...

    async def choose(
        self, item_id: int, chosen: tuple[str | None, str | None], *, take_over: bool, person: str
    ) -> ParkedEndJson:
        """Settle it by linking: it stays open where that fails.  ``chosen``: ids of a Contact and of a patient; None is
        the item's own."""
        ...

    async def dismiss(self, item_id: int, *, person: str) -> ParkedEndJson:
        """Close it, and let automation leave the record alone."""
        ...


class BatchDesk(Protocol):
    async def all(self, name: str, *, limit: int) -> Sequence[BatchJson]:
        """Newest first."""
        ...

    async def start(self, name: str, request: BatchRequest) -> BatchStartedJson:
        """Answers as soon as the batch is queued.  Raises BatchRunning and BatchRefused."""
        ...

    async def upload(self, name: str, chunks: AsyncIterator[bytes]) -> UploadJson:
        """Reads the file as it comes; stores all of it or nothing.  Raises UnreadableFile, and what ``chunks``
        raises."""
        ...

    async def status(self, batch_id: str) -> BatchJson: ...

    async def command(self, batch_id: str, command: Command) -> BatchJson:
        """Raises CommandRefused."""
        ...

    async def rows(self, batch_id: str, *, after: int, limit: int, outcome: RowOutcome | None) -> Sequence[BatchRow]:
        """By position."""
        ...


class LogDesk(Protocol):
    async def entries(self, name: str | None, only: LogFilter) -> Sequence[LogEntryJson]:
        """The newest ``only.limit`` that fit, the oldest of them first; with ``only.after_id``, the ones behind it."""
        ...


@dataclass(frozen=True, slots=True)
class Desk:
    """All that the API stands on, and most of the commands."""

    connections: ConnectionDesk
    links: LinkDesk
    parked: ParkedDesk
    batches: BatchDesk
    log: LogDesk
