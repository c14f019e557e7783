"""``hintd``: the command line.  Together with the daemon the only reader of the configuration."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import NoReturn

import click

from hintd.cli.batches import batch
from hintd.cli.check import check
from hintd.cli.common import encode
from hintd.cli.connections import connection
from hintd.cli.demo import demo
from hintd.cli.failures import DONE, USAGE
from hintd.cli.links import link
from hintd.cli.logs import read_log
from hintd.cli.operate import migrate, run, sweep, verify
from hintd.cli.parked import parked
from hintd.cli.sandbox import sandbox
from hintd.telemetry import set_up_logs

_INTERRUPTED = 130  # as shells have it for SIGINT


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="hintd")
def cli() -> None:
    """Two-way sync between Hint Health patients and Salesforce Contacts.

    See it work on this machine, with nothing to set up: hintd demo

    For real: write hintd.toml after config.example.toml, look at it with `hintd check`, start `hintd run`, and connect
    a practice with `hintd connection add`.

    Exit codes: 0 done, 1 failed, 2 usage or configuration, 3 refused by a rule, 4 a remote or server is not there.
    """


for _command in (run, demo, sandbox, check, migrate, verify, sweep, connection, link, batch, parked, read_log):
    cli.add_command(_command)


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
