"""A batch from the Contacts (README rule 7) on the memory fakes: every outcome by its name."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from hintd.core.contact_list import LineKind
from hintd.core.model import Side
from hintd.ports import BatchRunning
from tests.service.batch_clinic import ARCHIVED, FROM_CONTACTS, FROM_PATIENTS, Clinic, ends, in_clinic


def contact(first: str = "Ada", last: str = "Byron", dob: str | None = "1980-01-02", **more: Any) -> dict[str, Any]:
    return {"first": first, "last": last, "dob": dob, **more}


patient = contact

MATCHES = {
    "equal but for case": ([contact("ADA", "byron")], [patient()], ["linked"]),
    "accents and punctuation": ([contact("Zoe", "O Brien")], [patient("Zoë", "O'Brien")], ["linked"]),
    "another birth date": ([contact(dob="1980-01-03")], [patient()], ["skipped:no_match"]),
    "only the e-mail is shared": ([contact("Bo", Email="a@x.org")], [patient(email="a@x.org")], ["skipped:no_match"]),
    "no date of birth": ([contact(dob=None)], [patient(dob=None)], ["skipped:no_date_of_birth"]),
    "two patients": ([contact()], [patient(), patient()], ["skipped:ambiguous"]),
    "two Contacts of one patient": ([contact(), contact()], [patient()], ["skipped:ambiguous", "skipped:ambiguous"]),
    "twins": ([contact("Ada"), contact("Eve")], [patient("Eve"), patient("Ada")], ["linked", "linked"]),
    "junior and senior": (
        [contact(last="Byron, Sr."), contact(last="Byron Junior")],
        [patient(last="Byron Jr"), patient(last="Byron", suffix="Sr")],
        ["linked", "linked"],
    ),
    "a suffix that contradicts": ([contact(last="Byron Sr")], [patient(last="Byron Jr")], ["skipped:no_match"]),
    "the match is archived": ([contact()], [patient(**ARCHIVED)], ["skipped:no_match"]),
    "one match is archived": ([contact()], [patient(**ARCHIVED), patient()], ["linked"]),
    "a person account": ([contact(IsPersonAccount=True)], [patient()], ["skipped:person_account"]),
    "nobody at all": ([contact()], [], ["skipped:no_match"]),
}


@pytest.mark.parametrize(("contacts", "patients", "expected"), MATCHES.values(), ids=MATCHES)
def test_each_contact_ends_by_its_match(contacts: list[Any], patients: list[Any], expected: list[str]) -> None:
    async def story(clinic: Clinic) -> None:
        for each in patients:
            clinic.patient(**each)
        batch, rows = await clinic.run(FROM_CONTACTS, ids=[clinic.contact(**each) for each in contacts])
        assert (batch.state, ends(rows)) == ("done", expected)
        assert len(clinic.links()) == expected.count("linked")

    in_clinic(story)


CREATIONS = {
    "nobody matches": ([contact()], [patient("Bo")], ["created_patient"]),
    "twins of one name": ([contact(), contact()], [], ["skipped:ambiguous", "skipped:ambiguous"]),
    "junior and senior": ([contact(last="B Jr"), contact(last="B Sr")], [], ["created_patient", "created_patient"]),
    "no date of birth": ([contact(dob=None)], [], ["skipped:no_date_of_birth"]),
    "a person account": ([contact(IsPersonAccount=True)], [], ["skipped:person_account"]),
    "a match": ([contact()], [patient()], ["linked"]),
    "without a first name Hint refuses it": ([contact(first=None)], [], ["failed"]),
}


@pytest.mark.parametrize(("contacts", "patients", "expected"), CREATIONS.values(), ids=CREATIONS)
def test_missing_patients_are_created_when_asked_for(
    contacts: list[Any], patients: list[Any], expected: list[str]
) -> None:
    async def story(clinic: Clinic) -> None:
        for each in patients:
            clinic.patient(**each)
        ids = [clinic.contact(**each) for each in contacts]
        _, rows = await clinic.run(FROM_CONTACTS, ids=ids, create_unmatched=True)
        assert ends(rows) == expected
        assert len(clinic.world.practice.patients) == len(patients) + expected.count("created_patient")

    in_clinic(story)


def test_the_contact_wins_and_its_blanks_are_filled() -> None:
    async def story(clinic: Clinic) -> None:
        patient_id = clinic.patient(email="ada@hint.org", address_city="Rome", practitioner={"name": "Dr. Who"})
        contact_id = clinic.contact(Email="ada@org.org", MiddleName="King")
        batch, (row,) = await clinic.run(FROM_CONTACTS, ids=[contact_id])
        raw, stands = clinic.raw_patient(patient_id), clinic.raw_contact(contact_id)
        assert (row.outcome, row.contact_id, row.patient_id) == ("linked", contact_id, patient_id)
        assert (raw["email"], raw["middle_name"], raw["integration_record_id"]) == ("ada@org.org", "King", contact_id)
        assert (stands["Email"], stands["MailingCity"], stands["Hint_Practitioner__c"]) == (
            "ada@org.org", "Rome", "Dr. Who",
        )  # fmt: skip
        assert (stands["Last_Batch_Sync_Id__c"], stands["Last_Batch_Sync_Result__c"]) == (batch.id, "linked")
        assert {(f.field, f.side, f.old, f.new) for f in row.fields} >= {
            ("email", Side.HINT, "ada@hint.org", "ada@org.org"),
            ("city", Side.SALESFORCE, None, "Rome"),
        }

    in_clinic(story)


def test_lines_without_a_new_id_are_told_and_counted() -> None:
    async def story(clinic: Clinic) -> None:
        linked, deleted, alone = clinic.contact("Bo"), clinic.contact("Cy"), clinic.contact("Di")
        await clinic.link(linked, clinic.patient("Bo"))
        clinic.world.org.delete(deleted)
        unknown = "003000000000999AAA"
        lines = [LineKind.IGNORED, linked, deleted, LineKind.REPEATED, alone, unknown]
        batch, rows = await clinic.run(FROM_CONTACTS, ids=lines)
        assert (batch.total, ends(rows)) == (
            6,
            ["ignored_line", "skipped:already_linked", "not_found", "ignored_line", "skipped:no_match", "not_found"],
        )
        assert [row.position for row in rows] == [1, 2, 3, 4, 5, 6]

    in_clinic(story)


def test_a_match_that_is_linked_with_another_contact_is_skipped() -> None:
    async def story(clinic: Clinic) -> None:
        patient_id = clinic.patient()
        await clinic.link(clinic.contact(), patient_id)
        contact_id = clinic.contact()
        _, (row,) = await clinic.run(FROM_CONTACTS, ids=[contact_id])
        assert row.counted_as == "skipped:match_linked_elsewhere"
        assert clinic.raw_contact(contact_id)["Last_Batch_Sync_Result__c"] == "skipped:match_linked_elsewhere"

    in_clinic(story)


def test_two_that_a_person_parted_stay_apart() -> None:
    async def story(clinic: Clinic) -> None:
        patient_id, contact_id = clinic.patient(), clinic.contact()
        await clinic.link(contact_id, patient_id)
        await clinic.part(contact_id)
        _, rows = await clinic.run(FROM_CONTACTS, ids=[contact_id], create_unmatched=True)
        assert (ends(rows), len(clinic.world.practice.patients)) == (["skipped:unlinked_by_person"], 1)

    in_clinic(story)


STAMPS = [
    pytest.param(True, ["linked", "skipped:no_match", "skipped:already_linked"], id="every Contact with a row"),
    pytest.param(False, ["linked", None, None], id="changed ones only"),
]


@pytest.mark.parametrize(("stamp_all", "expected"), STAMPS)
def test_contacts_with_a_row_are_stamped(stamp_all: bool, expected: list[str | None]) -> None:
    async def story(clinic: Clinic) -> None:
        clinic.patient("Ada")
        ids = [clinic.contact("Ada"), clinic.contact("Bo"), clinic.contact("Cy")]
        await clinic.link(ids[2], clinic.patient("Cy"))
        synced_at = [clinic.raw_contact(each)["Hint_Last_Synced_At__c"] for each in ids[1:]]
        clinic.world.loop.jump(60.0)
        await clinic.run(FROM_CONTACTS, ids=ids, stamp_all=stamp_all)
        assert [clinic.raw_contact(each)["Last_Batch_Sync_Result__c"] for each in ids] == expected
        assert [clinic.raw_contact(each)["Hint_Last_Synced_At__c"] for each in ids[1:]] == synced_at

    in_clinic(story)


PEOPLE = [
    ("Ada", "Byron"), ("Ada", "Byron Jr"), ("Ada", "Byron Sr"), ("Bo", "Lee"), ("Bo", "Lee"), ("Cy", "O'Neil"),
    ("CY", "ONeil"), ("Di", "Day"), ("Ed", "Eel II"), ("Ed", "Eel"),
]  # fmt: skip


@pytest.mark.parametrize("create", [False, True], ids=["linking only", "creating too"])
@pytest.mark.parametrize("seed", range(30))
def test_the_order_of_the_rows_does_not_matter(seed: int, create: bool) -> None:
    random = Random(seed)
    people = random.sample(PEOPLE, 8)
    others = random.sample(PEOPLE, 5)

    async def outcome_of(clinic: Clinic, order: list[int]) -> dict[int, str]:
        for first, last in others:
            clinic.patient(first, last)
        ids = [clinic.contact(first, last) for first, last in people]
        _, rows = await clinic.run(FROM_CONTACTS, ids=[ids[n] for n in order], create_unmatched=create)
        return dict(zip(order, ends(rows), strict=True))

    found: list[dict[int, str]] = []

    async def story(clinic: Clinic) -> None:
        found.append(await outcome_of(clinic, random.sample(range(8), 8)))

    in_clinic(story)
    in_clinic(story)
    in_clinic(story)
    assert found[0] == found[1] == found[2]


def test_a_second_run_is_refused_with_the_id_of_the_first() -> None:
    async def story(clinic: Clinic) -> None:
        first = await clinic.start(FROM_PATIENTS)
        with pytest.raises(BatchRunning, match=first.id):
            await clinic.start(FROM_PATIENTS)

    in_clinic(story)
