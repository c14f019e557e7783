"""What ``hintd link`` changes: pairs made, parted, given an old value back, or released."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import click

from hintd.cli.common import Answer, Caller, answering, contact_option, table
from hintd.cli.failures import DONE, FAILED, CommandFailed
from hintd.core.model import LinkState, OutcomeKind, Side
from hintd.service.restoring import Wanted
from hintd.web.shapes import LinkedJson, LinkPreviewJson


@click.command()
@click.argument("name")
@contact_option
@click.option("--patient", "patient_id", help="Link it with this patient.")
@click.option("--new-patient", is_flag=True, help="Create a patient from the Contact and link it with that.")
@click.option(
    "--take-over", is_flag=True, help="Also when the patient is linked with another Contact, which is unlinked."
)
@click.option("--preview", is_flag=True, help="Show what would be written, field by field, and write nothing.")
@answering
async def create(
    caller: Caller,
    name: str,
    contact_id: str,
    patient_id: str | None,
    new_patient: bool,
    take_over: bool,
    preview: bool,
) -> Answer:
    """Link a Contact with a patient, or with a new one.

    The Contact's values win where the two differ; blanks of either are filled from the other.
    """
    if (patient_id is None) is not new_patient:
        raise CommandFailed("Give either --patient ID or --new-patient.", kind="usage", code=2)
    async with caller.desk() as desk:
        links, person = desk.links, caller.person
        if preview:
            return _previewed(await links.preview(name, contact_id, patient_id, take_over=take_over, person=person))
        done = await links.create(name, contact_id, patient_id, take_over=take_over, person=person)
    return Answer(done, *told(done))


def _previewed(seen: LinkPreviewJson) -> Answer:
    lines = [f"would unlink Contact {pair['contact_id']} from patient {pair['patient_id']}" for pair in seen["unlinks"]]
    rows = [[f["side"], f["name"], f["old"], f["new"]] for f in seen["fields"]]
    lines.append(table(rows, ("side", "field", "old", "new")))
    lines += [f"left out: {sentence}" for sentence in seen["held"].values()]
    writes = f"{seen['hint_writes']} to Hint, {seen['salesforce_writes']} to Salesforce"
    lines.append(f"Writes: {writes}.  Nothing was written.")
    return Answer(seen, "\n".join(lines))


def told(done: LinkedJson) -> tuple[str, int]:
    """What came of an attempt to link, as people read it, and the exit code."""
    if done["state"] is None:
        return f"Contact {done['contact_id']} was not linked: {done['reason']}.", FAILED
    line = f"Contact {done['contact_id']} — patient {done['patient_id']}: {done['state']}"
    if done["outcome"] is OutcomeKind.PARKED:
        more = f"something could not be written ({done['reason']}); see: hintd parked list"
        return f"{line}\n{more}", DONE if done["state"] is LinkState.LINKED else FAILED
    return line, DONE


@click.command()
@click.argument("name")
@contact_option
@answering
async def remove(caller: Caller, name: str, contact_id: str) -> Answer:
    """Unlink a Contact from its patient; all other values of both stay.

    Automation and batches do not link the two again: only a person does.
    """
    async with caller.desk() as desk:
        parted = await desk.links.remove(name, contact_id, person=caller.person)
    return Answer(parted, f"Contact {contact_id} and patient {parted['patient_id']} are no longer linked.")


class Moment(click.ParamType[datetime]):
    """A time as `hintd link history` shows it."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        try:
            at = datetime.fromisoformat(str(value))
        except ValueError:
            self.fail(f"{value!r} is no time like 2026-11-22T10:15:00Z", param, ctx)
        return at if at.tzinfo else at.astimezone()


@click.command()
@click.argument("name")
@contact_option
@click.option("--field", required=True, help="Its name in `hintd link history`.")
@click.option("--at", type=Moment(), required=True, help="When the value was replaced; to the second is enough.")
@click.option(
    "--side", type=click.Choice([side.value for side in Side]), help="Whose value, where both changed at that time."
)
@answering
async def restore(caller: Caller, name: str, contact_id: str, field: str, at: datetime, side: str | None) -> Answer:
    """Give a pair the value back that `hintd link history` shows as old at that time, on both sides.

    What each side holds instead stays in the history, so that this can be undone in the same way.
    """
    wanted = Wanted(field, at, Side(side) if side else None)
    async with caller.desk() as desk:
        done = await desk.links.restore(name, contact_id, wanted, person=caller.person)
    if done["outcome"] is OutcomeKind.PARKED:
        sentence = f"{field} could not be restored on both sides ({done['reason']}); see: hintd parked list"
        return Answer(done, sentence, FAILED)
    if done["outcome"] is OutcomeKind.NO_CHANGE:
        return Answer(done, f"Both sides hold this {field} already.")
    return Answer(done, f"{field} is restored on Contact {contact_id} and patient {done['patient_id']}.")


@click.command()
@click.argument("name")
@contact_option
@click.option("--field", help="Only this field, by its name in `hintd link show`.")
@answering
async def unfreeze(caller: Caller, name: str, contact_id: str, field: str | None) -> Answer:
    """Release fields that hintd left alone because they flipped too often; the pair is looked at again."""
    async with caller.desk() as desk:
        done = await desk.links.unfreeze(name, contact_id, field, person=caller.person)
    return Answer(done, f"Released: {', '.join(done['released'])}." if done["released"] else "Nothing was frozen.")
