"""What all commands share: where the configuration comes from, one answer per command, and errors as sentences.

A command is an async function from a ``Caller`` and its own parameters to an ``Answer``.  ``answering`` makes a click
command of it, with ``--config`` and ``--json``.  Exit codes: 0 done, 1 failed, 2 usage, 3 refused by a rule, 4 a remote
or server is not there.
"""

from __future__ import annotations

import asyncio
import functools
import getpass
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import msgspec

from hintd.cli.failures import DONE, failure_of
from hintd.composition import House, open_house
from hintd.config import Config, load_config
from hintd.core.salesforce_id import contact_id
from hintd.desk import make_desk
from hintd.web.desk import Desk


@dataclass(frozen=True)
class Caller:
    """``config_file`` is None when there is none: defaults and the environment."""

    config_file: Path | None
    as_json: bool

    @functools.cached_property
    def config(self) -> Config:
        """Raises BadConfig."""
        return load_config(self.config_file, os.environ)

    @property
    def person(self) -> str:
        """Who asks, for histories and logs."""
        try:
            return getpass.getuser()
        except (KeyError, OSError):  # no such account in a container
            return f"uid {os.getuid()}"

    @asynccontextmanager
    async def house(self) -> AsyncIterator[House]:
        """The daemon's own surroundings."""
        async with open_house(self.config) as house:
            yield house

    @asynccontextmanager
    async def desk(self) -> AsyncIterator[Desk]:
        async with self.house() as house:
            yield make_desk(house)


@dataclass(frozen=True)
class Answer:
    """``document`` is what ``--json`` prints, ``text`` what people read."""

    document: Any
    text: str
    code: int = DONE


def find_config_file(given: Path | None) -> Path | None:
    if given is not None:
        return given
    if (here := Path("hintd.toml")).exists():
        return here
    named = os.environ.get("HINTD_CONFIG")
    return Path(named) if named else None


def common_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Adds ``--config`` and ``--json``."""
    as_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON document on stdout.")
    config = click.option(
        "--config",
        "config_file",
        type=click.Path(path_type=Path, dir_okay=False),
        help="The configuration. Default: ./hintd.toml if it exists, else the file that HINTD_CONFIG names, else none.",
    )
    return config(as_json(function))


def answering(function: Callable[..., Awaitable[Answer]]) -> Callable[..., None]:
    """The command that runs ``function``, prints its answer and exits with its code."""

    @functools.wraps(function)
    def command(config_file: Path | None, as_json: bool, **parameters: Any) -> None:
        caller = Caller(find_config_file(config_file), as_json)
        try:
            answer = asyncio.run(_awaited(function(caller, **parameters)))
        except (Exception, BaseExceptionGroup) as error:
            fail(error, as_json)
        show(answer, as_json)
        raise click.exceptions.Exit(answer.code)

    return common_options(command)


async def _awaited(answer: Awaitable[Answer]) -> Answer:
    return await answer


def show(answer: Answer, as_json: bool) -> None:
    if as_json:
        click.echo(encode(answer.document))
    elif answer.text:
        click.echo(answer.text)


def encode(document: Any) -> bytes:
    return msgspec.json.format(msgspec.json.encode(document), indent=2)


def fail(error: BaseException, as_json: bool) -> None:
    """Say what happened and exit.  What nobody foresaw is told by its type and place, without its text, which may
    quote a patient's value."""
    failure = failure_of(error)
    click.echo(f"hintd: {failure.sentence}", err=True)
    if as_json:
        told = {"kind": failure.kind, "message": failure.sentence, **failure.ids}
        click.echo(encode({"error": told}))
    raise click.exceptions.Exit(failure.code)


class ContactId(click.ParamType[str]):
    """15 or 18 characters; 18 are given on."""

    name = "id"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        found = contact_id(str(value))
        if found is None:
            self.fail(f"{value!r} is no Contact id: it has 15 or 18 characters and begins with 003", param, ctx)
        return found


contact_option = click.option("--contact", "contact_id", type=ContactId(), required=True, help="The Contact's id.")


def read_on_off(text: str) -> bool | None:
    return {"on": True, "true": True, "off": False, "false": False}.get(text.strip().lower())


def table(rows: Sequence[Sequence[object]], head: Sequence[str]) -> str:
    """Columns as wide as their widest cell."""
    cells = [[str(h) for h in head], *([_cell(value) for value in row] for row in rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(head))]
    return "\n".join("  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in cells)


def _cell(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return " ".join(str(value).split())
