"""A batch can be aborted, paused, moved or killed at any moment: its counts add up, no record is done twice, and none
is left out."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from random import Random
from typing import Any

import pytest

from hintd.core.batch import Batch, BatchRow, BatchState, Direction
from hintd.core.model import LinkState
from tests.service.account import Account
from tests.service.batch_clinic import FROM_CONTACTS, Around, Clinic, in_clinic
from tests.service.weather import Killed, Life

RECORDS = 22


def slow_down(clinic: Clinic, life: Life, dead_at: float = float("inf"), slow_s: float = 0.3) -> None:
    """Calls take their time from now on: half before the effect, half after it.  Whoever makes the effect, or gets the
    answer, of number ``dead_at`` is killed there."""
    steps: Counter[str] = Counter()

    def step() -> None:
        life.check()
        steps["all"] += 1
        if steps["all"] >= dead_at:
            life.die()

    async def around(_: str, call: Callable[[], Awaitable[Any]]) -> Any:
        life.check()
        await asyncio.sleep(slow_s / 2)
        step()
        answer = await call()
        step()
        await asyncio.sleep(slow_s / 2)
        life.check()
        return answer

    clinic.around_hint = lambda hint: Around(hint, around)
    clinic.around_org = lambda org: Around(org, around)


def fill(clinic: Clinic, direction: Direction) -> list[str]:
    """Records of every kind of end; the ids of the Contacts that matter to a batch from the Contacts."""
    ids = [clinic.pair(number)[1] for number in range(RECORDS - 6)]
    ids += [clinic.contact("Bo", f"Nobody {number}") for number in range(3)]
    for number in range(3):
        clinic.patient("Cy", f"Alone {number}")
    ids += [clinic.contact("Twin"), clinic.contact("Twin")]
    clinic.patient("Twin")
    return ids


async def begin(clinic: Clinic, direction: Direction) -> Batch:
    """A batch that is about to create what is missing."""
    world = clinic.world
    world.account = Account(world.book, world.memory, world.practice, world.org, world.loop.now, world.tell)
    ids = fill(clinic, direction)
    world.practice.on_save, world.org.on_save = world.account.patient_saved, world.account.contact_saved
    options = {"ids": ids} if direction is FROM_CONTACTS else {}
    return await clinic.start(direction, create_unmatched=True, **options)


def told(rows: list[BatchRow]) -> list[Any]:
    """What the rows say, without times and without the ids of records that the batch made."""
    return [
        (row.position, row.counted_as, row.reason, {(f.field, f.side, f.old, f.new) for f in row.fields})
        for row in rows
    ]


def play_in_peace(direction: Direction) -> list[Any]:
    found: list[Any] = []

    async def story(clinic: Clinic) -> None:
        batch = await begin(clinic, direction)
        await clinic.work_on()
        found.extend(told((await clinic.look(batch))[1]))

    in_clinic(story)
    return found


def check_once_each(clinic: Clinic) -> None:
    """Nobody got two records, and every pair is complete on both sides."""
    assert set(clinic.world.account.created.values()) <= {1}
    for link in clinic.standing():
        assert link.state is LinkState.LINKED
        assert clinic.raw_contact(link.contact_id)["Hint_Patient_Id__c"] == link.patient_id
        assert clinic.raw_patient(link.patient_id)["integration_record_id"] == link.contact_id


async def go_on_until_it_ends(clinic: Clinic, batch: Batch) -> None:
    while (await clinic.stores.batches.get(batch.id)).state not in (BatchState.DONE, BatchState.ABORTED):
        if not await clinic.work_on():
            await asyncio.sleep(5.0)


BOTH = pytest.mark.parametrize("direction", list(Direction))


# --- killed ---


async def be_killed(clinic: Clinic, dead_at: float) -> None:
    life = Life("worker")
    slow_down(clinic, life, dead_at)
    while not life.dead:
        claim = await clinic.claim()
        if claim is None:
            await asyncio.sleep(5.0)
            if not clinic.world.memory.batches or _is_done(clinic):
                return
            continue
        try:
            await clinic.work_claim(claim, life)
        except BaseException as error:
            if not _is_death(error):
                raise


def _is_done(clinic: Clinic) -> bool:
    return all(record.batch.state is BatchState.DONE for record in clinic.world.memory.batches.values())


def _is_death(error: BaseException) -> bool:
    if isinstance(error, BaseExceptionGroup):
        return all(_is_death(each) for each in error.exceptions)
    return isinstance(error, Killed | asyncio.CancelledError)


@BOTH
@pytest.mark.parametrize("seed", range(12))
def test_killed_five_times_a_batch_ends_as_in_peace(direction: Direction, seed: int) -> None:
    random = Random(seed)
    expected = play_in_peace(direction)

    async def story(clinic: Clinic) -> None:
        batch = await begin(clinic, direction)
        for _ in range(5):
            await be_killed(clinic, random.randint(1, 60))
        slow_down(clinic, Life("the last"))
        await go_on_until_it_ends(clinic, batch)
        _, rows = await clinic.look(batch)
        assert told(rows) == expected
        check_once_each(clinic)

    in_clinic(story)


@BOTH
@pytest.mark.parametrize("moment", range(1, 130, 6))
def test_killed_between_any_two_calls_a_batch_ends_as_in_peace(direction: Direction, moment: int) -> None:
    expected = play_in_peace(direction)

    async def story(clinic: Clinic) -> None:
        batch = await begin(clinic, direction)
        await be_killed(clinic, moment)
        slow_down(clinic, Life("the last"))
        await go_on_until_it_ends(clinic, batch)
        _, rows = await clinic.look(batch)
        assert told(rows) == expected
        check_once_each(clinic)

    in_clinic(story)
