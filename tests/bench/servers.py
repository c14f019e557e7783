"""The servers that the bench needs, from where the tests take theirs, with a database and queues of its own."""

from __future__ import annotations

import asyncio
import base64
import os
import platform
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aio_pika
import asyncpg

from hintd.rabbit.topology import split_url
from tests.postgres_server import Databases, start_postgres
from tests.rabbit_server import remove_queues, start_rabbit, with_own_prefix
from tests.services import NoServer, Server


@dataclass(frozen=True, slots=True)
class Servers:
    """``rabbit`` is None where there is no broker; ``logs`` is a directory for the children's stderr."""

    databases: Databases
    postgres: Server
    rabbit: Server | None
    logs: Path
    key: str = base64.urlsafe_b64encode(os.urandom(32)).decode()

    @asynccontextmanager
    async def database(self) -> AsyncIterator[str]:
        """The DSN of a fresh database with hintd's schema."""
        dsn = await self.databases.create(migrated=True)
        try:
            yield dsn
        finally:
            await self.databases.drop(dsn)

    @asynccontextmanager
    async def queues(self) -> AsyncIterator[str]:
        """The URL of the broker with a prefix of its own.  There has to be a broker."""
        assert self.rabbit is not None
        url = with_own_prefix(self.rabbit.url)
        try:
            yield url
        finally:
            await remove_queues(url)

    async def machine(self) -> str:
        """One line that says what the figures were measured on."""
        connection = await asyncpg.connect(self.postgres.url)
        version = await connection.fetchval("show server_version")
        await connection.close()
        parts = [f"{os.cpu_count()} cores {_processor()}", f"{platform.system()} {platform.release()}"]
        parts += [f"Python {platform.python_version()}", f"PostgreSQL {version} ({self.postgres.origin})"]
        if self.rabbit is not None:
            parts.append(f"RabbitMQ {await _rabbit_version(self.rabbit.url)} ({self.rabbit.origin})")
        return "; ".join(parts)


@asynccontextmanager
async def open_servers(logs: Path, *, with_rabbit: bool) -> AsyncIterator[Servers]:
    """Raises NoServer when there is no Postgres."""
    with ExitStack() as stack:
        postgres = await asyncio.to_thread(start_postgres, stack)
        rabbit = await asyncio.to_thread(_rabbit_or_none, stack) if with_rabbit else None
        databases = Databases(postgres.url)
        try:
            yield Servers(databases, postgres, rabbit, logs)
        finally:
            await databases.close()


def _rabbit_or_none(stack: ExitStack) -> Server | None:
    try:
        return start_rabbit(stack)
    except NoServer:
        return None


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


async def _rabbit_version(url: str) -> str:
    address, _ = split_url(url)
    async with await aio_pika.connect(address) as connection:
        properties = connection.transport.connection.server_properties  # type: ignore[union-attr]
        return str(properties.get("version", "?"))
