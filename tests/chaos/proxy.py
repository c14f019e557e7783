"""A TCP proxy that spoils the wire between two programs: delays, throttles, cuts, and goes silent.

Half-open is the worst of them: a peer that is gone without a word, as behind a firewall that forgot the connection.
Both ends stay open, and whatever is sent disappears.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Self

_AT_ONCE = 64 * 1024  # bytes read at a time


@dataclass(eq=False, slots=True)
class _Wire:
    """One connection through the proxy."""

    writers: tuple[asyncio.StreamWriter, asyncio.StreamWriter]
    silent: bool = False

    def cut(self) -> None:
        """Resets both ends."""
        for writer in self.writers:
            writer.transport.abort()


@dataclass(slots=True)
class Proxy:
    """``async with`` serves ``host:target_port`` on ``port``; a host that is a directory holds Postgres's socket.

    ``delay_s`` holds up every piece that is read, and ``bytes_per_s`` (0: no limit) is the pace of each direction of
    each connection.
    """

    host: str
    target_port: int
    delay_s: float = 0.0
    bytes_per_s: float = 0.0
    port: int = 0
    _refusing: bool = False
    _server: asyncio.Server | None = None
    _wires: set[_Wire] = field(default_factory=set)
    _serving: set[asyncio.Task[None]] = field(default_factory=set)

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._connect, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        self.cut()
        await asyncio.gather(*self._serving, return_exceptions=True)
        await self._server.wait_closed()

    @property
    def connections(self) -> int:
        return len(self._wires)

    def cut(self) -> int:
        """Resets all connections that stand; returns how many.  New ones are served."""
        wires = list(self._wires)
        for wire in wires:
            wire.cut()
        return len(wires)

    def go_silent(self) -> int:
        """All connections that stand become half-open, for good; returns how many.  New ones are served."""
        for wire in self._wires:
            wire.silent = True
        return len(self._wires)

    @asynccontextmanager
    async def refusing(self) -> AsyncIterator[None]:
        """Within the block new connections are reset at once, as when nothing listens."""
        self._refusing = True
        try:
            yield
        finally:
            self._refusing = False

    def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving = asyncio.create_task(self._serve(reader, writer), name="proxied connection")
        self._serving.add(serving)
        serving.add_done_callback(self._serving.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._refusing:
            writer.transport.abort()
            return
        try:
            far_reader, far_writer = await self._reach()
        except OSError:
            writer.transport.abort()
            return
        wire = _Wire((writer, far_writer))
        self._wires.add(wire)
        try:
            await asyncio.gather(self._carry(wire, reader, far_writer), self._carry(wire, far_reader, writer))
        finally:
            self._wires.discard(wire)
            wire.cut()

    async def _reach(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self.host.startswith("/"):
            return await asyncio.open_unix_connection(f"{self.host}/.s.PGSQL.{self.target_port}")
        return await asyncio.open_connection(self.host, self.target_port)

    async def _carry(self, wire: _Wire, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Until the sender ends; an end is passed on, unless the wire is silent."""
        with suppress(OSError):
            while piece := await reader.read(_AT_ONCE):
                await self._hold_up(len(piece))
                if not wire.silent:
                    writer.write(piece)
                    await writer.drain()
            if not wire.silent and writer.can_write_eof():
                writer.write_eof()

    async def _hold_up(self, size: int) -> None:
        wait_s = self.delay_s + (size / self.bytes_per_s if self.bytes_per_s else 0.0)
        if wait_s:
            await asyncio.sleep(wait_s)
