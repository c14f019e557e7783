"""``kill -9`` of the workers in the midst of a batch, again and again: no record twice, and none left out."""

from __future__ import annotations

import asyncio
import os
import random
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest

from hintd.core.batch import ENDED, Batch, BatchRow, BatchState, Direction, RowOutcome
from hintd.service.verify import verify_connection
from tests.chaos.processes import Hintd, Process, ending
from tests.chaos.waiting import wait_until
from tests.chaos.world import World, nothing_unforeseen, open_world

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(900)]

PEOPLE = 5_500 if os.environ.get("HINTD_TEST_LONG") == "1" else 700
KILLS = 5
PAUSE_S = 1.0
END_S = 600.0

FROM_PATIENTS, FROM_CONTACTS = Direction.PATIENTS_TO_CONTACTS, Direction.CONTACTS_TO_PATIENTS


async def ask(world: World, directory: Path, direction: Direction, contacts: Iterable[str]) -> str:
    """A batch of everybody, which creates the missing records: its id."""
    file = directory / "report.csv"
    file.write_text("\n".join(("Contact ID", *contacts)))
    given = ["--csv", str(file)] if direction is FROM_CONTACTS else []
    wish = ["batch", "start", "main", direction, "--create-unmatched", *given]
    command = Process("ask", [*wish, "--json", "--config", str(world.config_file)], directory / "ask.log", {})
    async with ending(command):
        await command.start()
        return str((await command.first_document())["batch_id"])


async def kill_all_the_while(world: World, batch_id: str, workers: Sequence[Hintd], chance: random.Random) -> None:
    """Workers are killed and started again a moment after the batch's start and after each share of its records: one of
    them, or more often both, so that none is left who could go on."""
    for number in range(KILLS):
        await reaches(world, batch_id, number / KILLS)
        await asyncio.sleep(chance.random() * PAUSE_S)
        for victim in chance.sample(workers, k=chance.choice((1, 2, 2))):
            await victim.kill()
            await victim.start()


async def reaches(world: World, batch_id: str, share: float) -> None:
    """Waits until so much of the batch is done."""
    async with world.house() as (house, _):

        async def is_done() -> bool:
            batch = await house.stores.batches.get(batch_id)
            assert share == 1 or batch.state not in ENDED, f"it ended before it was killed {KILLS} times"
            return batch.started_at is not None and batch.done >= share * (batch.total or 0)

        await wait_until(is_done, f"{share:.0%} of the batch is done", within_s=END_S)


async def ended(world: World, batch_id: str) -> tuple[Batch, Sequence[BatchRow]]:
    """The batch at its end, and its rows."""
    async with world.house() as (house, _):
        store = house.stores

        async def has_ended() -> bool:
            return (await store.batches.get(batch_id)).state in ENDED

        await wait_until(has_ended, "the batch ends", within_s=END_S)
        rows = await store.batch_work.rows(batch_id, limit=100_000)
        return await store.batches.get(batch_id), rows


async def judge(world: World, batch: Batch, rows: Sequence[BatchRow], before: tuple[set[str], set[str]]) -> None:
    """``before``: the ids of the patients and the Contacts that there were."""
    assert batch.state is BatchState.DONE
    from_patients = batch.direction is FROM_PATIENTS
    own = [row.patient_id if from_patients else row.contact_id for row in rows]
    assert Counter(own) == Counter(before[0] if from_patients else before[1])
    assert batch.counts == Counter(row.counted_as for row in rows)
    assert batch.done == batch.total == len(rows)
    await judge_records(world, batch, rows, before)


async def judge_records(
    world: World, batch: Batch, rows: Sequence[BatchRow], before: tuple[set[str], set[str]]
) -> None:
    """What the rows say stands in both remotes, and nothing else."""
    patients, contacts = await world.clinic.records()
    made = Counter(row.outcome for row in rows)
    assert len(patients) == len(before[0]) + made[RowOutcome.CREATED_PATIENT]
    assert len(contacts) == len(before[1]) + made[RowOutcome.CREATED_CONTACT]
    told = {(row.patient_id, row.contact_id): row.counted_as for row in rows if row.outcome is not RowOutcome.SKIPPED}
    in_salesforce = {
        (contact["Hint_Patient_Id__c"], each): contact["Last_Batch_Sync_Result__c"]
        for each, contact in contacts.items()
        if contact["Synced_to_Hint__c"]
    }
    in_hint = {(each, p["integration_record_id"]) for each, p in patients.items() if p["integration_record_id"]}
    assert in_salesforce == told
    assert in_hint == set(told)


async def all_is_at_rest(world: World, workers: Sequence[Hintd], pairs: int) -> None:
    await world.at_rest(workers)
    async with world.house() as (house, work):
        verdict = await verify_connection(work)
        assert (verdict.pairs, verdict.different, verdict.would_write) == (pairs, 0, [])
        assert await house.stores.parking.items() == []


@pytest.mark.parametrize(("direction", "seed"), [(FROM_PATIENTS, 1), (FROM_CONTACTS, 2)], ids=["patients", "contacts"])
async def test_a_batch_whose_workers_are_killed_comes_to_its_end_with_every_record_done_once(
    tmp_path: Path, store_dsn: str, direction: Direction, seed: int
) -> None:
    async with open_world(tmp_path, dsn=store_dsn, people=PEOPLE, linked=False) as world:
        workers = [world.hintd("worker-1", "worker"), world.hintd("worker-2", "worker")]
        front = world.hintd("front", "listener", "stream", "scheduler")
        patients, contacts = await world.clinic.records()
        async with world.running(front, *workers):
            batch_id = await ask(world, tmp_path, direction, contacts)
            await kill_all_the_while(world, batch_id, workers, random.Random(seed))
            batch, rows = await ended(world, batch_id)
            await judge(world, batch, rows, (set(patients), set(contacts)))
            await all_is_at_rest(world, workers, len([row for row in rows if row.outcome is not RowOutcome.SKIPPED]))
            nothing_unforeseen([front, *workers])
            await world.end([front, *workers])
