"""The tests' RabbitMQ: one server for the whole run, a prefix of its own for each test."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import urllib.error
import urllib.request
import uuid
from contextlib import ExitStack
from typing import Final

import aio_pika
from yarl import URL

from hintd.rabbit.topology import Topology, split_url
from tests.debian import install_package
from tests.private_rabbit import PrivateRabbit, find_rabbit
from tests.services import (
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

VARIABLE: Final = "HINTD_TEST_AMQP_URL"
_IMAGE: Final = "rabbitmq:4-alpine"
_MISSING: Final = (
    f"There is no RabbitMQ for the tests: set {VARIABLE} to a broker's address, or install rabbitmq-server "
    "(as root, the account rabbitmq must exist), or start Docker, or run the tests as root on Debian."
)


def start_rabbit(stack: ExitStack) -> Server:
    sources: tuple[Source, ...] = (given_by(VARIABLE), _local, _private, _in_container, _from_debian)
    return first_of(sources, stack, _MISSING)


def with_own_prefix(url: str) -> str:
    return str(URL(url).update_query(prefix=f"test-{uuid.uuid4().hex[:12]}"))


async def remove_queues(url: str) -> None:
    """Deletes all that a test's prefix has on the broker, whether it is there or not."""
    address, prefix = split_url(url)
    topology = Topology(prefix)
    connection = await aio_pika.connect(address)
    async with connection, connection.channel() as channel:
        for shape in topology.queues():
            await channel.queue_delete(shape.name)
        await channel.exchange_delete(topology.control_exchange)


def _private(stack: ExitStack) -> Server | None:
    binaries = find_rabbit()
    if binaries is None:
        return None
    rabbit = stack.enter_context(PrivateRabbit(stack.enter_context(server_directory())))
    return Server(rabbit.url, f"a private instance of {binaries}")


def _from_debian(stack: ExitStack) -> Server | None:
    if not install_package("rabbitmq-server"):
        return None
    server = _private(stack)
    return server and Server(server.url, f"{server.origin}, installed from Debian just now")


def _in_container(stack: ExitStack) -> Server | None:
    if not docker_answers():
        return None
    login = {"RABBITMQ_DEFAULT_USER": "hintd", "RABBITMQ_DEFAULT_PASS": "hintd"}
    started = stack.enter_context(container(_IMAGE, 5672, "Server startup complete", login))
    host, port = started.get_container_host_ip(), started.get_exposed_port(5672)
    return Server(f"amqp://hintd:hintd@{host}:{port}/", f"a container of {_IMAGE}")


def _local(stack: ExitStack) -> Server | None:
    """The server on the usual port, in a virtual host of our own making."""
    if not may_use_local() or not port_answers(5672):
        return None
    host = f"hintd-test-{uuid.uuid4().hex[:12]}"
    for make, remove, how in (
        (_make_by_command, _remove_by_command, "rabbitmqctl"),
        (_make_by_http, _remove_by_http, "the management API"),
    ):
        if make(host):
            stack.callback(remove, host)
            url = f"amqp://guest:guest@127.0.0.1:5672/{host}"
            return Server(url, f"the server on 127.0.0.1:5672, virtual host {host} made by {how}")
        remove(host)
    return None


def _control(*arguments: str) -> bool:
    if shutil.which("rabbitmqctl") is None:
        return False
    command = ["rabbitmqctl", "-q", *arguments]
    return subprocess.run(command, capture_output=True, timeout=60, check=False).returncode == 0


def _make_by_command(host: str) -> bool:
    return _control("add_vhost", host) and _control("set_permissions", "-p", host, "guest", ".*", ".*", ".*")


def _remove_by_command(host: str) -> None:
    _control("delete_vhost", host)


def _manage(method: str, path: str, body: object = None) -> bool:
    request = urllib.request.Request(f"http://127.0.0.1:15672/api/{path}", method=method)
    request.add_header("Authorization", "Basic " + base64.b64encode(b"guest:guest").decode())
    request.add_header("Content-Type", "application/json")
    try:
        with urllib.request.urlopen(request, json.dumps(body or {}).encode(), timeout=10):
            return True
    except (urllib.error.URLError, OSError):
        return False


def _make_by_http(host: str) -> bool:
    everything = {"configure": ".*", "write": ".*", "read": ".*"}
    return _manage("PUT", f"vhosts/{host}") and _manage("PUT", f"permissions/{host}/guest", everything)


def _remove_by_http(host: str) -> None:
    _manage("DELETE", f"vhosts/{host}")
