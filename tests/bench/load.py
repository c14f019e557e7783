"""The load generator, a child process: keep-alive connections that post signed webhooks one after the other.

Options: ``port``, ``path``, ``connections``, ``warm_up_s`` and ``seconds``, or ``count`` requests instead of a time;
``bodies`` (a file of one body per line) or ``patients`` synthetic ones; ``secret``.  Bare protocol over uvloop, so that
one core of load is more than one core of server can take.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import uvloop

from tests.bench.figures import quantile
from tests.bench.processes import options, say
from tests.bench.webhook import event, patient, signature


class Connection(asyncio.Protocol):
    """Posts, waits for the answer, posts the next; ``latencies`` collects (begun, seconds) of each."""

    def __init__(self, requests: Iterator[bytes], until: Until) -> None:
        self._requests, self._until = requests, until
        self._received = b""
        self.latencies: list[tuple[float, float]] = []
        self.refused = 0
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._post()

    def data_received(self, received: bytes) -> None:
        self._received += received
        head, separator, body = self._received.partition(b"\r\n\r\n")
        if not separator or len(body) < _body_length(head):
            return
        self._received = b""
        self.latencies.append((self._begun, time.perf_counter() - self._begun))
        if head[9:10] != b"2":
            self.refused += 1
        self._post()

    def connection_lost(self, error: Exception | None) -> None:
        if not self.done.done():
            self.done.set_exception(error or ConnectionError("the server closed a connection"))

    def _post(self) -> None:
        if self._until.is_over():
            if not self.done.done():
                self.done.set_result(None)
            return
        self._begun = time.perf_counter()
        self._transport.write(next(self._requests))


class Until:
    """The end of the run: a moment, or a number of requests."""

    def __init__(self, end: float | None, count: int | None) -> None:
        self._end, self._left = end, count

    def is_over(self) -> bool:
        if self._end is not None:
            return time.perf_counter() >= self._end
        if self._left is None or self._left <= 0:
            return True
        self._left -= 1
        return False


def _body_length(head: bytes) -> int:
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    return 0


def _requests(asked: dict[str, Any]) -> list[bytes]:
    if "bodies" in asked:
        bodies = Path(asked["bodies"]).read_bytes().splitlines()
    else:
        bodies = [event(patient(number), number) for number in range(asked["patients"])]
    return [_request(asked["path"], body, asked["secret"]) for body in bodies]


def _request(path: str, body: bytes, secret: str) -> bytes:
    head = (
        f"POST {path} HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        f"X-Hint-Signature: {signature(body, secret)}\r\n\r\n"
    )
    return head.encode() + body


async def drive(asked: dict[str, Any]) -> dict[str, float]:
    requests = itertools.cycle(_requests(asked))
    begun = time.perf_counter()
    counted_from = begun + asked.get("warm_up_s", 0.0)
    until = Until(counted_from + asked["seconds"] if "seconds" in asked else None, asked.get("count"))
    loop = asyncio.get_running_loop()
    opened = [
        await loop.create_connection(lambda: Connection(requests, until), "127.0.0.1", asked["port"])
        for _ in range(asked["connections"])
    ]
    await asyncio.gather(*(connection.done for _, connection in opened))
    took_s = time.perf_counter() - max(begun, counted_from)
    timed = sorted(s for _, c in opened for at, s in c.latencies if at >= counted_from)
    return {
        "per_s": len(timed) / took_s,
        "p50_ms": 1000 * quantile(timed, 0.5),
        "p99_ms": 1000 * quantile(timed, 0.99),
        "requests": len(timed),
        "refused": sum(connection.refused for _, connection in opened),
    }


if __name__ == "__main__":
    say(uvloop.run(drive(options())))
