"""The workers' other task: batches.  Each worker process takes one at a time; its lease in Postgres says whose it is,
so a batch moves to another worker when its own dies."""

from __future__ import annotations

import asyncio

import structlog

from hintd.composition import House
from hintd.core.errors import CredentialsRefused
from hintd.ports import CallClass, Claim, StoreDown
from hintd.service.batch_run import BatchRun, BatchSettings
from hintd.watch import ConnectionWatch

LOOK_EVERY_S = 0.5
AT_ONCE = 2
"""Batches of one worker: a preview beside a run."""

log = structlog.get_logger()


async def run_batches(house: House, watch: ConnectionWatch, stopping: asyncio.Event) -> None:
    """Until ``stopping``: then nothing more is claimed, and what is in hand is let go for another worker."""
    running: set[asyncio.Task[None]] = set()
    stop = asyncio.create_task(stopping.wait(), name="stopping batches")
    try:
        while not stop.done():
            running = {task for task in running if not task.done()}
            claim = await _claim(house, watch) if len(running) < AT_ONCE else None
            if claim is not None:
                running.add(asyncio.create_task(_run(house, watch, claim), name=f"batch {claim.batch.id}"))
            else:
                await asyncio.wait({stop}, timeout=LOOK_EVERY_S)
    finally:
        stop.cancel()
        for task in running:
            task.cancel()
        if running:
            await asyncio.wait(running)


def batch_settings(house: House) -> BatchSettings:
    limits = house.config.limits
    return BatchSettings(
        page_size=limits.page_size,
        lanes=limits.batch_lanes,
        lease_s=limits.lease_s / 2,
        overlap_s=house.config.sync.sweep_overlap_s,
    )


async def _claim(house: House, watch: ConnectionWatch) -> Claim | None:
    try:
        claim = await house.stores.batches.claim(
            owner=house.owner, now=house.now(), lease_s=batch_settings(house).lease_s
        )
    except StoreDown as error:
        watch.report("batches", str(error))
        return None
    watch.report("batches", None)
    return claim


async def _run(house: House, watch: ConnectionWatch, claim: Claim) -> None:
    """What stops it here leaves the batch as it stands; when the lease ends somebody goes on with it."""
    connection = watch.by_id(claim.batch.connection_id)
    try:
        if connection is None:
            return
        work = await house.work(connection, CallClass.BATCH)
        stores = house.stores
        await BatchRun(work, stores.batches, stores.batch_work, claim, batch_settings(house), house.chance).run()
    except CredentialsRefused as error:
        if connection is not None:
            await watch.pause(connection.practice_id, str(error))
    except (Exception, BaseExceptionGroup) as error:
        for each in _leaves(error):
            log.error("batch_stopped", batch_id=claim.batch.id, error=f"{type(each).__name__}")


def _leaves(error: BaseException) -> list[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        return [leaf for each in error.exceptions for leaf in _leaves(each)]
    return [error]
