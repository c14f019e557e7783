"""The way to RabbitMQ: one connection, held open for as long as hintd runs, and the channel that publishes on it.

Not aio-pika's robust connection: its channels restore themselves once, and one that fails at it while the connection
stands (a queue without a leader, a refused declaration) stays dead without a word.  Here the connection and the
publishing channel live and die together, the topology is declared anew each time, and what fails is tried again.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Self, cast

import aio_pika
import aiormq
import structlog
from aio_pika.abc import AbstractChannel, AbstractConnection
from aio_pika.exceptions import CONNECTION_EXCEPTIONS, PublishError
from yarl import URL

from hintd.core.retry import backoff_s
from hintd.ports import BusDown
from hintd.rabbit.topology import Topology, declare

log = structlog.get_logger(__name__)

KEY_HEADER = "x-hintd-key"
ATTEMPT_HEADER = "x-hintd-attempt"

_CONNECT_S = 10.0
_LONGEST_PAUSE_S = 5.0
_CANCEL_AGAIN_S = 5.0
_CLOSE_S = 2.0
_HEARTBEAT_S = 10  # a connection that went silent is noticed within two of them


@contextmanager
def bus_down_when_lost() -> Iterator[None]:
    """Turns what aio-pika raises into BusDown.

    aiormq cancels whatever waits on a connection that closes.  A CancelledError that nobody asked this task for is
    therefore a lost connection.  The causes are cut off: a returned message stands in its exception with its body.
    """
    try:
        yield
    except CONNECTION_EXCEPTIONS as error:
        raise BusDown(f"RabbitMQ did not confirm: {type(error).__name__}") from None
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        raise BusDown("the connection to RabbitMQ was lost") from None


@dataclass(slots=True)
class Way:
    """An open connection; ``lost`` is set when it, or its publishing channel, is gone."""

    connection: AbstractConnection
    publishing: aiormq.Channel
    lost: asyncio.Event


class Broker:
    """Holds the connection; ``async with`` starts and ends it, and does not wait for RabbitMQ to be there."""

    def __init__(
        self,
        url: URL,
        topology: Topology,
        *,
        publish_timeout_s: float = 5.0,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.topology = topology
        self.trouble: str | None = "not connected yet"
        self._url = url if "heartbeat" in url.query else url.update_query(heartbeat=_HEARTBEAT_S)
        self._publish_timeout_s = publish_timeout_s
        self._chance = chance
        self._way: Way | None = None
        self._up = asyncio.Event()
        self._keeping: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._keeping = asyncio.create_task(self._keep(), name="rabbit connection")
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._keeping is not None:
            await end(self._keeping)

    async def wait_up(self) -> AbstractConnection:
        """The open connection, once there is one."""
        while (way := self._standing()) is None:
            await self._up.wait()
        return way.connection

    def _standing(self) -> Way | None:
        return self._way if self._up.is_set() else None

    def _lose(self, lost: asyncio.Event) -> None:
        """From this moment on there is no connection, not only when the keeping task has seen it: whoever publishes
        again at each BusDown would else turn in circles without ever letting that task run."""
        lost.set()
        if self._way is not None and self._way.lost is lost:
            self._up.clear()

    async def open_channel(self) -> AbstractChannel:
        """A channel for consuming, once there is a connection, the topology declared.  Raises CONNECTION_EXCEPTIONS."""
        connection = await self.wait_up()
        async with asyncio.timeout(_CONNECT_S):
            channel = await connection.channel(publisher_confirms=False)
            await declare(channel, self.topology)
        return channel

    async def ready_counts(self) -> Mapping[str, int]:
        """Messages ready in each queue, by name.  Raises BusDown."""
        way = self._standing()
        if way is None:
            raise BusDown(f"no connection to RabbitMQ: {self.trouble}")
        with bus_down_when_lost():
            async with asyncio.timeout(_CONNECT_S), way.connection.channel(publisher_confirms=False) as channel:
                return await declare(channel, self.topology)

    async def publish(self, routing_key: str, message: aio_pika.Message) -> None:
        """Returns when RabbitMQ has confirmed; raises BusDown.  Many at once share round trips and confirms."""
        way = self._standing()
        if way is None:
            raise BusDown(f"no connection to RabbitMQ: {self.trouble}")
        with bus_down_when_lost():
            try:
                await self._send(way.publishing, routing_key, message)
            except BaseException as error:
                # A returned message means that somebody deleted the queue: connecting again declares it.
                if way.publishing.is_closed or isinstance(error, PublishError):
                    self._lose(way.lost)
                raise

    async def send_apart(self, routing_key: str, message: aio_pika.Message) -> None:
        """Best effort, to a queue that another program names, and over a connection of its own: RabbitMQ closes the
        connection of whoever publishes to a forged ``amq.rabbitmq.reply-to`` address (seen with 3.10)."""
        with suppress(BusDown), bus_down_when_lost():
            async with asyncio.timeout(self._publish_timeout_s):
                connection = await aio_pika.connect(self._url)
                try:
                    channel = await connection.channel(on_return_raises=False)
                    await channel.default_exchange.publish(message, routing_key, mandatory=False)
                finally:
                    await _close(connection)

    async def _send(self, channel: aiormq.Channel, routing_key: str, message: aio_pika.Message) -> None:
        # Below aio-pika's exchange for ``wait=False``: otherwise each publish holds the channel's lock until the
        # socket has drained, a quarter of the throughput.  The confirm is what counts, and it is waited for.
        async with asyncio.timeout(self._publish_timeout_s):
            await channel.basic_publish(
                message.body,
                routing_key=routing_key,
                properties=message.properties,
                mandatory=True,
                wait=False,
            )

    async def _keep(self) -> None:
        """For ever: connect, stay until it is lost, pause, connect again."""
        failures = 0
        while True:
            try:
                way = await self._connect()
            except Exception as error:  # whatever it is, hintd goes on with the inbox, and says so
                failures += 1
                self._note_failure(error, first=failures == 1)
                await asyncio.sleep(min(_LONGEST_PAUSE_S, backoff_s(failures, self._chance())))
                continue
            failures = 0
            await self._stay(way)

    def _note_failure(self, error: Exception, *, first: bool) -> None:
        # aiormq's texts name hosts, ports and queues, never a password.
        self.trouble = f"RabbitMQ cannot be used: {type(error).__name__}: {error}"
        if first:
            log.warning("bus_unreachable", error=type(error).__name__)

    async def _connect(self) -> Way:
        connection = await aio_pika.connect(self._url, timeout=_CONNECT_S)
        try:
            return await self._open(connection)
        except BaseException:
            await _close(connection)
            raise

    async def _open(self, connection: AbstractConnection) -> Way:
        lost = asyncio.Event()
        connection.close_callbacks.add(lambda *_: self._lose(lost))
        async with asyncio.timeout(_CONNECT_S):
            channel = await connection.channel(publisher_confirms=True, on_return_raises=True)
            channel.close_callbacks.add(lambda *_: self._lose(lost))
            await declare(channel, self.topology)
        return Way(connection, cast(aiormq.Channel, await channel.get_underlay_channel()), lost)

    async def _stay(self, way: Way) -> None:
        self._way, self.trouble = way, None
        if not way.lost.is_set():
            self._up.set()
        log.info("bus_connected")
        try:
            await way.lost.wait()
            log.warning("bus_lost")
        finally:
            self._way, self.trouble = None, "the connection to RabbitMQ was lost"
            self._up.clear()
            await _close(way.connection)


async def _close(connection: AbstractConnection) -> None:
    with suppress(*CONNECTION_EXCEPTIONS):
        async with asyncio.timeout(_CLOSE_S):  # a wire that went silent would hold us for the heartbeat's time
            await connection.close()


async def end(task: asyncio.Task[None]) -> None:
    """Cancel, and again until it takes: before Python 3.12 ``asyncio.wait_for``, through which aiormq makes its calls,
    swallows a cancellation that comes together with the answer."""
    while not task.done():
        task.cancel()
        await asyncio.wait([task], timeout=_CANCEL_AGAIN_S)


def persistent(body: bytes, headers: Mapping[str, Any]) -> aio_pika.Message:
    return aio_pika.Message(body, headers=dict(headers), delivery_mode=aio_pika.DeliveryMode.PERSISTENT)
