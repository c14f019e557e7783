"""``hintd link``: pairs of a Contact and a patient, as a person finds and looks at them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from hintd.cli.common import Answer, Caller, ContactId, answering, contact_option, table
from hintd.cli.failures import CommandFailed
from hintd.cli.linking import create, remove, restore, unfreeze
from hintd.core.model import Side
from hintd.web.shapes import ExplanationJson, LinkJson


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
    async with caller.desk() as desk:
        patients = await desk.links.search(name, text, limit=limit)
    head = ("patient_id", "name", "date_of_birth", "email", "phone", "linked_contact_id")
    return Answer({"patients": patients}, table([[dict(p)[key] for key in head] for p in patients], head))


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
    async with caller.desk() as desk:
        found = await desk.links.show(name, side, record_id)
    rows = [[f["name"], f["hint"], f["salesforce"], f["state"]] for f in found["fields"]]
    return Answer(found, f"{_head(found)}\n{table(rows, ('field', 'hint', 'salesforce', 'state'))}")


def _head(found: LinkJson) -> str:
    when = found["linked_at"].isoformat(timespec="seconds")
    pair = f"Contact {found['contact_id']} — patient {found['patient_id']}"
    return f"{pair}: {found['state']} by {found['linked_by']} at {when}"


@link.command()
@click.argument("name")
@contact_option
@click.option("--limit", default=200, show_default=True, help="At most so many changes.")
@answering
async def history(caller: Caller, name: str, contact_id: str, limit: int) -> Answer:
    """What hintd changed in a pair and why, the newest first.

    "conflict_lost" shows as old the value that was given up.
    """
    async with caller.desk() as desk:
        found = await desk.links.history(name, contact_id, limit=limit)
    head = ("at", "field", "side", "old", "new", "cause", "batch_id")
    rows = [[getattr(change, key) for key in head] for change in found["changes"]]
    return Answer(found, table(rows, head))


@link.command()
@click.argument("name")
@_either
@answering
async def explain(caller: Caller, name: str, contact_id: str | None, patient_id: str | None) -> Answer:
    """Why a record is linked or not: the match as it would be decided now, and what automation asks."""
    side, record_id = _side_and_id(contact_id, patient_id)
    async with caller.desk() as desk:
        explained = await desk.links.explain(name, side, record_id)
    return Answer(explained, "\n".join(_lines(explained)))


def _lines(explained: ExplanationJson) -> list[str]:
    linked = f"linked with {explained['linked_with']}" if explained["linked_with"] else "not linked"
    lines = [f"{explained['record_id']}: {linked}; by demographics: {explained['decision']}"]
    for c in explained["candidates"]:
        elsewhere = f", linked with {c['linked_with']}" if c["linked_with"] else ""
        differed = f"; differs in {', '.join(c['differed'])}" if c["differed"] else ""
        lines.append(f"  {c['id']} agrees in {', '.join(c['agreed'])}{differed}{elsewhere}")
    return lines + [f"  {'yes' if gate.passed else 'NO '}  {gate.name}: {gate.why}" for gate in explained["gates"]]


for _command in (create, remove, restore, unfreeze):
    link.add_command(_command)
