"""What the contract of the bus leaves to RabbitMQ."""

from __future__ import annotations

import asyncio

import aio_pika
import pytest
from aio_pika.abc import AbstractChannel

from hintd.ports import BusDown, Queue
from hintd.rabbit.bus import RabbitBus
from tests.rabbit.taking import take


async def test_a_message_is_durable_and_its_headers_name_only_the_record(
    bus: RabbitBus, channel: AbstractChannel
) -> None:
    await bus.publish(Queue.CHANGES, b"sealed", key="003A")
    queue = await channel.get_queue(bus.topology.queue(Queue.CHANGES), ensure=False)
    message = await queue.get(timeout=5)
    assert message is not None
    await message.ack()
    assert message.body == b"sealed"
    assert message.delivery_mode == aio_pika.DeliveryMode.PERSISTENT
    brokers_own = {"x-delivery-count": 0}
    assert message.headers | brokers_own == {"x-hintd-key": "003A"} | brokers_own


async def test_a_retry_keeps_what_another_program_sent_along(bus: RabbitBus, channel: AbstractChannel) -> None:
    exchange = await channel.get_exchange(bus.topology.control_exchange, ensure=False)
    sent = aio_pika.Message(b"{}", headers={"trace": "t1"}, reply_to="answers", correlation_id="c1", message_id="m1")
    await exchange.publish(sent, "batch.start")
    async with bus.consume(Queue.CONTROL, prefetch=1) as deliveries:
        await (await take(deliveries)).retry(0)
        again = await take(deliveries)
        await again.release()
    queue = await channel.get_queue(bus.topology.queue(Queue.CONTROL), ensure=False)
    message = await queue.get(timeout=5)
    assert message is not None
    await message.ack()
    assert (message.reply_to, message.correlation_id, message.message_id) == ("answers", "c1", "m1")
    assert message.headers["trace"] == "t1"
    assert message.headers["x-hintd-attempt"] == 1


@pytest.mark.parametrize("value", ["many", -3, None, bytearray(b"1")], ids=["text", "negative", "nothing", "bytes"])
async def test_an_attempt_that_is_no_count_is_the_first(
    bus: RabbitBus, channel: AbstractChannel, value: str | int | bytearray | None
) -> None:
    message = aio_pika.Message(b"{}", headers={"x-hintd-attempt": value})
    await channel.default_exchange.publish(message, bus.topology.queue(Queue.CONTROL))
    async with bus.consume(Queue.CONTROL, prefetch=1) as deliveries:
        delivery = await take(deliveries)
        assert delivery.attempt == 1
        await delivery.ack()


async def test_other_programs_reach_control_by_any_routing_key(bus: RabbitBus, channel: AbstractChannel) -> None:
    exchange = await channel.get_exchange(bus.topology.control_exchange, ensure=False)
    for key in ("batch.start", "", "anything"):
        await exchange.publish(aio_pika.Message(key.encode()), key)
    async with bus.consume(Queue.CONTROL, prefetch=1) as deliveries:
        for key in ("batch.start", "", "anything"):
            delivery = await take(deliveries)
            assert delivery.body == key.encode()
            await delivery.ack()


async def test_attempts_grow_over_retries_and_lost_consumers_alike(amqp_url: str, bus: RabbitBus) -> None:
    await bus.publish(Queue.CHANGES, b"x", key="k")
    async with bus.consume(Queue.CHANGES, prefetch=1) as deliveries:
        await (await take(deliveries)).retry(0)
    async with RabbitBus(amqp_url) as dying, dying.consume(Queue.CHANGES, prefetch=1) as deliveries:
        assert (await take(deliveries)).attempt == 2
    async with bus.consume(Queue.CHANGES, prefetch=1) as deliveries:
        delivery = await take(deliveries)
        assert delivery.attempt == 3
        await delivery.retry(0)
        last = await take(deliveries)
        assert last.attempt == 4
        await last.ack()


async def test_a_message_that_kills_its_consumers_ends_with_the_dead_letters(amqp_url: str) -> None:
    async with RabbitBus(amqp_url, delivery_limit=3) as bus:
        await bus.wait_connected(10)
        await bus.publish(Queue.CHANGES, b"poison", key="k")
        for _ in range(3):
            dying = RabbitBus(amqp_url, delivery_limit=3)
            async with dying, dying.consume(Queue.CHANGES, prefetch=1) as deliveries:
                assert (await take(deliveries)).body == b"poison"
        async with bus.consume_dead() as dead:
            letter = await take(dead)
            assert letter.body == b"poison"
            await letter.retry(0)
            again = await take(dead)
            assert again.body == b"poison"
            await again.ack()
        assert (await bus.waiting())[Queue.CHANGES] == 0


async def test_a_delay_lasts_its_step(bus: RabbitBus) -> None:
    await bus.publish(Queue.CHANGES, b"x", key="k")
    clock = asyncio.get_running_loop().time
    async with bus.consume(Queue.CHANGES, prefetch=1) as deliveries:
        for wanted_s, at_least_s in ((0.0, 0.2), (1.5, 1.0)):
            delivery = await take(deliveries)
            started = clock()
            await delivery.retry(wanted_s)
            again = await take(deliveries)
            assert clock() - started > at_least_s * 0.9
            await again.release()
        await (await take(deliveries)).ack()


async def test_waiting_counts_what_is_ready_delayed_and_in_hand(bus: RabbitBus) -> None:
    for body in (b"delayed", b"in hand", b"ready", b"ready"):
        await bus.publish(Queue.BATCHES, body, key="k")
    async with bus.consume(Queue.BATCHES, prefetch=1) as deliveries:
        await (await take(deliveries)).retry(30)
        held = await take(deliveries)
        assert (await bus.waiting()) == {Queue.CHANGES: 0, Queue.BATCHES: 4, Queue.CONTROL: 0}
        await held.ack()
        assert (await bus.waiting())[Queue.BATCHES] == 3


async def test_what_was_handed_out_can_be_settled_after_leaving(bus: RabbitBus) -> None:
    for body in (b"1", b"2", b"3"):
        await bus.publish(Queue.CHANGES, body, key="k")
    async with bus.consume(Queue.CHANGES, prefetch=10) as deliveries:
        handed_out = await take(deliveries)
    await handed_out.ack()
    assert (await bus.waiting())[Queue.CHANGES] == 2
    async with bus.consume(Queue.CHANGES, prefetch=10) as deliveries:
        rest = [await take(deliveries), await take(deliveries)]
        assert {delivery.body for delivery in rest} == {b"2", b"3"}
        for delivery in rest:
            await delivery.ack()


async def test_a_delivery_is_settled_once(bus: RabbitBus) -> None:
    await bus.publish(Queue.CHANGES, b"x", key="k")
    async with bus.consume(Queue.CHANGES, prefetch=1) as deliveries:
        delivery = await take(deliveries)
        await delivery.ack()
        for settle in (delivery.ack, delivery.release, lambda: delivery.retry(0)):
            with pytest.raises(RuntimeError, match="settled already"):
                await settle()


async def test_a_taker_that_is_cancelled_takes_on_afterwards(bus: RabbitBus) -> None:
    async with bus.consume(Queue.CHANGES, prefetch=1) as deliveries:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await anext(deliveries)
        await bus.publish(Queue.CHANGES, b"x", key="k")
        await (await take(deliveries)).ack()


async def test_leaving_ends_the_iteration_for_whoever_waits(bus: RabbitBus) -> None:
    async with bus.consume(Queue.CHANGES, prefetch=1) as deliveries:
        waiters = [asyncio.create_task(_drain(deliveries)) for _ in range(3)]
    async with asyncio.timeout(5):
        assert await asyncio.gather(*waiters) == [0, 0, 0]


async def _drain(deliveries: object) -> int:
    taken = 0
    async for _ in deliveries:  # type: ignore[attr-defined]
        taken += 1
    return taken


async def test_a_deleted_queue_is_made_again(bus: RabbitBus, channel: AbstractChannel) -> None:
    async with bus.consume(Queue.CHANGES, prefetch=1) as deliveries:
        await bus.publish(Queue.CHANGES, b"before", key="k")
        await (await take(deliveries)).ack()
        await channel.queue_delete(bus.topology.queue(Queue.CHANGES))
        await _publish_until_taken(bus, b"after")
        delivery = await take(deliveries)
        assert delivery.body == b"after"
        await delivery.ack()


async def _publish_until_taken(bus: RabbitBus, body: bytes) -> None:
    while True:
        try:
            return await bus.publish(Queue.CHANGES, body, key="k")
        except BusDown:
            await bus.wait_connected(10)
