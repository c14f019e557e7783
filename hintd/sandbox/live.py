"""The changes of both sides as server-sent events: what the page follows and tests wait on."""

from __future__ import annotations

import asyncio

import msgspec
from aiohttp import web

from hintd.sandbox.changes import Change, Changes

_KEEP_ALIVE_S = 15.0
_SLOWEST = 10_000  # changes that a reader may be behind before it is cut off, to reconnect and read all records anew


class Live:
    """``GET /control/changes``: one event per change, until the reader goes or the sandbox stops."""

    def __init__(self, changes: Changes) -> None:
        self._changes = changes
        self._readers: set[asyncio.Queue[Change | None]] = set()

    def routes(self, app: web.Application) -> None:
        app.router.add_get("/control/changes", self.follow)
        app.on_shutdown.append(self._stop)

    async def follow(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"})
        queue: asyncio.Queue[Change | None] = asyncio.Queue()
        self._readers.add(queue)
        unlisten = self._changes.listen(queue.put_nowait)
        try:
            await response.prepare(request)
            await response.write(b": following\n\n")
            await self._write_all(queue, response)
        except ConnectionError:
            pass  # the reader has gone, which is how every reader ends
        finally:
            unlisten()
            self._readers.discard(queue)
        return response

    async def _write_all(self, queue: asyncio.Queue[Change | None], response: web.StreamResponse) -> None:
        while queue.qsize() < _SLOWEST:
            try:
                change = await asyncio.wait_for(queue.get(), _KEEP_ALIVE_S)
            except TimeoutError:
                await response.write(b": still here\n\n")
                continue
            if change is None:
                return
            await response.write(b"data: " + msgspec.json.encode(change) + b"\n\n")

    async def _stop(self, app: web.Application) -> None:
        for queue in self._readers:
            queue.put_nowait(None)
