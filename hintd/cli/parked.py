"""``hintd parked``: what was set aside for a person, with who can mend it, and what may be done about it."""

from __future__ import annotations

import click

from hintd.cli.common import Answer, Caller, ContactId, answering, table
from hintd.cli.failures import USAGE, CommandFailed
from hintd.cli.linking import told
from hintd.web.shapes import ParkedEndJson

_HEAD = ("id", "kind", "cause", "owner", "contact_id", "patient_id", "since", "attempts", "message")


@click.group()
def parked() -> None:
    """What hintd set aside, because a person has to decide or to mend something."""


@parked.command("list")
@click.option("--connection", "name", help="Only of this connection.")
@click.option("--limit", default=200, show_default=True, help="At most so many items.")
@answering
async def list_open(caller: Caller, name: str | None, limit: int) -> Answer:
    """The open items, the oldest first.  Messages may quote patients' values."""
    async with caller.desk() as desk:
        items = await desk.parked.open_items(name, limit=limit)
    return Answer({"items": items}, table([[dict(item)[key] for key in _HEAD] for item in items], _HEAD))


@parked.command()
@click.argument("item_id", metavar="ID", type=int)
@answering
async def show(caller: Caller, item_id: int) -> Answer:
    """One item, also a closed one."""
    async with caller.desk() as desk:
        item = await desk.parked.one(item_id)
    return Answer(item, "\n".join(f"{key:10}  {value}" for key, value in item.items()))


@parked.command()
@click.argument("item_id", metavar="ID", type=int)
@answering
async def retry(caller: Caller, item_id: int) -> Answer:
    """Take an item up again: its records are read and reconciled anew.  What fails again is parked again."""
    async with caller.desk() as desk:
        end = await desk.parked.retry(item_id, person=caller.person)
    return _ended(end, "is taken up again")


def _ended(end: ParkedEndJson, what: str) -> Answer:
    return Answer({"id": end["id"], "state": end["state"]}, f"Parked item {end['id']} {what}.")


@parked.command()
@click.argument("item_id", metavar="ID", type=int)
@answering
async def discard(caller: Caller, item_id: int) -> Answer:
    """Close an item without doing anything about it."""
    async with caller.desk() as desk:
        end = await desk.parked.discard(item_id, person=caller.person)
    return _ended(end, "is discarded")


@parked.command()
@click.argument("item_id", metavar="ID", type=int)
@click.option("--contact", "contact_id", type=ContactId(), help="Link the patient with this Contact.")
@click.option("--patient", "patient_id", help="Link the Contact with this patient.")
@click.option("--dismiss", "dismissed", is_flag=True, help="Link nothing; automation leaves a new patient alone.")
@click.option(
    "--take-over", is_flag=True, help="Also when the chosen record is linked with another, which is unlinked."
)
@answering
async def resolve(
    caller: Caller, item_id: int, contact_id: str | None, patient_id: str | None, dismissed: bool, take_over: bool
) -> Answer:
    """Decide who belongs with whom, where hintd could not.

    The patient's values win where the two differ; blanks of either are filled from the other.  For the Contact's to
    win, link the two with: hintd link create
    """
    if sum((contact_id is not None, patient_id is not None, dismissed)) != 1:
        raise CommandFailed("Give one of --contact ID, --patient ID and --dismiss.", kind="usage", code=USAGE)
    async with caller.desk() as desk:
        if dismissed:
            end = await desk.parked.dismiss(item_id, person=caller.person)
        else:
            chosen = contact_id, patient_id
            end = await desk.parked.choose(item_id, chosen, take_over=take_over, person=caller.person)
    if (link := end["link"]) is None:
        return _ended(end, "is dismissed")
    return Answer({"id": item_id, **link}, *told(link))
