"""``hintd link``: pairs of a Contact and a patient, as a person finds, makes, looks at and parts them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import click

from hintd.cli.common import Answer, Caller, ContactId, answering, find_connection, table, wait_for_bus
from hintd.cli.failures import DONE, FAILED, CommandFailed
from hintd.cli.pairs import field_states, one_line
from hintd.composition import House
from hintd.core.model import Link, Outcome, OutcomeKind, Side
from hintd.ports import Connection
from hintd.service.explaining import explain_record
from hintd.service.linking import link_by_person, unfreeze_by_person, unlink_by_person
from hintd.service.sweep import look_again

_contact = click.option("--contact", "contact_id", type=ContactId(), required=True, help="The Contact's id.")


def _either(function: Callable[..., Any]) -> Callable[..., Any]:
    """``--contact ID`` or ``--patient ID``."""
    patient = click.option("--patient", "patient_id", help="The patient's id.")
    contact = click.option("--contact", "contact_id", type=ContactId(), help="The Contact's id.")
    return contact(patient(function))


def _side_and_id(contact_id: str | None, patient_id: str | None) -> tuple[Side, str]:
    if contact_id is not None and patient_id is None:
        return Side.SALESFORCE, contact_id
    if patient_id is not None and contact_id is None:
        return Side.HINT, patient_id
    raise CommandFailed("Give either --contact ID or --patient ID.", kind="usage", code=2)


@click.group()
def link() -> None:
    """Find, make, look at and undo links of Contacts with patients."""


@link.command()
@click.argument("name")
@click.argument("text")
@click.option("--limit", default=20, show_default=True, help="At most so many patients.")
@answering
async def search(caller: Caller, name: str, text: str, limit: int) -> Answer:
    """Patients of the connection NAME whose names are like TEXT, the most alike first.  Asks no remote."""
    async with caller.house() as house:
        connection = await find_connection(house, name)
        found = await house.stores.index.search(connection.id, text, limit=limit)
    patients = [
        {
            "patient_id": c.row.record_id,
            "name": " ".join(part for part in (c.row.first_name, c.row.last_name, c.row.suffix) if part),
            "date_of_birth": c.row.date_of_birth,
            "email": c.row.email,
            "phone": c.row.phone,
            "linked_contact_id": c.linked_with,
        }
        for c in found
    ]
    head = ("patient_id", "name", "date_of_birth", "email", "phone", "linked_contact_id")
    return Answer({"patients": patients}, table([[p[key] for key in head] for p in patients], head))


async def _standing(house: House, connection: Connection, side: Side, record_id: str) -> Link:
    found = await house.stores.links.find(connection.id, side, record_id)
    if found is None:
        ids = (record_id, None) if side is Side.SALESFORCE else (None, record_id)
        raise CommandFailed(
            f"{side.capitalize()}'s record {record_id} has no link in {connection.name}; why, says: hintd link explain",
            kind="not_linked",
            contact_id=ids[0],
            patient_id=ids[1],
        )
    return found


@link.command()
@click.argument("name")
@_either
@answering
async def show(caller: Caller, name: str, contact_id: str | None, patient_id: str | None) -> Answer:
    """A pair with every field as last known of both sides.  Asks no remote.

    \b
    equal     both hold the same
    accepted  they differ because one side could not store what it was given
    held      one side cannot hold the other's value
    frozen    hintd leaves the field alone because it flipped too often (hintd link unfreeze)
    waiting   a change is still to be brought over
    """
    side, record_id = _side_and_id(contact_id, patient_id)
    async with caller.house() as house:
        found = await _standing(house, await find_connection(house, name), side, record_id)
    fields = field_states(found, caller.config.field_map(), caller.config.rules())
    document = {
        "contact_id": found.contact_id,
        "patient_id": found.patient_id,
        "state": found.state,
        "linked_at": found.linked_at,
        "linked_by": found.linked_by,
        "fields": fields,
    }
    rows = [[f["name"], f["hint"], f["salesforce"], f["state"]] for f in fields]
    return Answer(document, f"{one_line(found)}\n{table(rows, ('field', 'hint', 'salesforce', 'state'))}")


@link.command()
@click.argument("name")
@_contact
@click.option("--patient", "patient_id", help="Link it with this patient.")
@click.option("--new-patient", is_flag=True, help="Create a patient from the Contact and link it with that.")
@click.option(
    "--take-over", is_flag=True, help="Also when the patient is linked with another Contact, which is unlinked."
)
@answering
async def create(
    caller: Caller, name: str, contact_id: str, patient_id: str | None, new_patient: bool, take_over: bool
) -> Answer:
    """Link a Contact with a patient, or with a new one.

    The Contact's values win where the two differ; blanks of either are filled from the other.
    """
    if (patient_id is None) is not new_patient:
        raise CommandFailed("Give either --patient ID or --new-patient.", kind="usage", code=2)
    async with caller.house() as house:
        connection = await find_connection(house, name)
        work = await house.work(connection)
        outcome = await link_by_person(work, contact_id, patient_id, person=caller.person, take_over=take_over)
        found = await house.stores.links.find(connection.id, Side.SALESFORCE, contact_id)
    return _linked(outcome, found, contact_id, patient_id)


def _linked(outcome: Outcome, found: Link | None, contact_id: str, patient_id: str | None) -> Answer:
    document = {
        "contact_id": contact_id,
        "patient_id": found.patient_id if found else patient_id,
        "state": found.state if found else None,
        "outcome": outcome.kind,
        "reason": outcome.reason,
    }
    if found is None:
        return Answer(document, f"Contact {contact_id} was not linked: {outcome.reason}.", FAILED)
    if outcome.kind is OutcomeKind.PARKED:
        more = f"something could not be written ({outcome.reason}); see: hintd parked list"
        return Answer(document, f"{one_line(found)}\n{more}", DONE if found.state == "linked" else FAILED)
    return Answer(document, one_line(found))


@link.command()
@click.argument("name")
@_contact
@answering
async def remove(caller: Caller, name: str, contact_id: str) -> Answer:
    """Unlink a Contact from its patient; all other values of both stay.

    Automation and batches do not link the two again: only a person does.
    """
    async with caller.house() as house:
        connection = await find_connection(house, name)
        found = await _standing(house, connection, Side.SALESFORCE, contact_id)
        outcome = await unlink_by_person(await house.work(connection), contact_id, person=caller.person)
    document = {"contact_id": contact_id, "patient_id": found.patient_id, "state": "unlinked", "outcome": outcome.kind}
    return Answer(document, f"Contact {contact_id} and patient {found.patient_id} are no longer linked.")


@link.command()
@click.argument("name")
@_contact
@click.option("--limit", default=200, show_default=True, help="At most so many changes.")
@answering
async def history(caller: Caller, name: str, contact_id: str, limit: int) -> Answer:
    """What hintd changed in a pair and why, the newest first.

    "conflict_lost" shows as old the value that was given up.
    """
    async with caller.house() as house:
        found = await _standing(house, await find_connection(house, name), Side.SALESFORCE, contact_id)
        changes = await house.stores.links.history(found.id, limit=limit)
    head = ("at", "field", "side", "old", "new", "cause", "batch_id")
    rows = [[getattr(change, key) for key in head] for change in changes]
    document = {"contact_id": contact_id, "patient_id": found.patient_id, "changes": changes}
    return Answer(document, table(rows, head))


@link.command()
@click.argument("name")
@_either
@answering
async def explain(caller: Caller, name: str, contact_id: str | None, patient_id: str | None) -> Answer:
    """Why a record is linked or not: the match as it would be decided now, and what automation asks."""
    side, record_id = _side_and_id(contact_id, patient_id)
    async with caller.house() as house:
        connection = await find_connection(house, name)
        explained = await explain_record(house.stores, connection, side, record_id)
    if explained is None:
        raise CommandFailed(
            f"hintd has not seen {record_id} in {name}. Check the id, or run: hintd sweep {name}", kind="unknown_record"
        )
    candidates = [
        {"id": c.record_id, "agreed": c.agreed, "differed": c.differed, "linked_with": c.linked_with}
        for c in explained.decision.considered
    ]
    standing = explained.link
    document = {
        "record_id": record_id,
        "linked_with": standing.record_id(side.other) if standing else None,
        "decision": explained.decision.match,
        "candidates": candidates,
        "gates": explained.gates,
    }
    return Answer(document, "\n".join(_explained(document, explained.gates)))


def _explained(document: dict[str, Any], gates: Sequence[Any]) -> list[str]:
    linked = f"linked with {document['linked_with']}" if document["linked_with"] else "not linked"
    lines = [f"{document['record_id']}: {linked}; by demographics: {document['decision']}"]
    for c in document["candidates"]:
        elsewhere = f", linked with {c['linked_with']}" if c["linked_with"] else ""
        differed = f"; differs in {', '.join(c['differed'])}" if c["differed"] else ""
        lines.append(f"  {c['id']} agrees in {', '.join(c['agreed'])}{differed}{elsewhere}")
    return lines + [f"  {'yes' if gate.passed else 'NO '}  {gate.name}: {gate.why}" for gate in gates]


@link.command()
@click.argument("name")
@_contact
@click.option("--field", help="Only this field, by its name in `hintd link show`.")
@answering
async def unfreeze(caller: Caller, name: str, contact_id: str, field: str | None) -> Answer:
    """Release fields that hintd left alone because they flipped too often; the pair is looked at again."""
    async with caller.house() as house:
        connection = await find_connection(house, name)
        work = await house.work(connection)
        released = await unfreeze_by_person(work, contact_id, field, person=caller.person)
        if released:
            await wait_for_bus(house)
            await house.ingest.accept(look_again(work, Side.SALESFORCE, contact_id))
    text = f"Released: {', '.join(released)}." if released else "Nothing was frozen."
    return Answer({"contact_id": contact_id, "released": released}, text)
