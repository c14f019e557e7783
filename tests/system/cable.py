"""A TCP proxy to a server, that can be cut and mended: how tests take a broker away without stopping it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

_CHUNK = 65_536


class Cable:
    """Leads ``port`` of this machine to ``(host, to_port)``, while it is whole."""

    def __init__(self, host: str, to_port: int) -> None:
        self._far_end = (host, to_port)
        self._server: asyncio.Server | None = None
        self._flowing: set[asyncio.Task[None]] = set()
        self.port = 0

    async def mend(self) -> None:
        self._server = await asyncio.start_server(self._join, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def cut(self) -> None:
        """Nobody gets through, and every connection that stood is broken."""
        assert self._server is not None
        self._server.close()
        flowing = tuple(self._flowing)
        for task in flowing:
            task.cancel()
        await asyncio.gather(*flowing, return_exceptions=True)

    async def _join(self, near: asyncio.StreamReader, near_end: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._flowing.add(task)
        try:
            far, far_end = await asyncio.open_connection(*self._far_end)
            await self._both_ways((near, far_end), (far, near_end))
        except (OSError, asyncio.CancelledError):
            pass  # an end that broke, or the cut: for both the other end breaks too
        finally:
            near_end.transport.abort()
            self._flowing.discard(task)

    async def _both_ways(self, *ways: tuple[asyncio.StreamReader, asyncio.StreamWriter]) -> None:
        pumps = [asyncio.create_task(_pump(*way)) for way in ways]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
            for _, end in ways:
                end.transport.abort()


async def _pump(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while chunk := await source.read(_CHUNK):
            target.write(chunk)
            await target.drain()


@asynccontextmanager
async def cable_to(host: str, port: int) -> AsyncIterator[Cable]:
    cable = Cable(host, port)
    await cable.mend()
    try:
        yield cable
    finally:
        await cable.cut()
