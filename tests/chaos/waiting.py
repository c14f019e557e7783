"""Waiting for a condition, never for a time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

_LOOK_EVERY_S = 0.1


async def wait_until(condition: Callable[[], Awaitable[object]], claim: str, *, within_s: float) -> None:
    """Raises AssertionError with the claim, and with what the condition answered last when that says more."""
    deadline = time.monotonic() + within_s
    while not (answer := await condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {within_s:.0f} s: {claim} ({answer!r})")
        await asyncio.sleep(_LOOK_EVERY_S)


async def wait_until_nothing(left: Callable[[], Awaitable[object]], claim: str, *, within_s: float) -> None:
    """Until ``left`` answers something empty; what it answered last is in the error."""
    last: object = None

    async def none_left() -> bool:
        nonlocal last
        last = await left()
        return not last

    try:
        await wait_until(none_left, claim, within_s=within_s)
    except AssertionError:
        shown = [*last[:5], f"and {len(last) - 5} more"] if isinstance(last, list) and len(last) > 6 else last
        raise AssertionError(f"not within {within_s:.0f} s: {claim}; left: {shown!r}") from None
