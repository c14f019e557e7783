"""``hintd``: the command line.  Together with the daemon the only reader of the configuration."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from typing import NoReturn

import click

from hintd.cli.common import encode
from hintd.cli.failures import DONE, USAGE
from hintd.telemetry import set_up_logs

_INTERRUPTED = 130  # as shells have it for SIGINT

_COMMANDS = {
    "run": "operate:run",
    "demo": "demo:demo",
    "sandbox": "sandbox:sandbox",
    "check": "check:check",
    "migrate": "operate:migrate",
    "verify": "operate:verify",
    "sweep": "operate:sweep",
    "connection": "connections:connection",
    "link": "links:link",
    "batch": "batches:batch",
    "parked": "parked:parked",
    "log": "logs:read_log",
}


class _Commands(click.Group):
    """Imports a command's module when it is asked for: a command that is run often shall not wait for the others."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module, _, name = _COMMANDS[cmd_name].partition(":")
        command: click.Command = getattr(import_module(f"hintd.cli.{module}"), name)
        return command


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="hintd")
def cli() -> None:
    """Two-way sync between Hint Health patients and Salesforce Contacts.

    See it work on this machine, with nothing to set up: hintd demo

    For real: write hintd.toml after config.example.toml, look at it with `hintd check`, start `hintd run`, and connect
    a practice with `hintd connection add`.

    Exit codes: 0 done, 1 failed, 2 usage or configuration, 3 refused by a rule, 4 a remote or server is not there.
    """


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """The console script ``hintd``."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    set_up_logs("warning")  # before anything can be logged: what structlog does by itself shows local variables
    try:
        code = cli.main(given, prog_name="hintd", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        if "--json" in given:
            click.echo(encode({"error": {"kind": "usage", "message": error.format_message()}}))
        sys.exit(USAGE)
    except click.Abort:
        sys.exit(_INTERRUPTED)
    sys.exit(code if isinstance(code, int) else DONE)
