"""``hintd log``: the log that people read.  Ids, field names and sentences, never a patient's value."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import click
import msgspec

from hintd.cli.common import Answer, Caller, answering
from hintd.composition import utc_now
from hintd.ports import Level, LogFilter
from hintd.web.desk import LogDesk
from hintd.web.shapes import LogEntryJson

_AGO = re.compile(r"(\d+)([smhd])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_LOOK_EVERY_S = 0.5


class Since(click.ParamType[datetime]):
    """A time, or how long ago: 2026-11-22T10:15:00Z, 30s, 10m, 2h, 7d."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        text = str(value)
        if (ago := _AGO.fullmatch(text)) is not None:
            return utc_now() - timedelta(seconds=int(ago[1]) * _SECONDS[ago[2]])
        try:
            at = datetime.fromisoformat(text)
        except ValueError:
            self.fail(f"{text!r} is neither a time like 2026-11-22T10:15:00Z nor a span like 10m, 2h or 7d", param, ctx)
        return at if at.tzinfo else at.astimezone()


@click.command("log")
@click.option("--level", type=click.Choice([level.value for level in Level]), help="Only this level.")
@click.option("--record", "record_id", help="Only about this Contact or patient.")
@click.option("--batch", "batch_id", help="Only of this batch.")
@click.option("--since", type=Since(), help="Not older: 2026-11-22T10:15:00Z, or 30s, 10m, 2h, 7d ago.")
@click.option("--connection", "name", help="Only of this connection.")
@click.option("--limit", default=200, show_default=True, help="The newest so many entries.")
@click.option("--follow", is_flag=True, help="Stay, and print what is added; with --json one document per line.")
@answering
async def read_log(
    caller: Caller,
    level: str | None,
    record_id: str | None,
    batch_id: str | None,
    since: datetime | None,
    name: str | None,
    limit: int,
    follow: bool,
) -> Answer:
    """What hintd did and what went wrong, the oldest first."""
    only = LogFilter(Level(level) if level else None, record_id, batch_id, since, limit=limit)
    async with caller.desk() as desk:
        entries = await desk.log.entries(name, only)
        if follow:
            await _follow(desk.log, name, only, entries, as_json=caller.as_json)
    return Answer({"entries": entries}, "\n".join(map(_line, entries)))


async def _follow(
    desk: LogDesk, name: str | None, only: LogFilter, entries: Sequence[LogEntryJson], *, as_json: bool
) -> None:
    """Until Ctrl-C."""
    while True:
        for entry in entries:
            click.echo(msgspec.json.encode(entry) if as_json else _line(entry))
            only = replace(only, after_id=entry["id"])
        entries = await desk.entries(name, only)
        if not entries:
            await asyncio.sleep(_LOOK_EVERY_S)


def _line(entry: LogEntryJson) -> str:
    ids = " ".join(each for each in (entry["contact_id"], entry["patient_id"], entry["batch_id"]) if each)
    at = entry["at"].isoformat(timespec="milliseconds")
    return f"{at}  {entry['level']:9}  {entry['what']}  {ids}  {entry['message']}"
