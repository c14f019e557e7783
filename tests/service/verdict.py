"""The verdict over a simulated world that has come to rest: what of the rules did not hold, in sentences."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from hintd.core.batch import ENDED, BatchState
from hintd.core.contact import PATIENT_ID
from hintd.core.fields import Field, Kind
from hintd.core.model import Contact, Link, LinkState, Patient, Side, Value
from hintd.core.normalize import same
from tests.service.account import Edit, Pair
from tests.service.simulation import World

WRITES = frozenset({"write_contact", "upsert_contact", "update_patient", "create_patient"})

BY_FIELD = frozenset({"held_field", "refused_by_salesforce", "refused_by_hint"})
"""Parked for some fields, while the others are synced."""


def judge_world(world: World) -> list[str]:
    return [
        *(f"unforeseen: {alarm}" for alarm in world.alarms),
        *_accounting(world),
        *_one_record_each(world),
        *_batches(world),
        *(sentence for link in _standing(world) for sentence in _pair(world, link)),
        *_write_bound(world),
    ]


def _standing(world: World) -> list[Link]:
    return [row.link for row in world.memory.links.values() if row.link.state is not LinkState.UNLINKED]


# --- every accepted event has one end ---


def _accounting(world: World) -> Iterator[str]:
    ended, accepted = len(world.memory.ledger), world.accepted
    if ended != accepted:
        yield f"{accepted} notices were accepted, {ended} have an outcome"


# --- one record for one person ---


def _one_record_each(world: World) -> Iterator[str]:
    for partner_id, times in world.account.created.items():
        if times > 1:
            yield f"{times} records were created for {partner_id}"
    holders = Counter(
        row[PATIENT_ID] for row in world.org.contacts.values() if not row["IsDeleted"] and row[PATIENT_ID]
    )
    yield from (f"{n} Contacts hold {patient_id}" for patient_id, n in holders.items() if n > 1)


# --- results of batches ---


def _batches(world: World) -> Iterator[str]:
    for record in world.memory.batches.values():
        batch, rows = record.batch, record.rows
        if batch.state not in ENDED:
            yield f"{batch.id} is {batch.state} for ever"
        if not sum(batch.counts.values()) == batch.done == len(rows):
            yield f"{batch.id}: {batch.counts} are counted, {batch.done} done, {len(rows)} rows"
        if batch.state is BatchState.DONE and batch.done != batch.total:
            yield f"{batch.id}: {batch.done} of {batch.total} done"
        yield from (f"{batch.id}: {row.message}" for row in rows.values() if row.reason == "unexpected")


# --- both sides of a pair ---


def _pair(world: World, link: Link) -> Iterator[str]:
    patient, contact = world.practice.look(link.patient_id), world.org.look(link.contact_id)
    name = f"{link.contact_id}/{link.patient_id}"
    if patient is None or contact is None:
        gone = "patient" if patient is None else "contact"
        excused = _parked(world, link)
        if not excused:
            yield f"{name} stands although its {gone} is gone"
        return
    if link.state is LinkState.LINKING and not _parked(world, link):
        yield f"{name} is still in the making"
        return
    if _parked_whole(world, link):
        return
    if contact.synced is not True or contact.patient_id != link.patient_id:
        yield f"{name}: the Contact says synced={contact.synced} with {contact.patient_id}"
    if patient.contact_id != link.contact_id and (link.contact_id, link.patient_id) not in world.account.vague:
        yield f"{name}: the patient says {patient.contact_id}"
    for field in world.book.fields:
        yield from (f"{name} {field.name}: {what}" for what in _field(world, link, field, patient, contact))
    yield from _history(world, link, patient)


def _parked(world: World, link: Link) -> bool:
    open_items = (world.memory.parked[i][1] for i in world.memory.open_items.values())
    return any(item.contact_id == link.contact_id or item.patient_id == link.patient_id for item in open_items)


def _parked_whole(world: World, link: Link) -> bool:
    items = (world.memory.parked[i][1] for i in world.memory.open_items.values())
    kinds = {i.kind for i in items if i.contact_id == link.contact_id or i.patient_id == link.patient_id}
    return bool(kinds - BY_FIELD) or (link.state is LinkState.LINKING and bool(kinds))


def has_unlinked_newcomer(world: World) -> bool:
    """A new patient without a link is looked at again with every event about it."""
    new = (
        i for i, raw in world.practice.patients.items() if raw["created_at"] >= world.connection.created_at.isoformat()
    )
    return any(world.account.link_of(Side.HINT, patient_id) is None for patient_id in new)


def has_parked_pair(world: World) -> bool:
    """A pair that waits for a person may be tried again with every event about it."""
    return any(_parked_whole(world, link) for link in _standing(world))


def _field(world: World, link: Link, field: Field, patient: Patient, contact: Contact) -> Iterator[str]:
    rules = world.book.rules
    at_hint, at_salesforce = patient.values.get(field.name), contact.values.get(field.name)
    excused = field.name in link.held or field.name in link.frozen
    agree = same(field, at_hint, at_salesforce, rules)
    if not agree and not excused and not _rests(world, link, field, at_hint, at_salesforce):
        yield f"Hint has {at_hint!r}, Salesforce has {at_salesforce!r}, base {_base(link, field)}"
        return
    pair = (link.contact_id, link.patient_id)
    if pair in world.account.vague or (link.contact_id, field.name) in world.account.rewritten:
        return
    if _hidden(world, field) or field.name in link.frozen or _is_rewritten(world, field, patient):
        return
    contest = world.account.contests.get((pair, field.name), [])
    if contest and not _is_one_street(world, pair, field):
        yield from _contest(world, link, field, contest, {Side.HINT: at_hint, Side.SALESFORCE: at_salesforce})


def _is_one_street(world: World, pair: Pair, field: Field) -> bool:
    """Both lines are one field in Salesforce: an edit of either of them there competes with an edit of the other."""
    if field.kind is not Kind.LINE:
        return False
    lines = [world.account.contests.get((pair, name), []) for name in ("address_line1", "address_line2")]
    return len({edit.side for edits in lines for edit in edits}) == 2


def _is_rewritten(world: World, field: Field, patient: Patient) -> bool:
    """What an automation of the org made of hintd's own value can come back as an edit, when the answer was lost."""
    uppercased = field.name == "middle_name" and world.climate.uppercases
    return uppercased or (field.name == "country" and patient.values["country"] is None)


def _hidden(world: World, field: Field) -> bool:
    return field.name == "prefix" and world.climate.hides_title


def _rests(world: World, link: Link, field: Field, at_hint: Value, at_salesforce: Value) -> bool:
    """An accepted difference: only where something is known to rewrite what it is given."""
    rewriter = _hidden(world, field) or (field.name == "middle_name" and world.climate.uppercases)
    rewriter |= field.name == "gender" or (field.name == "zip" and world.climate.interferes)
    rewriter |= field.kind is Kind.PHONE and at_salesforce is None  # a clear leaves the siblings in Hint
    rewriter |= field.name == "country" and at_hint is None  # the default country, written beside a state
    return rewriter and field.name not in link.hint.seen and field.name not in link.salesforce.seen


def _base(link: Link, field: Field) -> str:
    halves = (link.hint, link.salesforce)
    return ", ".join(f"{h.values.get(field.name)!r} seen {h.seen.get(field.name)}" for h in halves)


def _contest(world: World, link: Link, field: Field, contest: list[Edit], held: dict[Side, Value]) -> Iterator[str]:
    rules = world.book.rules
    sides = {edit.side for edit in contest}
    if not field.flows_to(Side.HINT):
        last = [e for e in contest if e.side is Side.HINT][-1:]
        if last and not same(field, held[Side.HINT], last[0].value, rules):
            yield f"the last edit {last[0]} is lost in Hint"
        return
    if len(sides) == 1:
        last_edit = contest[-1]
        if _is_unknowable(world, link, field, last_edit):
            return
        if not same(field, held[last_edit.side], last_edit.value, rules):
            yield f"LOST: nobody else edited it, but {last_edit} is gone; held: {held}"
        elif field.name in link.held or _rests(world, link, field, *held.values()):
            return
        elif not same(field, held[last_edit.side.other], last_edit.value, rules):
            yield f"LOST: {last_edit} did not come over; held: {held}"
        return
    if not any(same(field, e.value, held[e.side], rules) for e in contest):
        yield f"LOST: none of {contest} stands; held: {held}"


def _is_unknowable(world: World, link: Link, field: Field, edit: Edit) -> bool:
    """Hint has no conditional writes: an edit of the phones or of a street right before hintd writes the list or the
    street along with another's change is gone, unless its event comes.  And a sibling that moves up is Hint's value."""
    if field.kind is Kind.PHONE and edit.value is None:
        return True
    wrote = world.account.written.get((link.contact_id, link.patient_id), [])
    after_s = [(w.at - edit.at).total_seconds() for w in wrote if w.field == field.name and w.side is Side.HINT]
    was_along = field.kind in (Kind.PHONE, Kind.LINE) and any(0 <= s < 60 for s in after_s)
    return was_along and edit.side is Side.HINT and world.climate.losses > 0


def _history(world: World, link: Link, patient: Patient) -> Iterator[str]:
    if world.weather.deaths or world.weather.faults:
        return
    entries = [entry for told in world.memory.histories.values() for entry in told]  # a pair may have been linked twice
    for wrote in world.account.written.get((link.contact_id, link.patient_id), []):
        field = world.book.field(wrote.field)
        told = any(
            e.field == wrote.field and same(field, e.new, wrote.value, world.book.rules)
            for e in entries
            if e.side is wrote.side
        )
        unread = world.climate.batches and _is_rewritten(world, field, patient)  # a batch's writes are not read back
        is_along = wrote.side is Side.HINT and field.kind in (Kind.LINE, Kind.PHONE)  # over an edit that nobody knew of
        if wrote.asked and not told and not is_along and not unread:
            yield f"{link.contact_id} {wrote.field}: written without history: {wrote}"


def _write_bound(world: World) -> Iterator[str]:
    writes = sum(call in WRITES for call in world.calls)
    links = len(world.memory.links)
    bound = (
        3 * (world.account.edits + world.weather.faults + world.weather.deaths) + 8 * links + 30 * world.climate.duels
    )
    if writes > bound:
        yield f"{writes} writes, more than {bound}"
