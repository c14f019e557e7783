"""The real process against the sandbox: it syncs, it stops in two steps, and it tells nobody a patient's values."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aio_pika
import aiohttp
import asyncpg
import pytest

from hintd.composition import open_house
from hintd.config import load_config
from hintd.daemon import Daemon
from hintd.ports import Queue
from hintd.rabbit.topology import Topology, split_url
from hintd.service.linking import link_by_person
from tests.private_rabbit import free_port
from tests.system.process import Process, hintd_process, write_config
from tests.system.world import Pair, Remote, World, connect, environment, running_sandbox, stream_is_live

pytestmark = pytest.mark.system

# Values that stand nowhere else, so that finding one means that it leaked.
PATIENT: Mapping[str, Any] = {
    "first_name": "Quizzaciously",
    "last_name": "Zyzzyvaton",
    "dob": "1931-07-29",
    "email": "zyzzy.quiz@leaky.example",
    "phones": [{"number": "4155550167", "type": "mobile"}],
    "address_line1": "77 Floccinaucini Road",
    "health_insurance_member_id": "MXQJ9920713",
}
NEEDLES = (
    "quizzaciously", "zyzzyvaton", "1931-07-29", "zyzzy.quiz", "4155550167", "555-0167", "floccinaucini", "mxqj9920713",
    "nihilipilification", "forbidden city",
)  # fmt: skip
SEARCHED_IN_PLAIN = {"record"}  # names and dates of birth of the index: matching and live search are queries
UNSEARCHED = ("zyzzy.quiz", "4155550167", "555-0167", "floccinaucini", "mxqj9920713")


def _found(text: str | bytes, needles: tuple[str, ...] = NEEDLES) -> list[str]:
    low = (text if isinstance(text, bytes) else text.encode()).lower()
    return [needle for needle in needles if needle.encode() in low]


@asynccontextmanager
async def _stage(dsn: str, bus_url: str, tmp_path: Path) -> AsyncIterator[tuple[World, Path]]:
    """A connected practice whose daemon is still to be started, as a process, from the configuration file."""
    async with running_sandbox(people=6) as sandbox, aiohttp.ClientSession() as session:
        variables = environment(sandbox, dsn, bus_url, (free_port(), free_port())) | {"HINTD_LOG__LEVEL": "debug"}
        config = tmp_path / "hintd.toml"
        write_config(config, variables)
        async with open_house(load_config(config, {})) as house:
            connection = await connect(house)
            service = house.config.service
            urls = (f"http://{service.public_listen}", f"http://{service.operator_listen}")
            daemon = Daemon(house, frozenset())  # never run: the process is
            yield World(sandbox, Remote(session, sandbox.url), house, daemon, *urls, connection, variables), config


async def _person(world: World) -> Pair:
    patient_id = await world.new_patient(**PATIENT)
    names = {"FirstName": PATIENT["first_name"], "LastName": PATIENT["last_name"], "Birthdate": PATIENT["dob"]}
    return Pair(world, patient_id, await world.new_contact(**names))


async def _live_through_much(world: World) -> None:
    """A person whose values take every path: linked, changed, conflicting, refused, held, cleared."""
    pair = await _person(world)
    await link_by_person(await world.work(), pair.contact_id, pair.patient_id, person="tester")
    await world.rest()
    await pair.edit_patient(address_line1="1 Nihilipilification Way")
    await pair.contact_shows(MailingStreet="1 Nihilipilification Way")
    await pair.edit_contact(Email="changed.zyzzy.quiz@leaky.example")
    await pair.patient_shows(email="changed.zyzzy.quiz@leaky.example")
    await world.remote.switch(rules={"reject": {"field": "MailingCity", "contains": "Forbidden"}})
    await pair.edit_patient(address_city="Forbidden City")
    await pair.is_parked("refused_by_salesforce")
    await pair.edit_patient(middle_name="Nihilipilification" * 4)
    await pair.is_parked("held_field")
    await pair.edit_contact(FirstName=None)
    await world.remote.arm("hint", "nonsense", path=pair.patient_id)
    await world.remote.arm("salesforce", "nonsense", path="composite")
    await pair.edit_patient(email=None)
    await pair.contact_shows(Email=None)
    await world.house.bus.publish(Queue.CHANGES, b"H1" + PATIENT["last_name"].encode(), key="x")
    await world.rest()


async def test_the_process_syncs_and_stops_when_told(bus_url: str, store_dsn: str, tmp_path: Path) -> None:
    async with _stage(store_dsn, bus_url, tmp_path) as (world, config):
        async with hintd_process(config, f"{world.public_url}/readyz") as running:
            await stream_is_live(world)
            pair = await _person(world)
            await link_by_person(await world.work(), pair.contact_id, pair.patient_id, person="tester")
            await pair.edit_patient(address_city="Denver")
            await pair.contact_shows(MailingCity="Denver")
            await pair.edit_contact(MailingCity="Austin")
            await pair.patient_shows(address_city="Austin")
            assert await running.stop() == 0
        await pair.edit_contact(MailingCity="Boston")
        async with hintd_process(config, f"{world.public_url}/readyz"):
            await pair.patient_shows(address_city="Boston")


async def test_no_patients_value_is_logged_counted_or_readable_at_rest(
    bus_url: str, store_dsn: str, tmp_path: Path
) -> None:
    async with _stage(store_dsn, bus_url, tmp_path) as (world, config):
        async with hintd_process(config, f"{world.public_url}/readyz") as running:
            await stream_is_live(world)
            await _live_through_much(world)
            async with world.remote.session.get(f"{world.operator_url}/metrics") as got:
                assert _found(await got.text()) == []
            assert await running.stop() == 0
        _only_json_lines_without_values(running)
        assert await _readable_at_rest(store_dsn) == {}


def _only_json_lines_without_values(running: Process) -> None:
    lines = [json.loads(line) for line in running.log.splitlines() if line.startswith("{")]
    assert {"started", "change", "stopped"} <= {line["event"] for line in lines}
    assert _found(running.log) == []


async def _readable_at_rest(dsn: str) -> dict[str, list[str]]:
    """Needles by table, in every value of every row."""
    connection = await asyncpg.connect(dsn)
    try:
        tables = await connection.fetch("select tablename from pg_tables where schemaname = 'public'")
        names = [row["tablename"] for row in tables]
        rows = {name: await connection.fetch(f'select * from "{name}"') for name in names}
    finally:
        await connection.close()
    assert {"history", "link", "parked", "record", "log"} <= {name for name, found in rows.items() if found}
    leaks: dict[str, list[str]] = {}
    for name, found in rows.items():
        needles = UNSEARCHED if name in SEARCHED_IN_PLAIN else NEEDLES
        values = (value for row in found for value in row.values())
        if leaked := sorted({leak for value in values for leak in _found(_as_text(value), needles)}):
            leaks[name] = leaked
    return leaks


def _as_text(value: Any) -> str | bytes:
    return value if isinstance(value, bytes) else str(value)


async def test_messages_that_wait_are_sealed(bus_url: str, store_dsn: str, tmp_path: Path) -> None:
    async with _stage(store_dsn, bus_url, tmp_path) as (world, config):
        async with hintd_process(config, f"{world.public_url}/readyz", "listener"):
            await _person(world)
            await world.sandbox.hint.webhooks.idle()
            bodies = await (_of_broker(bus_url) if bus_url else _of_inbox(store_dsn))
        assert bodies
        assert all(body.startswith(b"H1") for body in bodies)
        assert [found for body in bodies if (found := _found(body))] == []


async def _of_inbox(dsn: str) -> list[bytes]:
    connection = await asyncpg.connect(dsn)
    try:
        return [row["body"] for row in await connection.fetch("select body from inbox")]
    finally:
        await connection.close()


async def _of_broker(bus_url: str) -> list[bytes]:
    address, prefix = split_url(bus_url)
    connection = await aio_pika.connect(address)
    async with connection, connection.channel() as channel:
        bodies = []
        for shape in Topology(prefix).queues():
            queue = await channel.get_queue(shape.name)
            while (message := await queue.get(fail=False)) is not None:
                bodies.append(message.body)
                assert _found(str(message.headers)) == []
        return bodies
