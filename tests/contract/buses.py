"""The buses under contract, each with a way to kill its consumers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from hintd.ports import Bus
from hintd.postgres.bus import open_bus
from hintd.postgres.inbox import Inbox
from hintd.postgres.pool import open_database
from hintd.rabbit.bus import RabbitBus
from tests.fakes.bus import MemoryBus

DELIVERY_LIMIT = 3
_CONNECT_S = 20.0


@dataclass(slots=True)
class Rig:
    """``bus`` is a new one after each ``crash``, which ends the process's hold on all that is in hand, unsettled."""

    bus: Bus
    crash: Callable[[], Awaitable[None]]


@asynccontextmanager
async def memory_rig(_: str) -> AsyncIterator[Rig]:
    bus = MemoryBus(delivery_limit=DELIVERY_LIMIT)

    async def crash() -> None:
        bus.crash()

    yield Rig(bus, crash)


@asynccontextmanager
async def embedded_rig(dsn: str) -> AsyncIterator[Rig]:
    """A crash is the end of the connections: nothing can be given back, and the leases run out."""
    async with AsyncExitStack() as lives:

        async def live() -> Bus:
            database = await lives.enter_async_context(open_database(dsn, size=4))
            inbox = Inbox(database, delivery_limit=DELIVERY_LIMIT)
            pools.append(database.pool.terminate)
            return await lives.enter_async_context(open_bus(database, inbox, lease_s=0.6, poll_s=0.1))

        async def crash() -> None:
            pools.pop()()
            await lives.pop_all().aclose()
            rig.bus = await live()

        pools: list[Callable[[], None]] = []
        rig = Rig(await live(), crash)
        yield rig


@asynccontextmanager
async def rabbit_rig(url: str) -> AsyncIterator[Rig]:
    async with AsyncExitStack() as lives:

        async def live() -> Bus:
            bus = await lives.enter_async_context(RabbitBus(url, delivery_limit=DELIVERY_LIMIT))
            await bus.wait_connected(_CONNECT_S)
            return bus

        async def crash() -> None:
            await lives.pop_all().aclose()
            rig.bus = await live()

        rig = Rig(await live(), crash)
        yield rig


RigMaker = Callable[[str], AbstractAsyncContextManager[Rig]]

RIGS: dict[str, tuple[str | None, RigMaker]] = {
    "memory": (None, memory_rig),
    "embedded": ("store_dsn", embedded_rig),
    "rabbit": ("amqp_url", rabbit_rig),
}
"""By name: the fixture with the server's address, and the maker."""
