"""What is answered piece by piece: a batch's status as server-sent events, and its results as CSV.

Pure of HTTP: iterators of bytes, which ``hintd.web.api`` writes.  Memory does not grow with the results.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass, field

import msgspec

from hintd.core.batch import ENDED, RowOutcome
from hintd.service.batch_answers import BatchJson, csv_lines
from hintd.web.desk import BatchDesk

_ROWS_AT_ONCE = 1000


@dataclass(frozen=True, slots=True)
class Pace:
    """How often a batch is looked at, and after how long a silence a comment is sent so that no proxy hangs up.
    ``closing``: set when the server stops, which no follower shall hold up."""

    look_every_s: float
    keep_alive_s: float
    closing: asyncio.Event = field(default_factory=asyncio.Event)


async def status_events(look: Callable[[], Awaitable[BatchJson]], pace: Pace) -> AsyncGenerator[bytes, None]:
    """One event per change of what ``look`` tells, until the batch has ended or the server stops.

    The time left alone is no change: it shrinks all the while.
    """
    told: BatchJson | None = None
    number, quiet_s = 0, 0.0
    while not pace.closing.is_set():
        batch = await look()
        if told is None or _without_eta(batch) != _without_eta(told):
            told, number, quiet_s = batch, number + 1, 0.0
            yield b"id: %d\nevent: batch\ndata: %s\n\n" % (number, msgspec.json.encode(batch))
            if batch["state"] in ENDED:
                return
        elif quiet_s >= pace.keep_alive_s:
            quiet_s = 0.0
            yield b": nothing new\n\n"
        await _pause(pace)
        quiet_s += pace.look_every_s


def _without_eta(batch: BatchJson) -> dict[str, object]:
    return {**batch, "eta_s": None}


async def _pause(pace: Pace) -> None:
    try:
        async with asyncio.timeout(pace.look_every_s):
            await pace.closing.wait()
    except TimeoutError:
        pass


async def csv_of_results(desk: BatchDesk, batch_id: str, outcome: RowOutcome | None) -> AsyncGenerator[bytes, None]:
    """The header row at once, then page after page."""
    rows = await desk.rows(batch_id, after=0, limit=_ROWS_AT_ONCE, outcome=outcome)
    yield csv_lines(rows).encode()
    while len(rows) == _ROWS_AT_ONCE:
        rows = await desk.rows(batch_id, after=rows[-1].position, limit=_ROWS_AT_ONCE, outcome=outcome)
        yield csv_lines(rows, head=False).encode()
