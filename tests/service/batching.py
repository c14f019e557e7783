"""Batches in a simulated world: somebody starts, pauses, resumes and aborts them, and their workers are killed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING

from hintd.core.batch import ENDED, Batch, BatchKind, BatchOptions, BatchState, Command, CommandRefused, Direction
from hintd.core.contact_list import Line, LineKind
from hintd.core.model import Side
from hintd.ports import BatchRunning, CallClass, FenceLost, NewBatch, StoreDown
from hintd.service.batch_run import BatchRun, BatchSettings
from tests.fakes.batches import MemoryBatches, MemoryUploads
from tests.service.people import new_person, same_person_in_salesforce
from tests.service.weather import Killed, Life

if TYPE_CHECKING:
    from tests.service.simulation import World

SETTINGS = BatchSettings(page_size=3, lanes=2, lease_s=10.0, overlap_s=300.0)
LOOK_EVERY_S = 3.0
PATIENCE_S = 4 * 3600.0


class Batching:
    def __init__(self, world: World) -> None:
        self._world = world
        self._batches, self._uploads = MemoryBatches(world.memory), MemoryUploads(world.memory)

    def settle_in(self) -> None:
        """People who are on both sides, or on one, and not linked."""
        world = self._world
        for number in range(world.random.randint(2, 8) if world.climate.batches else 0):
            person = new_person(world.random) | {"last_name": f"Unlinked {number}"}
            sides = world.random.choice((Side, Side, Side, (Side.HINT,), (Side.SALESFORCE,)))
            if Side.HINT in sides:
                world.practice.create(person | {"middle_name": "Lu"})
            if Side.SALESFORCE in sides:
                world.org.create(same_person_in_salesforce(person) | {"MailingPostalCode": "94107"})

    # --- people ---

    async def act(self) -> None:
        random, batches = self._world.random, [r.batch for r in self._world.memory.batches.values()]
        running = [batch for batch in batches if batch.state not in ENDED]
        if not running or random.random() < 0.3:
            await self._start(len(batches))
            return
        command = random.choice((Command.ABORT, Command.PAUSE, Command.PAUSE, Command.RESUME, Command.RESUME))
        await self._command(random.choice(running), command)

    async def _start(self, number: int) -> None:
        random = self._world.random
        kind = random.choice((BatchKind.RUN, BatchKind.RUN, BatchKind.RUN, BatchKind.PREVIEW))
        direction, create = random.choice(list(Direction)), random.random() < 0.5
        upload_id = None
        if direction is Direction.CONTACTS_TO_PATIENTS:
            upload_id = (await self._uploads.add(1, self._lines(), at=self._world.loop.now())).id
        options = BatchOptions(create, random.random() < 0.3, upload_id, stamp_all=random.random() < 0.8)
        new = NewBatch(1, kind, direction, options, "ann", f"request-{number}", self._world.loop.now())
        try:
            batch = await self._batches.add(new)
        except BatchRunning as running:
            self._world.tell(f"a second batch is refused: {running}")
        else:
            self._world.tell(f"a person starts {batch.id}, a {kind} of {direction}, creating: {create}")

    async def _lines(self) -> AsyncIterator[Line]:
        ids = list(self._world.org.contacts)
        self._world.random.shuffle(ids)
        for number, contact_id in enumerate(ids, start=1):
            yield Line(number, LineKind.ID, contact_id)

    async def _command(self, batch: Batch, command: Command) -> None:
        try:
            await self._batches.command(batch.id, command, at=self._world.loop.now())
        except CommandRefused as refused:
            self._world.tell(str(refused))
        else:
            self._world.tell(f"a person says {command} to {batch.id}")

    # --- workers ---

    async def keep_worker(self, number: int) -> None:
        """A worker process, started again whenever it is killed."""
        for life_number in range(10**6):
            life = Life(f"batcher-{number}.{life_number}")
            while not life.dead:
                try:
                    await self._work_once(life)
                except* (StoreDown, FenceLost, Killed) as group:
                    self._world.tell(f"{life.name} stops: {group.exceptions}")
                except* Exception as group:
                    self._world.alarms.append(f"a batch was stopped by {group.exceptions}")
                await asyncio.sleep(LOOK_EVERY_S)
            self._world.tell(f"{life.name} was killed")

    async def _work_once(self, life: Life) -> None:
        work = self._world.work(life).calling_as(CallClass.BATCH)
        batches, store = work.stores.batches, work.stores.batch_work
        claim = await batches.claim(owner=life.name, now=self._world.loop.now(), lease_s=SETTINGS.lease_s)
        if claim is not None:
            self._world.tell(f"{life.name} goes on with {claim.batch.id}")
            await BatchRun(work, batches, store, claim, SETTINGS, self._world.random.random).run()

    # --- the end ---

    async def come_to_rest(self) -> None:
        deadline = self._world.loop.time() + PATIENCE_S
        while running := list(self._running()):
            for batch in running:
                if batch.state is BatchState.PAUSED or batch.wanted is Command.PAUSE:
                    await self._command(batch, Command.RESUME)
            if self._world.loop.time() > deadline:
                self._world.tell(f"still at work: {running}")
                return
            await asyncio.sleep(LOOK_EVERY_S)

    def _running(self) -> Iterator[Batch]:
        return (r.batch for r in self._world.memory.batches.values() if r.batch.state not in ENDED)
