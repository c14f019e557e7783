"""README rule 11 over the wire, beside a running daemon: leaving a practice, and coming back."""

from __future__ import annotations

import pytest

from hintd.service.disconnecting import disconnect
from hintd.service.sweep import sweep_connection
from tests.system.conftest import Fresh
from tests.system.world import World, connect, eventually

pytestmark = pytest.mark.system


async def _leave(world: World) -> None:
    connections = world.house.stores.connections
    world.connection = await disconnect(world.house.remote.partner(), connections, world.connection)


async def _state(world: World) -> str:
    (stored,) = await world.house.stores.connections.all()
    return stored.state


async def test_what_changes_while_the_practice_is_left_is_brought_over_when_it_comes_back(fresh: Fresh) -> None:
    async with fresh() as world:
        pair = await world.pair()
        await _leave(world)
        await world.daemon._watch.look()
        await pair.edit_patient(email="meanwhile@mail.example")
        await pair.edit_contact(MailingCity="Meanwhile")
        assert (await pair.contact())["Email"] is None
        assert (await pair.patient())["address_city"] is None

        world.connection = await connect(world.house)
        await world.daemon._watch.look()
        await sweep_connection(await world.work(), world.house.ingest.accept_all, overlap_s=300)
        await pair.contact_shows(Email="meanwhile@mail.example")
        await pair.patient_shows(address_city="Meanwhile")


async def test_hint_is_left_behind_with_no_webhook_and_a_token_that_no_longer_works(fresh: Fresh) -> None:
    async with fresh() as world:
        installation = world.connection.installation_id
        await _leave(world)
        assert await world.house.remote.partner().list_webhooks(installation) == ()
        assert not world.sandbox.hint.installation.active
        (stored,) = await world.house.stores.connections.all()
        assert (stored.secrets, stored.webhook) == ({}, {})


async def test_a_daemon_that_does_not_know_yet_does_not_undo_it(fresh: Fresh) -> None:
    """What it has in hand meets credentials that are refused, and would pause the connection as it knew it."""
    async with fresh() as world:
        practice_id = world.connection.practice_id
        await _leave(world)
        await world.daemon._watch.pause(practice_id, "credentials refused")
        assert await _state(world) == "disconnected"

        async def knows() -> bool:
            return not world.daemon._watch.active()

        await eventually(knows, "the daemon has seen it")
