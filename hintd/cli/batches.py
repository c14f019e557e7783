"""``hintd batch``: start or preview a batch, steer it, watch it, and read its results (README rules 6 to 8).

The daemon's workers do the work; these commands only ask for it, so a batch goes on when the terminal is closed.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from hintd.cli.batch_request import Wish, request_batch
from hintd.cli.batch_results import results
from hintd.cli.common import Answer, Caller, answering, table
from hintd.cli.failures import DONE, FAILED
from hintd.cli.progress import Lines, Told, bar, counted, one_line, wait_until_ended
from hintd.core.batch import BatchKind, BatchState, Command, Direction
from hintd.service.batch_answers import BatchJson
from hintd.web.desk import BatchDesk

_HEAD = ("batch_id", "kind", "direction", "state", "done", "total", "started_at", "finished_at")


@click.group()
def batch() -> None:
    """Sync all patients to Contacts, or a list of Contacts to patients."""


def _request_options(function: Callable[..., Any]) -> Callable[..., Any]:
    decorators = (
        click.argument("name"),
        click.argument("direction", type=click.Choice([each.value for each in Direction])),
        click.option(
            "--csv",
            "file",
            type=click.Path(path_type=Path, exists=True, dir_okay=False),
            help="The Contacts: a file whose first column is the Contact's id, as a Salesforce report exports it.",
        ),
        click.option(
            "--create-unmatched/--no-create-unmatched",
            default=None,
            help="Create the missing record on the other side. Default: the connection's check box for "
            "patients-to-contacts, no for contacts-to-patients.",
        ),
        click.option("--include-archived", is_flag=True, help="Archived patients too."),
        click.option("--from-preview", metavar="BATCH", help="Do what this preview has shown, of the same records."),
        click.option("--wait", is_flag=True, help="Stay until it has ended, and show how far it is."),
    )
    for decorate in reversed(decorators):
        function = decorate(function)
    return function


@batch.command()
@_request_options
@answering
async def start(caller: Caller, name: str, wait: bool, **wish: Any) -> Answer:
    """Start a batch for the connection NAME; its id comes at once.

    One batch at a time runs for a connection.  Real-time sync goes on meanwhile.
    """
    return await _request(caller, name, BatchKind.RUN, Wish(**wish), wait=wait)


@batch.command()
@_request_options
@answering
async def preview(caller: Caller, name: str, wait: bool, **wish: Any) -> Answer:
    """Show what a batch would do and how many API calls it would take; nothing is written.

    See its rows with `hintd batch results`, and do it with: hintd batch start … --from-preview BATCH
    """
    return await _request(caller, name, BatchKind.PREVIEW, Wish(**wish), wait=wait)


async def _request(caller: Caller, name: str, kind: BatchKind, wish: Wish, *, wait: bool) -> Answer:
    async with caller.desk() as desk:
        made = await request_batch(desk.batches, name, kind, wish, person=caller.person)
        if wait:
            return await _wait(desk.batches, made["batch_id"], as_json=caller.as_json)
    text = f"Batch {made['batch_id']} is queued; see: hintd batch status {made['batch_id']}"
    if made["message"]:
        text = f"{made['message']}\n{text}"
    return Answer(made, text)


async def _wait(desk: BatchDesk, batch_id: str, *, as_json: bool) -> Answer:
    told: Told = bar() if sys.stderr.isatty() else Lines(as_json)
    try:
        ended = await wait_until_ended(lambda: desk.status(batch_id), told)
    except BaseException:  # Ctrl-C too
        click.echo(f"\nNo longer waiting; batch {batch_id} goes on: hintd batch status {batch_id}", err=True)
        raise
    return Answer(ended, _told(ended), DONE if ended["state"] == BatchState.DONE else FAILED)


def _told(seen: BatchJson) -> str:
    lines = [one_line(seen)]
    if seen["calls"]:
        lines.append(f"API calls: {counted(seen['calls'])}")
    if seen["wanted"]:
        lines.append(f"asked for and not obeyed yet: {seen['wanted']}")
    if seen["message"]:
        lines.append(seen["message"])
    return "\n".join(lines)


@batch.command()
@click.argument("batch_id", metavar="BATCH")
@answering
async def status(caller: Caller, batch_id: str) -> Answer:
    """How far a batch is, and what came of its records until now."""
    async with caller.desk() as desk:
        seen = await desk.batches.status(batch_id)
    return Answer(seen, _told(seen))


def _steering(command: Command, text: str) -> click.Command:
    @click.argument("batch_id", metavar="BATCH")
    @answering
    async def steer(caller: Caller, batch_id: str) -> Answer:
        async with caller.desk() as desk:
            seen = await desk.batches.command(batch_id, command)
        return Answer(seen, _told(seen))

    return click.command(command.value, help=text)(steer)


@batch.command("list")
@click.argument("name")
@click.option("--limit", default=50, show_default=True, help="At most so many batches.")
@answering
async def list_all(caller: Caller, name: str, limit: int) -> Answer:
    """The batches of the connection NAME, the newest first."""
    async with caller.desk() as desk:
        shown = await desk.batches.all(name, limit=limit)
    rows = [[dict(each)[key] for key in _HEAD] for each in shown]
    return Answer({"batches": shown}, table(rows, _HEAD))


for _command in (
    _steering(Command.PAUSE, "Pause a batch: it stops after the page in hand, and can be resumed."),
    _steering(Command.RESUME, "Go on with a batch that was paused, or that waits."),
    _steering(Command.ABORT, "Abort a batch within seconds: what is done stays done, and is in the results."),
    results,
):
    batch.add_command(_command)
