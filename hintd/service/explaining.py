"""Why a record is linked or not (README rule 4): the match as it would be decided now, and what automation asks."""

from __future__ import annotations

from dataclasses import dataclass

from hintd.core.match import Decision, IndexRow
from hintd.core.model import Link, Side
from hintd.ports import Connection
from hintd.service.newcomers import links_new_patients, match_record
from hintd.service.work import Stores


@dataclass(frozen=True, slots=True)
class Gate:
    """One thing that automation asks before it links; ``why`` is a sentence without values."""

    name: str
    passed: bool
    why: str


@dataclass(frozen=True, slots=True)
class Explanation:
    link: Link | None
    decision: Decision
    gates: tuple[Gate, ...]


async def explain_record(stores: Stores, connection: Connection, side: Side, record_id: str) -> Explanation | None:
    """None when the index does not know the record.  Asks no remote."""
    row = await stores.index.get(connection.id, side, record_id)
    if row is None:
        return None
    link = await stores.links.find(connection.id, side, record_id)
    gates = await _gates(stores, connection, row, link)
    return Explanation(link, await match_record(stores.index, connection.id, row), gates)


async def _gates(stores: Stores, connection: Connection, row: IndexRow, link: Link | None) -> tuple[Gate, ...]:
    return (
        _not_linked(link),
        *(_patient_gates(connection, row) if row.side is Side.HINT else _contact_gates(row)),
        Gate("not_gone", not row.gone, "Archived, merged, deleted and person account records are no candidates."),
        await _not_parted(stores, connection, row),
    )


def _not_linked(link: Link | None) -> Gate:
    why = "It has no link." if link is None else f"{link.contact_id} is linked with {link.patient_id}."
    return Gate("not_linked", link is None, why)


def _patient_gates(connection: Connection, row: IndexRow) -> tuple[Gate, ...]:
    newer = row.created_at is not None and row.created_at >= connection.created_at
    return (
        Gate("automatic_sync_on", links_new_patients(connection), "Set by sync_new_patients of the connection."),
        Gate("newer_than_connection", newer, "Older patients wait for a batch or a person."),
    )


def _contact_gates(row: IndexRow) -> tuple[Gate, ...]:
    return (Gate("not_claimed", not row.claimed, "A Contact whose Synced to Hint is checked is no candidate."),)


async def _not_parted(stores: Stores, connection: Connection, row: IndexRow) -> Gate:
    ids = {"patient_id" if row.side is Side.HINT else "contact_id": row.record_id}
    parted = await stores.links.was_unlinked_by_person(connection.id, **ids)
    why = "Only a person links it again." if parted else "No person has unlinked it."
    return Gate("not_unlinked_by_person", not parted, why)
