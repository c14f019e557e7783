"""Answers to other programs' control messages, on RabbitMQ."""

from __future__ import annotations

import asyncio

import aio_pika
import pytest
from aio_pika.abc import AbstractChannel

from hintd.ports import Queue
from hintd.rabbit.bus import RabbitBus
from tests.rabbit.taking import WITHIN_S, take

DIRECT = "amq.rabbitmq.reply-to"


async def ask(bus: RabbitBus, channel: AbstractChannel, reply_to: str | None) -> None:
    exchange = await channel.get_exchange(bus.topology.control_exchange, ensure=False)
    question = aio_pika.Message(b"question", reply_to=reply_to, correlation_id="q-1")
    await exchange.publish(question, "batch.start")


async def answer_next(bus: RabbitBus) -> None:
    async with bus.consume(Queue.CONTROL, prefetch=1) as deliveries:
        delivery = await take(deliveries)
        await delivery.answer(b'{"ok":true}')
        await delivery.ack()


async def test_an_answer_goes_to_the_queue_that_the_message_names(bus: RabbitBus, channel: AbstractChannel) -> None:
    mine = await channel.declare_queue(exclusive=True)
    await ask(bus, channel, mine.name)
    await answer_next(bus)
    answer = await mine.get(timeout=WITHIN_S)
    assert answer is not None
    await answer.ack()
    assert (answer.body, answer.correlation_id, answer.content_type) == (b'{"ok":true}', "q-1", "application/json")


async def test_an_answer_reaches_a_program_that_waits_without_a_queue_of_its_own(
    bus: RabbitBus, channel: AbstractChannel
) -> None:
    answers: asyncio.Queue[bytes] = asyncio.Queue()

    async def keep(message: aio_pika.abc.AbstractIncomingMessage) -> None:
        answers.put_nowait(message.body)

    await (await channel.get_queue(DIRECT, ensure=False)).consume(keep, no_ack=True)
    await ask(bus, channel, DIRECT)
    await answer_next(bus)
    async with asyncio.timeout(WITHIN_S):
        assert await answers.get() == b'{"ok":true}'


@pytest.mark.parametrize(
    "reply_to",
    [
        pytest.param("gone", id="a queue that is gone"),
        pytest.param(f"{DIRECT}.rubbish", id="a bad direct address"),
        pytest.param(f"{DIRECT}.g1h2.a2V5", id="a direct address of nobody"),
        pytest.param("x" * 255, id="the longest name"),
        pytest.param("", id="no name"),
        pytest.param(None, id="none asked for"),
    ],
)
async def test_an_answer_that_reaches_nobody_disturbs_nothing(
    bus: RabbitBus, channel: AbstractChannel, reply_to: str | None
) -> None:
    await ask(bus, channel, reply_to)
    await answer_next(bus)
    assert bus.trouble is None
    await bus.publish(Queue.CHANGES, b"and on", key="k")


async def test_no_answer_goes_into_hintds_own_queues(bus: RabbitBus, channel: AbstractChannel) -> None:
    for queue in (bus.topology.queue(Queue.CHANGES), bus.topology.dead):
        await ask(bus, channel, queue)
        await answer_next(bus)
    await ask(bus, channel, None)
    await answer_next(bus)
    assert set((await bus.waiting()).values()) == {0}
    async with bus.consume_dead() as dead:
        nothing = asyncio.create_task(take(dead))
        done, _ = await asyncio.wait([nothing], timeout=0.3)
        nothing.cancel()
    assert not done
