"""The life of batches: asked for, claimed, commanded, ended."""

from __future__ import annotations

import asyncio
import re
from datetime import datetime, timedelta

import pytest

from hintd.core.batch import Batch, BatchKind, BatchOptions, BatchState, Command, CommandRefused, Direction, Stage
from hintd.ports import Advance, BatchRunning, FenceLost, NoSuchBatch
from tests.contract.batches import add, claim_next, claimed, leave, new_batch, other_connection
from tests.contract.stores import LEASE_S, NOW, Stores, changed, connection, later

ENDS = [BatchState.DONE, BatchState.FAILED, BatchState.ABORTED]

# --- asking for one --------------------------------------------------------------------------------------------------


async def test_a_batch_is_queued_as_it_was_asked_for(stores: Stores) -> None:
    options = BatchOptions(create_unmatched=True, include_archived=True, upload_id="upl-1", stamp_all=False)
    asked = {"direction": Direction.CONTACTS_TO_PATIENTS, "options": options, "message": "A warning."}
    batch = await add(stores, **asked)
    assert re.fullmatch("bat-[0-9a-f]{12}", batch.id)
    assert batch == Batch(
        batch.id,
        1,
        BatchKind.RUN,
        Direction.CONTACTS_TO_PATIENTS,
        BatchState.QUEUED,
        options,
        "person:ann",
        NOW,
        message="A warning.",
    )
    assert await stores.batches.get(batch.id) == batch


async def test_there_is_no_batch_of_an_id_never_given(stores: Stores) -> None:
    with pytest.raises(NoSuchBatch):
        await stores.batches.get("bat-000000000000")
    with pytest.raises(NoSuchBatch):
        await stores.batches.command("bat-000000000000", Command.PAUSE, at=NOW)


async def test_the_same_request_again_finds_the_batch_that_it_made(stores: Stores) -> None:
    claim = await claimed(stores)
    again = await add(stores, direction=Direction.CONTACTS_TO_PATIENTS)
    assert again == claim.batch
    await leave(stores, claim, BatchState.DONE)
    assert (await add(stores)).state is BatchState.DONE
    assert len(await stores.batches.all(1)) == 1


async def test_a_request_of_another_connection_is_another_request(stores: Stores) -> None:
    ours, theirs = await add(stores), await add(stores, connection_id=await other_connection(stores))
    assert (ours.id != theirs.id, theirs.connection_id) == (True, 2)


async def test_one_request_sent_many_times_at_once_makes_one_batch(stores: Stores) -> None:
    made = await asyncio.gather(*(add(stores) for _ in range(8)))
    assert len({batch.id for batch in made}) == 1


async def test_a_batch_is_found_by_the_request_that_made_it(stores: Stores) -> None:
    batch = await add(stores)
    assert await stores.batches.of_request(1, "request-1") == batch
    assert await stores.batches.of_request(1, "request-2") is None
    assert await stores.batches.of_request(await other_connection(stores), "request-1") is None


async def test_a_second_run_is_refused_with_the_id_of_the_running_one(stores: Stores) -> None:
    running = await add(stores)
    with pytest.raises(BatchRunning) as refused:
        await add(stores, request_id="request-2")
    assert refused.value.batch_id == running.id


async def test_of_many_runs_asked_for_at_once_one_is_made(stores: Stores) -> None:
    asked = (add(stores, request_id=f"request-{number}") for number in range(8))
    answers = await asyncio.gather(*asked, return_exceptions=True)
    assert sorted(type(answer).__name__ for answer in answers) == ["Batch"] + ["BatchRunning"] * 7


@pytest.mark.parametrize("end", ENDS)
async def test_an_ended_run_makes_room_for_the_next(stores: Stores, end: BatchState) -> None:
    await leave(stores, await claimed(stores), end)
    assert (await add(stores, request_id="request-2")).state is BatchState.QUEUED


async def test_previews_and_other_connections_block_nothing(stores: Stores) -> None:
    await add(stores, request_id="preview-1", kind=BatchKind.PREVIEW)
    await add(stores, request_id="preview-2", kind=BatchKind.PREVIEW)
    await add(stores, request_id="run")
    await add(stores, request_id="run", connection_id=await other_connection(stores))
    assert len(await stores.batches.all(1)) == 3


async def test_batches_are_listed_newest_first_by_connection(stores: Stores) -> None:
    asked = [await add(stores, request_id=f"preview-{number}", kind=BatchKind.PREVIEW) for number in range(3)]
    assert list(await stores.batches.all(1)) == asked[::-1]
    assert list(await stores.batches.all(1, limit=2)) == asked[:0:-1]
    assert list(await stores.batches.all(2)) == []


# --- claims ----------------------------------------------------------------------------------------------------------


async def test_the_oldest_batch_is_claimed_first_and_by_one(stores: Stores) -> None:
    first, second = (
        await add(stores, request_id="1", kind=BatchKind.PREVIEW),
        await add(stores, request_id="2", kind=BatchKind.PREVIEW),
    )
    claims = [await stores.batches.claim(owner=f"w{number}", now=NOW, lease_s=LEASE_S) for number in range(3)]
    assert [claim and claim.batch.id for claim in claims] == [first.id, second.id, None]
    assert claims[0] is not None
    assert claims[0].batch.state is BatchState.RUNNING
    assert await stores.batches.get(first.id) == claims[0].batch


async def test_many_workers_claim_different_batches(stores: Stores) -> None:
    asked = {(await add(stores, request_id=f"{number}", kind=BatchKind.PREVIEW)).id for number in range(3)}
    claims = await asyncio.gather(
        *(stores.batches.claim(owner=f"w{number}", now=NOW, lease_s=LEASE_S) for number in range(6))
    )
    claimed_ids = sorted(claim.batch.id for claim in claims if claim is not None)
    assert set(claimed_ids) <= asked
    assert len(claimed_ids) == len(set(claimed_ids))


async def test_a_batch_whose_worker_died_is_claimed_when_its_lease_has_run_out(stores: Stores) -> None:
    former = await claimed(stores)
    assert await stores.batches.claim(owner="other", now=later(LEASE_S - 1), lease_s=LEASE_S) is None
    anew = await claim_next(stores, at=later(LEASE_S), owner="other")
    assert (anew.batch, anew.fence > former.fence) == (former.batch, True)


async def test_renewing_keeps_the_lease(stores: Stores) -> None:
    claim = await claimed(stores)
    assert await stores.batches.renew(claim, now=later(20), lease_s=LEASE_S) == claim.batch
    assert await stores.batches.claim(owner="other", now=later(LEASE_S + 1), lease_s=LEASE_S) is None


async def test_an_older_fence_is_refused(stores: Stores) -> None:
    former = await claimed(stores)
    await claim_next(stores, at=later(LEASE_S))
    with pytest.raises(FenceLost, match=former.batch.id):
        await stores.batches.renew(former, now=later(LEASE_S), lease_s=LEASE_S)
    with pytest.raises(FenceLost, match=former.batch.id):
        await stores.batches.advance(former, Advance(state=BatchState.DONE), now=later(LEASE_S))


async def test_letting_go_gives_the_lease_back_and_the_batch_runs_on(stores: Stores) -> None:
    claim = await claimed(stores)
    batch = await stores.batches.advance(claim, Advance(stage=Stage.MATCHING, let_go=True), now=NOW)
    assert (batch.state, batch.stage) == (BatchState.RUNNING, Stage.MATCHING)
    with pytest.raises(FenceLost):
        await stores.batches.renew(claim, now=NOW, lease_s=LEASE_S)
    assert (await claim_next(stores)).batch == batch


@pytest.mark.parametrize("state", ["paused", "disconnected"])
async def test_batches_of_a_connection_that_is_not_active_rest(stores: Stores, state: str) -> None:
    await add(stores)
    await stores.connections.change(connection(id=1, state=state))
    assert await stores.batches.claim(owner="us", now=NOW, lease_s=LEASE_S) is None
    await stores.connections.change(connection(id=1))
    assert await stores.batches.claim(owner="us", now=NOW, lease_s=LEASE_S) is not None


@pytest.mark.parametrize(
    ("waits_until", "at", "goes_on"),
    [(later(60), later(59), False), (later(60), later(60), True), (None, NOW, True)],
    ids=["too early", "in time", "no time was said"],
)
async def test_a_waiting_batch_goes_on_when_its_time_has_come(
    stores: Stores, waits_until: datetime | None, at: datetime, goes_on: bool
) -> None:
    claim = await claimed(stores)
    waiting = await leave(stores, claim, BatchState.WAITING, waiting_for="Salesforce is down.", waits_until=waits_until)
    assert (waiting.waiting_for, waiting.waits_until) == ("Salesforce is down.", waits_until)
    again = await stores.batches.claim(owner="us", now=at, lease_s=LEASE_S)
    assert (again is not None) is goes_on
    expected = changed(claim.batch, state=BatchState.RUNNING) if goes_on else waiting
    assert await stores.batches.get(claim.batch.id) == expected


@pytest.mark.parametrize("state", [BatchState.PAUSED, *ENDS])
async def test_paused_and_ended_batches_are_not_claimed(stores: Stores, state: BatchState) -> None:
    claim = await claimed(stores)
    await leave(stores, claim, state)
    assert await stores.batches.claim(owner="us", now=later(10**6), lease_s=LEASE_S) is None
    with pytest.raises(FenceLost):
        await stores.batches.renew(claim, now=NOW, lease_s=LEASE_S)


# --- going on --------------------------------------------------------------------------------------------------------


async def test_what_is_not_said_stays_and_calls_are_added(stores: Stores) -> None:
    claim = await claimed(stores)
    told = Advance(stage=Stage.READING, started_at=NOW, read_until="page-2", calls={"hint_read": 2})
    await stores.batches.advance(claim, told, now=NOW)
    after = await stores.batches.advance(
        claim, Advance(total=7, message="A warning.", calls={"hint_read": 1, "salesforce_read": 1}), now=NOW
    )
    assert after == changed(
        claim.batch,
        stage=Stage.READING,
        started_at=NOW,
        read_until="page-2",
        total=7,
        message="A warning.",
        calls={"hint_read": 3, "salesforce_read": 1},
    )
    assert await stores.batches.get(claim.batch.id) == after


async def test_going_on_ends_the_wait(stores: Stores) -> None:
    claim = await claimed(stores)
    await stores.batches.advance(claim, Advance(state=BatchState.RUNNING, waiting_for="A slot."), now=NOW)
    kept = await stores.batches.advance(claim, Advance(stage=Stage.WRITING), now=NOW)
    ended = await stores.batches.advance(claim, Advance(state=BatchState.RUNNING), now=NOW)
    assert (kept.waiting_for, ended.waiting_for) == ("A slot.", None)


@pytest.mark.parametrize("end", ENDS)
async def test_an_end_has_its_time(stores: Stores, end: BatchState) -> None:
    claim = await claimed(stores)
    ended = await stores.batches.advance(claim, Advance(state=end, message="Why."), now=later(9))
    assert (ended.state, ended.finished_at, ended.message) == (end, later(9), "Why.")


# --- commands --------------------------------------------------------------------------------------------------------


async def test_a_running_batch_keeps_the_command_until_its_worker_obeys(stores: Stores) -> None:
    claim = await claimed(stores)
    told = await stores.batches.command(claim.batch.id, Command.PAUSE, at=NOW)
    assert (told.state, told.wanted) == (BatchState.RUNNING, Command.PAUSE)
    assert await stores.batches.renew(claim, now=NOW, lease_s=LEASE_S) == told
    paused = await leave(stores, claim, BatchState.PAUSED)
    assert (paused.state, paused.wanted, paused.finished_at) == (BatchState.PAUSED, None, None)


async def test_commands_outlive_the_worker(stores: Stores) -> None:
    claim = await claimed(stores)
    await stores.batches.command(claim.batch.id, Command.PAUSE, at=NOW)
    assert (await claim_next(stores, at=later(LEASE_S))).batch.wanted is Command.PAUSE
    await stores.batches.command(claim.batch.id, Command.ABORT, at=NOW)
    anew = await claim_next(stores, at=later(2 * LEASE_S))
    assert (anew.batch.state, anew.batch.wanted) == (BatchState.ABORTING, Command.ABORT)
    assert (await leave(stores, anew, BatchState.ABORTED)).wanted is None


async def test_pausing_resuming_and_aborting_a_batch_that_nobody_works_on_happen_at_once(stores: Stores) -> None:
    batch = await add(stores)
    commands = [Command.PAUSE, Command.PAUSE, Command.RESUME, Command.RESUME, Command.ABORT, Command.ABORT]
    told = [await stores.batches.command(batch.id, command, at=later(n)) for n, command in enumerate(commands)]
    assert [(after.state, after.wanted, after.finished_at) for after in told] == [
        (BatchState.PAUSED, None, None),
        (BatchState.PAUSED, None, None),
        (BatchState.QUEUED, None, None),
        (BatchState.QUEUED, None, None),
        (BatchState.ABORTED, None, later(4)),
        (BatchState.ABORTED, None, later(4)),
    ]


async def test_resuming_a_waiting_batch_ends_its_wait(stores: Stores) -> None:
    claim = await claimed(stores)
    await leave(stores, claim, BatchState.WAITING, waiting_for="Hint is down.", waits_until=later(3600))
    resumed = await stores.batches.command(claim.batch.id, Command.RESUME, at=NOW)
    assert (resumed.state, resumed.waiting_for, resumed.waits_until) == (BatchState.QUEUED, None, None)


@pytest.mark.parametrize("command", [Command.PAUSE, Command.RESUME])
async def test_an_aborting_batch_cannot_go_another_way(stores: Stores, command: Command) -> None:
    claim = await claimed(stores)
    await stores.batches.command(claim.batch.id, Command.ABORT, at=NOW)
    with pytest.raises(CommandRefused, match="is being aborted"):
        await stores.batches.command(claim.batch.id, command, at=NOW)


async def test_an_ended_batch_refuses_commands(stores: Stores) -> None:
    claim = await claimed(stores)
    ended = await leave(stores, claim, BatchState.DONE)
    for command in Command:
        with pytest.raises(CommandRefused, match="is done already"):
            await stores.batches.command(claim.batch.id, command, at=NOW)
    assert await stores.batches.get(claim.batch.id) == ended


@pytest.mark.parametrize(
    ("commands", "left_at", "state"),
    [
        ((Command.PAUSE,), BatchState.WAITING, BatchState.PAUSED),
        ((Command.ABORT,), BatchState.WAITING, BatchState.ABORTED),
        ((Command.ABORT,), BatchState.PAUSED, BatchState.ABORTED),
        ((Command.ABORT,), BatchState.RUNNING, BatchState.ABORTING),
        ((Command.PAUSE, Command.RESUME), BatchState.PAUSED, BatchState.QUEUED),
        ((Command.ABORT,), BatchState.DONE, BatchState.DONE),
    ],
    ids=lambda value: "+".join(value) if isinstance(value, tuple) else str(value),
)
async def test_a_command_that_comes_while_the_worker_leaves_is_not_lost(
    stores: Stores, commands: tuple[Command, ...], left_at: BatchState, state: BatchState
) -> None:
    claim = await claimed(stores)
    for command in commands:
        await stores.batches.command(claim.batch.id, command, at=NOW)
    after = await leave(stores, claim, left_at, waiting_for="Hint is down.", waits_until=later(3600))
    is_as_left = state is left_at
    assert (after.state, after.waiting_for is not None) == (state, is_as_left)
    assert (after.finished_at is not None) is (state in ENDS)


async def test_resuming_takes_back_a_pause_that_was_not_obeyed(stores: Stores) -> None:
    claim = await claimed(stores)
    await stores.batches.command(claim.batch.id, Command.PAUSE, at=NOW)
    resumed = await stores.batches.command(claim.batch.id, Command.RESUME, at=NOW)
    assert (resumed.state, resumed.wanted) == (BatchState.RUNNING, Command.RESUME)
    assert (await leave(stores, claim, BatchState.PAUSED)).state is BatchState.QUEUED
    assert (await claim_next(stores)).batch.wanted is None


async def test_commands_and_progress_at_once_lose_nothing(stores: Stores) -> None:
    claim = await claimed(stores)
    step = Advance(calls={"hint_read": 1})
    steps = (stores.batches.advance(claim, step, now=NOW) for _ in range(10))
    await asyncio.gather(*steps, stores.batches.command(claim.batch.id, Command.ABORT, at=NOW))
    after = await stores.batches.get(claim.batch.id)
    assert (after.state, after.calls) == (BatchState.ABORTING, {"hint_read": 10})


async def test_a_lease_is_as_long_as_was_asked_for(stores: Stores) -> None:
    await stores.batches.add(new_batch())
    await stores.batches.claim(owner="us", now=NOW, lease_s=1)
    at = NOW + timedelta(seconds=1)
    assert await stores.batches.claim(owner="other", now=at, lease_s=LEASE_S) is not None
