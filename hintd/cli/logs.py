"""``hintd log``: the log that people read.  Ids, field names and sentences, never a patient's value."""

from __future__ import annotations

import asyncio
import re
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import click
import msgspec

from hintd.cli.common import Answer, Caller, answering, find_connection
from hintd.composition import House, utc_now
from hintd.ports import Level, LogEntry, LogFilter

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


@dataclass(frozen=True)
class _Wish:
    connection_id: int | None
    only: LogFilter


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
    only = LogFilter(Level(level) if level else None, record_id, batch_id, since)
    async with caller.house() as house:
        connection_id = (await find_connection(house, name)).id if name else None
        wish = _Wish(connection_id, only)
        newest: deque[tuple[int, LogEntry]] = deque(maxlen=limit)
        async for page in _pages(house, wish):
            newest.extend(page)
        if follow:
            await _follow(house, wish, newest, caller.as_json)
    entries = [_shown(entry_id, entry) for entry_id, entry in newest]
    return Answer({"entries": entries}, "\n".join(map(_line, entries)))


async def _pages(house: House, wish: _Wish) -> AsyncIterator[list[tuple[int, LogEntry]]]:
    only = wish.only
    while page := list(await house.stores.log.read(wish.connection_id, only)):
        yield page
        only = replace(only, after_id=page[-1][0])


async def _follow(house: House, wish: _Wish, newest: deque[tuple[int, LogEntry]], as_json: bool) -> None:
    """Until Ctrl-C."""
    after_id = 0
    page = list(newest)
    while True:
        for entry_id, entry in page:
            shown = _shown(entry_id, entry)
            click.echo(msgspec.json.encode(shown) if as_json else _line(shown))
            after_id = entry_id
        page = list(await house.stores.log.read(wish.connection_id, replace(wish.only, after_id=after_id)))
        if not page:
            await asyncio.sleep(_LOOK_EVERY_S)


def _shown(entry_id: int, entry: LogEntry) -> dict[str, Any]:
    return {
        "id": entry_id,
        "at": entry.at,
        "level": entry.level,
        "what": entry.what,
        "contact_id": entry.contact_id,
        "patient_id": entry.patient_id,
        "batch_id": entry.batch_id,
        "message": entry.message,
    }


def _line(shown: dict[str, Any]) -> str:
    ids = " ".join(shown[key] for key in ("contact_id", "patient_id", "batch_id") if shown[key])
    at = shown["at"].isoformat(timespec="milliseconds")
    return f"{at}  {shown['level']:9}  {shown['what']}  {ids}  {shown['message']}"
