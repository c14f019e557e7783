"""Waiting for a link that this process has in hand."""

from __future__ import annotations

import asyncio

from hintd.service.hands import Hands


async def test_a_link_in_hand_is_waited_for_until_it_is_free() -> None:
    hands, order = Hands(), list[str]()

    async def wait() -> None:
        order.append(f"free: {await hands.wait(1, 60)}")

    with hands.holding(1):
        waiting = asyncio.create_task(wait())
        await asyncio.sleep(0)
        order.append("still in hand")
    await waiting
    assert order == ["still in hand", "free: True"]


async def test_a_link_in_hand_elsewhere_is_not_waited_for() -> None:
    assert await Hands().wait(1, 60) is False


async def test_waiting_ends_when_the_time_is_up() -> None:
    hands = Hands()
    with hands.holding(1):
        assert await hands.wait(1, 0.01) is False
