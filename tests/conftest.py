"""The servers and addresses that tests ask for by name; the summary says where the servers came from.

The servers start when the first test needs them.  Under pytest-xdist they start before the workers, which get the
addresses by environment: one server each for the whole run.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack

import pytest

from tests import postgres_server, rabbit_server
from tests.postgres_server import Databases, start_postgres
from tests.private_rabbit import free_port as find_free_port
from tests.rabbit_server import remove_queues, start_rabbit, with_own_prefix
from tests.services import NoServer, Server


class Servers:
    """What was started, at most one of each kind, until the run ends."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self.started: dict[str, Server] = {}

    def postgres(self) -> Server:
        return self._once("Postgres", start_postgres)

    def rabbit(self) -> Server:
        return self._once("RabbitMQ", start_rabbit)

    def _once(self, kind: str, start: Callable[[ExitStack], Server]) -> Server:
        if kind not in self.started:
            try:
                self.started[kind] = start(self._stack)
            except NoServer as error:
                pytest.exit(str(error), returncode=1)
        return self.started[kind]

    def stop(self) -> None:
        self._stack.close()


SERVERS = pytest.StashKey[Servers]()


def pytest_configure(config: pytest.Config) -> None:
    servers = config.stash[SERVERS] = Servers()
    config.add_cleanup(servers.stop)
    if hasattr(config, "workerinput"):
        return
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # an end from outside stops the servers as Ctrl-C does
    if config.getoption("numprocesses", None):
        os.environ[postgres_server.VARIABLE] = servers.postgres().url
        os.environ[rabbit_server.VARIABLE] = servers.rabbit().url


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Long runs are left out, and counted as deselected, unless ``HINTD_TEST_LONG=1`` asks for them."""
    if os.environ.get("HINTD_TEST_LONG") == "1":
        return
    left_out = [item for item in items if item.get_closest_marker("long")]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    terminalreporter.section("servers")
    for kind, server in config.stash[SERVERS].started.items():
        terminalreporter.line(f"{kind}: {server.origin}")
    if not config.stash[SERVERS].started:
        terminalreporter.line("none was needed")


@pytest.fixture(scope="session")
def servers(pytestconfig: pytest.Config) -> Servers:
    return pytestconfig.stash[SERVERS]


@pytest.fixture(scope="session")
def databases(servers: Servers) -> Iterator[Databases]:
    databases = Databases(servers.postgres().url)
    yield databases
    asyncio.run(databases.close())


@pytest.fixture
async def pg_dsn(databases: Databases) -> AsyncIterator[str]:
    """The DSN of a fresh, empty database."""
    dsn = await databases.create(migrated=False)
    yield dsn
    await databases.drop(dsn)


@pytest.fixture
async def store_dsn(databases: Databases) -> AsyncIterator[str]:
    """The DSN of a fresh database with hintd's schema."""
    dsn = await databases.create(migrated=True)
    yield dsn
    await databases.drop(dsn)


@pytest.fixture
async def amqp_url(servers: Servers) -> AsyncIterator[str]:
    """The URL of the broker with a prefix of its own, so that all of hintd's queues there are this test's."""
    url = with_own_prefix(servers.rabbit().url)
    yield url
    await remove_queues(url)


@pytest.fixture
def free_port() -> int:
    """A TCP port of this machine that nothing listens on."""
    return find_free_port()
