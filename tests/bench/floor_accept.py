"""The floor of accepting a webhook, a child process: bare aiohttp, the signature, and one durable accept.

``store`` "postgres": what came at the same time is inserted in one statement.  "rabbit": one persistent message to a
quorum queue each, confirmed, as many under way as there are requests.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from collections.abc import Awaitable, Callable

import aio_pika
import asyncpg
import uvloop
from aiohttp import web

from tests.bench.processes import options, say

Accept = Callable[[bytes], Awaitable[object]]
TABLE = "bench_floor"
# Without Postgres's compression, which would take longer than all the rest.
_CREATE = f"""
create table {TABLE} (id bigint generated always as identity primary key, body bytea);
alter table {TABLE} alter column body set storage external;
"""
_INSERT = f"insert into {TABLE} (body) select unnest($1::bytea[])"


async def _postgres(dsn: str) -> Accept:
    connection = await asyncpg.connect(dsn)
    await connection.execute(_CREATE)
    waiting: list[tuple[bytes, asyncio.Future[None]]] = []
    writing: set[asyncio.Task[None]] = set()

    async def write() -> None:
        while waiting:
            group = waiting[:]
            waiting.clear()
            await connection.execute(_INSERT, [body for body, _ in group])
            for _, stored in group:
                stored.set_result(None)
        writing.clear()

    async def accept(body: bytes) -> None:
        stored = asyncio.get_running_loop().create_future()
        waiting.append((body, stored))
        if not writing:
            writing.add(asyncio.create_task(write()))
        await stored

    return accept


async def _rabbit(url: str) -> Accept:
    connection = await aio_pika.connect(url)
    channel = await connection.channel(publisher_confirms=True)
    await channel.declare_queue(TABLE, durable=True, arguments={"x-queue-type": "quorum"})

    async def accept(body: bytes) -> None:
        await channel.default_exchange.publish(aio_pika.Message(body, delivery_mode=2), TABLE)

    return accept


async def serve(store: str, url: str, port: int, secret: bytes) -> None:
    accept = await (_postgres(url) if store == "postgres" else _rabbit(url))

    async def receive(request: web.Request) -> web.Response:
        body = await request.read()
        digest = "sha256=" + hmac.new(secret, body, hashlib.sha256).hexdigest()
        if not hmac.compare_digest(digest, request.headers.get("X-Hint-Signature", "")):
            return web.Response(status=401)
        await accept(body)
        return web.Response()

    app = web.Application()
    app.router.add_post("/hook", receive)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    say({"ready": True})
    await asyncio.Event().wait()


if __name__ == "__main__":
    asked = options()
    uvloop.run(serve(asked["store"], asked["url"], asked["port"], asked["secret"].encode()))
