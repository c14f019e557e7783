"""A practice and an org on the memory fakes, and somebody who asks for batches."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from inspect import isasyncgenfunction
from typing import Any

from hintd.core.batch import Batch, BatchKind, BatchRow, Command, Direction
from hintd.core.contact_list import Line, LineKind
from hintd.core.model import Link, Side
from hintd.ports import CallClass, Claim
from hintd.service.batch_run import BatchRun, BatchSettings
from hintd.service.batches import BatchRequest, command_batch, start_batch
from hintd.service.linking import link_by_person, unlink_by_person
from hintd.service.react import react
from hintd.service.sweep import fill_index, take_up_again
from hintd.service.work import Remotes, Stores, Work
from tests.fakes.clock import VirtualLoop, run_virtual
from tests.service.climate import Climate
from tests.service.clinic import QUIET as QUIET_CLINIC
from tests.service.simulation import World
from tests.service.weather import Life

FROM_PATIENTS, FROM_CONTACTS = Direction.PATIENTS_TO_CONTACTS, Direction.CONTACTS_TO_PATIENTS
QUIET = replace(QUIET_CLINIC, pairs=0, creates_contacts=False)
BORN = "1980-01-02"
SMALL = BatchSettings(page_size=4, lanes=2, lease_s=10.0)
FULL = BatchSettings(page_size=200, lanes=4, lease_s=10.0)
ARCHIVED = {"membership_status": "archived"}

Wrapping = Callable[[Any], Any]


def same_remote(remote: Any) -> Any:
    return remote


class Clinic:
    """``around_hint`` and ``around_org`` wrap the remotes that the batches call."""

    def __init__(self, world: World, settings: BatchSettings = SMALL) -> None:
        self.world, self.settings, self.requests = world, settings, 0
        self.around_hint: Wrapping = same_remote
        self.around_org: Wrapping = same_remote

    @property
    def stores(self) -> Stores:
        return self.world.work().stores

    # --- people ---

    def patient(self, first: str = "Ada", last: str = "Byron", dob: str | None = BORN, **more: Any) -> str:
        return self.world.practice.create({"first_name": first, "last_name": last, "dob": dob, **more})

    def contact(self, first: str = "Ada", last: str = "Byron", dob: str | None = BORN, **more: Any) -> str:
        return self.world.org.create({"FirstName": first, "LastName": last, "Birthdate": dob, **more})

    def pair(self, number: int, **contact: Any) -> tuple[str, str]:
        """An unlinked patient and Contact of one person, each with something that the other lacks."""
        last = f"Person {number}"
        return (
            self.patient("Ann", last, middle_name="Lu"),
            self.contact("Ann", last, MailingCity="Oslo", **contact),
        )

    async def link(self, contact_id: str, patient_id: str | None) -> None:
        await link_by_person(self.world.work(), contact_id, patient_id, person="ann")

    async def part(self, contact_id: str) -> None:
        await unlink_by_person(self.world.work(), contact_id, person="ann")

    # --- batches ---

    async def start(self, direction: Direction, kind: BatchKind = BatchKind.RUN, **options: Any) -> Batch:
        self.requests += 1
        ids, stamp_all = options.pop("ids", None), options.pop("stamp_all", True)
        if ids is not None:
            options["upload_id"] = (await self.stores.uploads.add(1, _lines(ids), at=self.world.loop.now())).id
        request = BatchRequest(kind, direction, "ann", f"request-{self.requests}", **options)
        return await start_batch(
            self.stores, self.world.connection, request, now=self.world.loop.now(), calls_left=_plenty,
            stamp_all=stamp_all,
        )  # fmt: skip

    def work(self, life: Life | None = None) -> Work:
        work = self.world.work(life).calling_as(CallClass.BATCH)
        remotes = work.remotes
        around = Remotes(remotes.connection, self.around_hint(remotes.hint), self.around_org(remotes.salesforce))
        return replace(work, remotes=around)

    async def claim(self) -> Claim | None:
        return await self.stores.batches.claim(owner="w", now=self.world.loop.now(), lease_s=self.settings.lease_s)

    async def work_on(self, life: Life | None = None) -> bool:
        """Claim what there is and work on it; False where there was nothing to claim."""
        claim = await self.claim()
        if claim is None:
            return False
        await self.work_claim(claim, life)
        return True

    async def work_claim(self, claim: Claim, life: Life | None = None) -> None:
        work = self.work(life)
        stores = work.stores
        await BatchRun(work, stores.batches, stores.batch_work, claim, self.settings, lambda: 0.5).run()

    async def run(self, direction: Direction, **options: Any) -> tuple[Batch, list[BatchRow]]:
        """One batch from beginning to end; ``world.calls`` are those that it made."""
        await fill_index(self.world.work())
        batch = await self.start(direction, **options)
        self.world.calls.clear()
        await self.work_on()
        return await self.look(batch)

    async def command(self, batch: Batch, command: Command) -> Batch:
        return await command_batch(self.stores, batch.id, command, now=self.world.loop.now())

    async def look(self, batch: Batch) -> tuple[Batch, list[BatchRow]]:
        """The batch and its rows, whose counts add up at every moment."""
        now = await self.stores.batches.get(batch.id)
        rows = list(await self.stores.batch_work.rows(batch.id, limit=100_000))
        assert sum(now.counts.values()) == now.done == len(rows)
        return now, rows

    async def finish_pairs(self) -> None:
        """What the scheduler does about links that were left half-way, long after."""
        await asyncio.sleep(600.0)
        await take_up_again(self.world.work(), self._react_to_all)

    async def _react_to_all(self, notices: Sequence[Any]) -> None:
        for notice in notices:
            await react(self.world.work(), notice)

    # --- what stands ---

    def raw_contact(self, contact_id: str) -> Mapping[str, Any]:
        return self.world.org.contacts[contact_id]

    def raw_patient(self, patient_id: str) -> Mapping[str, Any]:
        return self.world.practice.patients[patient_id]

    def links(self) -> set[tuple[str, str]]:
        return {(link.contact_id, link.patient_id) for link in self.standing()}

    def standing(self) -> list[Link]:
        memory = self.world.memory
        return [memory.links[number].link for number in dict.fromkeys(memory.standing.values())]

    def made(self, *names: str) -> int:
        """How many calls of these names were made."""
        return sum(self.world.calls.count(name) for name in names)

    def link_of(self, side: Side, record_id: str) -> Link | None:
        row = self.world.memory.row_of(1, side, record_id)
        return None if row is None else row.link


class Around:
    """A remote with something done around each of its calls; what comes some at a time comes as it is."""

    def __init__(self, remote: Any, around: Callable[[str, Callable[[], Awaitable[Any]]], Awaitable[Any]]) -> None:
        self._remote, self._around = remote, around

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._remote, name)
        if isasyncgenfunction(method):
            return method

        async def call(*args: Any, **named: Any) -> Any:
            return await self._around(name, partial(method, *args, **named))

        return call


def ailing(remote: Any, wanted: str, errors: list[Exception]) -> Around:
    """A remote whose calls of one name fail while there are errors left."""

    async def around(name: str, call: Callable[[], Awaitable[Any]]) -> Any:
        if name == wanted and errors:
            raise errors.pop()
        return await call()

    return Around(remote, around)


def hanging(remote: Any, wanted: str) -> Around:
    """A remote that does not answer one kind of call for a very long time."""

    async def around(name: str, call: Callable[[], Awaitable[Any]]) -> Any:
        if name == wanted:
            await asyncio.sleep(3600.0)
        return await call()

    return Around(remote, around)


async def _plenty() -> int:
    return 10**6


async def _lines(ids: Sequence[str | LineKind]) -> AsyncIterator[Line]:
    """An id; or a kind of line that has none that counts."""
    for number, each in enumerate(ids, start=1):
        kind = each if isinstance(each, LineKind) else LineKind.ID
        yield Line(number, kind, each if kind is LineKind.ID else None)


def in_clinic(
    story: Callable[[Clinic], Awaitable[None]], *, settings: BatchSettings = SMALL, climate: Climate = QUIET
) -> None:
    async def run() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        await story(Clinic(World(1, loop, climate), settings))

    run_virtual(run())


def ends(rows: Sequence[BatchRow]) -> list[str]:
    """How the records ended, in the order of the batch."""
    return [row.counted_as for row in rows]
