"""From an event's bytes, written with a real org's schema, to change notices."""

from __future__ import annotations

import copy
import itertools
import json
from datetime import UTC, datetime
from typing import Any

import pytest

from hintd.core.contact import read_change
from hintd.core.fields import FIELDS, FieldShape, make_book
from hintd.core.model import Change, Notice, Side, Source
from hintd.core.rules import Rules
from hintd.salesforce.avro import SchemaCache, Undecodable, decode, parse_schema
from hintd.salesforce.events import Acceptance, Reading, read_event, spell
from hintd.salesforce.layout import FieldLayout, api_name
from tests.salesforce.change_events import ADA, BOB, COMMITTED_MS, INDEX, SCHEMA, SCHEMA_TEXT, bitmap, encode, event

CONTACT = parse_schema(SCHEMA_TEXT)
ACCEPTED = datetime(2026, 11, 22, 10, 15, 1, tzinfo=UTC)
COMMITTED = datetime(2026, 11, 22, 10, 15, tzinfo=UTC)
NAME, ADDRESS = INDEX["Name"], INDEX["MailingAddress"]


def read(record: dict[str, Any]) -> Reading:
    """Over the wire's bytes, as the stream does it."""
    counter = itertools.count(1)
    acceptance = Acceptance("prac-1", ACCEPTED, lambda: f"n{next(counter)}")
    return read_event(decode(CONTACT, encode(record)), CONTACT.layout, acceptance)


def snapshot(record: dict[str, Any]) -> dict[str, Any]:
    (notice,) = read(record).notices
    assert notice.snapshot is not None
    value: dict[str, Any] = json.loads(notice.snapshot)
    return value


def test_an_update_becomes_a_notice_with_the_changed_fields_and_a_stamp_of_whole_seconds() -> None:
    changed = event(
        "UPDATE",
        [ADA],
        fields={"Email": "ada@example.com", "LastModifiedDate": COMMITTED_MS + 1999},
        changedFields=[bitmap("Email", "LastModifiedDate")],
    )

    (notice,) = read(changed).notices

    assert notice == Notice(
        id="n1",
        source=Source.STREAM,
        connection="prac-1",
        side=Side.SALESFORCE,
        record_id=ADA,
        change=Change.CHANGED,
        stamp=datetime(2026, 11, 22, 10, 15, 1, tzinfo=UTC),
        accepted_at=ACCEPTED,
        snapshot=notice.snapshot,
    )
    assert json.loads(notice.snapshot or b"") == {
        "changeType": "UPDATE",
        "commitTimestamp": COMMITTED_MS,
        "changeOrigin": "com/salesforce/api/rest/67.0;client=hintd",
        "transactionKey": "0001a2b3-0000-1111-2222-333344445555",
        "whole": False,
        "fields": {"Email": "ada@example.com", "LastModifiedDate": "2026-11-22T10:15:01.999Z"},
        "reread": [],
    }


def test_the_core_reads_the_snapshot_as_the_contact_that_the_event_shows() -> None:
    names = ("FirstName", "LastName", "Birthdate", "MailingStreet", "MailingCity", "Email", "HomePhone", "MiddleName")
    book = make_book(FIELDS, {name: FieldShape(name, "string") for name in names}, Rules())
    flat = snapshot(
        event(
            "UPDATE",
            [ADA],
            fields={
                "Name": {"FirstName": "Ada"},
                "MailingAddress": {"Street": "1 Main St\nApt 2"},
                "Birthdate": -1,
                "LastModifiedDate": COMMITTED_MS,
            },
            changedFields=[
                bitmap("Email", "HomePhone", "Birthdate", "LastModifiedDate"),
                f"{NAME}-0x2",
                f"{ADDRESS}-0x1",
            ],
            nulledFields=[bitmap("Email")],
        )
    )

    contact = read_change(flat, book, ADA)

    assert dict(contact.values) == {
        "first_name": "Ada",
        "date_of_birth": "1969-12-31",
        "address_line1": "1 Main St",
        "address_line2": "Apt 2",
        "email": None,
    }
    assert (contact.stamp, contact.whole, contact.reread) == (COMMITTED, False, frozenset({"home_phone"}))


def test_without_a_last_modified_date_the_commit_is_the_stamp() -> None:
    (notice,) = read(event("UPDATE", [ADA], fields={"Email": "a@b.c"}, changedFields=[bitmap("Email")])).notices

    assert notice.stamp == COMMITTED


@pytest.mark.parametrize(
    ("fields", "marks", "shown", "reread"),
    [
        pytest.param(
            {"Name": {"Salutation": None, "FirstName": "Ada", "LastName": None}},
            {"changedFields": [f"{NAME}-0x2"]},
            {"FirstName": "Ada"},
            [],
            id="null members of a compound are unchanged, not cleared",
        ),
        pytest.param(
            {"Name": {"Salutation": None, "FirstName": None, "LastName": None}},
            {"changedFields": [f"{NAME}-0x1"], "nulledFields": [f"{NAME}-0x1"]},
            {"Salutation": None},
            [],
            id="a cleared member is only in the compound's own bitmap",
        ),
        pytest.param(
            {"MailingAddress": {"Street": "1 Main St\nApt 2", "City": "Oakland", "State": None}},
            {"changedFields": [f"{ADDRESS}-0x7"], "nulledFields": [f"{ADDRESS}-0x4"]},
            {"MailingStreet": "1 Main St\nApt 2", "MailingCity": "Oakland", "MailingState": None},
            [],
            id="an address",
        ),
        pytest.param(
            {"Email": None},
            {"changedFields": [bitmap("Email")], "nulledFields": [bitmap("Email")]},
            {"Email": None},
            [],
            id="a cleared field",
        ),
        pytest.param({}, {"changedFields": [bitmap("Fax")]}, {}, ["Fax"], id="changed and not shown: read it"),
        pytest.param(
            {"Description": "@@ -1 +1 @@"},
            {"changedFields": [bitmap("Description")], "diffFields": [bitmap("Description")]},
            {},
            ["Description"],
            id="a difference is no value",
        ),
        pytest.param(
            {"Birthdate": -2_208_988_800_000},
            {"changedFields": [bitmap("Birthdate")]},
            {"Birthdate": "1900-01-01"},
            [],
            id="born before 1970",
        ),
        pytest.param(
            {"DoNotCall": False}, {"changedFields": [bitmap("DoNotCall")]}, {"DoNotCall": False}, [], id="false"
        ),
        pytest.param(
            {"Level__c": "Gold"}, {"changedFields": [bitmap("Level__c")]}, {"Level__c": "Gold"}, [], id="custom"
        ),
    ],
)
def test_an_update_shows_exactly_what_changed(
    fields: dict[str, Any], marks: dict[str, list[str]], shown: dict[str, Any], reread: list[str]
) -> None:
    flat = snapshot(event("UPDATE", [ADA], fields=fields, **marks))

    assert (flat["fields"], flat["reread"], flat["whole"]) == (shown, reread, False)


@pytest.mark.parametrize("change", ["CREATE", "UNDELETE"])
def test_a_new_or_restored_contact_is_shown_whole_and_its_nulls_are_blanks(change: str) -> None:
    flat = snapshot(event(change, [ADA], fields={"Name": {"LastName": "Byron"}, "Birthdate": 0}))

    assert flat["whole"] is True
    assert flat["fields"].keys() >= {"Salutation", "FirstName", "MailingCity", "OtherCity", "Email", "GUID__c"}
    assert {name: value for name, value in flat["fields"].items() if value is not None} == {
        "LastName": "Byron",
        "Birthdate": "1970-01-01",
    }


@pytest.mark.parametrize(
    ("change_type", "change"),
    [
        ("CREATE", Change.CREATED),
        ("UPDATE", Change.CHANGED),
        ("DELETE", Change.DELETED),
        ("UNDELETE", Change.UNDELETED),
        ("GAP_CREATE", Change.GAP),
        ("GAP_UPDATE", Change.GAP),
        ("GAP_DELETE", Change.GAP),
        ("GAP_UNDELETE", Change.GAP),
        ("SNAPSHOT", Change.GAP),
    ],
)
def test_each_change_type_says_what_happened(change_type: str, change: Change) -> None:
    (notice,) = read(event(change_type, [ADA])).notices

    assert notice.change is change
    assert (notice.snapshot is None) == (change in (Change.DELETED, Change.GAP))


def test_a_merged_event_becomes_one_notice_per_record_with_the_same_snapshot() -> None:
    merged = event("UPDATE", [ADA, BOB], fields={"Email": "a@b.c"}, changedFields=[bitmap("Email")])

    first, second = read(merged).notices

    assert (first.record_id, second.record_id) == (ADA, BOB)
    assert first.id != second.id
    assert first.snapshot == second.snapshot


@pytest.mark.parametrize(
    ("record", "records"),
    [
        pytest.param(event("GAP_OVERFLOW", []), [], id="overflow"),
        pytest.param(event("GAP_OVERFLOW", ["000000000000000AAA"]), [], id="overflow with a stand-in id"),
        pytest.param(event("GAP_UPDATE", ["003*"]), [], id="all Contacts"),
        pytest.param(event("GAP_UPDATE", [ADA, "003*"]), [ADA], id="all Contacts and one by name"),
        pytest.param(event("GAP_UPDATE", []), [], id="nobody named"),
    ],
)
def test_changes_of_contacts_that_are_not_named_are_an_overflow(record: dict[str, Any], records: list[str]) -> None:
    reading = read(record)

    assert reading.overflow
    assert [notice.record_id for notice in reading.notices] == records


def test_other_objects_on_a_shared_channel_are_passed_over() -> None:
    assert read(event("UPDATE", ["0015g00000AbCdEAAV"], entityName="Account")) == Reading()


@pytest.mark.parametrize(
    ("kind", "value", "spelt"),
    [
        ("DateOnly", 4_102_444_800_000, "2100-01-01"),
        ("DateTime", -1, "1969-12-31T23:59:59.999Z"),
        ("TimeOnly", 34_200_000, "09:30:00.000Z"),
        ("Double", 1.5, 1.5),
        ("DateOnly", None, None),
    ],
)
def test_values_are_spelt_as_the_rest_api_spells_them(kind: str, value: Any, spelt: Any) -> None:
    assert spell(kind, value) == spelt


@pytest.mark.parametrize(
    ("compound", "kind", "member", "name"),
    [
        ("Name", "PersonName", "FirstName", "FirstName"),
        ("OtherAddress", "Address", "PostalCode", "OtherPostalCode"),
        ("Loc__c", "Location", "Latitude", "Loc__Latitude__s"),
        ("Home__c", "Address", "City", "Home__City__s"),
    ],
)
def test_members_of_compounds_have_the_names_that_the_rest_api_gives_them(
    compound: str, kind: str, member: str, name: str
) -> None:
    assert api_name(FieldLayout(compound, kind), member) == name


def test_an_unexpected_member_moves_no_other_value() -> None:
    surprising = copy.deepcopy(SCHEMA)
    address = surprising["fields"][INDEX["OtherAddress"]]["type"][1]
    address["fields"].insert(1, {"name": "Xyz", "type": ["null", "string"], "default": None})

    flat = {path for field in parse_schema(json.dumps(surprising)).layout for path in field.paths()}

    assert {"MailingAddress.Xyz", "MailingAddress.City"} <= flat


@pytest.mark.parametrize(
    "payload",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"\xff" * 20, id="noise"),
        pytest.param(encode(event("DELETE", [ADA]))[:-4], id="cut short"),
        pytest.param(encode(event("DELETE", [ADA])) + b"\0", id="too long"),
    ],
)
def test_a_payload_that_does_not_fit_is_refused_without_quoting_it(payload: bytes) -> None:
    with pytest.raises(Undecodable) as refusal:
        decode(CONTACT, payload)

    assert str(refusal.value).startswith("payload does not fit its schema")
    assert refusal.value.__context__ is None or refusal.value.__suppress_context__


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"type": "record"}', '{"type": "int", "name": "x", "fields": [{}]}'])
def test_a_schema_that_makes_no_sense_is_refused(text: str) -> None:
    with pytest.raises(Undecodable):
        parse_schema(text)


async def test_a_schema_is_fetched_once() -> None:
    fetched: list[str] = []

    async def fetch(schema_id: str) -> str:
        fetched.append(schema_id)
        return SCHEMA_TEXT

    cache = SchemaCache()
    assert await cache.get("s1", fetch) is await cache.get("s1", fetch)
    await cache.get("s2", fetch)

    assert fetched == ["s1", "s2"]
