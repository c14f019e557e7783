"""The change events of the sandbox's org: which there are, what their headers say, and their bitmaps."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest

from hintd.sandbox.options import Options
from hintd.sandbox.salesforce.avro import Schema
from hintd.sandbox.salesforce.describe import shape_of
from hintd.sandbox.salesforce.side import LIGHTNING
from hintd.sandbox.salesforce.switches import Switches
from tests.sandbox.org import RunningOrg, running_org


@pytest.fixture
async def org() -> AsyncIterator[RunningOrg]:
    async with running_org() as running:
        yield running


def named_fields(event: dict[str, Any], bitmap: str) -> set[str]:
    """Read a bitmap list of the header with the schema of the event."""
    fields, names = event["schema"]["fields"], set()
    address = next(f["type"][1] for f in fields if isinstance(f["type"], list) and is_record(f["type"][1], "Address"))
    for part in event["ChangeEventHeader"][bitmap]:
        parent, _, bits = part.rpartition("-")
        if not parent:
            names |= {fields[bit]["name"] for bit in set_bits(bits)}
            continue
        kind = fields[int(parent)]["type"][1]
        members = (kind if isinstance(kind, dict) else address)["fields"]
        names |= {f"{fields[int(parent)]['name']}.{members[bit]['name']}" for bit in set_bits(bits)}
    return names


def is_record(kind: object, name: str) -> bool:
    return isinstance(kind, dict) and kind.get("name") == name


def set_bits(text: str) -> list[int]:
    number = int(text, 16)
    return [bit for bit in range(number.bit_length()) if number >> bit & 1]


async def edited(org: RunningOrg, before: dict[str, object], after: dict[str, object]) -> dict[str, Any]:
    """The event of a user's edit of a new Contact."""
    contact_id = org.side.user_create({"LastName": "Varga", **before})
    org.side.user_edit(contact_id, after)
    return (await org.events(2))[1]


# The schema and its bitmaps


def schema_of(switches: Switches | None = None, **more: Any) -> Schema:
    shape = shape_of("Contact", Options(), switches or Switches())
    return Schema(shape, **{"seed": 1, "captured_order": False, **more})


def test_the_bitmaps_of_the_header_count_from_the_header() -> None:
    schema = schema_of(captured_order=True)
    assert schema.names[:6] == (
        "ChangeEventHeader",
        "AccountId",
        "IsPersonAccount",
        "Name",
        "OtherAddress",
        "MailingAddress",
    )
    assert schema.bitmaps(["AccountId", "FirstName", "MailingStreet", "MailingCity", "Phone"]) == [
        "0x42",
        "3-0x02",
        "5-0x03",
    ]
    assert schema.bitmaps(["Phone"]) == ["0x40"]
    assert schema.bitmaps(["MailingCity"]) == ["5-0x02"]
    assert schema.bitmaps([]) == schema.bitmaps(["SystemModstamp", "Nope"]) == []


def test_the_order_is_shuffled_by_seed_and_stable() -> None:
    assert schema_of().id == schema_of().id
    assert schema_of().id != schema_of(seed=2).id
    assert sorted(schema_of().names) == sorted(schema_of(seed=2).names)


def test_address_is_defined_at_its_first_use_only() -> None:
    fields = {field["name"]: field["type"] for field in json.loads(schema_of(captured_order=True).json)["fields"]}
    assert is_record(fields["OtherAddress"][1], "Address") and fields["MailingAddress"] == ["null", "Address"]


def test_the_schema_leaves_out_what_events_never_carry() -> None:
    assert not {"SystemModstamp", "IsDeleted", "MasterRecordId", "IsEmailBounced"} & set(schema_of().names)


# What each change makes


async def test_a_create_carries_the_whole_record_and_no_bitmaps(org: RunningOrg) -> None:
    await org.create(FirstName="Ada", Birthdate="1969-07-20", MailingCity="Reno", DoNotCall=True)
    (event,) = await org.events(1)
    header = event["ChangeEventHeader"]
    assert (header["changeType"], header["changeOrigin"]) == ("CREATE", "com/salesforce/api/rest/68.0;client=hintd")
    assert header["changedFields"] == header["nulledFields"] == header["diffFields"] == []
    assert event["Name"]["FirstName"] == "Ada" and event["MailingAddress"]["City"] == "Reno" and event["DoNotCall"]
    born = datetime(1969, 7, 20, tzinfo=UTC)
    assert event["Birthdate"] == int(born.timestamp()) * 1000 < 0


async def test_an_update_carries_what_changed_and_names_it(org: RunningOrg) -> None:
    event = await edited(
        org, {"FirstName": "Ada", "Phone": "1"}, {"FirstName": "Eda", "Phone": "1", "MailingCity": "Reno"}
    )
    header = event["ChangeEventHeader"]
    assert named_fields(event, "changedFields") == {"Name.FirstName", "MailingAddress.City", "LastModifiedDate"}
    assert (header["changeType"], header["changeOrigin"]) == ("UPDATE", LIGHTNING)
    assert header["commitTimestamp"] % 1000 == 0 and len(header["recordIds"]) == 1
    assert event["Name"]["FirstName"] == "Eda" and event["Name"]["LastName"] is None and event["Phone"] is None


async def test_a_cleared_member_is_null_and_named_as_nulled(org: RunningOrg) -> None:
    event = await edited(org, {"FirstName": "Ada", "Email": "a@mail.example"}, {"FirstName": None, "Email": ""})
    assert named_fields(event, "nulledFields") == {"Name.FirstName", "Email"}
    assert named_fields(event, "changedFields") == {"Name.FirstName", "Email", "LastModifiedDate"}


async def test_a_state_changes_as_text_and_as_code(org: RunningOrg) -> None:
    event = await edited(org, {}, {"MailingStateCode": "CA", "MailingCountryCode": "US"})
    parts = {f"MailingAddress.{part}" for part in ("State", "StateCode", "Country", "CountryCode")}
    assert named_fields(event, "changedFields") == parts | {"LastModifiedDate"}


async def test_a_save_that_changes_nothing_still_makes_an_event(org: RunningOrg) -> None:
    event = await edited(org, {"FirstName": "Ada"}, {"FirstName": "Ada "})
    assert named_fields(event, "changedFields") == {"LastModifiedDate"}


async def test_a_trigger_inside_our_own_save_carries_our_name(org: RunningOrg) -> None:
    org.side.change_switches({"rules": {"trigger": {"when": "MailingPostalCode", "set": {"Description": "moved"}}}})
    contact_id = await org.create()
    await org.call("PATCH", f"/sobjects/Contact/{contact_id}", {"MailingPostalCode": "94110"})
    event = (await org.events(2))[1]
    assert event["ChangeEventHeader"]["changeOrigin"].endswith(";client=hintd") and event["Description"] == "moved"


async def test_a_long_text_is_sent_as_a_diff(org: RunningOrg) -> None:
    lines = [f"line {number}" for number in range(300)]
    event = await edited(org, {"Description": "\n".join(lines)}, {"Description": "\n".join([*lines, "the end"])})
    assert named_fields(event, "diffFields") == {"Description"}
    assert "+the end" in event["Description"] and len(event["Description"]) < 200


async def test_equal_changes_of_one_transaction_are_one_event(org: RunningOrg) -> None:
    ids = [await org.create() for _ in range(3)]
    titles = ["A", "B", "A"]
    records = [
        {"attributes": {"type": "Contact"}, "id": i, "Title": title} for i, title in zip(ids, titles, strict=True)
    ]
    await org.call("PATCH", "/composite/sobjects", {"records": records})
    headers = [event["ChangeEventHeader"] for event in (await org.events(5))[3:]]
    assert [header["recordIds"] for header in headers] == [[ids[0], ids[2]], [ids[1]]]
    assert [header["sequenceNumber"] for header in headers] == [1, 2]
    assert len({header["transactionKey"] for header in headers}) == 1


async def test_delete_is_empty_and_undelete_is_whole(org: RunningOrg) -> None:
    contact_id = org.side.user_create({"LastName": "Varga"})
    org.side.user_delete(contact_id)
    org.side.user_undelete(contact_id)
    _, deleted, restored = await org.events(3)
    body = {name: value for name, value in deleted.items() if name not in ("ChangeEventHeader", "schema", "event_id")}
    assert deleted["ChangeEventHeader"]["changeType"] == "DELETE" and not any(body.values())
    assert restored["ChangeEventHeader"]["changeType"] == "UNDELETE" and restored["Name"]["LastName"] == "Varga"


async def test_a_merge_deletes_the_loser_and_updates_the_winner_in_one_transaction(org: RunningOrg) -> None:
    winner, loser = (org.side.user_create({"LastName": name}) for name in ("Winner", "Loser"))
    org.side.user_merge(winner, [loser], {"Title": "Nurse"})
    deleted, updated = [event["ChangeEventHeader"] for event in (await org.events(4))[2:]]
    assert (deleted["changeType"], deleted["recordIds"]) == ("DELETE", [loser])
    assert (updated["changeType"], updated["recordIds"]) == ("UPDATE", [winner])
    assert deleted["transactionKey"] == updated["transactionKey"]
    assert [(change.kind, change.record_id) for change in org.told[2:]] == [("merged", loser), ("updated", winner)]


async def test_gaps_name_records_and_an_overflow_names_none(org: RunningOrg) -> None:
    contact_id = await org.create()
    org.side.emit_gap("GAP_UPDATE", [contact_id])
    org.side.emit_gap("GAP_OVERFLOW", [contact_id])
    gap, overflow = [event["ChangeEventHeader"] for event in (await org.events(3))[1:]]
    assert (gap["changeType"], gap["recordIds"], gap["changedFields"]) == ("GAP_UPDATE", [contact_id], [])
    assert (overflow["changeType"], overflow["recordIds"]) == ("GAP_OVERFLOW", [])
    with pytest.raises(ValueError):
        org.side.emit_gap("UPDATE", [contact_id])


async def test_a_field_added_midway_changes_the_schema_of_later_events_only(org: RunningOrg) -> None:
    contact_id = await org.create()
    org.side.change_switches({"extra_fields": ["Shoe_Size__c"]})
    org.side.user_edit(contact_id, {"Shoe_Size__c": "43"})
    first, second = await org.events(2)
    assert "Shoe_Size__c" not in first and second["Shoe_Size__c"] == "43"
    assert named_fields(second, "changedFields") == {"Shoe_Size__c", "LastModifiedDate", "LastModifiedById"}


async def test_an_org_without_change_capture_makes_no_events(org: RunningOrg) -> None:
    org.side.change_switches({"change_capture": False})
    await org.create()
    org.side.change_switches({"change_capture": True})
    last = org.side.user_create({"LastName": "Last"})
    assert [event["ChangeEventHeader"]["recordIds"] for event in await org.events(1)] == [[last]]


async def test_a_refused_save_makes_no_event(org: RunningOrg) -> None:
    await org.call("POST", "/sobjects/Contact", {"FirstName": "Nobody"})
    contact_id = await org.create()
    assert [event["ChangeEventHeader"]["recordIds"] for event in await org.events(1)] == [[contact_id]]


async def test_changes_are_told_with_their_author(org: RunningOrg) -> None:
    contact_id = await org.create(Title="A")
    org.side.user_edit(contact_id, {"Title": "B"})
    assert [(change.kind, change.origin) for change in org.told] == [
        ("created", "hintd"),
        ("updated", "Salesforce user"),
    ]
    assert org.told[1].fields == ("Title",)
