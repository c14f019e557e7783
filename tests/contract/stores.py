"""The stores under contract, and the makers of what is stored in them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from hintd.core.match import IndexRow, match_name
from hintd.core.model import Change, Link, LinkState, Notice, Outcome, OutcomeKind, Owner, Side, Source
from hintd.ports import (
    Batches,
    BatchWork,
    Connection,
    Connections,
    Cursors,
    Index,
    Leases,
    Links,
    LinkUpdate,
    Log,
    Parking,
    Settlement,
    Taken,
    ToPark,
    Uploads,
)
from hintd.postgres.batch_work import PostgresBatchWork
from hintd.postgres.batches import PostgresBatches
from hintd.postgres.connections import PostgresConnections
from hintd.postgres.cursors import PostgresCursors
from hintd.postgres.index import PostgresIndex
from hintd.postgres.leases import PostgresLeases
from hintd.postgres.links import PostgresLinks
from hintd.postgres.log import PostgresLog
from hintd.postgres.parking import PostgresParking
from hintd.postgres.pool import open_database
from hintd.postgres.uploads import PostgresUploads
from tests.fakes import batches as batch_memory
from tests.fakes import stores as memory
from tests.fakes.memory import Memory

NOW = datetime(2026, 11, 22, 10, 15, 0, 123456, tzinfo=UTC)
LEASE_S = 30.0
CONTACT, PATIENT = "003000000000001AAA", "pat-1"
APPLIED = Outcome(OutcomeKind.APPLIED, "written")


def later(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def seal(clear: bytes) -> bytes:
    """Stands for a cipher: nothing of the clear bytes can be read."""
    return bytes(byte ^ 0x5A for byte in clear)


@dataclass(frozen=True, slots=True)
class Stores:
    """All stores of one database, with one connection in it."""

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

    async def take(self, *, owner: str = "us", at: datetime = NOW) -> Taken:
        taken = await self.links.take(1, Side.HINT, PATIENT, owner=owner, now=at, lease_s=LEASE_S)
        assert isinstance(taken, Taken)
        return taken

    async def open(
        self, contact_id: str = CONTACT, patient_id: str = PATIENT, *, connection_id: int = 1, by: str = "match"
    ) -> Taken:
        return await self.links.open(connection_id, contact_id, patient_id, by=by, owner="us", now=NOW, lease_s=LEASE_S)

    async def link(self, contact_id: str = CONTACT, patient_id: str = PATIENT, *, connection_id: int = 1) -> Link:
        """A settled link that nobody has."""
        taken = await self.open(contact_id, patient_id, connection_id=connection_id)
        linked = with_state(taken.link, LinkState.LINKED)
        await self.links.settle(Settlement(connection_id, NOW, link=LinkUpdate(linked, taken.fence)))
        return linked


def memory_stores() -> Stores:
    state = Memory()
    return Stores(
        memory.MemoryLinks(state),
        memory.MemoryIndex(state),
        memory.MemoryParking(state),
        memory.MemoryLog(state),
        memory.MemoryCursors(state),
        memory.MemoryLeases(state),
        memory.MemoryConnections(state),
        batch_memory.MemoryBatches(state),
        batch_memory.MemoryBatchWork(state),
        batch_memory.MemoryUploads(state),
    )


@asynccontextmanager
async def postgres_stores(dsn: str) -> AsyncIterator[Stores]:
    async with open_database(dsn, size=4) as database:
        yield Stores(
            PostgresLinks(database, seal=seal, unseal=seal),
            PostgresIndex(database, seal=seal, unseal=seal),
            PostgresParking(database, seal=seal, unseal=seal),
            PostgresLog(database),
            PostgresCursors(database),
            PostgresLeases(database),
            PostgresConnections(database, seal_secret=seal, unseal_secret=seal),
            PostgresBatches(database),
            PostgresBatchWork(database, seal=seal, unseal=seal),
            PostgresUploads(database),
        )


def with_state(link: Link, state: LinkState) -> Link:
    return changed(link, state=state)


T = TypeVar("T")


def changed(value: T, /, **fields: object) -> T:
    return replace(value, **fields)  # type: ignore[type-var]


def connection(name: str = "clinic", practice_id: str = "prac-1", **fields: object) -> Connection:
    given: dict[str, object] = {
        "id": 0,
        "name": name,
        "practice_id": practice_id,
        "practice_name": "Clinic",
        "installation_id": "inst-1",
        "organization_id": "00D000000000001AAA",
        "organization_name": "Clinic's org",
        "state": "active",
        "created_at": NOW,
        "settings": {"create_unmatched_contacts": True},
        "webhook": {"id": "wh-1", "url": "https://clinic.example/hint/webhooks"},
        "secrets": {"hint_token": "token-1"},
    }
    return Connection(**{**given, **fields})  # type: ignore[arg-type]


def notice(notice_id: str = "n-1", *, side: Side = Side.HINT, record_id: str = PATIENT) -> Notice:
    return Notice(notice_id, Source.WEBHOOK, "prac-1", side, record_id, Change.CHANGED, NOW, NOW)


def to_park(kind: str = "refused", **fields: object) -> ToPark:
    given: dict[str, object] = {
        "kind": kind,
        "cause": "FIELD_CUSTOM_VALIDATION_EXCEPTION",
        "owner": Owner.SALESFORCE_ADMIN,
        "message": "Ann's phone is wrong",
        "contact_id": CONTACT,
        "patient_id": PATIENT,
    }
    return ToPark(**{**given, **fields})  # type: ignore[arg-type]


def index_row(record_id: str = PATIENT, first: str = "Ann", last: str = "Lee", **fields: object) -> IndexRow:
    given: dict[str, object] = {
        "side": Side.HINT,
        "record_id": record_id,
        "stamp": NOW,
        "match_name": match_name(first, last),
        "first_name": first,
        "last_name": last,
        "suffix": None,
        "date_of_birth": "1980-02-29",
        "email": "ann@example.com",
        "phone": "+14155550101",
        "created_at": NOW,
    }
    return IndexRow(**{**given, **fields})  # type: ignore[arg-type]
