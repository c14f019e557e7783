"""The rest of hintd as the API sees it: one connection, one linked pair, one parked item, and the batches started.

Every act is noted in ``done``; ``trouble`` is raised by whatever is asked next.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from hintd.core.batch import Batch, BatchKind, BatchOptions, BatchRow, BatchState, Command, Direction, RowOutcome, obey
from hintd.core.match import Match
from hintd.core.model import HistoryEntry, LinkState, OutcomeKind, Owner, Side
from hintd.ports import BatchRunning, Level, LogFilter, NoSuchBatch
from hintd.service.batch_answers import BatchJson, batch_json
from hintd.service.batches import BatchRequest
from hintd.service.explaining import Gate
from hintd.service.restoring import Wanted
from hintd.web.desk import AgainstRule, Desk, Unknown
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

NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
CONNECTION = "north"
CONTACT = "003000000000001AAA"
PATIENT = "pat-1"
ITEM_ID = 7
CHANGE = HistoryEntry(NOON, "email", Side.HINT, "old@example.org", "new@example.org", "changed_in_salesforce")


@dataclass
class World:
    """What all parts of the desk share."""

    batches: dict[str, Batch] = field(default_factory=dict)
    rows: dict[str, list[BatchRow]] = field(default_factory=dict)
    uploads: list[bytes] = field(default_factory=list)
    done: list[tuple[Any, ...]] = field(default_factory=list)
    trouble: Exception | None = None
    on_chunk: Callable[[], None] = lambda: None

    def enter(self, name: str | None = CONNECTION) -> None:
        if self.trouble is not None:
            raise self.trouble
        if name not in (CONNECTION, None):
            raise Unknown(f"There is no connection {name}. Connections: {CONNECTION}.", "unknown_connection")

    def desk(self) -> Desk:
        return Desk(FakeConnections(self), FakeLinks(self), FakeParked(self), FakeBatches(self), FakeLog(self))


@dataclass
class FakeConnections:
    world: World

    async def all(self) -> Sequence[ConnectionJson]:
        self.world.enter()
        return [await self.one(CONNECTION)]

    async def one(self, name: str) -> ConnectionJson:
        self.world.enter(name)
        return {
            "name": CONNECTION,
            "practice": {"id": "pra-1", "name": "North Clinic"},
            "organization": {"id": "00D1", "name": "North Org"},
            "hint": {"status": "active", "webhook_url": "https://hintd.example/hint/webhooks", "last_event_at": None},
            "salesforce": {"status": "active", "mode": None, "lag_s": None},
            "settings": {"create_unmatched_contacts": False},
            "paused_why": None,
        }


@dataclass
class FakeLinks:
    world: World

    async def search(self, name: str, text: str, *, limit: int) -> Sequence[PatientFoundJson]:
        self.world.enter(name)
        self.world.done.append(("search", text, limit))
        return [
            {
                "patient_id": PATIENT,
                "name": "Ada Byron",
                "date_of_birth": "1970-12-10",
                "email": None,
                "phone": None,
                "linked_contact_id": CONTACT,
            }
        ]

    async def show(self, name: str, side: Side, record_id: str) -> LinkJson:
        self._find(name, record_id)
        return {
            "contact_id": CONTACT,
            "patient_id": PATIENT,
            "state": LinkState.LINKED,
            "linked_at": NOON,
            "linked_by": "match",
            "fields": [
                {
                    "name": "city",
                    "hint": "Ely",
                    "salesforce": "Ely",
                    "base_hint": "Ely",
                    "base_salesforce": "Ely",
                    "state": "equal",
                }
            ],
        }

    async def explain(self, name: str, side: Side, record_id: str) -> ExplanationJson:
        self._find(name, record_id)
        return {
            "record_id": record_id,
            "linked_with": PATIENT,
            "decision": Match.ONE,
            "candidates": [{"id": PATIENT, "agreed": ("last_name",), "differed": (), "linked_with": CONTACT}],
            "gates": (Gate("not_linked", False, "It has a link."),),
        }

    async def history(self, name: str, contact_id: str, *, limit: int) -> HistoryJson:
        self._find(name, contact_id)
        return {"contact_id": CONTACT, "patient_id": PATIENT, "changes": [CHANGE][:limit]}

    async def create(
        self, name: str, contact_id: str, patient_id: str | None, *, take_over: bool, person: str
    ) -> LinkedJson:
        self.world.enter(name)
        self.world.done.append(("link", contact_id, patient_id, take_over, person))
        return {
            "contact_id": contact_id,
            "patient_id": patient_id or "pat-new",
            "state": LinkState.LINKED,
            "outcome": OutcomeKind.APPLIED,
            "reason": "linked",
        }

    async def preview(
        self, name: str, contact_id: str, patient_id: str | None, *, take_over: bool, person: str
    ) -> LinkPreviewJson:
        self.world.enter(name)
        return {
            "contact_id": contact_id,
            "patient_id": patient_id,
            "fields": [{"name": CHANGE.field, "side": CHANGE.side, "old": CHANGE.old, "new": CHANGE.new}],
            "held": {},
            "unlinks": [{"contact_id": CONTACT, "patient_id": PATIENT}] if take_over else [],
            "hint_writes": 1,
            "salesforce_writes": 0,
        }

    async def remove(self, name: str, contact_id: str, *, person: str) -> PartedJson:
        self._find(name, contact_id)
        self.world.done.append(("unlink", contact_id, person))
        return {
            "contact_id": contact_id,
            "patient_id": PATIENT,
            "state": LinkState.UNLINKED,
            "outcome": OutcomeKind.APPLIED,
        }

    async def unfreeze(self, name: str, contact_id: str, field: str | None, *, person: str) -> UnfrozenJson:
        self._find(name, contact_id)
        return {"contact_id": contact_id, "released": [field or "email"]}

    async def restore(self, name: str, contact_id: str, wanted: Wanted, *, person: str) -> RestoredJson:
        self._find(name, contact_id)
        self.world.done.append(("restore", wanted, person))
        return {
            "contact_id": contact_id,
            "patient_id": PATIENT,
            "field": wanted.field,
            "outcome": OutcomeKind.APPLIED,
            "reason": "restored",
        }

    def _find(self, name: str, record_id: str) -> None:
        self.world.enter(name)
        if record_id not in (CONTACT, PATIENT):
            raise Unknown(f"Record {record_id} has no link in {name}.", "not_linked", contact_id=record_id)


@dataclass
class FakeParked:
    world: World
    state: str = "open"

    async def open_items(self, name: str | None, *, limit: int) -> Sequence[ParkedJson]:
        self.world.enter(name)
        return [await self.one(ITEM_ID)][:limit]

    async def one(self, item_id: int) -> ParkedJson:
        self.world.enter()
        if item_id != ITEM_ID:
            raise Unknown(f"There is no parked item {item_id}.", "unknown_item")
        return {
            "id": ITEM_ID,
            "kind": "ambiguous",
            "cause": "ambiguous",
            "owner": Owner.CLINIC,
            "contact_id": None,
            "patient_id": PATIENT,
            "since": NOON,
            "attempts": 1,
            "message": "Two Contacts match.",
            "state": self.state,
        }

    async def retry(self, item_id: int, *, person: str) -> ParkedEndJson:
        return await self._end(item_id, "resolved", "retry", person)

    async def discard(self, item_id: int, *, person: str) -> ParkedEndJson:
        return await self._end(item_id, "discarded", "discard", person)

    async def choose(
        self, item_id: int, chosen: tuple[str | None, str | None], *, take_over: bool, person: str
    ) -> ParkedEndJson:
        return await self._end(item_id, "resolved", "choose", *chosen, take_over, person)

    async def dismiss(self, item_id: int, *, person: str) -> ParkedEndJson:
        return await self._end(item_id, "discarded", "dismiss", person)

    async def _end(self, item_id: int, state: str, *done: object) -> ParkedEndJson:
        item = await self.one(item_id)
        if item["state"] != "open":
            raise AgainstRule(f"Parked item {item_id} is {item['state']} already.", "closed")
        self.state = state
        self.world.done.append(done)
        return {"id": item_id, "state": state, "link": None}


@dataclass
class FakeBatches:
    world: World

    async def all(self, name: str, *, limit: int) -> Sequence[BatchJson]:
        self.world.enter(name)
        return [batch_json(batch, CONNECTION, NOON) for batch in reversed(self.world.batches.values())][:limit]

    async def start(self, name: str, request: BatchRequest) -> BatchStartedJson:
        self.world.enter(name)
        self.world.done.append(("batch", request))
        running = next((b for b in self.world.batches.values() if b.kind is BatchKind.RUN), None)
        if request.kind is BatchKind.RUN and running is not None:
            raise BatchRunning(running.id)
        batch_id = f"bat-{len(self.world.batches) + 1:012x}"
        self.world.batches[batch_id] = a_batch(batch_id, request.kind, request.direction)
        return {"batch_id": batch_id, "message": None}

    async def upload(self, name: str, chunks: AsyncIterator[bytes]) -> UploadJson:
        self.world.enter(name)
        content = b""
        async for chunk in chunks:
            content += chunk
            self.world.on_chunk()
        self.world.uploads.append(content)
        return {"upload_id": "upl-1", "ids": content.count(b"003"), "repeated": 0, "ignored": 0}

    async def status(self, batch_id: str) -> BatchJson:
        return batch_json(self._find(batch_id), CONNECTION, NOON)

    async def command(self, batch_id: str, command: Command) -> BatchJson:
        batch = self._find(batch_id)
        self.world.done.append((command, batch_id))
        state = obey(batch, command)
        return {**batch_json(batch, CONNECTION, NOON), "state": state or batch.state}

    async def rows(self, batch_id: str, *, after: int, limit: int, outcome: RowOutcome | None) -> Sequence[BatchRow]:
        self._find(batch_id)
        rows = self.world.rows.get(batch_id, [])
        return [row for row in rows if row.position > after and outcome in (None, row.outcome)][:limit]

    def _find(self, batch_id: str) -> Batch:
        self.world.enter()
        if batch_id not in self.world.batches:
            raise NoSuchBatch(f"There is no batch {batch_id}.")
        return self.world.batches[batch_id]


@dataclass
class FakeLog:
    world: World

    async def entries(self, name: str | None, only: LogFilter) -> Sequence[LogEntryJson]:
        self.world.enter(name)
        self.world.done.append(("log", name, only))
        return [
            {
                "id": 1,
                "at": NOON,
                "level": Level.DEBUG,
                "what": "linked",
                "contact_id": CONTACT,
                "patient_id": PATIENT,
                "batch_id": None,
                "message": "They match.",
            }
        ]


def a_batch(
    batch_id: str = "bat-000000000001",
    kind: BatchKind = BatchKind.RUN,
    direction: Direction = Direction.PATIENTS_TO_CONTACTS,
    state: BatchState = BatchState.QUEUED,
) -> Batch:
    return Batch(batch_id, 1, kind, direction, state, BatchOptions(), "api", NOON)
