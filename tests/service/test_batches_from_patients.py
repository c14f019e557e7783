"""A batch from the patients (README rule 6) on the memory fakes: every outcome by its name."""

from __future__ import annotations

from typing import Any

import pytest

from hintd.core.errors import Refusal, Refused
from hintd.core.model import Owner, Side
from tests.service.batch_clinic import ARCHIVED, FROM_PATIENTS, Clinic, ends, in_clinic


def patient(first: str = "Ada", last: str = "Byron", dob: str | None = "1980-01-02", **more: Any) -> dict[str, Any]:
    return {"first": first, "last": last, "dob": dob, **more}


contact = patient

MATCHES = {
    "equal but for case": ([patient()], [contact("ADA", "byron")], ["linked"]),
    "accents and punctuation": ([patient("Zoë", "O'Brien")], [contact("Zoe", "O Brien")], ["linked"]),
    "white space in a name": ([patient("Ada", "De La Cruz")], [contact("Ada", "Delacruz")], ["linked"]),
    "another birth date": ([patient()], [contact(dob="1980-01-03")], ["skipped:no_match"]),
    "only the e-mail is shared": (
        [patient(email="a@x.org")], [contact("Bo", "Lee", Email="a@x.org")], ["skipped:no_match"],
    ),
    "no date of birth": ([patient(dob=None)], [contact(dob=None)], ["skipped:no_date_of_birth"]),
    "two Contacts": ([patient()], [contact(), contact()], ["skipped:ambiguous"]),
    "two patients of one Contact": ([patient(), patient()], [contact()], ["skipped:ambiguous", "skipped:ambiguous"]),
    "twins": ([patient("Ada"), patient("Eve")], [contact("Eve"), contact("Ada")], ["linked", "linked"]),
    "junior and senior": (
        [patient(last="Byron Jr"), patient(last="Byron", suffix="Sr")],
        [contact(last="Byron, Sr."), contact(last="Byron Junior")],
        ["linked", "linked"],
    ),
    "a suffix that contradicts": ([patient(last="Byron Jr")], [contact(last="Byron Sr")], ["skipped:no_match"]),
    "a suffix on one side only": ([patient(last="Byron Jr")], [contact(last="Byron")], ["linked"]),
    "the match is checked as synced": (
        [patient()], [contact(Synced_to_Hint__c=True)], ["skipped:match_linked_elsewhere"],
    ),
    "the match is a person account": ([patient()], [contact(IsPersonAccount=True)], ["skipped:no_match"]),
    "nobody at all": ([patient()], [], ["skipped:no_match"]),
    "archived patients are left out": ([patient(**ARCHIVED), patient("Bo")], [contact()], ["skipped:no_match"]),
}  # fmt: skip


@pytest.mark.parametrize(("patients", "contacts", "expected"), MATCHES.values(), ids=MATCHES)
def test_each_patient_ends_by_its_match(patients: list[Any], contacts: list[Any], expected: list[str]) -> None:
    async def story(clinic: Clinic) -> None:
        for each in patients:
            clinic.patient(**each)
        for each in contacts:
            clinic.contact(**each)
        batch, rows = await clinic.run(FROM_PATIENTS)
        assert (batch.state, ends(rows)) == ("done", expected)
        assert len(clinic.links()) == expected.count("linked")

    in_clinic(story)


CREATIONS = {
    "nobody matches": ([patient()], [contact("Bo")], ["created_contact"]),
    "twins of one name": ([patient(), patient()], [], ["skipped:ambiguous", "skipped:ambiguous"]),
    "junior and senior": ([patient(last="B Jr"), patient(last="B Sr")], [], ["created_contact", "created_contact"]),
    "no date of birth": ([patient(dob=None)], [], ["skipped:no_date_of_birth"]),
    "a match": ([patient()], [contact()], ["linked"]),
}


@pytest.mark.parametrize(("patients", "contacts", "expected"), CREATIONS.values(), ids=CREATIONS)
def test_missing_contacts_are_created_when_asked_for(
    patients: list[Any], contacts: list[Any], expected: list[str]
) -> None:
    async def story(clinic: Clinic) -> None:
        for each in patients:
            clinic.patient(**each)
        for each in contacts:
            clinic.contact(**each)
        _, rows = await clinic.run(FROM_PATIENTS, create_unmatched=True)
        assert ends(rows) == expected
        assert len(clinic.world.org.contacts) == len(contacts) + expected.count("created_contact")

    in_clinic(story)


def test_the_patient_wins_and_blanks_are_filled_both_ways() -> None:
    async def story(clinic: Clinic) -> None:
        patient_id = clinic.patient(email="ada@hint.org", address_city="Rome")
        contact_id = clinic.contact(Email="ada@org.org", MiddleName="King")
        batch, (row,) = await clinic.run(FROM_PATIENTS)
        raw, stands = clinic.raw_patient(patient_id), clinic.raw_contact(contact_id)
        assert (row.outcome, row.contact_id, row.patient_id) == ("linked", contact_id, patient_id)
        assert (stands["Email"], stands["MailingCity"], stands["Synced_to_Hint__c"]) == ("ada@hint.org", "Rome", True)
        assert (stands["Hint_Patient_Id__c"], stands["Hint_Last_Synced_At__c"] is None) == (patient_id, False)
        assert (raw["middle_name"], raw["email"], raw["integration_record_id"]) == ("King", "ada@hint.org", contact_id)
        assert raw["integration_web_link"] == f"https://org/lightning/r/Contact/{contact_id}/view"
        assert {(f.field, f.side, f.old, f.new, f.batch_id) for f in row.fields} >= {
            ("email", Side.SALESFORCE, "ada@org.org", "ada@hint.org", batch.id),
            ("city", Side.SALESFORCE, None, "Rome", batch.id),
            ("middle_name", Side.HINT, None, "King", batch.id),
        }

    in_clinic(story)


def test_a_created_contact_holds_the_patient_and_belongs_to_the_default_account() -> None:
    async def story(clinic: Clinic) -> None:
        patient_id = clinic.patient(email="ada@hint.org")
        batch, (row,) = await clinic.run(FROM_PATIENTS, create_unmatched=True)
        made = clinic.raw_contact(str(row.contact_id))
        assert (made["AccountId"], made["Email"], made["Hint_Patient_Id__c"]) == ("001", "ada@hint.org", patient_id)
        assert (made["Last_Batch_Sync_Id__c"], made["Last_Batch_Sync_Result__c"]) == (batch.id, "created_contact")
        assert clinic.raw_patient(patient_id)["integration_record_id"] == row.contact_id

    in_clinic(story)


def test_of_a_linked_pair_only_what_changed_is_written_and_the_patient_wins() -> None:
    async def story(clinic: Clinic) -> None:
        patient_id, contact_id = clinic.patient(email="a@x.org"), clinic.contact()
        await clinic.link(contact_id, patient_id)
        clinic.world.practice.edit(patient_id, {"email": "hint@x.org"})
        clinic.world.org.edit(contact_id, {"Email": "org@x.org", "MailingCity": "Oslo"})
        clinic.world.loop.jump(2.0)
        _, (row,) = await clinic.run(FROM_PATIENTS)
        assert row.outcome == "updated"
        assert clinic.raw_contact(contact_id)["Email"] == clinic.raw_patient(patient_id)["email"] == "hint@x.org"
        assert clinic.raw_patient(patient_id)["address_city"] == "Oslo"
        assert {(f.field, f.side) for f in row.fields} == {("email", Side.SALESFORCE), ("city", Side.HINT)}

    in_clinic(story)


def test_a_linked_pair_that_agrees_is_unchanged_and_only_stamped() -> None:
    async def story(clinic: Clinic) -> None:
        patient_id, contact_id = clinic.patient(), clinic.contact()
        await clinic.link(contact_id, patient_id)
        synced_at = clinic.raw_contact(contact_id)["Hint_Last_Synced_At__c"]
        clinic.world.loop.jump(60.0)
        _, (row,) = await clinic.run(FROM_PATIENTS)
        stands = clinic.raw_contact(contact_id)
        assert (row.outcome, row.fields, stands["Last_Batch_Sync_Result__c"]) == ("unchanged", (), "unchanged")
        assert stands["Hint_Last_Synced_At__c"] == synced_at
        assert clinic.made("update_patient", "write_contact") == 0

    in_clinic(story)


def test_edits_to_the_same_value_on_both_sides_are_no_change() -> None:
    async def story(clinic: Clinic) -> None:
        patient_id, contact_id = clinic.patient(), clinic.contact()
        await clinic.link(contact_id, patient_id)
        clinic.world.loop.jump(2.0)
        clinic.world.practice.edit(patient_id, {"address_city": "Rome"})
        clinic.world.org.edit(contact_id, {"MailingCity": "Rome"})
        _, (row,) = await clinic.run(FROM_PATIENTS)
        assert (row.outcome, row.fields) == ("unchanged", ())

    in_clinic(story)


def test_two_that_a_person_parted_stay_apart_and_neither_gets_a_new_partner() -> None:
    async def story(clinic: Clinic) -> None:
        patient_id, contact_id = clinic.patient(), clinic.contact()
        await clinic.link(contact_id, patient_id)
        await clinic.part(contact_id)
        _, rows = await clinic.run(FROM_PATIENTS)
        clinic.world.org.edit(contact_id, {"Birthdate": "1999-01-01"})
        clinic.world.loop.jump(2.0)
        _, later = await clinic.run(FROM_PATIENTS, create_unmatched=True)
        assert ends(rows) == ends(later) == ["skipped:unlinked_by_person"]
        assert (clinic.links(), len(clinic.world.org.contacts)) == (set(), 1)

    in_clinic(story)


def test_archived_patients_take_part_when_asked_for_but_merged_ones_do_not() -> None:
    async def story(clinic: Clinic) -> None:
        clinic.patient("Ada", **ARCHIVED)
        loser, winner = clinic.patient("Bo"), clinic.patient("Cy")
        clinic.world.practice.merge(loser, winner)
        clinic.contact("Ada"), clinic.contact("Bo"), clinic.contact("Cy")
        _, rows = await clinic.run(FROM_PATIENTS, include_archived=True)
        assert ends(rows) == ["linked", "skipped:archived", "linked"]

    in_clinic(story)


def test_a_match_that_is_linked_with_another_patient_is_skipped_with_its_reason() -> None:
    async def story(clinic: Clinic) -> None:
        former, contact_id = clinic.patient(), clinic.contact()
        await clinic.link(contact_id, former)
        clinic.patient()
        _, rows = await clinic.run(FROM_PATIENTS)
        assert ends(rows) == ["unchanged", "skipped:match_linked_elsewhere"]
        assert clinic.raw_contact(contact_id)["Last_Batch_Sync_Result__c"] == "unchanged"

    in_clinic(story)


def test_a_value_that_salesforce_cannot_hold_is_held_and_the_rest_is_written() -> None:
    async def story(clinic: Clinic) -> None:
        patient_id = clinic.patient(address_city="Y" * 50, gender_identity="trans man", email="a@x.org")
        contact_id = clinic.contact()
        _, (row,) = await clinic.run(FROM_PATIENTS)
        stands = clinic.raw_contact(contact_id)
        assert (row.outcome, row.reason, stands["Email"], stands["MailingCity"]) == (
            "linked", "held_field", "a@x.org", None,
        )  # fmt: skip
        assert "MailingCity holds 40 characters" in row.message
        assert "GenderIdentity" in row.message
        assert clinic.raw_patient(patient_id)["integration_error_message"].startswith("Not synced: ")

    in_clinic(story)


def test_a_record_that_salesforce_refuses_fails_alone_with_the_cause() -> None:
    async def story(clinic: Clinic) -> None:
        clinic.world.org.refuses = lambda row: row["LastName"] == "Lee"
        clinic.patient("Ada"), clinic.patient("Bo", "Lee"), clinic.patient("Cy")
        _, rows = await clinic.run(FROM_PATIENTS, create_unmatched=True)
        assert ends(rows) == ["created_contact", "failed", "created_contact"]
        assert (rows[1].reason, rows[1].contact_id) == ("FIELD_CUSTOM_VALIDATION_EXCEPTION", None)

    in_clinic(story)


def test_a_linked_pair_whose_change_is_refused_has_failed() -> None:
    async def story(clinic: Clinic) -> None:
        patient_id, contact_id = clinic.patient(), clinic.contact()
        await clinic.link(contact_id, patient_id)
        clinic.world.loop.jump(2.0)
        clinic.world.org.refuses = lambda row: row["MailingCity"] == "Rome"
        clinic.world.practice.edit(patient_id, {"address_city": "Rome"})
        _, (row,) = await clinic.run(FROM_PATIENTS)
        assert (row.outcome, row.reason) == ("failed", "FIELD_CUSTOM_VALIDATION_EXCEPTION")

    in_clinic(story)


class Broken:
    """A remote at which hintd meets what nobody foresaw."""

    def __init__(self, remote: Any, patient_id: str, error: Exception) -> None:
        self._remote, self._patient_id, self._error = remote, patient_id, error

    def __getattr__(self, name: str) -> Any:
        return getattr(self._remote, name)

    async def update_patient(self, patient_id: str, *rest: Any) -> Any:
        if patient_id == self._patient_id:
            raise self._error
        return await self._remote.update_patient(patient_id, *rest)


FAILURES = [
    pytest.param(ZeroDivisionError(), "unexpected", "ZeroDivisionError", id="unforeseen"),
    pytest.param(Refused(Refusal("422", "no", Owner.HINT_ADMIN)), "422", "no", id="refused by Hint"),
]


@pytest.mark.parametrize(("error", "reason", "told"), FAILURES)
def test_one_bad_record_does_not_fail_the_others(error: Exception, reason: str, told: str) -> None:
    async def story(clinic: Clinic) -> None:
        pairs = [clinic.pair(number) for number in range(6)]
        clinic.around_hint = lambda hint: Broken(hint, pairs[2][0], error)
        batch, rows = await clinic.run(FROM_PATIENTS)
        assert (batch.state, ends(rows)) == ("done", ["linked"] * 2 + ["failed"] + ["linked"] * 3)
        assert (rows[2].reason, told in rows[2].message) == (reason, True)

    in_clinic(story)


def test_the_other_phones_of_a_patient_are_kept() -> None:
    async def story(clinic: Clinic) -> None:
        fax = {"number": "4155550199", "type": "fax", "id": "pho-9"}
        patient_id, contact_id = clinic.patient(phones=[fax]), clinic.contact(MobilePhone="(415) 555-0101")
        await clinic.run(FROM_PATIENTS)
        numbers = {phone["type"]: phone["number"] for phone in clinic.raw_patient(patient_id)["phones"]}
        assert numbers == {"fax": "4155550199", "mobile": "4155550101"}
        assert clinic.raw_contact(contact_id)["MobilePhone"] == "(415) 555-0101"

    in_clinic(story)


def test_a_contact_edited_after_its_page_was_read_keeps_the_edit() -> None:
    """A partial change event is newer than the record in hand: an older read is no edit."""

    async def story(clinic: Clinic) -> None:
        patient_id, contact_id = clinic.patient(), clinic.contact(MailingCity="Oslo")
        await clinic.link(contact_id, patient_id)
        clinic.around_org = lambda org: EditedAfterRead(org, lambda: edit())

        async def edit() -> None:
            clinic.world.loop.jump(5.0)
            events: list[Any] = []
            clinic.world.org.on_event = events.append
            clinic.world.org.edit(contact_id, {"MailingCity": "Rome"})
            for event in events:
                await clinic._react_to_all([clinic.world.post.change_notice(event)])

        clinic.world.loop.jump(5.0)
        _, (row,) = await clinic.run(FROM_PATIENTS)
        assert clinic.raw_contact(contact_id)["MailingCity"] == "Rome"
        assert (row.outcome, clinic.raw_patient(patient_id)["address_city"]) == ("unchanged", "Rome")

    in_clinic(story)


class EditedAfterRead:
    """An org in which somebody edits a Contact right after it was read."""

    def __init__(self, org: Any, edit: Any) -> None:
        self._org, self._edit = org, edit

    def __getattr__(self, name: str) -> Any:
        return getattr(self._org, name)

    async def get_contacts(self, *args: Any) -> Any:
        found = await self._org.get_contacts(*args)
        edit, self._edit = self._edit, _nothing
        await edit()
        return found


async def _nothing() -> None:
    return None
