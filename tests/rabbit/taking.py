"""Taking messages in tests."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import TypeVar

T = TypeVar("T")

WITHIN_S = 30.0


async def take(deliveries: AsyncIterator[T]) -> T:
    async with asyncio.timeout(WITHIN_S):
        return await anext(deliveries)
