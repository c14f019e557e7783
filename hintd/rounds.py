"""The scheduler role: what has to be done every so often, by one process at a time."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import structlog

from hintd.composition import House
from hintd.core.errors import CredentialsRefused, RemoteError
from hintd.ports import BusDown, Connection, StoreDown
from hintd.service.steering import take_asked_sweep
from hintd.service.sweep import sweep_connection, take_up_again
from hintd.watch import ConnectionWatch

LEASE = "scheduler"
DAY_S = 86_400.0
TAKE_UP_EVERY_S = 30.0

log = structlog.get_logger()


async def schedule(house: House, watch: ConnectionWatch) -> None:
    """For ever: sweeps, and first exchanges that were left half-way, while the scheduler's lease is ours."""
    due: dict[tuple[int, str], float] = {}
    clock = asyncio.get_running_loop().time
    try:
        while True:
            if await _hold(house):
                await _forget_old(house, due, clock())
                for connection in watch.active():
                    await _do_what_is_due(house, watch, connection, due, clock())
            await asyncio.sleep(_lease_s(house) / 4)
    finally:
        await asyncio.shield(_let_go(house))


def _lease_s(house: House) -> float:
    return house.config.limits.lease_s / 2


async def _hold(house: House) -> bool:
    try:
        fence = await house.stores.leases.hold(LEASE, owner=house.owner, now=house.now(), lease_s=_lease_s(house))
    except StoreDown:
        return False
    return fence is not None


async def _let_go(house: House) -> None:
    try:
        await house.stores.leases.let_go(LEASE, owner=house.owner)
    except StoreDown:
        pass


async def _forget_old(house: House, due: dict[tuple[int, str], float], at: float) -> None:
    """Once a day: log entries and settled events older than ``[log] keep_days``."""
    if due.get((0, "forget"), 0.0) > at:
        return
    due[0, "forget"] = at + DAY_S
    try:
        await house.stores.log.forget(house.now() - timedelta(days=house.config.log.keep_days))
    except StoreDown as error:
        log.info("forgetting_waits", error=str(error))


async def _do_what_is_due(
    house: House, watch: ConnectionWatch, connection: Connection, due: dict[tuple[int, str], float], at: float
) -> None:
    """One failing connection never holds up the others; its watermark stays where it was."""
    part = f"sweep {connection.name}"
    try:
        if due.get((connection.id, "take_up"), 0.0) <= at:
            due[connection.id, "take_up"] = at + TAKE_UP_EVERY_S
            await take_up_again(await house.work(connection), house.ingest.accept_all)
        is_asked = await take_asked_sweep(house.stores.cursors, connection.id)
        if is_asked or due.get((connection.id, "sweep"), 0.0) <= at:
            due[connection.id, "sweep"] = at + house.config.sync.sweep_interval_s
            await _sweep(house, connection)
            watch.report(part, None)
    except CredentialsRefused as error:
        await watch.pause(connection.practice_id, str(error))
    except (RemoteError, BusDown, StoreDown) as error:
        due[connection.id, "sweep"] = at + min(60.0, house.config.sync.sweep_interval_s)
        watch.report(part, str(error))


async def _sweep(house: House, connection: Connection) -> None:
    work = await house.work(connection)
    for swept in await sweep_connection(work, house.ingest.accept_all, overlap_s=house.config.sync.sweep_overlap_s):
        log.info("swept", connection=connection.name, side=swept.side.value, total=swept.seen, count=swept.noticed)
