"""The stream role: exactly one change stream per connection over all processes, or polling where there is none."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Sequence

import structlog

from hintd.composition import House
from hintd.core.errors import CredentialsRefused, Misconfigured, RemoteError
from hintd.core.model import Notice, Side
from hintd.core.retry import backoff_s
from hintd.ports import BusDown, Connection, Level, StoreDown
from hintd.salesforce.events import Gap
from hintd.salesforce.stream import ContactStream, Phase, PubSub, Receiver, StreamState
from hintd.salesforce.stream_errors import DeliveryAllowanceUsedUp
from hintd.service.stream_mode import Mode, StreamMode, save_mode
from hintd.service.sweep import sweep_side
from hintd.watch import ConnectionWatch

LOOK_EVERY_S = 4.0
POLL_FOR_S = 3600.0
CURSOR = "stream.cursor"

log = structlog.get_logger()


async def run_streams(house: House, watch: ConnectionWatch) -> None:
    """For ever: one supervised task per active connection."""
    running: dict[int, asyncio.Task[None]] = {}
    async with asyncio.TaskGroup() as group:
        while True:
            watch.changed.clear()
            wanted = {c.id: c for c in watch.active()}
            for connection_id in set(running) - set(wanted):
                running.pop(connection_id).cancel()
            for connection_id, connection in wanted.items():
                if connection_id not in running or running[connection_id].done():
                    running[connection_id] = group.create_task(
                        _ConnectionStream(house, watch, connection).run(), name=f"stream {connection.name}"
                    )
            try:
                async with asyncio.timeout(LOOK_EVERY_S):
                    await watch.changed.wait()
            except TimeoutError:
                pass


class _ConnectionStream:
    """One connection's stream: held by lease, supervised, with polling as its second mode."""

    def __init__(self, house: House, watch: ConnectionWatch, connection: Connection) -> None:
        self._house, self._watch, self._connection = house, watch, connection
        self._part = f"stream {connection.name}"
        self._lease = f"stream:{connection.id}"
        self._lease_s = house.config.limits.lease_s / 2
        self._renew_s = self._lease_s / 4
        self._mode: Mode | None = None  # what works just now
        self._lag_s: float | None = None

    async def run(self) -> None:
        """Until cancelled: hold the lease, and while it is held, stream."""
        try:
            while True:
                if await self._hold():
                    await self._until_it_breaks()
                await asyncio.sleep(self._renew_s)
        finally:
            self._watch.report(self._part, None)
            await asyncio.shield(self._let_go())

    async def _until_it_breaks(self) -> None:
        """What the stream itself does not outlive, such as a cursor that cannot be read, is tried again from here."""
        try:
            await self._while_held(self._stream_or_poll())
        except (RemoteError, BusDown, StoreDown) as error:
            self._watch.report(self._part, str(error))

    async def _hold(self) -> bool:
        house, lease_s = self._house, self._lease_s
        try:
            fence = await house.stores.leases.hold(self._lease, owner=house.owner, now=house.now(), lease_s=lease_s)
            if fence is not None and self._mode is not None:
                told = StreamMode(self._mode, house.now(), self._lag_s)
                await save_mode(house.stores.cursors, self._connection.id, told)
        except StoreDown:
            return False
        return fence is not None

    async def _let_go(self) -> None:
        try:
            await self._house.stores.leases.let_go(self._lease, owner=self._house.owner)
        except StoreDown:
            pass

    async def _while_held(self, work: Awaitable[None]) -> None:
        """Run it as long as the lease can be renewed: two streams would count every delivery twice."""
        task = asyncio.ensure_future(work)
        try:
            while not task.done():
                await asyncio.wait({task}, timeout=self._renew_s)
                if not task.done() and not await self._hold():
                    log.warning("stream_lease_lost", connection=self._connection.name)
                    return
            await task
        finally:
            task.cancel()
            await asyncio.wait({task})

    async def _stream_or_poll(self) -> None:
        try:
            await self._stream()
        except CredentialsRefused as error:
            await self._watch.pause(self._connection.practice_id, str(error))
        except (Misconfigured, DeliveryAllowanceUsedUp) as error:
            await self._note("polling", f"{error} Polling meanwhile.")
            await self._poll()

    async def _stream(self) -> None:
        house, connection = self._house, self._connection
        reach = house.remote.reach(connection)
        section = house.config.salesforce
        address = connection.secrets.get("salesforce_pubsub_address", section.pubsub_address)
        stream = ContactStream(
            PubSub(address, section.pubsub_tls, reach.tokens.token, reach.tokens.refresh),
            practice_id=connection.practice_id,
            now=house.now,
            delay=lambda attempt: backoff_s(attempt, random.random()),  # noqa: S311  jitter, no secret
            watchdog_s=house.config.sync.stream_watchdog_s,
        )
        receiver = Receiver(
            accept=self._accept, save_cursor=self._save_cursor, on_gap=self._on_gap, on_state=self._on_state
        )
        await stream.run(receiver, cursor=await house.stores.cursors.load(connection.id, CURSOR))

    async def _accept(self, notices: Sequence[Notice]) -> None:
        await self._house.ingest.accept_all(notices)
        if notices and (stamp := notices[-1].stamp) is not None:
            self._lag_s = max(0.0, (notices[-1].accepted_at - stamp).total_seconds())

    async def _save_cursor(self, cursor: bytes) -> None:
        await self._house.stores.cursors.save(self._connection.id, CURSOR, cursor)

    def _on_state(self, state: StreamState) -> None:
        self._mode = "stream" if state.phase is Phase.LIVE else None
        self._watch.report(self._part, state.why or "retrying" if state.phase is Phase.RETRYING else None)

    async def _on_gap(self, gap: Gap) -> None:
        """A recorded gap, then a sweep of what it can have touched."""
        await self._note(f"gap_{gap.kind.value}", gap.reason)
        await self._sweep()

    async def _sweep(self) -> None:
        house = self._house
        work = await house.work(self._connection)
        overlap_s = house.config.sync.sweep_overlap_s
        swept = await sweep_side(work, Side.SALESFORCE, house.ingest.accept_all, overlap_s=overlap_s)
        log.info(
            "swept", connection=self._connection.name, side=swept.side.value, total=swept.seen, count=swept.noticed
        )

    async def _poll(self) -> None:
        """Sweeps in quick succession; after an hour the stream is tried again."""
        loop = asyncio.get_running_loop()
        until = loop.time() + POLL_FOR_S
        self._lag_s = None
        while loop.time() < until:
            try:
                await self._sweep()
                self._mode = "polling"
                self._watch.report(self._part, None)
            except (RemoteError, BusDown, StoreDown) as error:
                self._mode = None
                self._watch.report(self._part, str(error))
            await asyncio.sleep(self._house.config.sync.polling_interval_s)

    async def _note(self, what: str, sentence: str) -> None:
        house, connection = self._house, self._connection
        work = await house.work(connection)
        await house.stores.log.write(connection.id, [work.entry(Level.ERROR, what, sentence)])
        log.warning("stream_gap", connection=connection.name, gap=what, reason=sentence)
