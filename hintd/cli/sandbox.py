"""``hintd sandbox``: a Hint and a Salesforce on this machine, to try and test hintd against."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click

from hintd.cli.common import common_options, encode, fail
from hintd.sandbox.app import Sandbox, serve
from hintd.sandbox.options import Options

_DEFAULTS = Options()


@click.command()
@click.option("--host", default=_DEFAULTS.host, show_default=True, help="The address to listen on.")
@click.option(
    "--port", default=_DEFAULTS.port, show_default=True, help="HTTP: Hint, Salesforce, control, page.  0: any."
)
@click.option("--grpc-port", default=_DEFAULTS.grpc_port, show_default=True, help="The Pub/Sub API.  0: any free one.")
@click.option("--people", default=_DEFAULTS.people, show_default=True, help="How many invented people there are.")
@click.option("--patients", default=0, help="A big practice instead, of so many patients made when they are asked for.")
@click.option("--contacts", default=0, help="The Contacts of the big practice.")
@click.option(
    "--match-share",
    type=click.FloatRange(0, 1),
    default=_DEFAULTS.match_share,
    show_default=True,
    help="How many of the big practice's patients have exactly one Contact that matches.",
)
@click.option("--seed", default=_DEFAULTS.seed, show_default=True, help="The same seed makes the same people.")
@click.option(
    "--samples",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="A directory of Hint's published example answers, to make people from as well.",
)
@click.option("--hint-latency-ms", default=0.0, help="How long Hint takes for an answer.")
@click.option("--salesforce-latency-ms", default=0.0, help="How long Salesforce takes for an answer.")
@click.option(
    "--webhook-secret", default=_DEFAULTS.webhook_secret, show_default=True, help="What webhooks are signed with."
)
@click.option(
    "--jwt-public-key",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Check the JWT bearer flow's assertions with this key (PEM).",
)
@common_options
def sandbox(config_file: Path | None, as_json: bool, **chosen: object) -> None:
    """Serve a sandbox: both remotes, with synthetic people, until SIGTERM or SIGINT.

    It keeps everything in memory and needs no configuration.  Faults, limits and the clock are switched by its control
    port.
    """
    try:
        asyncio.run(serve(Options(**chosen), _as_json if as_json else None))  # type: ignore[arg-type]
    except OSError as error:
        fail(error, as_json)


def _as_json(running: Sandbox) -> str:
    return encode({"url": running.url, "grpc_address": running.grpc_address}).decode()
