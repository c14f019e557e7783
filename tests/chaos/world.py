"""One practice at the sandbox with linked people, the configuration that hintd's processes share, and what must hold
when all is over."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import aiohttp
from cryptography.fernet import Fernet

from hintd.composition import House, open_house, utc_now
from hintd.config import Config, load_config
from hintd.ports import Connection, Queue
from hintd.rabbit.bus import RabbitBus
from hintd.service.linking import link_by_person
from hintd.service.sweep import fill_index, sweep_connection
from hintd.service.verify import verify_connection
from hintd.service.work import Work
from tests.chaos.clinic import Clinic, Edits, Pair
from tests.chaos.processes import Hintd, Process, ending
from tests.chaos.waiting import wait_until_nothing
from tests.private_rabbit import free_port

_CONVERGED_S = 60.0
_PEOPLE = 30

STOP_TIMEOUT_S = 20.0
LEASE_S = 4.0
"""Short, so that what a killed process held is taken over at once."""


@dataclass(frozen=True, slots=True)
class World:
    """``dsn``: for the test itself, past any proxy that hintd is made to use; empty where Postgres is embedded."""

    clinic: Clinic
    session: aiohttp.ClientSession
    config_file: Path
    dsn: str
    pairs: Sequence[Pair]
    count: tuple[int, int]

    def hintd(self, name: str, *roles: str) -> Hintd:
        return Hintd(name, roles, self.config_file, free_port())

    @asynccontextmanager
    async def running(self, *fleet: Hintd) -> AsyncIterator[None]:
        """They are ready when the block begins, and gone after it."""
        async with ending(*fleet):
            for process in fleet:
                await process.start()
            await self.ready(fleet)
            yield

    async def ready(self, fleet: Sequence[Hintd]) -> None:
        for process in fleet:
            await process.wait_ready(self.session)

    async def end(self, fleet: Sequence[Hintd]) -> None:
        """By SIGTERM, one after the other."""
        assert {process.name: await process.end() for process in fleet} == {process.name: 0 for process in fleet}

    def config(self) -> Config:
        environ = {"HINTD_POSTGRES__DSN": self.dsn} if self.dsn else {}
        return load_config(self.config_file, environ)

    @asynccontextmanager
    async def house(self) -> AsyncIterator[tuple[House, Work]]:
        """What a command beside the daemon sees."""
        async with open_house(self.config()) as house:
            if isinstance(house.bus, RabbitBus):
                await house.bus.wait_connected(10.0)
            (connection,) = await house.stores.connections.all()
            yield house, await house.work(connection)

    async def set(self, **settings: object) -> None:
        """Settings of the connection; for before anything runs."""
        async with self.house() as (house, work):
            changed = {**work.connection.settings, **settings}
            await house.stores.connections.change(replace(work.connection, settings=changed))

    async def arrived(self, edits: Edits) -> None:
        """Waits until both sides hold the last edit of every field."""
        expected = edits.expected()
        await wait_until_nothing(
            lambda: self.clinic.not_arrived(expected), "both sides hold the last edits", within_s=_CONVERGED_S
        )

    async def at_rest(self, running: Sequence[Hintd]) -> None:
        """Waits until no event is on its way any more."""
        await wait_until_nothing(self.clinic.undelivered, "Hint's webhooks are accepted", within_s=_CONVERGED_S)
        workers = [process for process in running if "worker" in process.roles or not process.roles]

        async def waiting() -> float:
            return sum([await worker.waiting(self.session) for worker in workers])

        await wait_until_nothing(waiting, "no message waits", within_s=_CONVERGED_S)


@asynccontextmanager
async def open_world(
    directory: Path, *, dsn: str, dsn_of_hintd: str = "", bus_url: str = "", people: int = _PEOPLE, linked: bool = True
) -> AsyncIterator[World]:
    """``dsn`` empty: the embedded Postgres, its data in the directory.  ``linked`` off: nobody is."""
    sandbox = Process(
        "sandbox",
        ["sandbox", "--json", "--port", "0", "--grpc-port", "0", "--people", str(people)],
        directory / "sandbox.log",
        {},
    )
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(ending(sandbox))
        session = await stack.enter_async_context(aiohttp.ClientSession())
        await sandbox.start()
        where = await sandbox.first_document()
        clinic = Clinic(session, where["url"], where["grpc_address"])
        await clinic.ask(
            "POST",
            "settings",
            {"hint_requests_per_second": 0, "webhook_retry_s": 0.5, "webhook_mute_after": 1_000_000},
        )
        # A new stream is live with the first thing it gets, which on a quiet topic is a keep-alive.
        await clinic.ask("POST", "salesforce/switches", {"keepalive_s": 1})
        config_file = directory / "hintd.toml"
        port = free_port()
        config_file.write_text(_config(clinic, port, dsn_of_hintd or dsn, bus_url, directory))
        config_file.chmod(0o600)
        pairs = await clinic.same_people() if linked else []
        await _connect(config_file, dsn, clinic, pairs, f"http://127.0.0.1:{port}/hint/webhooks")
        patients, contacts = await clinic.records()
        yield World(clinic, session, config_file, dsn, pairs, (len(patients), len(contacts)))


def _config(clinic: Clinic, port: int, dsn: str, bus_url: str, directory: Path) -> str:
    return f"""
[service]
public_listen = "127.0.0.1:{port}"
data_dir = "{directory / "data"}"
stop_timeout_s = {STOP_TIMEOUT_S}
[postgres]
dsn = "{dsn}"
timeout_s = 3.0
[bus]
url = "{bus_url}"
publish_timeout_s = 2.0
[hint]
api_url = "{clinic.url}"
partner_key = "sbx-partner-key"
webhook_secret = "sbx-webhook-secret"
requests_per_second = 1000.0
[salesforce]
login_url = "{clinic.url}"
auth = "client_credentials"
client_id = "sbx-client"
client_secret = "sbx-secret"
pubsub_address = "{clinic.grpc_address}"
pubsub_tls = false
[sync]
sweep_interval_s = 3600.0
[limits]
lease_s = {LEASE_S}
[security]
encryption_keys = ["{Fernet.generate_key().decode()}"]
"""


async def _connect(config_file: Path, dsn: str, clinic: Clinic, pairs: Sequence[Pair], webhook_url: str) -> None:
    """Connect the practice and link these, before anything of hintd runs."""
    environ = {"HINTD_POSTGRES__DSN": dsn} if dsn else {}
    async with open_house(load_config(config_file, environ)) as house:
        partner = house.remote.partner()
        installed = await partner.connect("sbx-code")
        connection = await house.stores.connections.add(
            Connection(
                id=0,
                name="main",
                practice_id=installed.practice_id,
                practice_name=installed.practice_name,
                installation_id=installed.id,
                organization_id="",
                organization_name="",
                state="active",
                created_at=utc_now(),
                settings={"instance_url": clinic.url},
                webhook={},
                default_account_id=None,
                secrets={"hint_token": installed.token or ""},
            )
        )
        work = await house.work(connection)
        await fill_index(work)
        for patient_id, contact_id in pairs:
            await link_by_person(work, contact_id, patient_id, person="the test")
        await partner.register_webhook(installed.id, webhook_url)


# --- the verdict ---


async def judge(world: World, edits: Edits, running: Sequence[Hintd]) -> None:
    """Everything arrived, nothing twice, and a look at everything writes nothing.  ``running`` are the processes."""
    await world.arrived(edits)
    await world.at_rest(running)
    nothing_unforeseen(running)
    async with world.house() as (house, work):
        await _nothing_to_write(world, house, work, running)
        await _nothing_twice(world, house, work, edits)
        await _ledger_adds_up(world, house, work)


def nothing_unforeseen(running: Sequence[Hintd]) -> None:
    lines = [line for process in running for line in process.log_lines()]
    raised = [line for line in lines if line["level"] == "error" and "exception" in line]
    assert not raised, f"not foreseen: {raised}"


async def _nothing_to_write(world: World, house: House, work: Work, running: Sequence[Hintd]) -> None:
    await world.clinic.forget_calls()
    await sweep_connection(work, house.ingest.accept_all, overlap_s=3600.0)
    await world.at_rest(running)
    assert await world.clinic.writes() == {}
    verdict = await verify_connection(work)
    assert (verdict.different, verdict.would_write) == (0, [])
    assert verdict.pairs == len(world.pairs)


async def _nothing_twice(world: World, house: House, work: Work, edits: Edits) -> None:
    patients, contacts = await world.clinic.records()
    assert (len(patients), len(contacts)) == world.count
    links = {(link.patient_id, link.contact_id): link for link in await house.stores.links.all(work.connection.id)}
    assert set(links) == set(world.pairs)
    for pair, link in links.items():
        entries = await house.stores.links.history(link.id, limit=10_000)
        told = Counter((entry.field, entry.side, entry.new) for entry in entries)
        twice = {change for change, times in told.items() if times > 1}
        repeated = [entry for entry in entries if (entry.field, entry.side, entry.new) in twice]
        assert not repeated, f"the history of {pair} tells a change twice: {repeated}"
        last = {value for (edited, _), value in edits.expected().items() if edited == pair}
        missing = last - {entry.new for entry in entries}
        assert not missing, f"the history of {pair} does not tell of {missing}: {entries}"


async def _ledger_adds_up(world: World, house: House, work: Work) -> None:
    """Every event that a remote knows to be delivered has an outcome, none failed, and nothing is left anywhere."""
    counts = await house.stores.connections.event_counts(work.connection.id)
    deliveries = (await world.clinic.ask("GET", "webhooks"))["deliveries"]
    settled = sum(count for (source, _), count in counts.items() if source == "webhook")
    assert settled >= len(deliveries), f"{len(deliveries)} webhooks were accepted, {settled} have an outcome"
    parked = await house.stores.parking.items()
    assert not parked, f"parked: {[(item.kind, item.cause) for item in parked]}"
    assert "parked" not in {outcome for _, outcome in counts}, counts
    waiting = (await house.inbox_bus.waiting())[Queue.CHANGES]
    assert not waiting, f"{waiting} messages are left in the inbox"
