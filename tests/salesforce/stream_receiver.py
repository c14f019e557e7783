"""The receiving end of a stream under test: notes what it gets in order, and lets a test wait for it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from hintd.core.model import Notice
from hintd.salesforce.auth import Token
from hintd.salesforce.events import Gap
from hintd.salesforce.stream import ContactStream, PubSub, Receiver, StreamState
from tests.salesforce.pubsub_server import ScriptedPubSub

NOW = datetime(2026, 11, 22, 10, 15, 1, tzinfo=UTC)
PATIENCE_S = 20.0


class Tokens:
    """``t1``, and after each refresh the next one."""

    def __init__(self) -> None:
        self.number = 1

    async def token(self) -> Token:
        return Token(f"t{self.number}", "https://acme.my.salesforce.com", "00D5g000004AbCdEAK", "0055g00000AAAAAAAA")

    async def refresh(self, stale: Token) -> Token:
        if stale.access_token == f"t{self.number}":
            self.number += 1
        return await self.token()


@dataclass
class Ledger:
    """``seen`` holds what came, as ("accept", record ids), ("gap", kind), ("cursor", bytes), ("state", phase) and
    ("pause", seconds).  ``failures`` are raised, one per accept, before anything is taken."""

    seen: list[tuple[str, Any]] = field(default_factory=list)
    notices: list[Notice] = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)
    states: list[StreamState] = field(default_factory=list)
    failures: list[Exception] = field(default_factory=list)
    gate: asyncio.Event | None = None
    _more: asyncio.Event = field(default_factory=asyncio.Event)

    def _note(self, what: str, value: Any) -> None:
        self.seen.append((what, value))
        self._more.set()

    async def accept(self, notices: Sequence[Notice]) -> None:
        if self.failures:
            raise self.failures.pop(0)
        if self.gate is not None:
            await self.gate.wait()
        self.notices.extend(notices)
        self._note("accept", [notice.record_id for notice in notices])

    async def save_cursor(self, cursor: bytes) -> None:
        self._note("cursor", cursor)

    async def on_gap(self, gap: Gap) -> None:
        self.gaps.append(gap)
        self._note("gap", gap.kind.value)

    def on_state(self, state: StreamState) -> None:
        self.states.append(state)
        self._note("state", state.phase.value)

    async def pause(self, seconds: float) -> None:
        self._note("pause", seconds)
        await asyncio.sleep(0)

    def receiver(self) -> Receiver:
        return Receiver(self.accept, self.save_cursor, self.on_gap, self.on_state)

    def of(self, *kinds: str) -> list[tuple[str, Any]]:
        return [each for each in self.seen if each[0] in kinds]

    async def until(self, what: str, value: Any) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while (what, value) not in self.seen:
                self._more.clear()
                await self._more.wait()


def make_stream(
    server: ScriptedPubSub,
    ledger: Ledger,
    tokens: Tokens | None = None,
    *,
    watchdog_s: float = 300.0,
    tls: bool = False,
) -> ContactStream:
    tokens = tokens or Tokens()
    return ContactStream(
        PubSub(server.address, tls=tls, token=tokens.token, refresh=tokens.refresh),
        practice_id="prac-1",
        now=lambda: NOW,
        delay=float,
        watchdog_s=watchdog_s,
        pause=ledger.pause,
    )


@asynccontextmanager
async def running(stream: ContactStream, ledger: Ledger, cursor: bytes | None) -> AsyncIterator[None]:
    task = asyncio.create_task(stream.run(ledger.receiver(), cursor=cursor))
    try:
        yield
        assert not task.done(), task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
