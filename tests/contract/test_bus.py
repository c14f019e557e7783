"""What every bus promises: durable, at least once, nothing lost by a killed consumer, nothing looping for ever."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from hintd.ports import Delivery, Queue
from tests.contract.buses import DELIVERY_LIMIT, Rig

SOON_S = 20.0


async def take(deliveries: AsyncIterator[Delivery]) -> Delivery:
    async with asyncio.timeout(SOON_S):
        return await anext(deliveries)


async def publish(rig: Rig, *bodies: bytes, queue: Queue = Queue.CHANGES) -> None:
    await asyncio.gather(*(rig.bus.publish(queue, body, key="pat-1") for body in bodies))


async def waiting(rig: Rig) -> dict[Queue, int]:
    return {queue: count for queue, count in (await rig.bus.waiting()).items() if count}


async def test_a_message_is_delivered_once_and_gone_when_settled(rig: Rig) -> None:
    await publish(rig, b"\x00body\xff")
    async with rig.bus.consume(Queue.CHANGES, prefetch=10) as deliveries:
        delivery = await take(deliveries)
        assert (delivery.body, delivery.attempt) == (b"\x00body\xff", 1)
        await delivery.ack()
        await publish(rig, b"next")
        assert (await take(deliveries)).body == b"next"


async def test_what_is_settled_does_not_wait(rig: Rig) -> None:
    await publish(rig, b"one")
    async with rig.bus.consume(Queue.CHANGES, prefetch=1) as deliveries:
        delivery = await take(deliveries)
        assert await waiting(rig) == {Queue.CHANGES: 1}
        await delivery.ack()
        async with asyncio.timeout(SOON_S):
            while await waiting(rig):
                await asyncio.sleep(0)


async def test_an_answer_settles_nothing(rig: Rig) -> None:
    await publish(rig, b"question", queue=Queue.CONTROL)
    async with rig.bus.consume(Queue.CONTROL, prefetch=1) as deliveries:
        delivery = await take(deliveries)
        await delivery.answer(b"answer")
        assert await waiting(rig) == {Queue.CONTROL: 1}
        await delivery.ack()


async def test_messages_come_in_the_order_in_which_they_were_published(rig: Rig) -> None:
    bodies = [b"%d" % number for number in range(30)]
    for body in bodies:
        await publish(rig, body)
    async with rig.bus.consume(Queue.CHANGES, prefetch=7) as deliveries:
        got = []
        for _ in bodies:
            delivery = await take(deliveries)
            got.append(delivery.body)
            await delivery.ack()
    assert got == bodies


async def test_many_publishers_at_once_lose_nothing(rig: Rig) -> None:
    bodies = {b"%d" % number for number in range(300)}
    await publish(rig, *bodies)
    got = set()
    async with rig.bus.consume(Queue.CHANGES, prefetch=50) as deliveries:
        while got != bodies:
            delivery = await take(deliveries)
            got.add(delivery.body)
            await delivery.ack()


async def test_a_consumer_that_waits_gets_what_is_published_later(rig: Rig) -> None:
    async with rig.bus.consume(Queue.CONTROL, prefetch=1) as deliveries:
        taking = asyncio.create_task(take(deliveries))
        await publish(rig, b"late", queue=Queue.CONTROL)
        assert (await taking).body == b"late"


async def test_queues_do_not_mix(rig: Rig) -> None:
    for queue in Queue:
        await publish(rig, queue.encode(), queue=queue)
    for queue in reversed(Queue):
        async with rig.bus.consume(queue, prefetch=5) as deliveries:
            delivery = await take(deliveries)
            assert delivery.body == queue.encode()
            await delivery.ack()


async def test_no_more_than_prefetch_are_in_hand(rig: Rig) -> None:
    await publish(rig, b"one", b"two", b"three")
    async with rig.bus.consume(Queue.CHANGES, prefetch=2) as deliveries:
        first, _ = await take(deliveries), await take(deliveries)
        third = asyncio.create_task(take(deliveries))
        done, _ = await asyncio.wait([third], timeout=0.3)
        assert not done
        await first.ack()
        assert (await third).body not in (b"", first.body)


async def test_what_is_given_back_comes_again_counted(rig: Rig) -> None:
    await publish(rig, b"one")
    async with rig.bus.consume(Queue.CHANGES, prefetch=1) as deliveries:
        for attempt in (1, 2, 3):
            delivery = await take(deliveries)
            assert (delivery.body, delivery.attempt) == (b"one", attempt)
            await delivery.retry(0.01)
        assert await waiting(rig) == {Queue.CHANGES: 1}
        delivery = await take(deliveries)
        assert delivery.attempt == 4
        await delivery.ack()


async def test_a_delayed_message_lets_others_pass(rig: Rig) -> None:
    await publish(rig, b"delayed")
    async with rig.bus.consume(Queue.CHANGES, prefetch=1) as deliveries:
        await (await take(deliveries)).retry(1.0)
        await publish(rig, b"other")
        for expected in (b"other", b"delayed"):
            delivery = await take(deliveries)
            assert delivery.body == expected
            await delivery.ack()


async def test_a_message_given_back_more_often_than_the_limit_is_no_dead_letter(rig: Rig) -> None:
    await publish(rig, b"patient")
    async with rig.bus.consume(Queue.CHANGES, prefetch=1) as deliveries:
        for _ in range(DELIVERY_LIMIT * 2):
            await (await take(deliveries)).retry(0.0)
        delivery = await take(deliveries)
        assert delivery.attempt == DELIVERY_LIMIT * 2 + 1
        await delivery.ack()


async def test_a_released_message_comes_again_at_once(rig: Rig) -> None:
    await publish(rig, b"one")
    async with rig.bus.consume(Queue.CHANGES, prefetch=1) as deliveries:
        await (await take(deliveries)).release()
        delivery = await take(deliveries)
        assert delivery.body == b"one"
        await delivery.ack()


async def test_a_consumer_that_leaves_gives_back_what_it_did_not_hand_out(rig: Rig) -> None:
    bodies = {b"%d" % number for number in range(6)}
    await publish(rig, *bodies)
    async with rig.bus.consume(Queue.CHANGES, prefetch=6) as deliveries:
        handed_out = await take(deliveries)
    got = set()
    async with rig.bus.consume(Queue.CHANGES, prefetch=6) as deliveries:
        while len(got) < 5:
            delivery = await take(deliveries)
            got.add(delivery.body)
            await delivery.ack()
    await handed_out.ack()
    assert got | {handed_out.body} == bodies


async def test_a_killed_consumers_message_comes_back_counted(rig: Rig) -> None:
    await publish(rig, b"one")
    async with rig.bus.consume(Queue.CHANGES, prefetch=1) as deliveries:
        await take(deliveries)
        await rig.crash()
    async with rig.bus.consume(Queue.CHANGES, prefetch=1) as deliveries:
        delivery = await take(deliveries)
        assert (delivery.body, delivery.attempt) == (b"one", 2)
        await delivery.ack()


async def test_a_message_that_kills_its_consumers_goes_to_the_dead_letters(rig: Rig) -> None:
    await publish(rig, b"poison")
    await publish(rig, b"good", queue=Queue.CONTROL)
    for _ in range(DELIVERY_LIMIT):
        async with rig.bus.consume(Queue.CHANGES, prefetch=1) as deliveries:
            await take(deliveries)
            await rig.crash()
    async with rig.bus.consume(Queue.CHANGES, prefetch=1) as deliveries, rig.bus.consume_dead() as dead:
        nothing = asyncio.create_task(take(deliveries))
        delivery = await take(dead)
        assert delivery.body == b"poison"
        await delivery.ack()
        assert not nothing.done()
        nothing.cancel()
    assert await waiting(rig) == {Queue.CONTROL: 1}


async def test_a_message_in_hand_for_longer_than_its_lease_is_not_delivered_again(rig: Rig) -> None:
    await publish(rig, b"slow")
    async with rig.bus.consume(Queue.CHANGES, prefetch=2) as deliveries:
        slow = await take(deliveries)
        again = asyncio.create_task(take(deliveries))
        done, _ = await asyncio.wait([again], timeout=1.5)
        assert not done
        await slow.ack()
        again.cancel()
