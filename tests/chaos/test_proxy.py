"""The proxy itself: a test that relies on a silent wire must know that it is silent."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.chaos.proxy import Proxy

pytestmark = pytest.mark.chaos

Ends = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Echo(asyncio.Protocol):
    """Says back what it hears."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, piece: bytes) -> None:
        self._transport.write(piece)


@pytest.fixture
async def proxy() -> AsyncIterator[Proxy]:
    server = await asyncio.get_running_loop().create_server(Echo, "127.0.0.1", 0)
    async with server, Proxy("127.0.0.1", server.sockets[0].getsockname()[1]) as proxy:
        yield proxy


@asynccontextmanager
async def connected(proxy: Proxy) -> AsyncIterator[Ends]:
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


async def said_back(ends: Ends, piece: bytes) -> bytes:
    ends[1].write(piece)
    return await asyncio.wait_for(ends[0].readexactly(len(piece)), 0.5)


async def test_what_is_sent_comes_through_both_ways(proxy: Proxy) -> None:
    async with connected(proxy) as ends:
        assert await said_back(ends, b"hello") == b"hello"


async def test_a_cut_resets_what_stands_and_serves_what_comes(proxy: Proxy) -> None:
    async with connected(proxy) as ends:
        await said_back(ends, b"hello")
        assert proxy.cut() == 1
        with pytest.raises(OSError):
            await said_back(ends, b"again")
            await said_back(ends, b"again")
    async with connected(proxy) as ends:
        assert await said_back(ends, b"hello") == b"hello"


async def test_a_silent_connection_stays_open_and_brings_nothing(proxy: Proxy) -> None:
    async with connected(proxy) as silent, connected(proxy) as later:
        await said_back(silent, b"hello")
        assert proxy.go_silent() >= 1
        with pytest.raises(TimeoutError):
            await said_back(silent, b"anybody there?")
        assert not silent[0].at_eof()
        later[1].transport.abort()
    async with connected(proxy) as new:
        assert await said_back(new, b"hello") == b"hello"


async def test_a_refusing_proxy_lets_nobody_in_and_keeps_what_stands(proxy: Proxy) -> None:
    async with connected(proxy) as before:
        await said_back(before, b"hello")
        async with proxy.refusing():
            async with connected(proxy) as refused:
                with pytest.raises((OSError, asyncio.IncompleteReadError)):
                    await said_back(refused, b"hello")
            assert await said_back(before, b"still here") == b"still here"


@pytest.mark.parametrize(
    ("spoil", "at_least_s"),
    [
        pytest.param({"delay_s": 0.05}, 0.1, id="delay-both-ways"),
        pytest.param({"bytes_per_s": 1000.0}, 0.2, id="hundred-bytes-both-ways-at-a-thousand-per-second"),
    ],
)
async def test_a_slow_wire_takes_its_time(proxy: Proxy, spoil: dict[str, float], at_least_s: float) -> None:
    for name, value in spoil.items():
        setattr(proxy, name, value)
    async with connected(proxy) as ends:
        begun = time.monotonic()
        await said_back(ends, b"x" * 100)
        assert time.monotonic() - begun >= at_least_s
