"""The org as the services see it, against a server that acts as the REST guide says."""

from __future__ import annotations

from datetime import timedelta

import pytest

from hintd.core.errors import Misconfigured, Retryable
from hintd.core.model import Owner
from hintd.ports import Call, CallClass, WriteResult
from hintd.salesforce.contacts import SalesforceClient
from hintd.salesforce.wire import Nonsense
from tests.salesforce.rest_org import CUT, ORG_ID, ROOT, Org, contact_id, error

WRITE = Call(CallClass.REAL_TIME, "write")
READ = Call(CallClass.SWEEP, "sweep")


# --- reading ---------------------------------------------------------------------------------------------------------


async def test_contacts_are_read_in_one_call_and_missing_ones_are_left_out(client: SalesforceClient, org: Org) -> None:
    ann = org.add(1, FirstName="Ann", LastName="O'Brien", Synced_to_Hint__c=True, Hint_Patient_Id__c="pat-1")
    deleted = org.add(2, LastName="Gone", IsDeleted=True)
    found = await client.get_contacts([ann, deleted, contact_id(99), ann], READ)
    assert list(found) == [ann]
    assert found[ann].values["last_name"] == "O'Brien"
    assert (found[ann].synced, found[ann].patient_id) == (True, "pat-1")
    assert len(org.requests) == 1


async def test_a_blank_field_is_read_as_blank_and_not_as_unknown(client: SalesforceClient, org: Org) -> None:
    ann = org.add(1, LastName="Ann")
    contact = (await client.get_contacts([ann], READ))[ann]
    assert contact.values["email"] is None
    assert contact.known == {"patient_id", "synced", "error_message"}


async def test_more_ids_than_one_call_takes_are_asked_in_several(client: SalesforceClient, org: Org) -> None:
    assert await client.get_contacts([contact_id(n) for n in range(2001)], READ) == {}
    assert len(org.requests) == 2


async def test_no_ids_cost_no_call(client: SalesforceClient, org: Org) -> None:
    assert await client.get_contacts([], READ) == {}
    assert org.requests == []


async def test_a_person_account_is_flagged(client: SalesforceClient, org: Org) -> None:
    org.fields["IsPersonAccount"] = {"type": "boolean"}
    ann = org.add(1, LastName="Ann", IsPersonAccount=True)
    await client.book(fresh=True)
    assert (await client.get_contacts([ann], READ))[ann].person_account


async def test_the_fate_of_a_merged_contact_names_the_winner(client: SalesforceClient, org: Org) -> None:
    loser = org.add(1, LastName="Ann", IsDeleted=True, MasterRecordId=contact_id(2))
    fate = await client.find_fate(loser, READ)
    assert fate is not None
    assert (fate.deleted, fate.winner_id) == (True, contact_id(2))


@pytest.mark.parametrize("record_id", [contact_id(9), "x' OR Id != '", "\\"], ids=["purged", "quotes", "backslash"])
async def test_a_contact_that_is_nowhere_has_no_fate(client: SalesforceClient, org: Org, record_id: str) -> None:
    org.add(1, LastName="Ann")
    assert await client.find_fate(record_id, READ) is None


async def test_changed_contacts_come_page_by_page_with_deleted_ones(client: SalesforceClient, org: Org) -> None:
    org.add(1, LastName="Old")
    since = org.clock
    ids = [org.add(n, LastName="New", IsDeleted=n == 3) for n in (2, 3, 4, 5, 6)]
    page = await client.changed_contacts(READ, since=since)
    pages = [page]
    while page.next:
        page = await client.changed_contacts(READ, since=since, next=page.next)
        pages.append(page)
    assert [len(p.contacts) for p in pages] == [2, 2, 1]
    assert [c.id for p in pages for c in p.contacts] == ids
    assert [c.id for p in pages for c in p.contacts if c.deleted] == [contact_id(3)]


async def test_all_contacts_are_asked_for_without_a_date(client: SalesforceClient, org: Org) -> None:
    org.add(1, LastName="Ann")
    assert len((await client.changed_contacts(READ, since=None)).contacts) == 1
    assert "WHERE" not in org.requests[-1]
    assert org.headers[-1]["Sforce-Query-Options"] == "batchSize=2000"


async def test_a_page_that_has_run_out_is_asked_for_again_later(client: SalesforceClient, org: Org) -> None:
    org.faults = [(400, error("INVALID_QUERY_LOCATOR"))]
    with pytest.raises(Retryable):
        await client.changed_contacts(READ, since=None, next=f"{ROOT}/query/01g000000000001-2")


async def test_a_next_page_outside_of_the_api_is_not_asked_for(client: SalesforceClient, org: Org) -> None:
    with pytest.raises(Nonsense):
        await client.changed_contacts(READ, since=None, next="@evil.example/services/data/")
    assert org.requests == []


# --- writing ---------------------------------------------------------------------------------------------------------


async def test_a_write_is_one_call_and_brings_what_stood_and_what_stands(client: SalesforceClient, org: Org) -> None:
    ann = org.add(1, LastName="Ann", Email="a@example.com")
    stamp = org.clock
    written = await client.write_contact(ann, {"LastName": "  Bell ", "Email": None}, stamp, WRITE)
    assert written.result is WriteResult.WRITTEN
    assert written.before is not None and written.after is not None
    assert (written.before.values["last_name"], written.before.stamp) == ("Ann", stamp)
    assert (written.after.values["last_name"], written.after.stamp) == ("Bell", stamp + timedelta(seconds=1))
    assert written.after.values["email"] is None
    assert org.requests == [f"POST {ROOT}/composite"]


async def test_a_contact_changed_since_is_not_written_and_shows_what_stands(client: SalesforceClient, org: Org) -> None:
    ann = org.add(1, LastName="Ann")
    stale = org.clock - timedelta(seconds=1)
    written = await client.write_contact(ann, {"LastName": "Bell"}, stale, WRITE)
    assert written.result is WriteResult.STALE
    assert written.after is not None and written.after.values["last_name"] == "Ann"
    assert org.contacts[ann]["LastName"] == "Ann"


async def test_fractions_of_the_condition_are_cut_off(client: SalesforceClient, org: Org) -> None:
    ann = org.add(1, LastName="Ann")
    condition = org.clock - timedelta(microseconds=1)
    assert (await client.write_contact(ann, {"LastName": "Bell"}, condition, WRITE)).result is WriteResult.STALE


async def test_without_a_condition_the_write_goes_through(client: SalesforceClient, org: Org) -> None:
    ann = org.add(1, LastName="Ann")
    assert (await client.write_contact(ann, {"LastName": "Bell"}, None, WRITE)).result is WriteResult.WRITTEN


@pytest.mark.parametrize("deleted", [True, False], ids=["deleted", "purged"])
async def test_a_contact_that_is_gone_is_said_to_be(client: SalesforceClient, org: Org, deleted: bool) -> None:
    record_id = org.add(1, LastName="Ann", IsDeleted=True) if deleted else contact_id(9)
    assert (await client.write_contact(record_id, {"LastName": "B"}, None, WRITE)).result is WriteResult.GONE


async def test_a_contact_deleted_right_after_the_write_is_gone(client: SalesforceClient, org: Org) -> None:
    ann = org.add(1, LastName="Ann")
    org.part_faults = {"after": (404, error("ENTITY_IS_DELETED"))}
    assert (await client.write_contact(ann, {"LastName": "B"}, None, WRITE)).result is WriteResult.GONE


async def test_a_refused_write_says_why_and_who_can_mend_it(client: SalesforceClient, org: Org) -> None:
    ann = org.add(1, LastName="Ann")
    written = await client.write_contact(ann, {"LastName": "Z" * 81}, None, WRITE)
    assert written.result is WriteResult.REFUSED
    assert written.refusal is not None
    assert (written.refusal.code, written.refusal.fields) == ("STRING_TOO_LONG", ("LastName",))
    assert written.refusal.owner is Owner.CLINIC
    assert written.after is not None and written.after.values["last_name"] == "Ann"


@pytest.mark.parametrize("part", ["before", "write", "after"])
async def test_a_locked_row_in_any_part_is_tried_again_later(client: SalesforceClient, org: Org, part: str) -> None:
    ann = org.add(1, LastName="Ann")
    org.part_faults = {part: (400, error("UNABLE_TO_LOCK_ROW"))}
    with pytest.raises(Retryable):
        await client.write_contact(ann, {"LastName": "Bell"}, None, WRITE)


async def test_a_composite_answer_without_a_part_makes_no_sense(client: SalesforceClient, org: Org) -> None:
    org.faults = [(200, {"compositeResponse": []})]
    with pytest.raises(Nonsense):
        await client.write_contact(contact_id(1), {"LastName": "Bell"}, None, WRITE)


async def test_a_field_that_is_gone_makes_the_book_new_and_the_write_go_through(
    client: SalesforceClient, org: Org
) -> None:
    ann = org.add(1, LastName="Ann")
    org.drop_field("Suffix")
    written = await client.write_contact(ann, {"LastName": "Bell"}, None, WRITE)
    assert written.result is WriteResult.WRITTEN
    assert len(org.paths("/describe")) == 1
    assert len(org.paths("/composite")) == 2


async def test_a_field_that_stays_unknown_after_a_new_describe_is_a_wrong_set_up(
    client: SalesforceClient, org: Org
) -> None:
    ann = org.add(1, LastName="Ann")
    org.part_faults = {"before": (400, error("INVALID_FIELD", "No such column 'Zzz'"))}
    with pytest.raises(Misconfigured) as raised:
        await client.write_contact(ann, {"LastName": "Bell"}, None, WRITE)
    assert "Zzz" not in str(raised.value)
    assert len(org.paths("/composite")) == 1


@pytest.mark.parametrize("patient_id", ["pat-1", "a/b?c=d&e%2F +'ü"], ids=["plain", "odd characters"])
async def test_an_upsert_creates_once_and_then_updates(client: SalesforceClient, org: Org, patient_id: str) -> None:
    first = await client.upsert_contact(patient_id, {"LastName": "Ann", "Hint_Patient_Id__c": patient_id}, WRITE)
    again = await client.upsert_contact(patient_id, {"LastName": "Bell"}, WRITE)
    assert (first.result, again.result) == (WriteResult.WRITTEN, WriteResult.WRITTEN)
    assert first.contact_id == again.contact_id == next(iter(org.contacts))
    assert first.after is not None and first.after.patient_id == patient_id
    assert again.after is not None and again.after.values["last_name"] == "Bell"
    assert len(org.contacts) == 1


async def test_an_upsert_whose_answer_was_lost_makes_no_second_contact(client: SalesforceClient, org: Org) -> None:
    org.faults = [CUT]
    with pytest.raises(Retryable):
        await client.upsert_contact("pat-1", {"LastName": "Ann"}, WRITE)
    assert (await client.upsert_contact("pat-1", {"LastName": "Ann"}, WRITE)).contact_id == contact_id(1)
    assert len(org.contacts) == 1


async def test_several_contacts_with_the_patient_id_are_a_refusal(client: SalesforceClient, org: Org) -> None:
    org.part_faults = {"write": (300, [f"{ROOT}/sobjects/Contact/1", f"{ROOT}/sobjects/Contact/2"])}
    written = await client.upsert_contact("pat-1", {"LastName": "Ann"}, WRITE)
    assert written.result is WriteResult.REFUSED
    assert written.refusal is not None
    assert (written.refusal.code, written.refusal.owner) == ("DUPLICATE_EXTERNAL_ID", Owner.SALESFORCE_ADMIN)


async def test_a_duplicate_rule_names_the_contact_that_it_found(client: SalesforceClient, org: Org) -> None:
    result = {"matchResults": [{"matchRecords": [{"record": {"Id": contact_id(7)}}]}]}
    told = [{"errorCode": "DUPLICATES_DETECTED", "message": "Use one of these records?", "duplicateResult": result}]
    org.part_faults = {"write": (400, told)}
    written = await client.upsert_contact("pat-1", {"LastName": "Ann"}, WRITE)
    assert written.refusal is not None
    assert written.refusal.existing_id == contact_id(7)


async def test_a_default_account_that_is_gone_refuses_the_new_contact(client: SalesforceClient, org: Org) -> None:
    org.part_faults = {"write": (400, error("INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id"))}
    written = await client.upsert_contact("pat-1", {"LastName": "Ann", "AccountId": "001"}, WRITE)
    assert written.refusal is not None
    assert written.refusal.owner is Owner.SALESFORCE_ADMIN


async def test_a_new_contact_that_cannot_be_read_back_is_tried_again(client: SalesforceClient, org: Org) -> None:
    org.part_faults = {"after": (404, error("NOT_FOUND"))}
    with pytest.raises(Retryable):
        await client.upsert_contact("pat-1", {"LastName": "Ann"}, WRITE)


# --- connecting ------------------------------------------------------------------------------------------------------


async def test_the_org_says_who_it_is(client: SalesforceClient) -> None:
    assert await client.organization() == (ORG_ID, "Sunrise Clinic")


async def test_an_account_is_found_by_name_or_id_and_else_made(client: SalesforceClient) -> None:
    name = "Smith's \\ Patients + 50%2B & Söhne?"
    assert await client.find_account(name) is None
    made = await client.create_account(name)
    assert await client.find_account(name) == made
    assert await client.find_account(made) == made
    assert await client.find_account(made[:15]) == made


async def test_an_account_name_that_several_bear_is_not_guessed(client: SalesforceClient, org: Org) -> None:
    org.accounts = {"001000000000001AAA": "Patients", "001000000000002AAA": "Patients"}
    with pytest.raises(Misconfigured, match="give the id"):
        await client.find_account("Patients")


async def test_versions_and_limits_are_told(client: SalesforceClient) -> None:
    assert await client.versions() == ["68.0"]
    assert await client.limits() == {"DailyApiRequests": (1300, 100000)}


async def test_calls_left_are_told_by_any_answer_and_asked_for_before_the_first(
    client: SalesforceClient, org: Org
) -> None:
    assert await client.calls_left(READ) == 98700
    assert await client.calls_left(READ) == 99982
    assert len(org.paths("/limits")) == 1
