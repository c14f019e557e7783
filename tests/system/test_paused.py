"""README rule 13 over the wire: credentials that are refused, and a broker that cannot be reached."""

from __future__ import annotations

import asyncio

import pytest
from yarl import URL

from tests.conftest import Servers
from tests.rabbit_server import remove_queues, with_own_prefix
from tests.system.cable import cable_to
from tests.system.conftest import Fresh
from tests.system.world import World, eventually, open_world, stream_is_live

pytestmark = pytest.mark.system

PROBED_WITHIN_S = 45.0


async def _is_paused(world: World) -> bool:
    connection = await world.house.stores.connections.by_name(world.connection.name)
    return connection is not None and connection.state == "paused" and bool(connection.paused_why)


async def _refuse(world: World, remote: str) -> None:
    if remote == "hint":
        await world.remote.arm("hint", "revoke", times=-1)
    else:
        await world.remote.set(client_secret="changed by an administrator")
        await world.remote.send("POST", "/salesforce/revoke-tokens")


async def _accept_again(world: World) -> None:
    await world.remote.disarm()
    await world.remote.set(client_secret="sbx-secret")


@pytest.mark.parametrize("remote", ["salesforce", "hint"])
async def test_refused_credentials_pause_the_connection_and_nothing_is_lost(fresh: Fresh, remote: str) -> None:
    async with fresh() as world:
        pair, other = await world.pair(), await world.pair()
        await _refuse(world, remote)
        await pair.edit_patient(email="patient@mail.example")
        await other.edit_contact(Email="contact@mail.example")
        await eventually(lambda: _is_paused(world), "the connection is paused")
        await _accept_again(world)

        async def both_arrived() -> bool:
            contact, patient = await pair.contact(), await other.patient()
            return (contact["Email"], patient["email"]) == ("patient@mail.example", "contact@mail.example")

        await eventually(both_arrived, "both changes arrive after the fix", PROBED_WITHIN_S)
        assert not await _is_paused(world)


async def test_expired_tokens_are_renewed_without_a_pause(fresh: Fresh) -> None:
    async with fresh() as world:
        pair = await world.pair()
        await world.remote.send("POST", "/salesforce/revoke-tokens")
        await pair.edit_patient(email="renewed@mail.example")
        await pair.contact_shows(Email="renewed@mail.example")
        assert not await _is_paused(world)


async def test_while_the_broker_is_away_events_wait_in_postgres_and_are_relayed(
    servers: Servers, store_dsn: str
) -> None:
    url = URL(with_own_prefix(servers.rabbit().url))
    quick = {"HINTD_BUS__PUBLISH_TIMEOUT_S": "1"}
    async with cable_to(str(url.host), int(url.port or 5672)) as cable:
        through = str(url.with_host("127.0.0.1").with_port(cable.port))
        try:
            async with open_world(store_dsn, through, config=quick) as world:
                pair = await world.pair()
                await cable.cut()
                await pair.edit_patient(email="kept@mail.example")

                async def in_the_inbox() -> bool:
                    return sum((await world.house.inbox_bus.waiting()).values()) >= 1

                await eventually(in_the_inbox, "the event waits in the inbox")
                await asyncio.wait_for(world.sandbox.hint.webhooks.idle(), 10)
                delivered = (await world.remote.send("GET", "/webhooks"))["deliveries"][-1]
                assert delivered["status"] == "delivered"
                async with world.remote.session.get(f"{world.public_url}/readyz") as ready:
                    assert "bus" in (await ready.json())["problems"]
                await cable.mend()
                await pair.contact_shows(Email="kept@mail.example")
                await stream_is_live(world)
        finally:
            await remove_queues(str(url))
