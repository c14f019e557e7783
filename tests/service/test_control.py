"""Control messages on the memory fakes: what each does, and that repeating, refusing and parking lose nothing."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any
from uuid import uuid4

import pytest

from hintd.core.batch import Batch, BatchKind, BatchState, Command, Direction
from hintd.core.model import Outcome
from hintd.ports import Connection, Level, LogEntry, LogFilter, ParkedItem, Queue, StoreDown
from hintd.service.control import Terms
from hintd.service.control_queue import POISON_ATTEMPTS, ControlQueue
from hintd.service.steering import is_paused_by_person, take_asked_sweep
from tests.contract.batches import claim_next, claimed, contact_id, leave, new_batch, other_connection
from tests.contract.stores import NOW, changed, connection, memory_stores
from tests.fakes.bus import MemoryBus, Message

FROM_PATIENTS = {"kind": "run", "direction": "patients-to-contacts"}
FROM_CONTACTS = {"kind": "run", "direction": "contacts-to-patients"}


class Unforeseen:
    """A store with a fault that nobody thought of."""

    async def by_name(self, name: str) -> Connection | None:
        raise ZeroDivisionError


class Down:
    """A store whose server is gone."""

    async def by_name(self, name: str) -> Connection | None:
        raise StoreDown("Postgres is gone")


class Control:
    """One connection, its control queue, and whoever sends it messages."""

    def __init__(self) -> None:
        self.bus, self.stores = MemoryBus(), memory_stores()
        self.accepted: list[str] = []
        self.settled: list[tuple[str, str]] = []

    def queue(self, **stores: Any) -> ControlQueue:
        with_these = changed(self.stores, **stores)
        terms = Terms(self._left_today, stamp_all=True)
        return ControlQueue(self.bus, with_these, terms, lambda: NOW, lambda: 0.5, self.accepted.append, self._settled)

    async def _left_today(self) -> int:
        return 3

    def _settled(self, outcome: Outcome) -> None:
        self.settled.append((outcome.kind.value, outcome.reason))

    async def deliver(self, body: bytes, *, attempts: int = 0, **stores: Any) -> dict[str, Any]:
        """The answer; empty where there is none yet."""
        self.bus.answers.clear()
        self.bus.put(Message(Queue.CONTROL, body, "test", attempts=attempts))
        async with self.bus.consume(Queue.CONTROL, prefetch=1) as messages:
            await self.queue(**stores).take(await anext(messages))
        return json.loads(self.bus.answers[0]) if self.bus.answers else {}

    async def send(self, kind: str, /, **fields: Any) -> dict[str, Any]:
        return await self.deliver(message(kind, **fields))

    async def connection(self) -> Connection:
        found = await self.stores.connections.by_name("clinic")
        assert found is not None
        return found

    async def batches(self) -> Sequence[Batch]:
        return await self.stores.batches.all(1)

    async def logged(self) -> list[LogEntry]:
        return [entry for _, entry in await self.stores.log.read(None, LogFilter())]

    async def parked(self) -> list[ParkedItem]:
        return list(await self.stores.parking.items())

    async def waiting(self) -> int:
        return (await self.bus.waiting())[Queue.CONTROL]


def message(kind: str, /, **fields: Any) -> bytes:
    common = {"v": 1, "id": str(uuid4()), "type": kind, "connection": "clinic", "requested_by": "ann"}
    return json.dumps({**common, **fields}).encode()


@pytest.fixture
async def control() -> Control:
    control = Control()
    await control.stores.connections.add(connection())
    return control


# --- what each type does ---


async def test_a_batch_is_started_and_its_id_is_the_answer(control: Control) -> None:
    answer = await control.send("batch.start", **FROM_PATIENTS, create_unmatched=False, include_archived=True)
    (batch,) = await control.batches()
    assert (answer["ok"], answer["batch_id"]) == (True, batch.id)
    assert (batch.kind, batch.direction, batch.state) == ("run", Direction.PATIENTS_TO_CONTACTS, "queued")
    assert (batch.options.create_unmatched, batch.options.include_archived) == (False, True)
    assert batch.requested_by == "ann"


async def test_the_connections_check_box_stands_where_the_message_does_not_say(control: Control) -> None:
    await control.send("batch.start", **FROM_PATIENTS)
    assert (await control.batches())[0].options.create_unmatched is True


async def test_contact_ids_become_an_upload(control: Control) -> None:
    ids = [contact_id(1), contact_id(2)[:15], "not an id", contact_id(2)]
    await control.send("batch.start", **FROM_CONTACTS, contact_ids=ids)
    upload_id = (await control.batches())[0].options.upload_id
    assert upload_id is not None
    upload = await control.stores.uploads.get(1, upload_id)
    assert upload is not None
    assert (upload.ids, upload.repeated, upload.ignored) == (2, 1, 1)


async def test_a_run_follows_a_preview(control: Control) -> None:
    answer = await control.send("batch.start", **{**FROM_CONTACTS, "kind": "preview"}, contact_ids=[contact_id(1)])
    await leave(control.stores, await claim_next(control.stores), BatchState.DONE)
    await control.send("batch.start", **FROM_CONTACTS, from_preview=answer["batch_id"])
    run, preview = await control.batches()
    assert (run.kind, run.options.from_preview) == (BatchKind.RUN, preview.id)
    assert run.options.upload_id == preview.options.upload_id


@pytest.mark.parametrize(
    ("kind", "wanted"), [("batch.pause", Command.PAUSE), ("batch.abort", Command.ABORT)], ids=["pause", "abort"]
)
async def test_a_batch_at_work_is_told_a_command(control: Control, kind: str, wanted: Command) -> None:
    batch = (await claimed(control.stores)).batch
    assert (await control.send(kind, batch_id=batch.id))["batch_id"] == batch.id
    assert (await control.stores.batches.get(batch.id)).wanted is wanted


async def test_a_queued_batch_is_paused_and_resumed_at_once(control: Control) -> None:
    batch = await control.stores.batches.add(new_batch())
    for kind, state in (("batch.pause", BatchState.PAUSED), ("batch.resume", BatchState.QUEUED)):
        await control.send(kind, batch_id=batch.id)
        assert (await control.stores.batches.get(batch.id)).state is state


async def test_a_paused_sync_is_paused_until_a_person_resumes_it(control: Control) -> None:
    assert await control.send("sync.pause") | {"id": ""} == {"v": 1, "id": "", "ok": True}
    paused = await control.connection()
    assert (paused.state, paused.paused_why) == ("paused", "paused by ann")
    assert is_paused_by_person(paused)
    await control.send("sync.resume")
    resumed = await control.connection()
    assert (resumed.state, resumed.paused_why) == ("active", None)


async def test_a_person_pauses_and_resumes_also_what_refused_credentials_have_paused(control: Control) -> None:
    refused = changed(await control.connection(), state="paused", paused_why="Hint refused the token")
    await control.stores.connections.change(refused)
    assert not is_paused_by_person(refused)
    await control.send("sync.pause")
    assert is_paused_by_person(await control.connection())
    await control.send("sync.resume")
    assert (await control.connection()).state == "active"


async def test_a_sweep_is_asked_for_once(control: Control) -> None:
    assert (await control.send("sweep.start"))["ok"]
    cursors = control.stores.cursors
    assert [await take_asked_sweep(cursors, 1) for _ in range(2)] == [True, False]


# --- the accounting ---


async def test_what_was_done_is_counted_and_logged(control: Control) -> None:
    answer = await control.send("batch.start", **FROM_PATIENTS)
    (entry,) = await control.logged()
    assert (entry.level, entry.what, entry.batch_id) == (Level.DEBUG, "control", answer["batch_id"])
    assert "ann asked for the run" in entry.message
    assert (control.accepted, control.settled) == (["control"], [("applied", "obeyed")])
    assert await control.stores.connections.event_counts(1) == {("control", "applied"): 1}
    assert await control.waiting() == 0


@pytest.mark.parametrize("kind", ["batch.pause", "sync.pause", "sync.resume"])
async def test_asking_again_under_a_new_id_changes_nothing(control: Control, kind: str) -> None:
    batch = await control.stores.batches.add(new_batch())
    for _ in range(2):
        assert (await control.send(kind, batch_id=batch.id))["ok"]
    assert control.settled[-1] == ("no_change", "repeated")


async def test_the_same_message_starts_one_batch(control: Control) -> None:
    body = message("batch.start", **FROM_CONTACTS, contact_ids=[contact_id(1)])
    first, again = await control.deliver(body), await control.deliver(body)
    assert again == first
    assert len(await control.batches()) == 1
    assert control.settled == [("applied", "obeyed"), ("no_change", "repeated")]
    assert await control.stores.connections.event_counts(1) == {("control", "applied"): 1}


async def test_a_message_whose_end_was_not_stored_starts_no_second_batch(control: Control) -> None:
    body = message("batch.start", **FROM_PATIENTS, id="0f8fad5b-d9cb-469f-a165-70867728950e")
    made = await control.stores.batches.add(new_batch("0f8fad5b-d9cb-469f-a165-70867728950e"))
    assert (await control.deliver(body, attempts=1))["batch_id"] == made.id
    assert control.accepted == []  # it was, by the worker that died


async def test_a_pause_that_comes_again_after_the_resume_pauses_nothing(control: Control) -> None:
    pause = message("sync.pause")
    await control.deliver(pause)
    await control.send("sync.resume")
    assert (await control.deliver(pause))["ok"]
    assert (await control.connection()).state == "active"


# --- refused ---


@pytest.mark.parametrize(
    ("kind", "fields", "sentence"),
    [
        pytest.param("sync.pause", {"connection": "nowhere"}, "There is no connection nowhere", id="connection"),
        pytest.param("batch.abort", {"batch_id": "bat-0"}, "There is no batch bat-0", id="batch"),
        pytest.param("batch.start", FROM_CONTACTS, "needs its Contacts", id="no Contacts"),
        pytest.param("batch.start", {**FROM_CONTACTS, "upload_id": "upl-0"}, "There is no upload upl-0", id="upload"),
        pytest.param(
            "batch.start", {**FROM_CONTACTS, "upload_id": "u", "contact_ids": []}, "either upload_id", id="both"
        ),
        pytest.param(
            "batch.start", {**FROM_CONTACTS, "contact_ids": ["x"]}, "There is no Contact id", id="no id among ids"
        ),
        pytest.param("batch.start", {**FROM_PATIENTS, "contact_ids": []}, "takes all patients", id="ids of patients"),
        pytest.param(
            "batch.start", {**FROM_CONTACTS, "contact_ids": [contact_id(1)] * 10_001}, "up to 10000", id="too many ids"
        ),
        pytest.param("batch.start", {**FROM_PATIENTS, "from_preview": "bat-0"}, "There is no batch", id="preview"),
    ],
)
async def test_a_refusal_is_a_sentence_in_the_answer_and_in_the_log(
    control: Control, kind: str, fields: dict[str, Any], sentence: str
) -> None:
    answer = await control.send(kind, **fields)
    (entry,) = await control.logged()
    assert answer["ok"] is False
    assert sentence in answer["refused"]
    assert (entry.level, entry.what, entry.message) == (Level.ERROR, "control_refused", answer["refused"])
    assert control.settled == [("ignored", "refused")]
    assert await control.batches() == []


async def test_a_second_run_is_refused_with_the_first_ones_id(control: Control) -> None:
    first = await control.send("batch.start", **FROM_PATIENTS)
    second = message("batch.start", **FROM_PATIENTS)
    answer = await control.deliver(second)
    assert first["batch_id"] in answer["refused"]
    assert "abort it" in answer["refused"]
    await control.send("batch.abort", batch_id=first["batch_id"])
    assert "under a new id" in (await control.deliver(second))["refused"]
    assert len(await control.batches()) == 1


async def test_another_connections_batch_is_none_of_this_one(control: Control) -> None:
    other = await other_connection(control.stores)
    batch = await control.stores.batches.add(new_batch(connection_id=other))
    answer = await control.send("batch.abort", batch_id=batch.id)
    assert "of connection clinic" in answer["refused"]
    assert (await control.stores.batches.get(batch.id)).state is BatchState.QUEUED


@pytest.mark.parametrize("kind", ["sync.pause", "sync.resume", "sweep.start"])
async def test_a_disconnected_practice_stays_so(control: Control, kind: str) -> None:
    await control.stores.connections.change(changed(await control.connection(), state="disconnected"))
    assert "is disconnected" in (await control.send(kind))["refused"]
    assert (await control.connection()).state == "disconnected"


# --- parked, and waiting ---


@pytest.mark.parametrize(
    ("body", "cause"),
    [
        pytest.param(b"\x00\xffrubbish", "unreadable", id="rubbish"),
        pytest.param(message("batch.undo"), "unknown_type", id="type"),
        pytest.param(message("sync.pause", v=7), "unknown_version", id="version"),
    ],
)
async def test_what_is_not_understood_is_parked_whole_and_said_so(control: Control, body: bytes, cause: str) -> None:
    answer = await control.deliver(body)
    (item,) = await control.parked()
    assert (item.kind, item.cause, item.body) == ("control_message", cause, body)
    assert answer["refused"] == f"{item.message} It is parked for a person."
    assert control.settled == [("parked", cause)]
    assert (await control.waiting(), len(control.accepted)) == (0, 1)
    assert await control.stores.connections.event_counts() == {("control", "parked"): 1}


async def test_a_parked_message_is_parked_again_when_a_person_retries_it_in_vain(control: Control) -> None:
    body = message("batch.undo")
    await control.deliver(body)
    await control.stores.parking.close(1, state="resolved", now=NOW)
    await control.deliver(body)
    assert [item.id for item in await control.parked()] == [2]


async def test_while_the_store_is_gone_a_message_waits(control: Control) -> None:
    assert await control.deliver(message("sync.pause"), connections=Down()) == {}
    assert (await control.waiting(), control.settled) == (1, [])


async def test_a_fault_that_nobody_foresaw_is_tried_again_and_parked_in_the_end(control: Control) -> None:
    body = message("sync.pause")
    await control.deliver(body, attempts=POISON_ATTEMPTS - 2, connections=Unforeseen())
    assert (await control.waiting(), await control.parked()) == (1, [])
    await control.deliver(body, attempts=POISON_ATTEMPTS - 1, connections=Unforeseen())
    (item,) = await control.parked()
    assert (item.cause, item.body) == ("exception", body)


async def test_stopping_finishes_what_is_in_hand_and_takes_no_more(control: Control) -> None:
    stopping = asyncio.Event()
    await control.bus.publish(Queue.CONTROL, message("sync.pause"), key="test")
    running = asyncio.create_task(control.queue().run(stopping))
    async with asyncio.timeout(5):
        while not control.settled:
            await asyncio.sleep(0)
        stopping.set()
        await running
    await control.bus.publish(Queue.CONTROL, message("sync.resume"), key="test")
    assert await control.waiting() == 1
    assert (await control.connection()).state == "paused"
