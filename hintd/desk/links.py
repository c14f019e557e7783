"""Pairs of a Contact and a patient, as a person finds, looks at, makes and parts them (README rules 4, 5 and 9)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hintd.composition import House, wait_for_bus
from hintd.core.match import Candidate
from hintd.core.model import LinkState, Outcome, Side
from hintd.desk.field_states import field_states
from hintd.desk.finding import find_connected, find_connection, standing_link
from hintd.service.explaining import explain_record
from hintd.service.linking import link_by_person, unfreeze_by_person, unlink_by_person
from hintd.service.rehearsal import LinkPreview, preview_link
from hintd.service.restoring import Wanted, restore_by_person
from hintd.service.sweep import look_again
from hintd.service.work import Work
from hintd.web.desk import Unknown
from hintd.web.shapes import (
    ExplanationJson,
    HistoryJson,
    LinkedJson,
    LinkJson,
    LinkPreviewJson,
    PartedJson,
    PatientFoundJson,
    RestoredJson,
    UnfrozenJson,
)


@dataclass(frozen=True, slots=True)
class HouseLinks:
    house: House

    async def search(self, name: str, text: str, *, limit: int) -> Sequence[PatientFoundJson]:
        connection = await find_connection(self.house, name)
        return [_found(each) for each in await self.house.stores.index.search(connection.id, text, limit=limit)]

    async def show(self, name: str, side: Side, record_id: str) -> LinkJson:
        config = self.house.config
        link = await standing_link(self.house, await find_connection(self.house, name), side, record_id)
        return {
            "contact_id": link.contact_id,
            "patient_id": link.patient_id,
            "state": link.state,
            "linked_at": link.linked_at,
            "linked_by": link.linked_by,
            "fields": field_states(link, config.field_map(), config.rules()),
        }

    async def explain(self, name: str, side: Side, record_id: str) -> ExplanationJson:
        connection = await find_connection(self.house, name)
        explained = await explain_record(self.house.stores, connection, side, record_id)
        if explained is None:
            sentence = f"hintd has not seen {record_id} in {name}. Check the id, or run: hintd sweep {name}"
            raise Unknown(sentence, "unknown_record")
        return {
            "record_id": record_id,
            "linked_with": explained.link.record_id(side.other) if explained.link else None,
            "decision": explained.decision.match,
            "candidates": [
                {"id": c.record_id, "agreed": c.agreed, "differed": c.differed, "linked_with": c.linked_with}
                for c in explained.decision.considered
            ],
            "gates": explained.gates,
        }

    async def history(self, name: str, contact_id: str, *, limit: int) -> HistoryJson:
        connection = await find_connection(self.house, name)
        link = await standing_link(self.house, connection, Side.SALESFORCE, contact_id)
        changes = await self.house.stores.links.history(link.id, limit=limit)
        return {"contact_id": contact_id, "patient_id": link.patient_id, "changes": changes}

    async def create(
        self, name: str, contact_id: str, patient_id: str | None, *, take_over: bool, person: str
    ) -> LinkedJson:
        work = await self._work(name)
        outcome = await link_by_person(work, contact_id, patient_id, person=person, take_over=take_over)
        return await linked(work, outcome, contact_id, patient_id)

    async def preview(
        self, name: str, contact_id: str, patient_id: str | None, *, take_over: bool, person: str
    ) -> LinkPreviewJson:
        work = await self._work(name)
        seen = await preview_link(work, contact_id, patient_id, person=person, take_over=take_over)
        return _previewed(seen, contact_id, patient_id)

    async def remove(self, name: str, contact_id: str, *, person: str) -> PartedJson:
        connection = await find_connected(self.house, name)
        link = await standing_link(self.house, connection, Side.SALESFORCE, contact_id)
        outcome = await unlink_by_person(await self.house.work(connection), contact_id, person=person)
        return {
            "contact_id": contact_id,
            "patient_id": link.patient_id,
            "state": LinkState.UNLINKED,
            "outcome": outcome.kind,
        }

    async def unfreeze(self, name: str, contact_id: str, field: str | None, *, person: str) -> UnfrozenJson:
        work = await self._work(name)
        released = await unfreeze_by_person(work, contact_id, field, person=person)
        if released:
            await wait_for_bus(self.house)
            await self.house.ingest.accept(look_again(work, Side.SALESFORCE, contact_id))
        return {"contact_id": contact_id, "released": released}

    async def restore(self, name: str, contact_id: str, wanted: Wanted, *, person: str) -> RestoredJson:
        connection = await find_connected(self.house, name)
        link = await standing_link(self.house, connection, Side.SALESFORCE, contact_id)
        outcome = await restore_by_person(await self.house.work(connection), contact_id, wanted, person=person)
        return {
            "contact_id": contact_id,
            "patient_id": link.patient_id,
            "field": wanted.field,
            "outcome": outcome.kind,
            "reason": outcome.reason,
        }

    async def _work(self, name: str) -> Work:
        return await self.house.work(await find_connected(self.house, name))


async def linked(work: Work, outcome: Outcome, contact_id: str, patient_id: str | None) -> LinkedJson:
    """What came of an attempt to link, with the Contact's link as it stands after it."""
    found = await work.stores.links.find(work.connection.id, Side.SALESFORCE, contact_id)
    return {
        "contact_id": contact_id,
        "patient_id": found.patient_id if found else patient_id,
        "state": found.state if found else None,
        "outcome": outcome.kind,
        "reason": outcome.reason,
    }


def _found(candidate: Candidate) -> PatientFoundJson:
    row = candidate.row
    return {
        "patient_id": row.record_id,
        "name": " ".join(part for part in (row.first_name, row.last_name, row.suffix) if part),
        "date_of_birth": row.date_of_birth,
        "email": row.email,
        "phone": row.phone,
        "linked_contact_id": candidate.linked_with,
    }


def _previewed(seen: LinkPreview, contact_id: str, patient_id: str | None) -> LinkPreviewJson:
    return {
        "contact_id": contact_id,
        "patient_id": patient_id,
        "fields": [{"name": f.field, "side": f.side, "old": f.old, "new": f.new} for f in seen.fields],
        "held": seen.held,
        "unlinks": [{"contact_id": contact, "patient_id": patient} for contact, patient in seen.unlinks],
        "hint_writes": seen.hint_writes,
        "salesforce_writes": seen.salesforce_writes,
    }
