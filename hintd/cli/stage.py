"""Where the demo plays: a sandbox, and hintd beside it with everything embedded, connected and with some links."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import aiohttp
import msgspec
from prometheus_client.parser import text_string_to_metric_families

from hintd.cli.children import Child, choose_ports, command, started

T = TypeVar("T")
Say = Callable[[str], None]

NAME = "demo"
_LOOK_EVERY_S = 0.002
_START_S = 60.0
_STEP_S = 15.0
_GRPC = frozenset({"Subscribe", "GetSchema", "GetTopic"})

_CONFIG = """\
# Written by `hintd demo`.
[service]
public_url = "http://127.0.0.1:{public}"
public_listen = "127.0.0.1:{public}"
operator_listen = "127.0.0.1:{operator}"
data_dir = {data_dir}

[hint]
api_url = "http://127.0.0.1:{sandbox}"
partner_key = "sbx-partner-key"
webhook_secret = "sbx-webhook-secret"

[salesforce]
login_url = "http://127.0.0.1:{sandbox}"
pubsub_address = "127.0.0.1:{grpc}"
pubsub_tls = false
auth = "client_credentials"
client_id = "sbx-client"
client_secret = "sbx-secret"

[limits]
page_size = 8  # a small practice, and a batch of some pages all the same
"""


class StepFailed(Exception):
    """``str()`` says what was expected and what was seen."""


@dataclass(frozen=True)
class Places:
    """The demo's four ports on 127.0.0.1."""

    sandbox: int
    grpc: int
    public: int
    operator: int

    def url(self, port: int) -> str:
        return f"http://127.0.0.1:{port}"


@dataclass(frozen=True)
class Wanted:
    """What the person chose; ``data_dir`` is where the demo's own directory is made."""

    ports: tuple[int, int, int, int]
    people: int
    data_dir: Path | None
    samples: Path


class Stage:
    """What the tour does to both sides, and what it sees of them and of hintd."""

    def __init__(
        self, session: aiohttp.ClientSession, places: Places, config: Path, children: tuple[Child, ...]
    ) -> None:
        self._session, self._children = session, children
        self.places, self.config = places, config

    async def run(self, *arguments: str) -> Any:
        """One of hintd's own commands."""
        return await command(self.config, *arguments)

    async def control(self, method: str, path: str, body: Any = None) -> Any:
        """The sandbox's control port."""
        async with self._session.request(
            method, f"{self.places.url(self.places.sandbox)}/control{path}", json=body
        ) as got:
            raw = await got.read()
            if not got.ok:
                raise StepFailed(
                    f"expected the sandbox to take {method} {path}, seen {got.status}: {raw.decode()[:200]}"
                )
            return msgspec.json.decode(raw) if raw else None

    async def patient(self, patient_id: str) -> dict[str, Any]:
        return next(p for p in (await self.control("GET", "/records"))["hint"] if p["id"] == patient_id)

    async def contact(self, contact_id: str) -> dict[str, Any]:
        return next(c for c in (await self.control("GET", "/records"))["salesforce"] if c["Id"] == contact_id)

    async def calls(self) -> Mapping[str, int]:
        """REST requests that each remote has answered; the calls of the change stream are none of them."""
        shown = await self.control("GET", "/calls")
        return {
            side: sum(count for name, count in shown[side]["by"].items() if name.split()[0] not in _GRPC)
            for side in ("hint", "salesforce")
        }

    async def stream_is_open(self) -> bool:
        made = (await self.control("GET", "/calls"))["salesforce"]["by"]
        return any(name.startswith("Subscribe") for name in made)

    async def metrics(self) -> Mapping[tuple[str, frozenset[str]], float]:
        """hintd's metrics by name and label values."""
        async with self._session.get(f"{self.places.url(self.places.operator)}/metrics") as got:
            text = await got.text()
        return {
            (sample.name, frozenset(sample.labels.values())): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }

    async def settled(self, source: str, outcome: str) -> float:
        return (await self.metrics()).get(("hintd_events_total", frozenset((source, outcome))), 0.0)

    async def is_at_rest(self) -> bool:
        return (await self.metrics()).get(("hintd_waiting", frozenset({"changes"}))) == 0.0

    async def is_ready(self) -> bool:
        async with self._session.get(f"{self.places.url(self.places.operator)}/readyz") as got:
            return got.status == 200

    async def until(
        self,
        expected: str,
        look: Callable[[], Awaitable[T]],
        fits: Callable[[T], bool] = bool,
        within_s: float = _STEP_S,
    ) -> T:
        """Looks again and again until what is seen fits.  Raises StepFailed after ``within_s``."""
        loop = asyncio.get_running_loop()
        deadline, seen = loop.time() + within_s, "nothing"
        while loop.time() < deadline:
            for child in self._children:
                child.check_alive()
            try:
                if fits(found := await look()):
                    return found
                seen = str(found)[:200]
            except aiohttp.ClientConnectionError as error:
                seen = type(error).__name__
            await asyncio.sleep(_LOOK_EVERY_S)
        raise StepFailed(f"expected {expected} within {within_s:g} s, seen {seen}")


@asynccontextmanager
async def set_stage(wanted: Wanted, say: Say) -> AsyncIterator[Stage]:
    """Everything started and connected; everything stopped and removed in the end."""
    places = Places(*choose_ports(wanted.ports))
    with _own_directory(wanted.data_dir) as directory:
        config = _write_config(places, directory)
        sandbox_arguments = (
            *("sandbox", "--port", str(places.sandbox), "--grpc-port", str(places.grpc)),
            *("--people", str(wanted.people), "--samples", str(wanted.samples.absolute())),
        )
        say("Starting the sandbox (a Hint and a Salesforce), an embedded Postgres, the embedded bus and hintd …")
        async with (
            aiohttp.ClientSession() as session,
            started("the sandbox", sandbox_arguments, directory / "sandbox.log") as sandbox,
            started("hintd", ("run", "--config", str(config)), directory / "hintd.log") as daemon,
        ):
            stage = Stage(session, places, config, (sandbox, daemon))
            await stage.until("the sandbox to answer", lambda: stage.control("GET", "/settings"), within_s=_START_S)
            await stage.until("hintd to be ready", stage.is_ready, within_s=_START_S)
            yield stage


class _own_directory:
    """Ours alone and open to pass through for the account that Postgres runs as, when we are root."""

    def __init__(self, parent: Path | None) -> None:
        if parent is not None:
            parent.mkdir(parents=True, exist_ok=True)
        self._path = Path(tempfile.mkdtemp(prefix="hintd-demo-", dir=parent)).absolute()
        self._path.chmod(0o711)

    def __enter__(self) -> Path:
        return self._path

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self._path, ignore_errors=True)


def _write_config(places: Places, directory: Path) -> Path:
    path = directory / "hintd.toml"
    data_dir = msgspec.json.encode(str(directory / "data")).decode()
    path.write_text(
        _CONFIG.format(
            public=places.public,
            operator=places.operator,
            sandbox=places.sandbox,
            grpc=places.grpc,
            data_dir=data_dir,
        )
    )
    return path
