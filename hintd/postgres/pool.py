"""The connections to Postgres, and the one place that tells "the server is not there" from "the statement is wrong".

Every store asks through ``Database``; ``StoreDown`` is all that the services see of a lost server.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any, TypeAlias

import asyncpg
from asyncpg.pool import PoolConnectionProxy

from hintd.ports import StoreDown

Pool: TypeAlias = "asyncpg.Pool[asyncpg.Record]"
Connection: TypeAlias = "asyncpg.pool.PoolConnectionProxy[asyncpg.Record]"
Seal = Callable[[bytes], bytes]
_How = Callable[..., Awaitable[Any]]

_fetch, _fetchrow = PoolConnectionProxy.fetch, PoolConnectionProxy.fetchrow
_fetchval, _execute = PoolConnectionProxy.fetchval, PoolConnectionProxy.execute

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
        raise _as_loss(error) from error


def _as_loss(error: Exception) -> Exception:
    if isinstance(error, ValueError):  # asyncpg's word for an argument that does not fit: no loss, and no use again
        return error
    return StoreDown(f"Postgres did not answer ({type(error).__name__})")


class Database:
    """A pool of connections; each method is one statement, one round trip and, by itself, one transaction.

    A connection that has done its statement stays at hand until somebody waits for one: giving it back to asyncpg's
    pool each time costs more of our time than a small statement does.
    """

    def __init__(self, pool: Pool) -> None:
        self.pool = pool
        self._at_hand: list[Connection] = []
        self._waiting = 0

    async def rows(self, sql: str, *args: object) -> Sequence[asyncpg.Record]:
        rows: Sequence[asyncpg.Record] = await self._ask(_fetch, sql, args)
        return rows

    async def row(self, sql: str, *args: object) -> asyncpg.Record | None:
        row: asyncpg.Record | None = await self._ask(_fetchrow, sql, args)
        return row

    async def value(self, sql: str, *args: object) -> Any:
        return await self._ask(_fetchval, sql, args)

    async def run(self, sql: str, *args: object) -> None:
        await self._ask(_execute, sql, args)

    async def _ask(self, how: _How, sql: str, args: Sequence[object]) -> Any:
        """Once per statement of the whole program: plain code, as each context manager costs as much as the rest."""
        try:
            connection = await self._take()
            try:
                answer = await how(connection, sql, *args)
            except BaseException:  # it may still be in the midst of something: asyncpg waits for the end of that
                await self.pool.release(connection)
                raise
            await self._put_back(connection)
        except GONE as error:
            raise _as_loss(error) from error
        return answer

    async def _put_back(self, connection: Connection) -> None:
        if self._waiting:
            await self.pool.release(connection)
        else:
            self._at_hand.append(connection)

    async def _take(self) -> Connection:
        while self._at_hand:
            connection = self._at_hand.pop()
            if _is_open(connection):
                return connection
        self._waiting += 1
        try:
            return await self.pool.acquire()
        finally:
            self._waiting -= 1

    async def let_go(self) -> None:
        """Back to the pool with all of them, and from now on with each at once."""
        self._waiting += 1
        while self._at_hand:
            await self.pool.release(self._at_hand.pop())

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """For statements that count together or not at all, where no single one can hold what is stored.  Whoever asks
        on the connection names a loss by itself: what else it waits for may fail with the same errors."""
        with naming_the_loss():
            connection = await self._take()
        try:
            with naming_the_loss():
                await connection.execute("begin")
            yield connection
            with naming_the_loss():
                await connection.execute("commit")
        except BaseException:
            connection.terminate()  # the server undoes what was begun; asking it to would wait on a wire gone silent
            raise
        finally:
            await self.pool.release(connection)

    @asynccontextmanager
    async def listening(self, channel: str, heard: Callable[[str], None]) -> AsyncIterator[asyncio.Event]:
        """Calls ``heard`` with the payload of each notification; the event is set when the connection is lost."""
        lost = asyncio.Event()

        def on_notification(_connection: object, _pid: int, _channel: str, payload: object) -> None:
            heard(str(payload))

        def on_termination(_connection: object) -> None:
            lost.set()

        with naming_the_loss():
            connection = await self._take()
            connection.add_termination_listener(on_termination)
            try:
                await connection.add_listener(channel, on_notification)
                yield lost
            finally:
                # Not UNLISTEN: on a wire gone silent it would wait for its timeout, and raise in place of a
                # cancellation.
                connection.remove_termination_listener(on_termination)
                connection.terminate()
                await self.pool.release(connection)


def _is_open(connection: Connection) -> bool:
    """One that was lost has left the pool by itself, and says so by raising."""
    try:
        return not connection.is_closed()
    except asyncpg.InterfaceError:
        return False


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
    database = Database(pool)
    try:
        yield database
    finally:
        await database.let_go()
        await close_pool(pool, timeout_s)


async def close_pool(pool: Pool, timeout_s: float) -> None:
    """Waits for statements under way; cuts them off when they take longer than ``timeout_s``."""
    try:
        async with asyncio.timeout(timeout_s):
            await pool.close()
    except TimeoutError:
        pool.terminate()
