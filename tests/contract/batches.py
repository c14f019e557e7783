"""Makers of batches and of what is in them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable

from hintd.core.batch import Batch, BatchKind, BatchOptions, BatchRow, BatchState, Direction, RowOutcome
from hintd.core.contact_list import Line, LineKind
from hintd.ports import Advance, Claim, NewBatch, Page
from tests.contract.stores import LEASE_S, NOW, Stores, connection

OWNER = "us"
CONTACTS = Direction.CONTACTS_TO_PATIENTS


def new_batch(request_id: str = "request-1", **fields: object) -> NewBatch:
    given: dict[str, object] = {
        "connection_id": 1,
        "kind": BatchKind.RUN,
        "direction": Direction.PATIENTS_TO_CONTACTS,
        "options": BatchOptions(),
        "requested_by": "person:ann",
        "request_id": request_id,
        "at": NOW,
    }
    return NewBatch(**{**given, **fields})  # type: ignore[arg-type]


async def add(stores: Stores, **fields: object) -> Batch:
    return await stores.batches.add(new_batch(**fields))  # type: ignore[arg-type]


async def claim_next(stores: Stores, *, at: object = NOW, owner: str = OWNER) -> Claim:
    claim = await stores.batches.claim(owner=owner, now=at, lease_s=LEASE_S)  # type: ignore[arg-type]
    assert claim is not None
    return claim


async def claimed(stores: Stores, **fields: object) -> Claim:
    """A new batch under our lease."""
    await add(stores, **fields)
    return await claim_next(stores)


async def leave(stores: Stores, claim: Claim, state: BatchState, **fields: object) -> Batch:
    return await stores.batches.advance(claim, Advance(state=state, **fields), now=NOW)  # type: ignore[arg-type]


async def other_connection(stores: Stores) -> int:
    return (await stores.connections.add(connection("other", "prac-2"))).id


def result(position: int, outcome: RowOutcome = RowOutcome.LINKED, reason: str = "", **fields: object) -> BatchRow:
    given: dict[str, object] = {"contact_id": contact_id(position), "patient_id": f"pat-{position}"}
    return BatchRow(position, outcome=outcome, reason=reason, **{**given, **fields})  # type: ignore[arg-type]


def page(*rows: BatchRow, **calls: int) -> Page:
    return Page(rows, checkpoint=max((row.position for row in rows), default=0), calls=calls)


def contact_id(number: int) -> str:
    return f"003{number:012d}AAA"


def line(number: int, kind: LineKind = LineKind.ID, contact: int | None = None) -> Line:
    """``contact``: the number of the Contact, by default that of the line; an ignored line has none."""
    return Line(number, kind, None if kind is LineKind.IGNORED else contact_id(contact or number))


async def streamed(lines: Iterable[Line]) -> AsyncIterator[Line]:
    for each in lines:
        yield each
