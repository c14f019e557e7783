"""Answers of the remotes that are lost: before anything was done, and after all was done and committed."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from hintd.core.errors import RemoteError
from hintd.core.model import OutcomeKind
from hintd.service.linking import link_by_person
from tests.chaos.clinic import Edits
from tests.chaos.world import judge, open_world

pytestmark = pytest.mark.chaos

_PATIENTS, _COMPOSITE = "/patients/", "/composite"


async def test_lost_answers_to_writes_lose_no_change_and_repeat_none(tmp_path: Path, store_dsn: str) -> None:
    async with open_world(tmp_path, dsn=store_dsn) as world:
        daemon = world.hintd("daemon")
        edits = Edits(world.pairs, random.Random(7))
        async with world.running(daemon):
            for kind, times in (("lost_after", 15), ("lost_before", 10), ("lost_after", 15)):
                await world.clinic.arm("hint", kind, method="PATCH", path=_PATIENTS, times=times)
                await world.clinic.arm("salesforce", kind, path=_COMPOSITE, times=times)
            for edit in edits.plan(200):
                await world.clinic.make(edit)
            await judge(world, edits, [daemon])
            assert await world.clinic.armed() == []
            await world.end([daemon])


async def test_a_patient_whose_creation_was_not_answered_is_made_once(tmp_path: Path, store_dsn: str) -> None:
    async with open_world(tmp_path, dsn=store_dsn) as world, world.house() as (_, work):
        contact = await world.clinic.ask("POST", "contacts", {"FirstName": "Nova", "LastName": "Lost"})
        await world.clinic.arm("hint", "lost_after", method="POST", path="/patients$", times=1)
        with pytest.raises(RemoteError):
            await link_by_person(work, contact["Id"], None, person="the test")
        outcome = await link_by_person(work, contact["Id"], None, person="the test")
        assert outcome.kind is OutcomeKind.APPLIED
        patients, _ = await world.clinic.records()
        made = [p for p in patients.values() if p["last_name"] == "Lost"]
        assert [p["integration_record_id"] for p in made] == [contact["Id"]]


async def test_contacts_whose_creation_was_not_answered_are_made_once(tmp_path: Path, store_dsn: str) -> None:
    people = [f"Nova{letter}" for letter in "abcdef"]
    async with open_world(tmp_path, dsn=store_dsn) as world:
        await world.set(create_unmatched_contacts=True)
        daemon = world.hintd("daemon")
        async with world.running(daemon):
            await world.clinic.arm("salesforce", "lost_after", path=_COMPOSITE, times=4)
            for name in people:
                body = {"first_name": name, "last_name": "Lost", "dob": "1980-02-03"}
                await world.clinic.ask("POST", "patients", body)
            await world.clinic.linked(people)
            await world.at_rest([daemon])
            _, contacts = await world.clinic.records()
            assert sorted(c["FirstName"] for c in contacts.values() if c["LastName"] == "Lost") == people
            await world.end([daemon])
