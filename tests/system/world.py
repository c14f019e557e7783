"""A whole world for system tests: the sandbox over real HTTP and gRPC, hintd's house and daemon in this process, a
connected practice, and words for what people do on either side.

Nothing here sleeps for a result: ``eventually`` looks again until a deadline, ``World.rest`` waits until everything
that was sent has been settled.
"""

from __future__ import annotations

import asyncio
import itertools
import signal
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import aiohttp
import msgspec
from cryptography.fernet import Fernet

from hintd.composition import House, open_house
from hintd.config import Config, load_config
from hintd.core.model import HistoryEntry, Link, Side
from hintd.daemon import Daemon, Role
from hintd.ports import BusDown, Connection, LogFilter, ParkedItem, Queue
from hintd.sandbox.app import Sandbox
from hintd.sandbox.options import Options
from hintd.service.connecting import Request, find_org, install, point_webhook, take_stock, webhook_url
from hintd.service.linking import link_by_person
from hintd.service.work import Work
from hintd.streams import CURSOR
from tests.private_rabbit import free_port
from tests.system.command_line import Result, hintd_beside

DEADLINE_S = 15.0
LOOK_AGAIN_S = 0.01
PRACTICE = "main"

Fields = Mapping[str, Any]
NONE: Fields = {}
T = TypeVar("T")
_numbers = itertools.count(1)


async def eventually(look: Callable[[], Awaitable[T]], what: str, deadline_s: float = DEADLINE_S) -> T:
    """The first true answer of ``look``.  Fails with ``what`` and the last answer at the deadline."""
    until = asyncio.get_running_loop().time() + deadline_s
    while not (answer := await look()):
        assert asyncio.get_running_loop().time() < until, f"not within {deadline_s:g} s: {what}"
        await asyncio.sleep(LOOK_AGAIN_S)
    return answer


@dataclass
class Remote:
    """The sandbox as people use it: its control port."""

    session: aiohttp.ClientSession
    url: str

    async def send(self, method: str, path: str, body: Any = None) -> Any:
        async with self.session.request(method, f"{self.url}/control{path}", json=body) as got:
            assert got.status < 300, f"{method} {path}: {got.status} {await got.text()}"
            return await got.json() if got.status != 204 else None

    async def records(self) -> Any:
        return await self.send("GET", "/records")

    async def calls(self) -> Counter[str]:
        """Requests since ``reset_calls`` by "METHOD template", without tokens and Pub/Sub."""
        shown = await self.send("GET", "/calls")
        made = Counter(shown["hint"]["by"]) + Counter(shown["salesforce"]["by"])
        return Counter({what: n for what, n in made.items() if " /" in what and "/data/C" not in what})

    async def reset_calls(self) -> None:
        await self.send("POST", "/calls/reset")

    async def arm(self, remote: str, kind: str, **more: Any) -> None:
        await self.send("POST", "/faults", {"remote": remote, "kind": kind, **more})

    async def disarm(self) -> None:
        await self.send("DELETE", "/faults")

    async def switch(self, **switches: Any) -> None:
        await self.send("POST", "/salesforce/switches", switches)

    async def set(self, **settings: Any) -> None:
        await self.send("POST", "/settings", settings)


@dataclass
class Pair:
    """A patient and a Contact of one person."""

    world: World
    patient_id: str
    contact_id: str

    async def patient(self) -> Any:
        return await self.world.patient(self.patient_id)

    async def contact(self) -> Any:
        return await self.world.contact(self.contact_id)

    async def edit_patient(self, **fields: Any) -> None:
        await self.world.remote.send("PATCH", f"/patients/{self.patient_id}", fields)

    async def edit_contact(self, **fields: Any) -> None:
        await self.world.remote.send("PATCH", f"/contacts/{self.contact_id}", fields)

    async def patient_shows(self, **fields: Any) -> Any:
        """The patient, once it holds these values."""
        return await self._shows(self.patient, fields)

    async def contact_shows(self, **fields: Any) -> Any:
        return await self._shows(self.contact, fields)

    async def _shows(self, read: Callable[[], Awaitable[Any]], fields: Mapping[str, Any]) -> Any:
        async def look() -> Any:
            record = await read()
            return record if all(record[name] == value for name, value in fields.items()) else None

        return await eventually(look, f"{self.patient_id}/{self.contact_id} shows {fields}")

    async def rests_after(self, calls: int) -> None:
        """Everything is settled, and it cost this many calls since the counters were at zero."""
        await self.world.rest()
        made = await self.world.remote.calls()
        assert sum(made.values()) == calls, made

    async def link(self) -> Link | None:
        return await self.world.house.stores.links.find(self.world.connection.id, Side.SALESFORCE, self.contact_id)

    async def linked(self) -> Link:
        """The standing link of the Contact, once there is one."""
        return await eventually(lambda: self.link(), "the Contact is linked")  # type: ignore[return-value]

    async def unlinked(self) -> None:
        async def gone() -> bool:
            return await self.link() is None

        await eventually(gone, "the Contact is unlinked")

    async def history(self, name: str) -> list[HistoryEntry]:
        """Newest first."""
        link = await self.linked()
        entries = await self.world.house.stores.links.history(link.id)
        return [entry for entry in entries if entry.field == name]

    async def parked(self) -> list[ParkedItem]:
        items = await self.world.parked()
        return [i for i in items if i.contact_id == self.contact_id or i.patient_id == self.patient_id]

    async def is_parked(self, kind: str) -> ParkedItem:
        """The open item of this kind, once there is one."""

        async def look() -> ParkedItem | None:
            return next((item for item in await self.parked() if item.kind == kind), None)

        return await eventually(look, f"parked as {kind}")  # type: ignore[return-value]


@dataclass
class World:
    """One sandbox, one hintd, one connection."""

    sandbox: Sandbox
    remote: Remote
    house: House
    daemon: Daemon
    public_url: str
    operator_url: str
    connection: Connection
    variables: Mapping[str, str]
    clock_s: float = field(default=0.0, init=False)

    # --- records ---

    async def patient(self, patient_id: str) -> Any:
        return next((p for p in (await self.remote.records())["hint"] if p["id"] == patient_id), None)

    async def contact(self, contact_id: str) -> Any:
        return next((c for c in (await self.remote.records())["salesforce"] if c["Id"] == contact_id), None)

    async def contacts_of(self, patient_id: str) -> list[Any]:
        shown = (await self.remote.records())["salesforce"]
        return [contact for contact in shown if contact["Hint_Patient_Id__c"] == patient_id]

    async def new_patient(self, **fields: Any) -> str:
        return str((await self.remote.send("POST", "/patients", fields))["id"])

    async def new_contact(self, **fields: Any) -> str:
        return str((await self.remote.send("POST", "/contacts", fields))["Id"])

    async def lone_contact(self, **fields: Any) -> Pair:
        """A Contact of a new person, whose patient is still to come (``patient_of``); hintd knows of it."""
        contact_id = await self.new_contact(**(_as_contact(someone()) | fields))
        await self.rest()
        return Pair(self, "", contact_id)

    async def patient_of(self, pair: Pair, **fields: Any) -> None:
        """The patient for a lone Contact."""
        contact = await pair.contact()
        person = {"first_name": contact["FirstName"], "last_name": contact["LastName"], "dob": contact["Birthdate"]}
        pair.patient_id = await self.new_patient(**(person | fields))

    async def strangers(self, patient: Fields = NONE, contact: Fields = NONE) -> Pair:
        """A patient and a Contact of the same new person, not linked."""
        person = someone()
        patient_id = await self.new_patient(**(person | dict(patient)))
        return Pair(self, patient_id, await self.new_contact(**(_as_contact(person) | dict(contact))))

    async def pair(self, patient: Fields = NONE, contact: Fields = NONE) -> Pair:
        """A linked pair at rest, with the call counters at zero."""
        pair = await self.strangers(patient, contact)
        await link_by_person(await self.work(), pair.contact_id, pair.patient_id, person="tester")
        await self.rest()
        await self.later()
        await self.remote.reset_calls()
        return pair

    async def later(self, seconds: float = 5.0) -> None:
        """Both remotes' clocks go on by this much: Salesforce's stamps are whole seconds, and edits within the second
        of the last write cannot be told apart without a read."""
        self.clock_s += seconds
        await self.remote.send("POST", "/clock", {"offset_s": self.clock_s})

    async def unseen(self, pair: Pair, **fields: Any) -> None:
        """An edit of the Contact whose change event is lost."""
        await self.remote.switch(change_capture=False)
        await pair.edit_contact(**fields)
        await self.remote.switch(change_capture=True)

    async def tidy(self) -> None:
        """No faults, no automation of the org, every event sent."""
        await self.remote.disarm()
        await self.remote.switch(rules={}, change_capture=True)
        await self.remote.send("POST", "/webhooks", {"mode": "normal"})
        await self.remote.send("POST", "/webhooks/release", {})

    # --- hintd ---

    async def hintd(self, *arguments: str) -> Result:
        """A command beside the daemon, with ``--json``."""
        return await hintd_beside(self.variables, *arguments)

    async def work(self) -> Work:
        return await self.house.work(self.connection)

    async def set(self, **settings: Any) -> None:
        """Change settings of the connection, and wait until the daemon knows."""
        self.connection = replace(self.connection, settings={**self.connection.settings, **settings})
        await self.house.stores.connections.change(self.connection)
        await self.daemon._watch.look()

    async def parked(self) -> list[ParkedItem]:
        return list(await self.house.stores.parking.items(limit=1000))

    async def logged(self, record_id: str) -> set[str]:
        """What the log says of a record."""
        entries = await self.house.stores.log.read(self.connection.id, LogFilter(record_id=record_id))
        return {entry.what for _, entry in entries}

    async def outcomes(self) -> Counter[str]:
        """Settled events of the ledger by outcome."""
        counts: Counter[str] = Counter()
        for (_, outcome), count in (await self.house.stores.connections.event_counts(self.connection.id)).items():
            counts[outcome] += count
        return counts

    async def reasons(self) -> Counter[str]:
        """Settled events of the ledger by reason."""
        rows = await self.house.database.rows("select reason, count(*) as events from event group by reason")
        return Counter({row["reason"]: row["events"] for row in rows})

    async def metrics(self) -> dict[str, float]:
        """Samples of ``/metrics`` by name with labels, as the text format writes them."""
        async with self.remote.session.get(f"{self.operator_url}/metrics") as got:
            lines = (await got.text()).splitlines()
        return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines if not line.startswith("#")}

    async def waiting(self) -> int:
        here = await self.house.inbox_bus.waiting()
        there = await self.house.bus.waiting() if self.house.has_relay else {}
        return here.get(Queue.CHANGES, 0) + there.get(Queue.CHANGES, 0)

    async def rest(self) -> None:
        """Until every delivery and change event was taken, and everything taken was settled."""
        quiet = 0

        async def settled_twice() -> bool:
            nonlocal quiet
            quiet = quiet + 1 if await self._is_quiet() else 0
            return quiet > 1

        await eventually(settled_twice, "everything is settled")

    async def _is_quiet(self) -> bool:
        await self.sandbox.hint.webhooks.idle()
        cursor = await self.house.stores.cursors.load(self.connection.id, CURSOR)
        seen = int.from_bytes(cursor[:8], "big") if cursor else 0
        try:
            return not self.sandbox.salesforce.topic.after(seen, 1) and await self.waiting() == 0
        except BusDown:  # not connected yet, or just now not
            return False


def someone() -> dict[str, Any]:
    """A person whom nobody has seen before, in Hint's words."""
    return {"first_name": "Test", "last_name": f"Person {letters(next(_numbers))}", "dob": "1980-02-03"}


def _as_contact(person: Fields) -> dict[str, Any]:
    return {"FirstName": person["first_name"], "LastName": person["last_name"], "Birthdate": person["dob"]}


def letters(number: int) -> str:
    """Digits as letters: digits do not belong into names."""
    return "".join(chr(ord("a") + int(digit)) for digit in str(number)).capitalize()


# --- making one ------------------------------------------------------------------------------------------------------


def environment(sandbox: Sandbox, dsn: str, bus_url: str, ports: tuple[int, int]) -> dict[str, str]:
    public, operator = (f"127.0.0.1:{port}" for port in ports)
    return {
        "HINTD_POSTGRES__DSN": dsn,
        "HINTD_BUS__URL": bus_url,
        "HINTD_HINT__API_URL": sandbox.url,
        "HINTD_HINT__PARTNER_KEY": "sbx-partner-key",
        "HINTD_HINT__WEBHOOK_SECRET": "sbx-webhook-secret",
        "HINTD_HINT__REQUESTS_PER_SECOND": "1000",
        "HINTD_HINT__TIMEOUT_S": "5",
        "HINTD_SALESFORCE__TIMEOUT_S": "5",
        "HINTD_SALESFORCE__LOGIN_URL": sandbox.url,
        "HINTD_SALESFORCE__AUTH": "client_credentials",
        "HINTD_SALESFORCE__CLIENT_ID": "sbx-client",
        "HINTD_SALESFORCE__CLIENT_SECRET": "sbx-secret",
        "HINTD_SALESFORCE__PUBSUB_ADDRESS": sandbox.grpc_address,
        "HINTD_SALESFORCE__PUBSUB_TLS": "false",
        "HINTD_SECURITY__ENCRYPTION_KEYS": Fernet.generate_key().decode(),
        "HINTD_SERVICE__PUBLIC_URL": f"http://{public}",
        "HINTD_SERVICE__PUBLIC_LISTEN": public,
        "HINTD_SERVICE__OPERATOR_LISTEN": operator,
        "HINTD_SERVICE__STOP_TIMEOUT_S": "5",
        "HINTD_SYNC__SWEEP_INTERVAL_S": "3600",
    }


async def connect(house: House, name: str = PRACTICE) -> Connection:
    """What ``hintd connection add`` does."""
    tokens = house.remote.tokens({})
    org_client = house.remote.salesforce(tokens, name)
    try:
        request = Request(name, "sbx-code", "Sandbox Clinic", house.config.service.public_url)
        org = await find_org(org_client, (await tokens.token()).instance_url, request.default_account)
        partner, connections = house.remote.partner(), house.stores.connections
        connection = await install(partner, connections, request, org, house.now())
        connection = await point_webhook(partner, connections, connection, webhook_url(request.public_url))
    finally:
        org_client.close()
    await take_stock(await house.work(connection), lambda *_: None, adopt=True)
    return connection


@asynccontextmanager
async def running_sandbox(**options: Any) -> AsyncIterator[Sandbox]:
    """A sandbox on free ports, without quotas, quick to show that its stream is live."""
    quiet: dict[str, Any] = {"port": 0, "grpc_port": 0, "people": 0, "hint_requests_per_second": 0}
    async with Sandbox(Options(**(quiet | options))).running() as sandbox:
        sandbox.salesforce.change_switches({"keepalive_s": 0.2})
        yield sandbox


@asynccontextmanager
async def running(house: House) -> AsyncIterator[Daemon]:
    """The daemon in this process, stopped in bounded time; this process gets its signals back."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    daemon = Daemon(house, frozenset(Role))
    task = asyncio.create_task(daemon.run(), name="daemon")
    try:
        yield daemon
    finally:
        daemon.stop()
        await asyncio.wait({task}, timeout=10)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        for number, handler in before.items():
            asyncio.get_running_loop().remove_signal_handler(number)
            signal.signal(number, handler)


def configure(variables: Mapping[str, str], sync: Fields = NONE) -> Config:
    """``sync``: settings of that section that need a file, such as ``fields``."""
    config = load_config(None, variables)
    return msgspec.structs.replace(config, sync=msgspec.structs.replace(config.sync, **sync))


@asynccontextmanager
async def open_world(
    dsn: str, bus_url: str, *, config: Mapping[str, str] = NONE, sync: Fields = NONE, **options: Any
) -> AsyncIterator[World]:
    """A connected practice with hintd running and its stream live.  ``config``: environment variables of hintd;
    ``sync`` as in ``configure``; ``options``: those of the sandbox."""
    async with running_sandbox(**options) as sandbox:
        variables = environment(sandbox, dsn, bus_url, (free_port(), free_port())) | dict(config)
        async with _connected(sandbox, variables, sync) as world:
            yield world


@asynccontextmanager
async def _connected(sandbox: Sandbox, variables: Mapping[str, str], sync: Fields) -> AsyncIterator[World]:
    async with open_house(configure(variables, sync)) as house, aiohttp.ClientSession() as session:
        connection = await connect(house)
        async with running(house) as daemon:
            service = house.config.service
            urls = (f"http://{service.public_listen}", f"http://{service.operator_listen}")
            world = World(sandbox, Remote(session, sandbox.url), house, daemon, *urls, connection, variables)
            await stream_is_live(world)
            yield world


async def stream_is_live(world: World) -> None:
    """A response has come and its cursor was stored: from here on no change is missed."""

    async def look() -> bool:
        return await world.house.stores.cursors.load(world.connection.id, CURSOR) is not None

    await eventually(look, "the stream is live")
    await world.rest()
