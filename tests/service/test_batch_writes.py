"""What a batch costs in calls, and that locked rows and throttled calls are taken in stride."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest

from hintd.core.batch import BatchKind
from hintd.core.errors import RemoteDown, Retryable
from tests.service.batch_clinic import FROM_CONTACTS, FROM_PATIENTS, FULL, Clinic, ailing, ends, in_clinic

WRITES = ("save_contacts", "write_contact", "upsert_contact")


def test_linking_from_the_patients_costs_one_call_of_hint_each_and_few_of_salesforce() -> None:
    async def story(clinic: Clinic) -> None:
        for number in range(450):
            clinic.pair(number)
        batch, rows = await clinic.run(FROM_PATIENTS)
        assert set(ends(rows)) == {"linked"}
        assert (clinic.made("list_patients"), clinic.made("get_patient", "find_by_contact")) == (5, 0)
        assert clinic.made("update_patient") == 450
        assert (clinic.made("get_contacts"), clinic.made("save_contacts"), clinic.made(*WRITES)) == (1, 3, 3)
        assert batch.calls == {"hint_read": 5, "hint_write": 450, "salesforce_read": 2, "salesforce_write": 3}

    in_clinic(story, settings=FULL)


def test_creating_contacts_costs_one_call_of_salesforce_for_200() -> None:
    async def story(clinic: Clinic) -> None:
        for number in range(400):
            clinic.patient("Ann", f"Person {number}")
        _, rows = await clinic.run(FROM_PATIENTS, create_unmatched=True)
        assert set(ends(rows)) == {"created_contact"}
        assert (clinic.made("save_contacts"), clinic.made(*WRITES), clinic.made("update_patient")) == (2, 2, 400)

    in_clinic(story, settings=FULL)


def test_pages_of_created_linked_and_unchanged_rows_mixed_cost_one_call_of_salesforce_each() -> None:
    """And one for the stamps that the last page leaves over."""

    async def story(clinic: Clinic) -> None:
        for number in range(0, 600, 3):
            await clinic.link(*reversed(clinic.pair(number)))
            clinic.pair(number + 1)
            clinic.patient("Ann", f"Person {number + 2}")
        clinic.world.loop.jump(600.0)
        batch, rows = await clinic.run(FROM_PATIENTS, create_unmatched=True)
        assert Counter(ends(rows)) == {"unchanged": 200, "linked": 200, "created_contact": 200}
        assert {row["Last_Batch_Sync_Result__c"] for row in clinic.world.org.contacts.values()} == set(ends(rows))
        assert (batch.calls["salesforce_write"], clinic.made(*WRITES)) == (4, 4)

    in_clinic(story, settings=FULL)


def test_stamps_of_skipped_records_fill_up_the_calls_of_later_pages() -> None:
    """300 are linked, 300 are only stamped: one call more than the least that write 600 Contacts, as the rows of a page
    are known only after the next one has begun."""

    async def story(clinic: Clinic) -> None:
        ids = [clinic.pair(number)[1] for number in range(300)]
        ids[150:150] = [clinic.contact("Bo", f"Nobody {number}") for number in range(300)]
        _, rows = await clinic.run(FROM_CONTACTS, ids=ids)
        assert {row["Last_Batch_Sync_Result__c"] for row in clinic.world.org.contacts.values()} == {
            "linked", "skipped:no_match",
        }  # fmt: skip
        assert (len(rows), clinic.made(*WRITES)) == (600, 4)

    in_clinic(story, settings=FULL)


def test_linking_from_contacts_reads_the_list_of_patients_only_where_that_is_cheaper() -> None:
    async def story(clinic: Clinic) -> None:
        ids = [clinic.pair(number)[1] for number in range(300)]
        clinic.world.loop.jump(600.0)
        clinic.patient("Late")
        _, rows = await clinic.run(FROM_CONTACTS, ids=ids[:2])
        assert (ends(rows), clinic.made("get_patient"), clinic.made("update_patient")) == (["linked"] * 2, 2, 2)
        _, rows = await clinic.run(FROM_CONTACTS, ids=ids[2:])
        assert (len(rows), clinic.made("get_patient"), clinic.made("update_patient")) == (298, 0, 298)
        assert clinic.made("list_patients") == 6  # what changed since the sweep, how many there are, and four pages

    in_clinic(story, settings=FULL)


def test_pairs_that_agree_cost_no_call_of_hint_but_the_list() -> None:
    async def story(clinic: Clinic) -> None:
        for number in range(250):
            clinic.pair(number)
        await clinic.run(FROM_PATIENTS)
        clinic.world.loop.jump(600.0)
        _, rows = await clinic.run(FROM_PATIENTS)
        assert set(ends(rows)) == {"unchanged"}
        assert (clinic.made("list_patients"), clinic.made("update_patient", "get_patient")) == (3, 0)
        assert (clinic.made("get_contacts"), clinic.made(*WRITES)) == (1, 2)

    in_clinic(story, settings=FULL)


class Locked:
    """An org in which the row of a Contact, or of a patient's new one, is locked until its chunk is small enough."""

    def __init__(self, org: Any, record_id: str, largest: int) -> None:
        self._org, self._record_id, self._largest = org, record_id, largest
        self.sizes: list[int] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._org, name)

    async def save_contacts(self, updates: Sequence[Any], creations: Sequence[Any], call: Any) -> Any:
        size = len(updates) + len(creations)
        self.sizes.append(size)
        if size > self._largest and self._record_id in dict([*updates, *creations]):
            return [Retryable("a row is locked") for _ in updates], [Retryable("a row is locked") for _ in creations]
        return await self._org.save_contacts(updates, creations, call)


@pytest.mark.parametrize(("largest", "sizes"), [(200, [60]), (20, [60, 20, 20, 20]), (1, [60] + [20] * 3 + [1] * 20)])
@pytest.mark.parametrize("creates", [False, True], ids=["update", "creation"])
def test_a_locked_chunk_is_written_again_in_smaller_ones(largest: int, sizes: list[int], creates: bool) -> None:
    async def story(clinic: Clinic) -> None:
        pairs = [clinic.pair(number) for number in range(30)]
        new = [clinic.patient("Ann", f"Newcomer {number}") for number in range(30)]
        org = Locked(clinic.work().remotes.salesforce, new[10] if creates else pairs[10][1], largest)
        clinic.around_org = lambda _: org
        _, rows = await clinic.run(FROM_PATIENTS, create_unmatched=True)
        assert Counter(ends(rows)) == {"linked": 30, "created_contact": 30}
        assert org.sizes == sizes

    in_clinic(story, settings=FULL)


class Throttling:
    """An org that writes nothing of a page's Contacts to be made, as one part of a call that throttles would."""

    def __init__(self, org: Any) -> None:
        self._org, self.calls = org, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._org, name)

    async def save_contacts(self, updates: Sequence[Any], creations: Sequence[Any], call: Any) -> Any:
        self.calls += 1
        updated, _ = await self._org.save_contacts(updates, (), call)
        return updated, [RemoteDown("Salesforce throttles", after_s=60.0) for _ in creations]


def test_a_part_that_the_remote_throttles_is_not_asked_for_again_in_smaller_ones() -> None:
    async def story(clinic: Clinic) -> None:
        for number in range(30):
            clinic.pair(number)
            clinic.patient("Ann", f"Newcomer {number}")
        org = Throttling(clinic.work().remotes.salesforce)
        clinic.around_org = lambda _: org
        batch, rows = await clinic.run(FROM_PATIENTS, create_unmatched=True)
        assert (batch.state, batch.waiting_for) == ("waiting", "Salesforce throttles")
        assert (ends(rows), org.calls) == (["linked"] * 30, 1)

    in_clinic(story, settings=FULL)


@pytest.mark.parametrize("name", ["save_contacts", "update_patient", "get_patient"])
def test_a_call_without_an_answer_is_made_again(name: str) -> None:
    async def story(clinic: Clinic) -> None:
        ids = [clinic.pair(number)[1] for number in range(9)]
        remotes = clinic.work().remotes
        hint = ailing(remotes.hint, name, [Retryable("no answer")])
        org = ailing(remotes.salesforce, name, [Retryable("no answer")])
        clinic.around_hint, clinic.around_org = lambda _: hint, lambda _: org
        batch, rows = await clinic.run(FROM_CONTACTS, ids=ids[:1])
        assert (batch.state, ends(rows)) in (("done", ["linked"]), ("waiting", []))
        clinic.world.loop.jump(60.0)
        await clinic.work_on()
        batch, rows = await clinic.look(batch)
        assert (batch.state, ends(rows)) == ("done", ["linked"])

    in_clinic(story)


def test_a_record_that_gets_no_answer_in_four_attempts_fails_alone() -> None:
    async def story(clinic: Clinic) -> None:
        for number in range(3):
            clinic.pair(number)
        hint = ailing(clinic.work().remotes.hint, "update_patient", [Retryable("no answer")] * 12)
        clinic.around_hint = lambda _: hint
        batch, rows = await clinic.run(FROM_PATIENTS)
        assert (batch.state, ends(rows), rows[0].reason) == ("done", ["failed"] * 3, "no_answer")
        await clinic.finish_pairs()
        assert {clinic.raw_patient(p)["integration_record_id"] == c for c, p in clinic.links()} == {True}

    in_clinic(story)


WAITS = [
    pytest.param("update_patient", RemoteDown("Hint is down"), 30.0, id="Hint is down at a write"),
    pytest.param("list_patients", RemoteDown("Hint is down"), 30.0, id="Hint is down at the reading"),
    pytest.param("save_contacts", RemoteDown("Salesforce is down"), 30.0, id="Salesforce is down at a write"),
    pytest.param("get_contacts", Retryable("no answer"), 30.0, id="no answer while a page is fetched"),
    pytest.param(
        "update_patient", Retryable("the calls are used up", after_s=40_000.0), 40_000.0, id="the day's calls are used"
    ),
]


@pytest.mark.parametrize(("name", "error", "after_s"), WAITS)
def test_a_batch_waits_for_a_remote_says_until_when_and_goes_on(name: str, error: Exception, after_s: float) -> None:
    async def story(clinic: Clinic) -> None:
        for number in range(10):
            clinic.pair(number)
        remotes = clinic.work().remotes
        hint, org = ailing(remotes.hint, name, [error]), ailing(remotes.salesforce, name, [error])
        clinic.around_hint, clinic.around_org = lambda _: hint, lambda _: org
        batch, _ = await clinic.run(FROM_PATIENTS)
        assert (batch.state, batch.waiting_for) == ("waiting", str(error))
        assert batch.waits_until is not None
        assert after_s - 10 <= (batch.waits_until - clinic.world.loop.now()).total_seconds() <= after_s
        assert not await clinic.work_on()
        clinic.world.loop.jump(after_s + 1)
        assert await clinic.work_on()
        batch, rows = await clinic.look(batch)
        assert (batch.state, ends(rows), len(clinic.links())) == ("done", ["linked"] * 10, 10)
        assert all({f.field for f in row.fields} == {"middle_name", "city"} for row in rows)

    in_clinic(story)


def test_a_preview_says_what_the_run_will_cost() -> None:
    async def story(clinic: Clinic) -> None:
        for number in range(250):
            clinic.pair(number)
        preview, _ = await clinic.run(FROM_PATIENTS, kind=BatchKind.PREVIEW)
        assert clinic.made("update_patient", *WRITES) == 0
        run, _ = await clinic.run(FROM_PATIENTS, from_preview=preview.id)
        assert preview.calls == run.calls

    in_clinic(story, settings=FULL)
