"""The connections as this process knows them: looked up every few seconds, so that a command run beside the daemon
takes effect at once, and the pause and return of a connection whose credentials are refused."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

import structlog

from hintd.composition import House
from hintd.core.errors import CredentialsRefused, RemoteError, Retryable
from hintd.core.model import Notice, Outcome, OutcomeKind
from hintd.ports import BusDown, Call, CallClass, Connection, Queue, Settlement, StoreDown
from hintd.service.steering import is_paused_by_person

LOOK_EVERY_S = 1.0
PROBE_EVERY_S = 10.0

log = structlog.get_logger()


class ConnectionWatch:
    """``problems`` names what keeps this process from being ready; stream and scheduler report theirs here too."""

    def __init__(self, house: House) -> None:
        self._house = house
        self._by_practice: dict[str, Connection] | None = None
        self._trouble: dict[str, str] = {}
        self.changed = asyncio.Event()

    def active(self) -> list[Connection]:
        return [c for c in (self._by_practice or {}).values() if c.state == "active"]

    def paused(self) -> list[Connection]:
        return [c for c in (self._by_practice or {}).values() if c.state == "paused"]

    def by_id(self, connection_id: int) -> Connection | None:
        return next((c for c in (self._by_practice or {}).values() if c.id == connection_id), None)

    def knows(self, practice_id: str) -> bool | None:
        """None while Postgres has not told which practices there are."""
        if self._by_practice is None:
            return None
        connection = self._by_practice.get(practice_id)
        return connection is not None and connection.state != "disconnected"

    def problems(self) -> Mapping[str, str]:
        return self._trouble

    def report(self, part: str, trouble: str | None) -> None:
        """One log line per transition."""
        before = self._trouble.pop(part, None)
        if trouble is not None:
            self._trouble[part] = trouble
        if (before is None) != (trouble is None):
            log.info("part_recovered" if trouble is None else "part_failing", part=part, error=trouble or "")

    async def look(self) -> None:
        try:
            found = {c.practice_id: c for c in await self._house.stores.connections.all()}
        except StoreDown as error:
            self.report("postgres", str(error))
            return
        self.report("postgres", None)
        if found != self._by_practice:
            self._by_practice = found
            self.changed.set()

    async def run(self) -> None:
        """For ever."""
        waited_s = 0.0
        while True:
            await self.look()
            if waited_s >= PROBE_EVERY_S:
                waited_s = 0.0
                await self._probe_paused()
            await asyncio.sleep(LOOK_EVERY_S)
            waited_s += LOOK_EVERY_S

    async def react(self, notice: Notice) -> Outcome:
        """The outcome of a notice, by its connection; used by the consumers."""
        connection = (self._by_practice or {}).get(notice.connection)
        if connection is None:
            await self.look()
            connection = (self._by_practice or {}).get(notice.connection)
        if connection is None or connection.state == "disconnected":
            return await self._ignore(notice, connection)
        if connection.state == "paused":
            raise Retryable(f"connection {connection.name} is paused: {connection.paused_why}", after_s=PROBE_EVERY_S)
        return await self._house.react(connection, notice)

    async def _ignore(self, notice: Notice, connection: Connection | None) -> Outcome:
        outcome = Outcome(OutcomeKind.IGNORED, "disconnected" if connection else "unknown_practice")
        if connection is not None:
            await self._house.stores.links.settle(
                Settlement(connection_id=connection.id, at=self._house.now(), notice=notice, outcome=outcome)
            )
        return outcome

    async def pause(self, practice_id: str, why: str) -> None:
        """Credentials were refused: the connection waits, without loss, until a probe succeeds."""
        await self.look()  # it may just have been disconnected, and stays so
        connection = (self._by_practice or {}).get(practice_id)
        if connection is None or connection.state != "active":
            return
        log.error("connection_paused", connection=connection.name, error=why)
        await self._house.stores.connections.change(replace(connection, state="paused", paused_why=why))
        await self.look()

    async def _probe_paused(self) -> None:
        for connection in self.paused():
            if is_paused_by_person(connection):
                continue
            try:
                await probe(self._house, connection)
            except CredentialsRefused:
                continue
            except (RemoteError, StoreDown):
                continue
            await self._resume(connection)

    async def _resume(self, connection: Connection) -> None:
        await self.look()
        if connection not in self.paused():
            return  # it was changed meanwhile: disconnected, or given other credentials
        try:
            await self._house.stores.connections.change(replace(connection, state="active", paused_why=None))
        except StoreDown:
            return  # the next probe resumes it
        log.info("connection_resumed", connection=connection.name)
        await self.look()

    async def refresh_gauges(self) -> None:
        """Best effort: a scrape shows the last known figures when a server is down."""
        try:
            self._house.metrics.show_waiting(await self._waiting())
            items = await self._house.stores.parking.items(limit=10_000)
            self._house.metrics.show_parked(Counter(item.kind for item in items))
        except (BusDown, StoreDown) as error:
            log.info("gauges_stale", error=str(error))

    async def _waiting(self) -> Mapping[Queue, int]:
        """At the bus, and what could not be published yet and waits for the relay."""
        waiting = Counter(await self._house.bus.waiting())
        if self._house.has_relay:
            waiting.update(await self._house.inbox_bus.waiting())
        return waiting


async def probe(house: House, connection: Connection) -> None:
    """Do both remotes take the connection's credentials?  Raises what they raise."""
    reach = house.remote.reach(connection)
    token = await reach.tokens.token()
    await reach.tokens.refresh(token)
    await reach.remotes.hint.list_patients(Call(CallClass.MANUAL, "probe"), offset=0, limit=1)
