"""What a person tells a connection to do, as the rest of hintd obeys it."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

from hintd.service.steering import paused, resumed
from hintd.watch import ConnectionWatch
from tests.contract.stores import changed, connection, memory_stores
from tests.fakes.clock import run_virtual

AN_HOUR_S = 3600.0


class Willing:
    """Remotes that take every connection's credentials."""

    def reach(self, _: object) -> Any:
        async def yes(*_: object, **__: object) -> None:
            return None

        return SimpleNamespace(
            tokens=SimpleNamespace(token=yes, refresh=yes),
            remotes=SimpleNamespace(hint=SimpleNamespace(list_patients=yes)),
        )


async def _watched_for_an_hour(*standing: object) -> list[str]:
    stores = memory_stores()
    for each in standing:
        await stores.connections.add(each)  # type: ignore[arg-type]
    house: Any = SimpleNamespace(stores=stores, remote=Willing())
    with suppress(TimeoutError):
        async with asyncio.timeout(AN_HOUR_S):
            await ConnectionWatch(house).run()
    return [each.state for each in await stores.connections.all()]


def test_only_a_pause_for_refused_credentials_ends_when_they_are_taken_again() -> None:
    refused = changed(connection("refused", "prac-1"), state="paused", paused_why="Hint refused the token")
    told = paused(connection("told", "prac-2"), "ann")
    assert run_virtual(_watched_for_an_hour(refused, told)) == ["active", "paused"]


def test_pausing_twice_keeps_who_paused_first() -> None:
    told = paused(connection(), "ann")
    assert paused(told, "bob") == told
    assert resumed(told) == connection()
