"""``hintd demo``: the whole program on this machine, shown by a tour."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from pathlib import Path

import click

from hintd.cli.common import common_options, encode, fail
from hintd.cli.failures import DONE, FAILED
from hintd.cli.stage import Places, Stage, StepFailed, Wanted, set_stage
from hintd.cli.tour import Step, tour
from hintd.composition import own_api_token
from hintd.config import load_config
from hintd.sandbox.samples import PUBLISHED

_INTERRUPTED = 130


@click.command()
@click.option("--once", is_flag=True, help="End after the tour: 0 when every step went well, else 1.")
@click.option(
    "--data-dir",
    type=click.Path(path_type=Path, file_okay=False),
    help="Where the demo makes its own directory, removed at the end.  Default: the system's temporary directory.",
)
@click.option(
    "--port", default=8600, show_default=True, help="The sandbox and its page; a free port where it is taken."
)
@click.option("--grpc-port", default=8601, show_default=True, help="The sandbox's change stream; likewise.")
@click.option("--public-port", default=8080, show_default=True, help="Where hintd takes webhooks; likewise.")
@click.option("--operator-port", default=8081, show_default=True, help="hintd's health and metrics; likewise.")
@click.option("--people", default=40, show_default=True, help="How many invented people there are.")
@click.option(
    "--samples",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    default=PUBLISHED,
    help="A directory of Hint's published example answers, to make people from.  Default: hintd's own copies.",
)
@common_options
def demo(
    config_file: Path | None,
    as_json: bool,
    once: bool,
    data_dir: Path | None,
    port: int,
    grpc_port: int,
    public_port: int,
    operator_port: int,
    people: int,
    samples: Path,
) -> None:
    """See hintd at work on this machine: nothing to set up, nothing left behind.

    Starts a sandbox of both remotes, an embedded Postgres, the embedded bus and hintd, connects them, links a few
    people, edits records on both sides and tells what happened.  Then it stays up for you to look at, until Ctrl-C.
    The configuration is the demo's own; --config is not read.
    """
    wanted = Wanted((port, grpc_port, public_port, operator_port), people, data_dir, samples)
    try:
        code = asyncio.run(_until_stopped(_Show(wanted, once, as_json)))
    except (StepFailed, Exception, BaseExceptionGroup) as error:
        fail(error, as_json)
    raise click.exceptions.Exit(code)


async def _until_stopped(show: _Show) -> int:
    """Plays; SIGINT and SIGTERM end it, with everything cleaned up."""
    stopped, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    playing = asyncio.create_task(show.play(), name="demo")
    stopping = asyncio.create_task(stopped.wait(), name="stop")
    await asyncio.wait({playing, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if not playing.done():
        playing.cancel()
        await asyncio.wait({playing})
        return show.code if show.code is not None else _INTERRUPTED
    return playing.result()


class _Show:
    """One demo.  ``code`` is the exit code, known after the tour."""

    def __init__(self, wanted: Wanted, once: bool, as_json: bool) -> None:
        self._wanted, self._once, self._as_json = wanted, once, as_json
        self.code: int | None = None

    async def play(self) -> int:
        async with set_stage(self._wanted, self._say) as stage:
            steps = await tour(stage, self._tell)
            ok = all(step.ok for step in steps)
            self.code = DONE if ok else FAILED
            self._say("All of it went well." if ok else f"{sum(not step.ok for step in steps)} of it went wrong.")
            if self._as_json:
                click.echo(encode({"ok": ok, "steps": steps}))
            if not self._once:
                await self._stay(stage)
            self._say("Stopping everything …")
        return self.code

    def _say(self, text: str) -> None:
        click.echo(text, err=self._as_json)

    def _tell(self, step: Step) -> None:
        self._say(f"{'  ok  ' if step.ok else 'FAILED'}  {step.sentence}")

    async def _stay(self, stage: Stage) -> None:
        self._say("\n".join(_where_to_look(stage.places, stage.config)))
        await asyncio.Event().wait()  # until a signal cancels it


def _where_to_look(places: Places, config: Path) -> list[str]:
    url: Callable[[int], str] = places.url
    token = own_api_token(load_config(config, {}).data_dir)
    return [
        "",
        "It stays up until Ctrl-C.  Look at:",
        f"  {url(places.sandbox)}/             the sandbox: both records of a person side by side, to edit and watch",
        f"  {url(places.operator)}/readyz      hintd's health",
        f"  {url(places.operator)}/metrics     hintd's metrics",
        f"  {url(places.operator)}/api/v1      hintd's API, for the bearer of the token in {token}",
        f"  hintd connection show demo --config {config}",
    ]
