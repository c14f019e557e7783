"""Lost connections and stopped brokers: nothing that was confirmed is lost, and everything goes on by itself."""

from __future__ import annotations

import asyncio
import signal
import time
from collections import Counter
from collections.abc import Iterator

import pytest

from hintd.ports import BusDown, Queue
from hintd.rabbit.bus import RabbitBus
from tests.private_rabbit import PrivateRabbit
from tests.rabbit.taking import take
from tests.rabbit.wire import Wire
from tests.services import server_directory


async def publish_until_confirmed(bus: RabbitBus, body: bytes) -> int:
    """How often it had to be published."""
    times = 1
    while True:
        try:
            await bus.publish(Queue.CHANGES, body, key="k")
            return times
        except BusDown:
            times += 1
            await bus.wait_connected(30)


async def take_all(bus: RabbitBus, expected: set[bytes]) -> Counter[bytes]:
    """Takes and acknowledges until every expected body has come."""
    taken: Counter[bytes] = Counter()
    async with bus.consume(Queue.CHANGES, prefetch=50) as deliveries:
        while expected - taken.keys():
            delivery = await take(deliveries)
            taken[delivery.body] += 1
            try:
                await delivery.ack()
            except BusDown:
                taken[delivery.body] -= 1
    return taken


async def test_publishes_without_a_confirm_are_repeated_and_none_is_lost(amqp_url: str) -> None:
    bodies = {b"%d" % number for number in range(500)}
    async with Wire(amqp_url) as wire, RabbitBus(wire.url) as bus:
        await bus.wait_connected(10)
        publishing = [asyncio.create_task(publish_until_confirmed(bus, body)) for body in bodies]
        wire.hold()  # confirms are on their way and never come
        await asyncio.sleep(0)
        wire.cut()
        wire.release()
        times = await asyncio.gather(*publishing)
        taken = await take_all(bus, bodies)
    assert max(times) > 1
    assert taken.keys() == bodies


async def test_publishing_says_at_once_that_there_is_no_connection(free_port: int) -> None:
    async with RabbitBus(f"amqp://guest:guest@127.0.0.1:{free_port}/") as bus:
        with pytest.raises(BusDown):
            await bus.publish(Queue.CHANGES, b"x", key="k")
        with pytest.raises(BusDown):
            await bus.waiting()
        with pytest.raises(BusDown):
            await bus.wait_connected(0.2)
        assert bus.trouble is not None


async def test_no_trouble_tells_the_password(free_port: int) -> None:
    async with RabbitBus(f"amqp://guest:very-secret@127.0.0.1:{free_port}/") as bus:
        with pytest.raises(BusDown) as caught:
            await bus.wait_connected(0.2)
    assert "very-secret" not in f"{bus.trouble} {caught.value} {bus!r}"


async def test_a_silent_broker_is_down_after_the_timeout(amqp_url: str) -> None:
    async with Wire(amqp_url) as wire, RabbitBus(wire.url, publish_timeout_s=0.3) as bus:
        await bus.wait_connected(10)
        wire.hold()
        with pytest.raises(BusDown):
            await bus.publish(Queue.CHANGES, b"x", key="k")
        wire.release()
        assert await publish_until_confirmed(bus, b"y") >= 1


async def test_a_cancelled_publish_is_cancelled_and_not_a_lost_bus(amqp_url: str) -> None:
    async with Wire(amqp_url) as wire, RabbitBus(wire.url) as bus:
        await bus.wait_connected(10)
        wire.hold()
        publishing = asyncio.create_task(bus.publish(Queue.CHANGES, b"x", key="k"))
        await asyncio.sleep(0)
        publishing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await publishing


async def test_a_delivery_of_a_lost_connection_cannot_be_settled_and_comes_again(amqp_url: str) -> None:
    async with Wire(amqp_url) as wire, RabbitBus(wire.url) as bus:
        await bus.wait_connected(10)
        for body in (b"1", b"2", b"3"):
            await bus.publish(Queue.CHANGES, body, key="k")
        async with bus.consume(Queue.CHANGES, prefetch=10) as deliveries:
            in_hand = [await take(deliveries) for _ in range(3)]
            wire.cut()
            again = [await take(deliveries) for _ in range(3)]  # by the same iterator, over a new connection
            for settle in (in_hand[0].ack, in_hand[1].release, lambda: in_hand[2].retry(0)):
                with pytest.raises(BusDown):
                    await settle()
            for delivery in again:
                assert delivery.attempt == 2
                await delivery.ack()


async def test_a_message_whose_retry_is_not_confirmed_does_not_stay_in_hand(amqp_url: str) -> None:
    async with Wire(amqp_url) as wire, RabbitBus(amqp_url) as bus:
        await bus.wait_connected(10)
        await bus.publish(Queue.CHANGES, b"x", key="k")
        async with (
            RabbitBus(wire.url, publish_timeout_s=0.2) as stuck,
            stuck.consume(Queue.CHANGES, prefetch=1) as slow,
        ):
            delivery = await take(slow)
            wire.hold()
            with pytest.raises(BusDown):
                await delivery.retry(0)
            wire.release()
            again = await take(slow)
            assert again.body == b"x"
            await again.ack()


async def test_leaving_without_a_connection_ends(amqp_url: str) -> None:
    async with Wire(amqp_url) as wire, RabbitBus(wire.url) as bus:
        await bus.wait_connected(10)
        async with asyncio.timeout(10), bus.consume(Queue.CHANGES, prefetch=1):
            wire.cut()


@pytest.fixture
def broker() -> Iterator[PrivateRabbit]:
    with server_directory() as directory, PrivateRabbit(directory) as broker:
        yield broker


@pytest.mark.chaos
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL], ids=["stopped", "killed"])
async def test_a_broker_that_goes_and_comes_back_keeps_what_it_confirmed(
    broker: PrivateRabbit, how: signal.Signals
) -> None:
    bodies = {b"%d" % number for number in range(200)}
    async with RabbitBus(broker.url) as bus:
        await bus.wait_connected(30)
        await settle_in()
        async with bus.consume(Queue.CONTROL, prefetch=1) as control:
            for body in bodies:
                await bus.publish(Queue.CHANGES, body, key="k")
            await asyncio.to_thread(broker.stop, how)
            with pytest.raises(BusDown):
                await bus.publish(Queue.CHANGES, b"while it is down", key="k")
            await asyncio.to_thread(broker.start)
            await bus.wait_connected(60)
            assert (await take_all(bus, bodies)).keys() >= bodies
            await bus.publish(Queue.CONTROL, b"and on", key="k")
            delivery = await take(control)  # the consumer from before
            assert delivery.body == b"and on"
            await delivery.ack()


async def settle_in() -> None:
    """RabbitMQ 3.10 loses a quorum queue that was declared in the last two seconds before a kill: there is nothing to
    wait for but the time."""
    started = time.monotonic()
    while time.monotonic() - started < 2.5:
        await asyncio.sleep(0.1)
