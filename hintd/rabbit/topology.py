"""Every exchange, queue and argument that hintd has on RabbitMQ, in one place; nothing else declares anything.

Messages are published to ``<prefix>.<queue>`` through the default exchange.  A message to be repeated later goes to
the queue's delay queue of the nearest step, whose time to live sends it back.  A message whose consumers died more
often than ``delivery_limit`` goes to ``<prefix>.dead``.  Other programs publish control messages to the exchange
``<prefix>.control``; any routing key will do.

All queues are quorum queues and valid on RabbitMQ 3.10, 3.13 and 4.x.  RabbitMQ refuses to declare a queue again with
other arguments: whoever changes one here must give the queue another name, or delete it by hand once it is empty.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from aio_pika import ExchangeType
from aio_pika.abc import AbstractChannel
from yarl import URL

from hintd.ports import Queue

DELAY_STEPS_MS = (200, 1_000, 5_000, 30_000)

# Killed consumers and releases count alike on a quorum queue, so the limit leaves room for a few restarts.
DELIVERY_LIMIT = 20

# From 4.0 on a quorum queue without a limit of its own drops a message after 20 deliveries, and 3.x does not take -1
# for "none": the dead letters, which have nowhere else to go, get a number that is never reached.
_NEVER = 1_000_000_000


@dataclass(frozen=True, slots=True)
class QueueShape:
    name: str
    arguments: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Topology:
    """The names and arguments under one prefix, so that several hintd can share a virtual host."""

    prefix: str = "hintd"
    delivery_limit: int = DELIVERY_LIMIT  # deliveries, at least 1; RabbitMQ's own number is of repeated ones

    @property
    def dead(self) -> str:
        return f"{self.prefix}.dead"

    @property
    def control_exchange(self) -> str:
        return f"{self.prefix}.control"

    def queue(self, queue: Queue) -> str:
        return f"{self.prefix}.{queue.value}"

    def delay(self, queue: str, step_ms: int) -> str:
        return f"{self.prefix}.delay.{queue.removeprefix(self.prefix + '.')}.{step_ms}"

    def delays(self, queue: str) -> tuple[str, ...]:
        return tuple(self.delay(queue, step_ms) for step_ms in DELAY_STEPS_MS)

    def queues(self) -> tuple[QueueShape, ...]:
        """In the order of declaration: where dead letters and delayed messages go stands before they can come."""
        dead = QueueShape(self.dead, {"x-queue-type": "quorum", "x-delivery-limit": _NEVER})
        work = [
            QueueShape(self.queue(queue), _dead_letters_to(self.dead) | {"x-delivery-limit": self.delivery_limit - 1})
            for queue in Queue
        ]
        delayed = [
            QueueShape(self.delay(target.name, step_ms), _dead_letters_to(target.name) | {"x-message-ttl": step_ms})
            for target in (*work, dead)
            for step_ms in DELAY_STEPS_MS
        ]
        return (dead, *work, *delayed)


def _dead_letters_to(queue: str) -> dict[str, Any]:
    """At least once: the default, at most once, loses a message when the broker stops between the two queues.
    RabbitMQ demands ``reject-publish`` for it."""
    return {
        "x-queue-type": "quorum",
        "x-dead-letter-exchange": "",
        "x-dead-letter-routing-key": queue,
        "x-dead-letter-strategy": "at-least-once",
        "x-overflow": "reject-publish",
    }


def delay_step_ms(wanted_s: float) -> int:
    """The longest step that is no longer than wanted, or the shortest of all.

    One queue per step, because a time to live per message blocks at the head of a queue.
    """
    return max((step for step in DELAY_STEPS_MS if step <= wanted_s * 1000), default=DELAY_STEPS_MS[0])


async def declare(channel: AbstractChannel, topology: Topology) -> dict[str, int]:
    """Idempotent; answers how many messages are ready in each queue (in hand and just expired ones left out).

    Raises what aio-pika raises: a queue that stands with other arguments is a 406.
    """
    ready: dict[str, int] = {}
    for shape in topology.queues():
        queue = await channel.declare_queue(shape.name, durable=True, arguments=shape.arguments)
        ready[shape.name] = queue.declaration_result.message_count or 0
    await channel.declare_exchange(topology.control_exchange, ExchangeType.TOPIC, durable=True)
    control = await channel.get_queue(topology.queue(Queue.CONTROL), ensure=False)
    await control.bind(topology.control_exchange, routing_key="#")
    return ready


def split_url(url: str) -> tuple[URL, str]:
    """The broker's address and the prefix of the names: ``amqp://host/vhost?prefix=clinic`` shares a virtual host."""
    address = URL(url)
    return address.without_query_params("prefix"), address.query.get("prefix", "hintd")
