"""Worlds of random edits, lost events, faults and killed workers: whatever happens, the rules hold in the end.

A seed that fails is named with the command that replays it and prints its story.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import pytest

from hintd.core.model import Contact
from tests.service.replay import Played, play, play_with
from tests.service.simulation import World

SEEDS = 20_000 if os.environ.get("HINTD_TEST_LONG") else 2_000
CASES = 8 if SEEDS == 2_000 else 160
EACH = SEEDS // CASES


@pytest.mark.parametrize("first", range(0, SEEDS, EACH), ids=lambda first: f"seeds {first} to {first + EACH - 1}")
def test_every_world_converges_and_loses_nothing(first: int) -> None:
    failed = [played for seed in range(first, first + EACH) if (played := play(seed)).broken]
    assert not failed, "\n".join(describe(played) for played in failed)


def describe(played: Played) -> str:
    return f"replay it with: python -m tests.service.replay {played.seed}\n  " + "\n  ".join(played.broken)


def test_a_seed_has_one_story() -> None:
    assert play(7).story() == play(7).story()


# --- the checker can fail ---


def test_a_dropped_write_is_found() -> None:
    """An org that says it saved, and did not, whenever hintd gives a name."""

    def forget(world: World) -> None:
        def lying(contact_id: str, fields: Mapping[str, Any], *, by_person: bool) -> Contact:
            kept = fields if by_person else {k: v for k, v in fields.items() if k not in ("FirstName", "LastName")}
            return save(contact_id, kept, by_person=by_person)

        save, world.org._save = world.org._save, lying

    assert any(played.broken for played in (play_with(seed, forget) for seed in range(40)))


def test_a_lost_edit_is_found() -> None:
    """Somebody puts both sides of every pair back behind everybody's back, at the end."""

    def meddle(world: World) -> None:
        for row in world.org.contacts.values():
            row["FirstName"] = "Wrong"
        for raw in world.practice.patients.values():
            raw["first_name"] = "Wrong"

    broken = [sentence for seed in range(20) for sentence in play_with(seed, at_rest=meddle).broken]
    assert any("first_name: LOST" in sentence for sentence in broken)


def test_two_sides_that_differ_are_found() -> None:
    def meddle(world: World) -> None:
        for raw in world.practice.patients.values():
            raw["health_insurance_group_id"] = "wrong"

    broken = [sentence for seed in range(5) for sentence in play_with(seed, at_rest=meddle).broken]
    assert any("insurance_group_id: Hint has 'wrong', Salesforce has None" in sentence for sentence in broken)


def test_an_unsettled_notice_is_found() -> None:
    def lose_one(world: World) -> None:
        world.memory.ledger.popitem()

    broken = play_with(1, at_rest=lose_one).broken
    assert any("have an outcome" in sentence for sentence in broken)


def test_a_second_record_for_one_person_is_found() -> None:
    def double(world: World) -> None:
        world.account.created["pat-1"] += 2

    assert any("2 records were created for pat-1" in sentence for sentence in play_with(2, at_rest=double).broken)


def test_a_world_that_still_writes_at_rest_is_found() -> None:
    def unsettle(world: World) -> None:
        for patient_id in world.practice.patients:
            world.practice.edit(patient_id, {"health_insurance_group_id": "news"})

    broken = [sentence for seed in range(5) for sentence in play_with(seed, at_rest=unsettle).broken]
    assert any("a further round made the writes" in sentence for sentence in broken)


def test_a_result_that_is_lost_is_found() -> None:
    def lose(world: World) -> None:
        for record in world.memory.batches.values():
            record.rows.clear()

    broken = [sentence for seed in range(40) for sentence in play_with(seed, at_rest=lose).broken]
    assert any("are counted" in sentence for sentence in broken)
