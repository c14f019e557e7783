"""README rule 8 over the wire: what a preview shows is what the batch started from it does, unless a record changed."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from hintd.service.batch_answers import RowJson
from tests.system.batches import TO_CONTACTS, TO_PATIENTS, Ended, report, run_batch
from tests.system.world import PRACTICE, Pair, World

pytestmark = [
    pytest.mark.system,
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.parametrize("world", ["embedded"], indirect=True),
]


@dataclass(frozen=True)
class Story:
    """A preview, an edit of one record, and the batch that was started from the preview.  ``calls``: seen by the
    sandbox during the batch and its echoes; ``own_calls``: how many of them hintd says were the batch's."""

    records: Mapping[str, Any]
    preview: Ended
    after_preview: Mapping[str, Any]
    run: Ended
    edited: Pair
    calls: int
    own_calls: float

    def untouched(self, ended: Ended) -> list[RowJson]:
        """The rows of everybody but who was edited, without the ids that a preview cannot know."""
        rows = [row for row in ended.rows if row["patient_id"] != self.edited.patient_id]
        return [row | {"contact_id": None} for row in rows]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def story(world: World) -> Story:
    edited = await world.strangers({"email": "first@mail.example"}, {"Email": "contact@mail.example"})
    await world.strangers({"email": "other@mail.example"}, {"MailingCity": "Denver"})
    await world.pair()
    await world.new_patient(first_name="Nobody", last_name="Knows", dob="1980-01-02")
    await world.rest()
    records = await world.remote.records()
    preview = await run_batch(world, TO_CONTACTS, "--create-unmatched", kind="preview")
    after = await world.remote.records()
    await edited.edit_patient(email="second@mail.example")
    await world.rest()
    await world.later()
    await world.remote.reset_calls()
    before = await batch_calls(world)
    run = await run_batch(world, TO_CONTACTS, "--from-preview", preview.id)
    await world.rest()
    calls = await world.remote.calls()
    return Story(records, preview, after, run, edited, sum(calls.values()), await batch_calls(world) - before)


async def batch_calls(world: World) -> float:
    """What hintd says it has called for batches."""
    samples = await world.metrics()
    return sum(
        n for name, n in samples.items() if name.startswith("hintd_remote_calls_total{") and 'class="batch"' in name
    )


async def test_a_preview_writes_nothing(story: Story) -> None:
    assert story.after_preview == story.records


async def test_the_batch_does_what_the_preview_showed(story: Story) -> None:
    did = story.untouched(story.run)
    assert did == story.untouched(story.preview)
    assert {row["outcome"] for row in did} == {"linked", "created_contact", "unchanged"}


async def test_who_was_edited_in_between_is_planned_anew_and_marked(story: Story) -> None:
    (showed,), (did,) = (ended.about(story.edited.patient_id) for ended in (story.preview, story.run))
    assert (showed["replanned"], did["replanned"]) == (False, True)
    assert [field["new"] for field in did["fields"] if field["name"] == "email"] == ["second@mail.example"]


async def test_a_preview_says_how_many_writes_the_batch_takes(story: Story) -> None:
    needed, made = story.preview.status["calls"], story.run.status["calls"]
    assert needed["hint_write"] == made["hint_write"] > 0
    assert needed["salesforce_write"] >= 1


async def test_all_calls_were_the_batchs_own_so_its_echoes_cost_none(story: Story) -> None:
    assert story.calls == story.own_calls > 0


async def test_waiting_tells_every_stage_once_and_the_end(world: World) -> None:
    waited = await world.hintd("batch", "start", PRACTICE, TO_CONTACTS, "--wait")
    told = [json.loads(line) for line in waited.err.splitlines() if '"batch_id"' in line]
    steps = [(line["state"], line["stage"]) for line in told]
    assert len(steps) == len(set(steps))
    assert (told[-1]["state"], told[-1]["done"]) == ("done", told[-1]["total"])
    assert told[-1] == waited.document


async def test_the_results_are_a_csv_file_of_every_row(world: World, story: Story, tmp_path: Path) -> None:
    file = tmp_path / "results.csv"
    await world.hintd("batch", "results", story.run.id, "--csv", str(file))
    with file.open(newline="") as lines:
        told = [(row["patient_id"], row["outcome"]) for row in csv.DictReader(lines)]
    assert told == [(row["patient_id"], row["outcome"]) for row in story.run.rows]


async def test_a_contact_whom_nobody_matches_is_left_alone_unless_asked_for(world: World, tmp_path: Path) -> None:
    lone = await world.lone_contact()
    shown = await run_batch(world, TO_PATIENTS, "--csv", report(tmp_path, lone.contact_id), kind="preview")
    assert shown.ends() == {lone.contact_id: "skipped:no_match"}


async def test_a_file_without_a_contact_id_is_refused_and_starts_nothing(world: World, tmp_path: Path) -> None:
    before = await world.house.stores.batches.all(world.connection.id)
    refused = await world.hintd("batch", "start", PRACTICE, TO_PATIENTS, "--csv", report(tmp_path))
    assert (refused.code, refused.document["error"]["kind"]) == (2, "unreadable_file")
    assert "no Contact id in its first column" in refused.document["error"]["message"]
    assert await world.house.stores.batches.all(world.connection.id) == before
