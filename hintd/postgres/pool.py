"""The connections to Postgres, and the one place that tells "the server is not there" from "the statement is wrong".

Every store asks through ``Database``; ``StoreDown`` is all that the services see of a lost server.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any, TypeAlias

import asyncpg

from hintd.ports import StoreDown

Pool: TypeAlias = "asyncpg.Pool[asyncpg.Record]"
Seal = Callable[[bytes], bytes]

GONE = (
    OSError,  # refused, reset, no such socket, timed out
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,  # the connection or the pool was closed under us
    asyncpg.InternalClientError,  # the server's last word was read, but not yet that it closed the connection
    asyncpg.OperatorInterventionError,  # shutting down, starting up, cancelled by an administrator
    asyncpg.InsufficientResourcesError,  # too many connections, disk full
    asyncpg.TransactionRollbackError,  # deadlock, serialization: undone as a whole
)


@contextmanager
def naming_the_loss() -> Iterator[None]:
    """Turns the ways a server can be lost into ``StoreDown``.  Statements with mistakes raise as they are."""
    try:
        yield
    except GONE as error:
        if isinstance(error, ValueError):  # asyncpg's word for an argument that does not fit: no loss, and no use again
            raise
        raise StoreDown(f"Postgres did not answer ({type(error).__name__})") from error


class Database:
    """A pool of connections; each method is one statement, one round trip and, by itself, one transaction."""

    def __init__(self, pool: Pool) -> None:
        self.pool = pool

    async def rows(self, sql: str, *args: object) -> Sequence[asyncpg.Record]:
        with naming_the_loss():
            return await self.pool.fetch(sql, *args)

    async def row(self, sql: str, *args: object) -> asyncpg.Record | None:
        with naming_the_loss():
            return await self.pool.fetchrow(sql, *args)

    async def value(self, sql: str, *args: object) -> Any:
        with naming_the_loss():
            return await self.pool.fetchval(sql, *args)

    async def run(self, sql: str, *args: object) -> None:
        with naming_the_loss():
            await self.pool.execute(sql, *args)

    @asynccontextmanager
    async def listening(self, channel: str, heard: Callable[[str], None]) -> AsyncIterator[asyncio.Event]:
        """Calls ``heard`` with the payload of each notification; the event is set when the connection is lost."""
        lost = asyncio.Event()

        def on_notification(_connection: object, _pid: int, _channel: str, payload: object) -> None:
            heard(str(payload))

        def on_termination(_connection: object) -> None:
            lost.set()

        with naming_the_loss():
            async with self.pool.acquire() as connection:
                connection.add_termination_listener(on_termination)
                await connection.add_listener(channel, on_notification)
                try:
                    yield lost
                finally:
                    # Not UNLISTEN: on a wire gone silent it would wait for its timeout, and raise in place of a
                    # cancellation.
                    connection.remove_termination_listener(on_termination)
                    connection.terminate()


async def _leave_as_it_is(_connection: object) -> None:
    """In place of asyncpg's reset, which costs a round trip after each statement: none of ours leaves anything in its
    session, and ``listening`` ends what it began."""


@asynccontextmanager
async def open_database(dsn: str, *, size: int = 10, timeout_s: float = 30.0) -> AsyncIterator[Database]:
    """A database of at most ``size`` connections.  Raises StoreDown when the server cannot be reached."""
    with naming_the_loss():
        pool = await asyncpg.create_pool(
            dsn,
            min_size=1,
            max_size=size,
            timeout=timeout_s,  # for connecting: else a wire gone silent in its midst holds the caller for a minute
            command_timeout=timeout_s,
            reset=_leave_as_it_is,
            # jit off: it compiles for longer than these small statements run.
            server_settings={"application_name": "hintd", "timezone": "UTC", "jit": "off"},
        )
    try:
        yield Database(pool)
    finally:
        await close_pool(pool, timeout_s)


async def close_pool(pool: Pool, timeout_s: float) -> None:
    """Waits for statements under way; cuts them off when they take longer than ``timeout_s``."""
    try:
        async with asyncio.timeout(timeout_s):
            await pool.close()
    except TimeoutError:
        pool.terminate()
