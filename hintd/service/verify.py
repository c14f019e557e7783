"""Comparing everything on demand (``hintd verify``): every linked pair, by what both sides hold now."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from hintd.core.model import Contact, Link, LinkState, Patient, Record, Side
from hintd.core.normalize import same
from hintd.core.observe import take_in
from hintd.core.plan import make_plan
from hintd.ports import CallClass
from hintd.service.sweep import changed_records
from hintd.service.work import Work


@dataclass(slots=True)
class Verdict:
    """``pairs`` linked in all; ``equal`` hold the same; ``accepted``: at rest on two halves that differ; ``different``:
    something would be written; ``would_write``: fields by side."""

    pairs: int = 0
    equal: int = 0
    accepted: int = 0
    different: int = 0
    missing_in_hint: list[str] = field(default_factory=list)
    missing_in_salesforce: list[str] = field(default_factory=list)
    would_write: list[dict[str, object]] = field(default_factory=list)


async def verify_connection(work: Work) -> Verdict:
    """Reads every record of both sides once and writes nothing."""
    work = work.calling_as(CallClass.SWEEP)
    records = {side: await _all_records(work, side) for side in Side}
    verdict, after = Verdict(), 0
    while links := await work.stores.links.all(work.connection.id, after_id=after, state=LinkState.LINKED):
        for link in links:
            _judge(work, link, records, verdict)
        after = links[-1].id
    return verdict


async def _all_records(work: Work, side: Side) -> Mapping[str, Record]:
    found: dict[str, Record] = {}
    async for page in changed_records(work, side, None):
        found |= {record.id: record for record in page}
    return found


def _judge(work: Work, link: Link, records: Mapping[Side, Mapping[str, Record]], verdict: Verdict) -> None:
    verdict.pairs += 1
    patient, contact = records[Side.HINT].get(link.patient_id), records[Side.SALESFORCE].get(link.contact_id)
    if patient is None:
        verdict.missing_in_hint.append(link.patient_id)
    if contact is None or (isinstance(contact, Contact) and contact.deleted):
        verdict.missing_in_salesforce.append(link.contact_id)
        return
    if patient is None or not isinstance(patient, Patient) or not isinstance(contact, Contact):
        return
    _compare(work, link, patient, contact, verdict)


def _compare(work: Work, link: Link, patient: Patient, contact: Contact, verdict: Verdict) -> None:
    book = work.book
    seen = take_in(take_in(replace(link, held={}), patient, book), contact, book)
    plan = make_plan(seen, book)
    writes: dict[str, object] = {
        side.value: [d.field.name for d in plan.to(side) if d.field.name not in link.held] for side in Side
    }
    if any(writes.values()):
        verdict.different += 1
        verdict.would_write.append({"contact_id": link.contact_id, "patient_id": link.patient_id, **writes})
        return
    both = [f for f in book.fields if f.name in patient.values and f.name in contact.values]
    if all(same(f, patient.values[f.name], contact.values[f.name], book.rules) for f in both):
        verdict.equal += 1
    else:
        verdict.accepted += 1
