"""README rule 8 over the wire: one batch at a time, stopped within seconds, and real-time sync beside it.

A Hint that takes its time over each answer keeps a batch going for as long as a test looks at it.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import ClientResponse

from hintd.core.batch import Batch, Command
from hintd.service.linking import link_by_person
from tests.system.batches import TO_CONTACTS, counted_as, reaches, rows_of
from tests.system.world import PRACTICE, Pair, World

pytestmark = [pytest.mark.system, pytest.mark.asyncio(loop_scope="module")]

TOKEN = "a token for tests"
CONFIG = {"HINTD_LIMITS__PAGE_SIZE": "2", "HINTD_SERVICE__API_TOKEN": TOKEN}
OPTIONS = {"patients": 80, "contacts": 80, "match_share": 1.0, "config": CONFIG}

ABORTED_WITHIN = timedelta(seconds=10)
"""Twice the rule's five seconds, for a busy machine."""


def asked(world: World, method: str, path: str, body: Any = None) -> AbstractAsyncContextManager[ClientResponse]:
    """A request to hintd's API."""
    address, headers = f"{world.operator_url}/api/v1/{path}", {"Authorization": f"Bearer {TOKEN}"}
    return world.remote.session.request(method, address, json=body, headers=headers)


@pytest_asyncio.fixture(loop_scope="module")
async def slow(world: World) -> AsyncIterator[str]:
    """A batch that has done some of its records and has others before it; gone at the end."""
    await world.remote.set(hint_latency_ms=1000)
    async with asked(world, "POST", f"connections/{PRACTICE}/batches", {"direction": TO_CONTACTS}) as begun:
        batch_id = (await begun.json())["batch_id"]
    await reaches(world, batch_id, "running", done=1)
    yield batch_id
    await world.remote.set(hint_latency_ms=0)
    await abort(world, batch_id)


async def abort(world: World, batch_id: str) -> Batch:
    """The batch at its end."""
    await world.house.stores.batches.command(batch_id, Command.ABORT, at=world.house.now())
    return await reaches(world, batch_id, "aborted")


async def test_an_abort_stops_within_seconds_and_what_is_done_stays_and_is_told(world: World, slow: str) -> None:
    asked_at = world.house.now()
    async with asked(world, "POST", f"batches/{slow}/abort") as obeyed:
        assert (await obeyed.json())["state"] in ("aborting", "aborted")
    batch = await reaches(world, slow, "aborted")
    assert batch.finished_at is not None
    assert batch.finished_at - asked_at < ABORTED_WITHIN
    rows = await rows_of(world, slow)
    assert batch.counts == Counter(map(counted_as, rows))
    assert batch.done == len(rows) < (batch.total or 0)
    for row in (row for row in rows if row["outcome"] == "linked"):
        pair = Pair(world, str(row["patient_id"]), str(row["contact_id"]))
        await pair.contact_shows(Synced_to_Hint__c=True, Hint_Patient_Id__c=pair.patient_id)
        await pair.patient_shows(integration_record_id=pair.contact_id)


async def test_an_aborted_batch_is_aborted_again_without_more_and_does_not_go_on(world: World, slow: str) -> None:
    batch = await abort(world, slow)
    again, refused = await asyncio.gather(*(world.hintd("batch", what, slow) for what in ("abort", "resume")))
    assert (again.code, again.document["state"], again.document["done"]) == (0, "aborted", batch.done)
    assert refused.code == 3
    assert f"Batch {slow} is aborted already" in refused.document["error"]["message"]


async def test_changes_arrive_and_another_batch_is_refused_while_one_runs(world: World, slow: str) -> None:
    pair = await world.strangers()
    await link_by_person(await world.work(), pair.contact_id, pair.patient_id, person="tester")
    await pair.edit_patient(email="meanwhile@mail.example")
    await pair.contact_shows(Email="meanwhile@mail.example")
    await pair.edit_contact(MailingCity="Boise")
    await pair.patient_shows(address_city="Boise")
    refused = await world.hintd("batch", "start", PRACTICE, TO_CONTACTS)
    assert (refused.code, refused.document["error"]["batch_id"]) == (3, slow)
    assert slow in refused.document["error"]["message"]
    await reaches(world, slow, "running")


async def test_who_follows_a_batch_is_told_how_far_it_is_until_its_end(world: World, slow: str) -> None:
    told = []
    async with asked(world, "GET", f"batches/{slow}/events") as events:
        async for line in events.content:
            told += [json.loads(line.removeprefix(b"data: "))] if line.startswith(b"data: ") else []
            if len(told) == 2:
                await world.house.stores.batches.command(slow, Command.ABORT, at=world.house.now())
    assert told[0]["state"] == "running"
    assert told[0]["done"] < told[1]["done"] <= told[-1]["done"]
    assert (told[-1]["state"], told[-1]["batch_id"]) == ("aborted", slow)
