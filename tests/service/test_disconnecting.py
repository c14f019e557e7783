"""README rule 11 on the memory fakes: leaving a practice, also when Hint does not answer or was left before."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest

from hintd.core.batch import BatchKind, BatchOptions, BatchState, Direction
from hintd.core.errors import Retryable
from hintd.ports import Advance, Connection, NewBatch
from hintd.service.disconnecting import ABORT_WITHIN_S, abort_batches, disconnect
from tests.fakes.batches import MemoryBatches
from tests.fakes.clock import run_virtual
from tests.fakes.memory import Memory
from tests.fakes.stores import MemoryConnections

NOW = datetime(2026, 11, 22, 10, tzinfo=UTC)
CLINIC = Connection(
    1, "clinic", "pra-1", "Clinic", "int-1", "00D", "Org", "active", NOW,
    webhook={"id": "whe-1", "url": "https://host/hint/webhooks"}, secrets={"hint_token": "token"},
)  # fmt: skip


class Partner:
    """Hint's side of one installation; ``down``: what gives no answer, once."""

    def __init__(self, *down: str) -> None:
        self.webhooks, self.active, self._down = {"whe-1"}, True, set(down)

    async def remove_webhook(self, installation_id: str, webhook_id: str) -> bool:
        self._answer("remove_webhook")
        was_there = webhook_id in self.webhooks
        self.webhooks.discard(webhook_id)
        return was_there

    async def deactivate(self, installation_id: str) -> object:
        self._answer("deactivate")
        self.active = False
        return None

    def _answer(self, what: str) -> None:
        if what in self._down:
            self._down.discard(what)
            raise Retryable(f"{what}: no answer")


async def _connected() -> tuple[MemoryConnections, Connection]:
    connections = MemoryConnections(Memory())
    return connections, await connections.add(CLINIC)


async def test_hint_is_left_and_no_way_back_in_is_kept() -> None:
    connections, connection = await _connected()
    partner = Partner()
    left = await disconnect(partner, connections, connection)
    assert left == await connections.by_name("clinic")
    assert (left.state, left.secrets, left.webhook) == ("disconnected", {}, {})
    assert (partner.webhooks, partner.active) == (set(), False)


async def test_leaving_again_is_well() -> None:
    connections, connection = await _connected()
    partner = Partner()
    left = await disconnect(partner, connections, connection)
    assert await disconnect(partner, connections, left) == left


@pytest.mark.parametrize("down", ["remove_webhook", "deactivate"])
async def test_when_hint_does_not_answer_the_sync_stops_and_leaving_again_goes_on(down: str) -> None:
    connections, connection = await _connected()
    partner = Partner(down)
    with pytest.raises(Retryable):
        await disconnect(partner, connections, connection)
    half_left = await connections.by_name("clinic")
    assert half_left is not None
    assert half_left.state == "disconnected"
    assert (await disconnect(partner, connections, half_left)).secrets == {}
    assert (partner.webhooks, partner.active) == (set(), False)


# --- batches ---


async def _batch(batches: MemoryBatches, kind: BatchKind, request_id: str) -> str:
    new = NewBatch(1, kind, Direction.PATIENTS_TO_CONTACTS, BatchOptions(), "tester", request_id, NOW)
    return (await batches.add(new)).id


def test_what_is_queued_is_aborted_at_once_and_what_has_ended_is_left() -> None:
    async def story() -> None:
        batches = MemoryBatches(Memory())
        run, preview = await _batch(batches, BatchKind.RUN, "1"), await _batch(batches, BatchKind.PREVIEW, "2")
        assert set(await abort_batches(batches, 1, at=NOW)) == {run, preview}
        assert {(await batches.get(each)).state for each in (run, preview)} == {BatchState.ABORTED}
        assert await abort_batches(batches, 1, at=NOW) == ()

    run_virtual(story())


def test_a_running_batch_is_waited_for_until_its_worker_has_stopped() -> None:
    async def story() -> None:
        batches, clock = MemoryBatches(Memory()), asyncio.get_running_loop().time
        batch_id = await _batch(batches, BatchKind.RUN, "1")
        claim = await batches.claim(owner="worker", now=NOW, lease_s=30)
        assert claim is not None
        begun = clock()
        aborting = asyncio.create_task(abort_batches(batches, 1, at=NOW))
        await asyncio.sleep(2)
        await batches.advance(claim, Advance(state=BatchState.ABORTED, finished_at=NOW), now=NOW)
        assert await aborting == (batch_id,)
        assert clock() - begun < 3

    run_virtual(story())


def test_a_batch_whose_worker_is_gone_is_not_waited_for_for_ever() -> None:
    async def story() -> None:
        batches, clock = MemoryBatches(Memory()), asyncio.get_running_loop().time
        await _batch(batches, BatchKind.RUN, "1")
        await batches.claim(owner="worker", now=NOW, lease_s=30)
        begun = clock()
        await abort_batches(batches, 1, at=NOW)
        assert clock() - begun == pytest.approx(ABORT_WITHIN_S)

    run_virtual(story())
