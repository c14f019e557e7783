"""Worlds of the system tests, on the embedded bus and on RabbitMQ.

``world`` is shared by a module whose tests use people of their own; ``fresh`` makes a world that a test may break.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import Any

import pytest
import pytest_asyncio

from tests.conftest import Servers
from tests.postgres_server import Databases
from tests.rabbit_server import remove_queues, with_own_prefix
from tests.system.world import World, open_world

BUSES = ("embedded", "rabbitmq")

Fresh = Callable[..., AbstractAsyncContextManager[World]]


async def _bus_url(kind: str, servers: Servers, stack: AsyncExitStack) -> str:
    """Empty for the bus that is a table in Postgres."""
    if kind == "embedded":
        return ""
    url = with_own_prefix(servers.rabbit().url)
    stack.push_async_callback(remove_queues, url)
    return url


async def _dsn(databases: Databases, stack: AsyncExitStack) -> str:
    dsn = await databases.create(migrated=True)
    stack.push_async_callback(databases.drop, dsn)
    return dsn


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=BUSES)
async def world(request: pytest.FixtureRequest, databases: Databases, servers: Servers) -> AsyncIterator[World]:
    """One world for the tests of a module; ``OPTIONS`` of the module are its sandbox's."""
    options: dict[str, Any] = getattr(request.module, "OPTIONS", {})
    async with AsyncExitStack() as stack:
        bus_url = await _bus_url(request.param, servers, stack)
        yield await stack.enter_async_context(open_world(await _dsn(databases, stack), bus_url, **options))


@pytest_asyncio.fixture(loop_scope="module", autouse=True)
async def tidied(request: pytest.FixtureRequest) -> AsyncIterator[None]:
    """What a test switched in its module's world is switched back, also when the test failed."""
    world = request.getfixturevalue("world") if "world" in request.fixturenames else None
    yield
    if world is not None:
        await world.tidy()


@pytest.fixture(params=BUSES)
def bus_kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
async def bus_url(bus_kind: str, servers: Servers) -> AsyncIterator[str]:
    async with AsyncExitStack() as stack:
        yield await _bus_url(bus_kind, servers, stack)


@pytest.fixture
async def fresh(bus_url: str, store_dsn: str) -> Fresh:
    """Opens a world of the test's own: ``async with fresh(...) as world``."""

    def open_fresh(**more: Any) -> AbstractAsyncContextManager[World]:
        return open_world(store_dsn, bus_url, **more)

    return open_fresh
