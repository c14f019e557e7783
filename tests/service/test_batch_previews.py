"""A preview writes nothing, and says what the run then does."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from hintd.core.batch import BatchKind, BatchRow, Direction
from hintd.service.batches import BatchRefused
from tests.service.batch_clinic import ARCHIVED, FROM_CONTACTS, FROM_PATIENTS, Clinic, ends, in_clinic
from tests.service.test_batch_stops import BOTH

WRITES = ("save_contacts", "write_contact", "upsert_contact", "update_patient", "create_patient")


async def fill(clinic: Clinic) -> list[str]:
    """A bit of everything; the ids of all Contacts."""
    for number in range(3):
        clinic.pair(number, Email=f"org{number}@x.org")
    clinic.patient("Held", address_city="Y" * 50)
    clinic.contact("Held")
    clinic.patient("Alone"), clinic.contact("Lonely")
    clinic.patient("Twin"), clinic.contact("Twin"), clinic.contact("Twin")
    clinic.patient("Undated", dob=None), clinic.contact("Undated", dob=None)
    clinic.patient("Archie", **ARCHIVED), clinic.contact("Archie")
    phones = [{"number": "4155550101", "type": "mobile", "id": "pho-1"}]
    changed, equal = clinic.patient("Linked", phones=phones), clinic.patient("Equal")
    of_changed, of_equal = clinic.contact("Linked"), clinic.contact("Equal")
    await clinic.link(of_changed, changed)
    await clinic.link(of_equal, equal)
    clinic.world.loop.jump(5.0)
    clinic.world.practice.edit(changed, {"email": "new@x.org"})
    clinic.world.org.edit(of_changed, {"MailingCity": "Rome", "Email": "other@x.org", "MobilePhone": None})
    return list(clinic.world.org.contacts)


def options_of(direction: Direction, ids: list[str]) -> dict[str, Any]:
    return {"ids": ids, "create_unmatched": True} if direction is FROM_CONTACTS else {"create_unmatched": True}


def told(rows: list[BatchRow]) -> list[Any]:
    return [(row.position, row.counted_as, row.reason, _fields(row)) for row in rows]


def _fields(row: BatchRow) -> set[Any]:
    return {(f.field, f.side, f.old, f.new) for f in row.fields}


def stored(clinic: Clinic) -> Any:
    """All that a preview must leave as it is."""
    world, memory = clinic.world, clinic.world.memory
    return copy.deepcopy(
        (
            world.org.contacts,
            world.practice.patients,
            {number: row.link for number, row in memory.links.items()},
            (memory.histories, memory.parked, memory.parted, memory.cursors, memory.offices, memory.log),
        )
    )


@BOTH
def test_a_preview_writes_nothing(direction: Direction) -> None:
    async def story(clinic: Clinic) -> None:
        options = options_of(direction, await fill(clinic))
        await clinic.run(FROM_CONTACTS, ids=[], kind=BatchKind.PREVIEW)
        before = stored(clinic)
        batch = await clinic.start(direction, BatchKind.PREVIEW, **options)
        await clinic.work_on()
        preview, rows = await clinic.look(batch)
        assert (preview.state, len(rows) > 8, clinic.made(*WRITES)) == ("done", True, 0)
        assert stored(clinic) == before

    in_clinic(story)


@BOTH
def test_the_run_does_what_the_preview_said(direction: Direction) -> None:
    async def story(clinic: Clinic) -> None:
        options = options_of(direction, await fill(clinic))
        preview, previewed = await clinic.run(direction, kind=BatchKind.PREVIEW, **options)
        run, rows = await clinic.run(direction, from_preview=preview.id)
        assert told(rows) == told(previewed)
        assert run.counts == preview.counts
        assert not any(row.replanned for row in rows)

    in_clinic(story)


@BOTH
def test_a_run_marks_what_comes_out_otherwise_than_the_preview_said(direction: Direction) -> None:
    async def story(clinic: Clinic) -> None:
        pairs = [clinic.pair(number) for number in range(6)]
        options = options_of(direction, [contact_id for _, contact_id in pairs])
        preview, _ = await clinic.run(direction, kind=BatchKind.PREVIEW, **options)
        clinic.world.loop.jump(5.0)
        clinic.world.practice.edit(pairs[1][0], {"email": "new@x.org"})
        clinic.world.org.edit(pairs[3][1], {"MailingCity": "Rome"})
        clinic.contact("Ann", "Person 4"), clinic.patient("Ann", "Person 4")
        _, rows = await clinic.run(direction, from_preview=preview.id)
        replanned = {row.position for row in rows if row.replanned} & set(range(1, 7))
        assert replanned == {2, 4, 5}

    in_clinic(story)


def test_a_run_may_only_follow_a_preview_of_its_own_direction() -> None:
    async def story(clinic: Clinic) -> None:
        preview, _ = await clinic.run(FROM_PATIENTS, kind=BatchKind.PREVIEW)
        with pytest.raises(BatchRefused, match="was of patients-to-contacts"):
            await clinic.start(FROM_CONTACTS, from_preview=preview.id)
        run = await clinic.start(FROM_PATIENTS)
        with pytest.raises(BatchRefused, match="is no preview"):
            await clinic.start(FROM_PATIENTS, from_preview=run.id)

    in_clinic(story)


def test_records_that_look_emptied_in_a_preview_do_not_count_for_the_brake() -> None:
    async def story(clinic: Clinic) -> None:
        pairs = [clinic.pair(number, Email="a@x.org", MailingStreet="1 High St") for number in range(6)]
        await clinic.run(FROM_PATIENTS)
        clinic.world.loop.jump(5.0)
        blank = dict.fromkeys(("email", "address_line1", "address_city", "middle_name", "dob"))
        for patient_id, _ in pairs:
            clinic.world.practice.edit(patient_id, blank)
        _, rows = await clinic.run(FROM_PATIENTS, kind=BatchKind.PREVIEW)
        assert ends(rows) == ["updated"] * 6
        assert not any(name.startswith("absence") for _, name in clinic.world.memory.cursors)

    in_clinic(story)
