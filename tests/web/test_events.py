"""A batch that is followed: one event per change, signs of life, and an end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import aiohttp
import msgspec
import pytest

from hintd.core.batch import ENDED, Batch, BatchState
from hintd.ports import StoreDown
from hintd.service.batch_answers import BatchJson, batch_json
from hintd.web.events import Pace, status_events
from tests.fakes.clock import run_virtual
from tests.fakes.desk import CONNECTION, NOON, World, a_batch
from tests.web.conftest import TERMS, TOKEN, Caller, serving

RUNNING = replace(a_batch(state=BatchState.RUNNING), started_at=NOON, total=100)
DONE = replace(RUNNING, state=BatchState.DONE, done=100)
KEEP_ALIVE = b": nothing new\n\n"

# What is seen of the batch at a second of virtual time.
Story = Callable[[float], Batch]


def followed(story: Story, *, pieces: int = 100) -> list[tuple[float, bytes]]:
    """The pieces with the second in which they came."""

    async def follow() -> list[tuple[float, bytes]]:
        clock = asyncio.get_running_loop().time

        async def look() -> BatchJson:
            return batch_json(story(clock()), CONNECTION, NOON + timedelta(seconds=clock()))

        told: list[tuple[float, bytes]] = []
        stream = status_events(look, Pace(0.5, 15.0))
        while len(told) < pieces and (piece := await anext(stream, None)) is not None:
            told.append((clock(), piece))
        await stream.aclose()
        return told

    return run_virtual(follow())


def read_event(piece: bytes) -> tuple[str, str, Any]:
    """Id, type and data of an event."""
    lines = [line.split(": ", 1) for line in piece.decode().removesuffix("\n\n").split("\n")]
    assert [name for name, _ in lines] == ["id", "event", "data"]
    return lines[0][1], lines[1][1], msgspec.json.decode(lines[2][1])


def test_first_event_comes_at_once_and_tells_the_status() -> None:
    ((at, piece),) = followed(lambda _: RUNNING, pieces=1)
    number, kind, told = read_event(piece)
    assert (at, number, kind) == (0.0, "1", "batch")
    assert (told["batch_id"], told["state"], told["total"]) == (RUNNING.id, "running", 100)


def test_every_change_is_one_event_and_the_end_is_the_last() -> None:
    story: Story = lambda at: DONE if at >= 3 else replace(RUNNING, done=int(at) * 10)  # noqa: E731
    events = [(at, read_event(piece)) for at, piece in followed(story)]
    assert [(at, told["done"]) for at, (_, _, told) in events] == [(0, 0), (1, 10), (2, 20), (3, 100)]
    assert [number for _, (number, _, _) in events] == ["1", "2", "3", "4"]


def test_time_left_alone_is_no_event() -> None:
    pieces = followed(lambda at: DONE if at >= 10 else replace(RUNNING, done=10))
    assert [at for at, _ in pieces] == [0.0, 10.0]


def test_silence_is_broken_by_a_comment_every_fifteen_seconds() -> None:
    pieces = followed(lambda at: DONE if at >= 40 else RUNNING)
    assert [at for at, _ in pieces] == [0.0, 15.0, 30.0, 40.0]
    assert [piece for _, piece in pieces[1:3]] == [KEEP_ALIVE, KEEP_ALIVE]


@pytest.mark.parametrize("state", sorted(ENDED))
def test_ended_batch_is_told_once(state: BatchState) -> None:
    assert len(followed(lambda _: replace(RUNNING, state=state))) == 1


def test_followers_end_when_the_server_stops() -> None:
    async def follow() -> tuple[float, bytes | None]:
        pace = Pace(0.5, 15.0)

        async def look() -> BatchJson:
            return batch_json(RUNNING, CONNECTION, NOON)

        stream = status_events(look, pace)
        await anext(stream)
        loop = asyncio.get_running_loop()
        loop.call_later(0.2, pace.closing.set)
        return loop.time(), await anext(stream, None)

    assert run_virtual(follow()) == (0.0, None)


async def test_batch_is_followed_over_http_to_its_end(api: Caller, world: World) -> None:
    world.batches["bat-1"] = replace(RUNNING, id="bat-1")
    headers = {"Authorization": f"Bearer {TOKEN}", "Last-Event-ID": "17"}
    async with api.client.get("/api/v1/batches/bat-1/events", headers=headers) as response:
        assert response.headers["Content-Type"] == "text/event-stream; charset=utf-8"
        assert response.headers["Cache-Control"] == "no-store"
        first = await response.content.readuntil(b"\n\n")
        world.batches["bat-1"] = replace(DONE, id="bat-1")
        rest = await response.content.read()
    assert read_event(first)[2]["state"] == "running"
    assert read_event(rest)[2]["state"] == "done"


async def test_follower_does_not_hold_up_the_stop(world: World) -> None:
    world.batches["bat-1"] = replace(RUNNING, id="bat-1")
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with serving(world, replace(TERMS, look_every_s=1000.0)) as api:
        response = await api.client.get("/api/v1/batches/bat-1/events", headers=headers)
        await response.content.readuntil(b"\n\n")
        async with asyncio.timeout(5):
            await api.client.server.close()
        assert await response.content.read() == b""


async def test_stream_that_fails_breaks_off_instead_of_ending(api: Caller, world: World) -> None:
    world.batches["bat-1"] = replace(RUNNING, id="bat-1")
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with api.client.get("/api/v1/batches/bat-1/events", headers=headers) as response:
        await response.content.readuntil(b"\n\n")
        world.trouble = StoreDown()
        with pytest.raises(aiohttp.ClientPayloadError):
            await response.content.read()
