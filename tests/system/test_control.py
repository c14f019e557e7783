"""README rule 8 over the wire: other programs start and stop batches, the sync and sweeps by messages."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import aio_pika
import pytest
import pytest_asyncio
from aio_pika.abc import AbstractChannel, AbstractQueue
from structlog.testing import capture_logs

from hintd.core.batch import Batch, BatchState
from hintd.ports import Queue
from hintd.rabbit.topology import split_url
from tests.system.world import PRACTICE, World, eventually

pytestmark = [pytest.mark.system, pytest.mark.asyncio(loop_scope="module")]

OBEYED_WITHIN_S = 5.0
RESUMED_WITHIN_S = 30.0
OUTCOMES = ("applied", "no_change", "parked", "ignored")


class Program:
    """Another program: on RabbitMQ with a plain client, else in hintd's own process."""

    def __init__(self, world: World, channel: AbstractChannel | None, answers: AbstractQueue | None) -> None:
        self._world, self._channel, self._answers = world, channel, answers

    async def send(self, kind: str, /, **fields: Any) -> str:
        """The message's id."""
        common = {"v": 1, "id": str(uuid4()), "type": kind, "connection": PRACTICE, "requested_by": "nightly"}
        await self.publish(json.dumps({**common, **fields}).encode())
        return str({**common, **fields}["id"])

    async def publish(self, body: bytes) -> None:
        if self._channel is None or self._answers is None:
            await self._world.house.bus.publish(Queue.CONTROL, body, key="test")
            return
        exchange = await self._channel.get_exchange(f"{self._prefix}.control", ensure=False)
        await exchange.publish(aio_pika.Message(body, reply_to=self._answers.name, correlation_id="c-1"), "any")

    async def is_told(self, **answer: Any) -> None:
        """The next answer has these fields; nothing on a bus that brings no answers."""
        if self._answers is None:
            return

        async def look() -> Any:
            assert self._answers is not None
            return await self._answers.get(fail=False, no_ack=True)

        message = await eventually(look, "an answer came")
        assert message.correlation_id == "c-1"
        assert answer.items() <= json.loads(message.body).items()

    @property
    def _prefix(self) -> str:
        return split_url(self._world.house.config.bus.url)[1]

    async def start(self, **fields: Any) -> Batch:
        """The batch that a message has started, by its request."""
        request_id = await self.send("batch.start", **fields)
        batches = self._world.house.stores.batches

        async def look() -> Batch | None:
            return await batches.of_request(self._world.connection.id, request_id)

        batch = await eventually(look, "the batch is there")
        assert batch is not None
        await self.is_told(v=1, id=request_id, ok=True, batch_id=batch.id)
        return batch

    async def comes_to(self, batch: Batch, state: BatchState, within_s: float = 15.0) -> None:
        async def look() -> bool:
            return (await self._world.house.stores.batches.get(batch.id)).state is state

        await eventually(look, f"the batch is {state}", within_s)


@asynccontextmanager
async def _rabbit_client(world: World) -> AsyncIterator[Program]:
    connection = await aio_pika.connect(split_url(world.house.config.bus.url)[0])
    async with connection, connection.channel() as channel:
        yield Program(world, channel, await channel.declare_queue(exclusive=True))


@pytest_asyncio.fixture(loop_scope="module")
async def program(world: World) -> AsyncIterator[Program]:
    if not world.house.has_relay:
        yield Program(world, None, None)
        return
    async with _rabbit_client(world) as program:
        yield program


async def test_a_batch_of_contact_ids_is_started_and_links_them(world: World, program: Program) -> None:
    pair = await world.strangers(contact={"Email": "contact@mail.example"})
    await world.rest()
    batch = await program.start(kind="run", direction="contacts-to-patients", contact_ids=[pair.contact_id[:15]])
    await program.comes_to(batch, BatchState.DONE)
    link = await pair.linked()
    assert (link.patient_id, batch.requested_by) == (pair.patient_id, "nightly")
    await pair.patient_shows(email="contact@mail.example")


async def test_a_preview_is_started_and_writes_nothing(world: World, program: Program) -> None:
    pair = await world.strangers()
    await world.rest()
    batch = await program.start(kind="preview", direction="contacts-to-patients", contact_ids=[pair.contact_id])
    await program.comes_to(batch, BatchState.DONE)
    assert await pair.link() is None


async def test_a_batch_is_paused_resumed_and_aborted_while_another_is_refused(world: World, program: Program) -> None:
    await world.remote.arm("hint", "slow", delay_s=0.5, times=-1, path="/patients")
    batch = await program.start(kind="run", direction="patients-to-contacts")
    await program.send("batch.start", kind="run", direction="patients-to-contacts")
    await program.is_told(ok=False)
    for kind, state in (
        ("batch.pause", BatchState.PAUSED),
        ("batch.resume", BatchState.RUNNING),
        ("batch.abort", BatchState.ABORTED),
    ):
        await program.send(kind, batch_id=batch.id)
        await program.is_told(ok=True, batch_id=batch.id)
        await program.comes_to(batch, state, OBEYED_WITHIN_S)


async def test_while_the_sync_is_paused_changes_wait_and_none_is_lost(world: World, program: Program) -> None:
    pair, other = await world.pair(), await world.pair()
    await program.send("sync.pause")
    await program.is_told(ok=True)
    await _connection_is(world, "paused")
    with capture_logs() as logged:
        await pair.edit_patient(email="patient@mail.example")
        await other.edit_contact(Email="contact@mail.example")

        async def waits() -> bool:
            return any(line["event"] == "change_waits" and line["record_id"] == pair.patient_id for line in logged)

        await eventually(waits, "the patient's change was taken and put back; the stream of the Contacts has ended")
    assert (await pair.contact())["Email"] is None
    await program.send("sync.resume")
    await _connection_is(world, "active")

    async def both_arrived() -> bool:
        contact, patient = await pair.contact(), await other.patient()
        return (contact["Email"], patient["email"]) == ("patient@mail.example", "contact@mail.example")

    await eventually(both_arrived, "both changes arrive", RESUMED_WITHIN_S)


async def test_a_sweep_finds_what_no_event_told(world: World, program: Program) -> None:
    pair = await world.pair()
    await world.unseen(pair, MailingCity="Denver")
    await program.send("sweep.start")
    await program.is_told(ok=True)
    await pair.patient_shows(address_city="Denver")


async def test_rubbish_is_parked_and_the_next_message_is_obeyed(world: World, program: Program) -> None:
    await program.publish(b"\x00rubbish")
    await program.is_told(ok=False, id=None)
    await program.send("batch.undo")
    await program.is_told(ok=False)
    await program.send("sync.resume")
    await program.is_told(ok=True)

    async def both_are_parked() -> bool:
        causes = [item.cause for item in await world.parked() if item.kind == "control_message"]
        return causes == ["unreadable", "unknown_type"]

    await eventually(both_are_parked, "both are parked")


async def test_the_same_message_again_starts_no_second_batch(world: World, program: Program) -> None:
    message_id = str(uuid4())
    wish = {"id": message_id, "kind": "preview", "direction": "patients-to-contacts"}
    batch = await program.start(**wish)
    assert await program.start(**wish) == await world.house.stores.batches.get(batch.id)
    await program.comes_to(batch, BatchState.DONE)


async def test_messages_are_counted_like_every_other_event(world: World, program: Program) -> None:
    await program.send("sync.resume")
    await program.publish(b"rubbish of another kind")
    await program.send("batch.abort", batch_id="bat-0")

    async def adds_up() -> bool:
        samples = await world.metrics()
        ends = {o: samples.get(f'hintd_events_total{{outcome="{o}",source="control"}}', 0) for o in OUTCOMES}
        return all(ends.values()) and sum(ends.values()) == samples['hintd_events_accepted_total{source="control"}']

    await eventually(adds_up, "all messages are accounted for")


async def _connection_is(world: World, state: str) -> None:
    async def look() -> bool:
        connection = await world.house.stores.connections.by_name(PRACTICE)
        watched = world.daemon._watch.by_id(world.connection.id)
        return connection is not None and watched is not None and connection.state == watched.state == state

    await eventually(look, f"the connection is {state}")
