"""README rule 8 over the wire: one batch at a time, stopped within seconds, and real-time sync beside it.

A Hint that takes its time over each answer keeps a batch going for as long as a test looks at it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
import pytest_asyncio

from hintd.core.batch import ENDED
from tests.system.batches import TO_CONTACTS, begin_batch, counted_as, reaches
from tests.system.world import PRACTICE, World

pytestmark = [pytest.mark.system, pytest.mark.asyncio(loop_scope="module")]

OPTIONS = {"patients": 120, "contacts": 120, "match_share": 1.0, "config": {"HINTD_LIMITS__PAGE_SIZE": "5"}}

ABORTED_WITHIN = timedelta(seconds=5)


@pytest_asyncio.fixture(loop_scope="module")
async def slow(world: World) -> AsyncIterator[str]:
    """A batch that has done some of its records and has others before it; gone at the end."""
    await world.remote.set(hint_latency_ms=200)
    batch_id = await begin_batch(world, TO_CONTACTS)
    await reaches(world, batch_id, "running", done=1)
    yield batch_id
    await world.remote.set(hint_latency_ms=0)
    await world.hintd("batch", "abort", batch_id)
    await reaches(world, batch_id, *ENDED)


async def test_changes_arrive_and_another_batch_is_refused_while_one_runs(world: World, slow: str) -> None:
    pair = await world.pair()
    await pair.edit_patient(email="meanwhile@mail.example")
    await pair.contact_shows(Email="meanwhile@mail.example")
    await pair.edit_contact(MailingCity="Boise")
    await pair.patient_shows(address_city="Boise")
    refused = await world.hintd("batch", "start", PRACTICE, TO_CONTACTS)
    assert (refused.code, refused.document["error"]["batch_id"]) == (3, slow)
    assert slow in refused.document["error"]["message"]
    await reaches(world, slow, "running")


async def test_an_abort_stops_within_seconds_and_what_is_done_stays_and_is_told(world: World, slow: str) -> None:
    asked_at = world.house.now()
    assert (await world.hintd("batch", "abort", slow)).document["state"] in ("aborting", "aborted")
    batch = await reaches(world, slow, "aborted")
    assert batch.finished_at - asked_at < ABORTED_WITHIN
    rows = (await world.hintd("batch", "results", slow, "--limit", "1000")).document["rows"]
    assert batch.counts == Counter(map(counted_as, rows))
    assert batch.done == len(rows) < batch.total
    for row in (row for row in rows if row["outcome"] == "linked"):
        contact = await world.contact(row["contact_id"])
        assert (contact["Synced_to_Hint__c"], contact["Hint_Patient_Id__c"]) == (True, row["patient_id"])
        assert (await world.patient(row["patient_id"]))["integration_record_id"] == row["contact_id"]


async def test_an_aborted_batch_is_aborted_again_without_more_and_does_not_go_on(world: World, slow: str) -> None:
    await world.hintd("batch", "abort", slow)
    batch = await reaches(world, slow, "aborted")
    again = await world.hintd("batch", "abort", slow)
    assert (again.code, again.document["state"], again.document["done"]) == (0, "aborted", batch.done)
    refused = await world.hintd("batch", "resume", slow)
    assert refused.code == 3
    assert f"Batch {slow} is aborted already" in refused.document["error"]["message"]
