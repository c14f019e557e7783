"""Aborting, pausing and resuming a batch at any moment, and workers that lose it."""

from __future__ import annotations

import asyncio

import pytest

from hintd.core.batch import Batch, BatchKind, BatchState, Command, Direction
from hintd.core.errors import RemoteDown
from hintd.core.model import Side
from hintd.service.sweep import fill_index
from tests.service.batch_clinic import FROM_CONTACTS, FROM_PATIENTS, Clinic, ailing, ends, hanging, in_clinic
from tests.service.test_batch_stops import (
    BOTH,
    begin,
    check_once_each,
    go_on_until_it_ends,
    play_in_peace,
    slow_down,
    told,
)
from tests.service.weather import Life

MOMENTS = pytest.mark.parametrize("moment_s", [0.5, 1.1, 2.3, 3.2, 3.9, 4.6, 5.2, 6.1, 7.3, 8.4, 9.2, 10.0])


async def run_until(clinic: Clinic, moment_s: float) -> asyncio.Task[bool]:
    working = asyncio.create_task(clinic.work_on())
    await asyncio.sleep(moment_s)
    return working


@BOTH
@MOMENTS
def test_an_aborted_batch_tells_what_it_did_and_writes_nothing_more(direction: Direction, moment_s: float) -> None:
    async def story(clinic: Clinic) -> None:
        batch = await begin(clinic, direction)
        slow_down(clinic, Life("worker"), slow_s=0.9)
        working = await run_until(clinic, moment_s)
        await clinic.command(batch, Command.ABORT)
        await asyncio.sleep(5.0)
        aborted, rows = await clinic.look(batch)
        assert (working.done(), aborted.state, aborted.wanted) == (True, "aborted", None)
        before, links = len(clinic.world.calls), clinic.links()
        await clinic.finish_pairs()
        assert not await clinic.work_on()
        patients = {patient_id for _, patient_id in clinic.links()}
        assert len(clinic.links()) == len(links) == sum(row.counted_as in MADE for row in rows)
        assert {row.patient_id for row in rows if row.counted_as in MADE and row.patient_id} <= patients
        assert len(clinic.world.calls) - before <= 6 * 2 * clinic.settings.page_size
        check_once_each(clinic)

    in_clinic(story)


MADE = ("linked", "created_contact", "created_patient")


@BOTH
@MOMENTS
def test_paused_and_resumed_a_batch_ends_as_in_peace(direction: Direction, moment_s: float) -> None:
    expected = play_in_peace(direction)

    async def story(clinic: Clinic) -> None:
        batch = await begin(clinic, direction)
        slow_down(clinic, Life("worker"), slow_s=0.9)
        working = await run_until(clinic, moment_s)
        await clinic.command(batch, Command.PAUSE)
        await working
        paused, _ = await clinic.look(batch)
        assert (paused.state, await clinic.work_on()) == ("paused", False)
        await clinic.command(batch, Command.RESUME)
        await go_on_until_it_ends(clinic, batch)
        done, rows = await clinic.look(batch)
        assert (done.state, told(rows)) == ("done", expected)
        check_once_each(clinic)

    in_clinic(story)


@BOTH
@MOMENTS
def test_a_batch_whose_worker_is_stopped_is_let_go_and_ends_as_in_peace(direction: Direction, moment_s: float) -> None:
    expected = play_in_peace(direction)

    async def story(clinic: Clinic) -> None:
        batch = await begin(clinic, direction)
        slow_down(clinic, Life("worker"), slow_s=0.9)
        working = await run_until(clinic, moment_s)
        working.cancel()
        _, waiting = await asyncio.wait({working}, timeout=4.0)
        assert not waiting
        await go_on_until_it_ends(clinic, batch)
        done, rows = await clinic.look(batch)
        assert (done.state, told(rows)) == ("done", expected)
        check_once_each(clinic)

    in_clinic(story)


@BOTH
@MOMENTS
def test_of_two_workers_the_one_that_lost_the_batch_leaves_it_quietly(direction: Direction, moment_s: float) -> None:
    expected = play_in_peace(direction)

    async def story(clinic: Clinic) -> None:
        batch = await begin(clinic, direction)
        slow_down(clinic, Life("worker"), slow_s=0.9)
        first = await run_until(clinic, moment_s)
        assert await clinic.claim() is None
        clinic.world.memory.batches[batch.id].lease_until = clinic.world.loop.now()
        claim = await clinic.claim()
        assert claim is not None
        await asyncio.gather(first, clinic.work_claim(claim))
        done, rows = await clinic.look(batch)
        assert (done.state, told(rows)) == ("done", expected)
        check_once_each(clinic)

    in_clinic(story)


@pytest.mark.parametrize(
    "name", ["list_patients", "changed_contacts", "get_contacts", "get_patient", "save_contacts", "update_patient"]
)
def test_an_abort_waits_for_no_remote(name: str) -> None:
    async def story(clinic: Clinic) -> None:
        ids = [clinic.pair(number)[1] for number in range(9)]
        await fill_index(clinic.world.work())
        batch = await clinic.start(FROM_CONTACTS, ids=ids[:1])
        clinic.around_hint = lambda hint: hanging(hint, name)
        clinic.around_org = lambda org: hanging(org, name)
        working = await run_until(clinic, 20.0)
        await clinic.command(batch, Command.ABORT)
        await asyncio.sleep(5.0)
        aborted, rows = await clinic.look(batch)
        assert (working.done(), aborted.state) == (True, "aborted")
        assert len(rows) == len(clinic.links())

    in_clinic(story)


def test_what_was_written_before_a_crash_is_in_the_results_of_an_abort() -> None:
    async def story(clinic: Clinic) -> None:
        for number in range(4):
            clinic.pair(number)
        batch = await clinic.start(FROM_PATIENTS)
        clinic.around_hint = lambda hint: hanging(hint, "update_patient")
        working = await run_until(clinic, 20.0)
        clinic.world.memory.batches[batch.id].fence += 1  # its worker is as good as dead
        await working
        clinic.world.memory.batches[batch.id].lease_until = None
        await clinic.command(batch, Command.ABORT)
        await clinic.work_on()
        aborted, rows = await clinic.look(batch)
        assert (aborted.state, ends(rows)) == ("aborted", ["linked"] * 4)
        clinic.around_hint = lambda hint: hint
        await clinic.finish_pairs()
        check_pairs(clinic, 4)

    in_clinic(story)


def check_pairs(clinic: Clinic, expected: int) -> None:
    assert len(clinic.links()) == expected
    assert all(clinic.raw_patient(p)["integration_record_id"] == c for c, p in clinic.links())


def test_a_batch_that_waits_can_be_aborted_and_tells_what_it_wrote() -> None:
    async def story(clinic: Clinic) -> None:
        for number in range(4):
            clinic.pair(number)
        clinic.around_hint = lambda hint: ailing(hint, "update_patient", [RemoteDown("Hint is down")])
        batch, rows = await clinic.run(FROM_PATIENTS)
        assert (batch.state, rows) == ("waiting", [])
        await clinic.command(batch, Command.ABORT)
        await clinic.work_on()
        aborted, rows = await clinic.look(batch)
        assert (aborted.state, ends(rows)) == ("aborted", ["linked"] * 4)

    in_clinic(story)


def test_a_link_that_somebody_has_in_hand_is_waited_for() -> None:
    async def story(clinic: Clinic) -> None:
        patient_id, contact_id = clinic.pair(1)
        await clinic.link(contact_id, patient_id)
        clinic.world.practice.edit(patient_id, {"email": "new@x.org"})
        taken = await clinic.stores.links.take(
            1, Side.HINT, patient_id, owner="other", now=clinic.world.loop.now(), lease_s=45.0
        )
        assert taken is not None
        batch, rows = await clinic.run(FROM_PATIENTS)
        assert (batch.state, ends(rows)) == ("done", ["updated"])
        assert clinic.world.loop.time() >= 45.0

    in_clinic(story)


def test_a_preview_runs_beside_a_run_and_blocks_nothing() -> None:
    async def story(clinic: Clinic) -> None:
        clinic.pair(1)
        run: Batch = await clinic.start(FROM_PATIENTS)
        preview = await clinic.start(FROM_PATIENTS, kind=BatchKind.PREVIEW)
        await asyncio.gather(clinic.work_on(), clinic.work_on())
        states = [(await clinic.look(batch))[0].state for batch in (run, preview)]
        assert states == [BatchState.DONE, BatchState.DONE]

    in_clinic(story)
