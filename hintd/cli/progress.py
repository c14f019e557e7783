"""Waiting for a batch and showing how far it is: a bar on a terminal, else a line for every change of stage.

All of it goes to stderr, as stdout is the answer's.  Waiting only looks: whoever stops it stops no batch.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

import click
import msgspec

from hintd.core.batch import ENDED
from hintd.service.batch_answers import BatchJson

LOOK_EVERY_S = 0.5
_BAR = 24

Look = Callable[[], Awaitable[BatchJson]]
Told = Callable[[BatchJson], None]


async def wait_until_ended(look: Look, told: Told) -> BatchJson:
    """Look again and again, tell what is seen, and return it when the batch has ended."""
    while True:
        seen = await look()
        told(seen)
        if seen["state"] in ENDED:
            return seen
        await asyncio.sleep(LOOK_EVERY_S)


def bar() -> Told:
    """One line of a terminal, drawn over itself and no longer than the terminal is wide."""

    def tell(seen: BatchJson) -> None:
        line = one_line(seen)[: shutil.get_terminal_size().columns - 1]
        click.echo(f"\r{line}\x1b[K", nl=seen["state"] in ENDED, err=True)

    return tell


@dataclass(slots=True)
class Lines:
    """A line for every change of state or stage, as text or as JSON."""

    as_json: bool
    last: tuple[str, str | None] | None = None

    def __call__(self, seen: BatchJson) -> None:
        now = (seen["state"], seen["stage"])
        if now != self.last:
            click.echo(msgspec.json.encode(seen) if self.as_json else one_line(seen), err=True)
        self.last = now


def one_line(seen: BatchJson) -> str:
    """State, stage, how far, how fast, how long still, and the rows by outcome."""
    parts = [f"{seen['batch_id']} {_state(seen)}", *_how_far(seen), *_how_fast(seen), counted(seen["counts"])]
    return "  ".join(part for part in parts if part)


def _state(seen: BatchJson) -> str:
    if seen["state"] == "waiting" and seen["waiting_for"]:
        return f"waiting: {seen['waiting_for']}"
    if seen["state"] == "queued":
        return "queued: a worker takes it up (hintd run)"
    return f"{seen['state']} {seen['stage']}" if seen["stage"] and seen["state"] not in ENDED else str(seen["state"])


def _how_far(seen: BatchJson) -> list[str]:
    done, total = seen["done"], seen["total"]
    if not total:
        return [f"{done} done"] if done else []
    full = min(_BAR, _BAR * done // total)
    return [f"[{'#' * full}{'.' * (_BAR - full)}] {done}/{total} {100 * done // total}%"]


def _how_fast(seen: BatchJson) -> list[str]:
    """The rate that the time left was reckoned with."""
    left_s, total = seen["eta_s"], seen["total"]
    if not left_s or not total:
        return []
    return [f"{(total - seen['done']) / left_s:.1f}/s", f"{_span(left_s)} left"]


def _span(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s" if minutes else f"{rest} s"


def counted(counts: Mapping[str, int]) -> str:
    """``linked 12, skipped:ambiguous 1``, the most first."""
    by_number = sorted(counts.items(), key=lambda each: (-each[1], each[0]))
    return ", ".join(f"{what} {number}" for what, number in by_number if number)
