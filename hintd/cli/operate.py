"""``hintd run``, ``migrate``, ``verify`` and ``sweep``."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import click
import msgspec

from hintd import daemon
from hintd.cli.common import (
    Answer,
    Caller,
    answering,
    common_options,
    fail,
    find_config_file,
    table,
)
from hintd.composition import open_dsn, wait_for_bus
from hintd.daemon import Role
from hintd.desk.finding import find_connection
from hintd.ports import CallClass
from hintd.postgres.migrate import migrate as apply_migrations
from hintd.service.sweep import sweep_connection
from hintd.service.verify import verify_connection
from hintd.telemetry import set_up_logs


@click.command()
@click.option(
    "--role",
    "roles",
    multiple=True,
    type=click.Choice([role.value for role in Role]),
    help="Run this role only; may be given several times.  Default: all roles.",
)
@common_options
def run(config_file: Path | None, as_json: bool, roles: tuple[str, ...]) -> None:
    """Run the daemon until SIGTERM or SIGINT.

    The first signal stops taking and finishes what is in hand; a second one stops at once.  Logs are JSON lines on
    stderr.
    """
    caller = Caller(find_config_file(config_file), as_json)
    try:
        set_up_logs(caller.config.log.level)
        run_fast(daemon.run(caller.config, [Role(role) for role in roles]))
    except (Exception, BaseExceptionGroup) as error:
        fail(error, as_json)


def run_fast(work: Coroutine[Any, Any, None]) -> None:
    """On uvloop where it is installed: it halves the event loop's share of a request."""
    if find_spec("uvloop") is None:
        asyncio.run(work)
        return
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(work)


@click.command()
@answering
async def migrate(caller: Caller) -> Answer:
    """Bring the database's schema up to date.

    `hintd run` and all other commands do so by themselves; this is for doing it ahead of them.
    """
    async with open_dsn(caller.config) as (dsn, _):
        applied = await apply_migrations(dsn)
    text = "\n".join(f"applied {name}" for name in applied) or "The schema is up to date."
    return Answer({"applied": applied}, text)


@click.command()
@click.argument("name")
@answering
async def verify(caller: Caller, name: str) -> Answer:
    """Compare all linked pairs of the connection NAME, field by field.

    Reads every record of both sides once and writes nothing.  "accepted" pairs differ because one side could not store
    what it was given; "different" ones would be written: `hintd sweep NAME` does it.
    """
    async with caller.house() as house:
        connection = await find_connection(house, name)
        verdict = await verify_connection(await house.work(connection, CallClass.SWEEP))
    text = (
        f"{verdict.pairs} pairs: {verdict.equal} equal, {verdict.accepted} accepted, {verdict.different} different; "
        f"missing in Hint {len(verdict.missing_in_hint)}, in Salesforce {len(verdict.missing_in_salesforce)}"
    )
    rows = [[w["contact_id"], w["patient_id"], w["salesforce"], w["hint"]] for w in verdict.would_write]
    if rows:
        text += "\n" + table(rows, ("contact", "patient", "would write to salesforce", "to hint"))
    return Answer(msgspec.to_builtins(verdict), text)


@click.command()
@click.argument("name")
@answering
async def sweep(caller: Caller, name: str) -> Answer:
    """Look for changes of the connection NAME that no event told, now instead of at the next interval.

    What is found is put on the bus; the daemon (`hintd run`) takes it from there.
    """
    async with caller.house() as house:
        connection = await find_connection(house, name)
        await wait_for_bus(house)
        work = await house.work(connection, CallClass.SWEEP)
        overlap_s = house.config.sync.sweep_overlap_s
        swept = await sweep_connection(work, house.ingest.accept_all, overlap_s=overlap_s)
    text = "\n".join(f"{s.side}: {s.seen} records looked at, {s.noticed} of them news" for s in swept)
    return Answer({"connection": name, "swept": swept}, text)
