"""Every test here runs once on each implementation: ``stores`` in memory and in Postgres, ``rig`` for each bus."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from tests.contract.buses import RIGS, Rig, RigMaker
from tests.contract.stores import Stores, connection, memory_stores, postgres_stores


@pytest.fixture(params=["memory", "postgres"])
def store_address(request: pytest.FixtureRequest) -> str | None:
    """None: in memory.  Asked for here because an async fixture cannot ask for another one by name."""
    return None if request.param == "memory" else request.getfixturevalue("store_dsn")


@pytest.fixture
async def stores(store_address: str | None) -> AsyncIterator[Stores]:
    async with AsyncExitStack() as stack:
        if store_address is None:
            made = memory_stores()
        else:
            made = await stack.enter_async_context(postgres_stores(store_address))
        await made.connections.add(connection())
        yield made


@pytest.fixture(params=RIGS)
def bus_address(request: pytest.FixtureRequest) -> tuple[RigMaker, str]:
    server, make_rig = RIGS[request.param]
    return make_rig, request.getfixturevalue(server) if server else ""


@pytest.fixture
async def rig(bus_address: tuple[RigMaker, str]) -> AsyncIterator[Rig]:
    make_rig, address = bus_address
    async with make_rig(address) as made:
        yield made
