"""A Salesforce Contact, read from records and change events, and written within what describe says."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hintd.core.contact import OWN_FIELDS, query_fields, read_change, read_contact, render_contact
from hintd.core.fields import FIELDS, Book, FieldShape, Kind, make_book
from hintd.core.model import Contact, Value
from hintd.core.normalize import same
from hintd.core.patient import read_patient
from hintd.core.record import BadRecord
from hintd.core.rules import Rules

SALUTATIONS = ("Mr.", "Ms.", "Dr.")
SHAPES = (
    FieldShape("Salutation", "picklist", 40, choices=SALUTATIONS),
    FieldShape("FirstName", "string", 40),
    FieldShape("LastName", "string", 80, nillable=False),
    FieldShape("Suffix", "string", 40),
    FieldShape("Birthdate", "date"),
    FieldShape("GenderIdentity", "picklist", 255, restricted=True, choices=("Male", "Female", "Trans Man")),
    FieldShape("Email", "email", 80),
    FieldShape("MobilePhone", "phone", 40),
    FieldShape("HomePhone", "phone", 40),
    FieldShape("Phone", "phone", 40, updateable=False),
    FieldShape("MailingStreet", "textarea", 255),
    FieldShape("MailingCity", "string", 40),
    FieldShape("MailingState", "string", 80),
    FieldShape("MailingPostalCode", "string", 20),
    FieldShape("MailingCountry", "string", 80),
    FieldShape("Hint_Practitioner__c", "string", 255),
    FieldShape("Hint_Member_Contract_Accepted__c", "boolean", nillable=False),
    FieldShape("Hint_Member_Contract_Accepted_At__c", "datetime"),
    FieldShape("Synced_to_Hint__c", "boolean", nillable=False),
    FieldShape("Hint_Patient_Id__c", "string", 255, external_id=True, unique=True),
)
CODES = (
    FieldShape("MailingStateCode", "picklist", 10, choices=("CA", "NY", "ON")),
    FieldShape("MailingCountryCode", "picklist", 10, choices=("US", "CA", "DE")),
)
TEXT_BOOK = make_book(FIELDS, {shape.name: shape for shape in SHAPES}, Rules())
CODE_BOOK = make_book(FIELDS, {shape.name: shape for shape in SHAPES + CODES}, Rules())

RECORD: dict[str, Any] = {
    "attributes": {"type": "Contact", "url": "/services/data/v67.0/sobjects/Contact/0032X00002QU10JQAT"},
    "Id": "0032X00002QU10JQAT",
    "LastModifiedDate": "2026-11-22T10:15:00.000+0000",
    "SystemModstamp": "2026-11-22T10:15:01.000+0000",
    "AccountId": "0012X00002QU10JQAT",
    "Salutation": "Mr.",
    "FirstName": "Gordon",
    "LastName": "Sumner",
    "Suffix": "Jr.",
    "Birthdate": "1956-04-24",
    "GenderIdentity": "Male",
    "MobilePhone": None,
    "MailingStreet": "157 E Houston St\r\nSuite 2402\r\n\r\nFloor 2",
    "MailingState": "New York",
    "Hint_Member_Contract_Accepted__c": False,
    "Synced_to_Hint__c": True,
    "Hint_Patient_Id__c": "pat-ab12C345DeF6",
}


def rendered_fields(changes: dict[str, Value], current: dict[str, Value], book: Book) -> dict[str, Any]:
    rendered = render_contact(changes, current, book)
    assert rendered.held == {}
    return rendered.fields


# --- reading ---------------------------------------------------------------------------------------------------------


def test_record_is_read() -> None:
    assert read_contact(RECORD, TEXT_BOOK) == Contact(
        id="0032X00002QU10JQAT",
        stamp=datetime(2026, 11, 22, 10, 15, tzinfo=UTC),
        values={
            "prefix": "Mr.",
            "first_name": "Gordon",
            "last_name": "Sumner",
            "date_of_birth": "1956-04-24",
            "gender": "Male",
            "mobile_phone": None,
            "address_line1": "157 E Houston St",
            "address_line2": "Suite 2402, Floor 2",
            "state": "New York",
            "contract_accepted": False,
        },
        suffix="Jr.",
        patient_id="pat-ab12C345DeF6",
        synced=True,
        account_id="0012X00002QU10JQAT",
        known=frozenset({"patient_id", "synced"}),
    )


def test_a_merged_away_contact_names_its_winner() -> None:
    raw = RECORD | {"IsDeleted": True, "MasterRecordId": "0032X00002QU10KQAT", "IsPersonAccount": True}
    contact = read_contact(raw, TEXT_BOOK)
    assert (contact.deleted, contact.winner_id, contact.person_account) == (True, "0032X00002QU10KQAT", True)


@pytest.mark.parametrize(
    ("street", "lines"),
    [
        pytest.param(None, (None, None), id="blank"),
        pytest.param("1 A St", ("1 A St", None), id="one-line"),
        pytest.param("1 A St\n\n Suite 2 ", ("1 A St", "Suite 2"), id="blank-line-between"),
        pytest.param("\r\n1 A St\r\nB\r\nC", ("1 A St", "B, C"), id="three-lines"),
    ],
)
def test_street_is_two_lines(street: str | None, lines: tuple[str | None, str | None]) -> None:
    values = read_contact(RECORD | {"MailingStreet": street}, TEXT_BOOK).values
    assert (values["address_line1"], values["address_line2"]) == lines


@pytest.mark.parametrize(
    ("attributes", "attribute"),
    [
        pytest.param({"Id": None}, "Id", id="no-id"),
        pytest.param({"LastModifiedDate": "secret"}, "LastModifiedDate", id="no-stamp"),
        pytest.param({"FirstName": {"secret": 1}}, "FirstName", id="object-for-text"),
        pytest.param({"Synced_to_Hint__c": "secret"}, "Synced_to_Hint__c", id="text-for-flag"),
        pytest.param({"MailingStreet": ["secret"]}, "MailingStreet", id="list-for-street"),
    ],
)
def test_a_wrong_type_is_refused_by_its_name_without_the_value(attributes: dict[str, Any], attribute: str) -> None:
    with pytest.raises(BadRecord, match=f"^{attribute} is not ") as refused:
        read_contact(RECORD | attributes, TEXT_BOOK)
    assert "secret" not in str(refused.value)


def event(fields: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"changeType": "UPDATE", "commitTimestamp": 1_795_342_501_700, "whole": False, "fields": fields} | more


def test_change_event_makes_only_its_fields_known() -> None:
    raw = event({"Email": None, "MailingStreet": "1 A St", "LastModifiedDate": "2026-11-22T10:15:00.000Z"})
    contact = read_change(raw, TEXT_BOOK, "0032X00002QU10JQAT")
    assert contact == Contact(
        id="0032X00002QU10JQAT",
        stamp=datetime(2026, 11, 22, 10, 15, tzinfo=UTC),
        values={"email": None, "address_line1": "1 A St", "address_line2": None},
        whole=False,
        known=frozenset(),
    )


def test_change_event_without_a_stamp_is_stamped_by_its_commit() -> None:
    stamp = read_change(event({"FirstName": "Mary"}), TEXT_BOOK, "003").stamp
    assert stamp == datetime.fromtimestamp(1_795_342_501, UTC)


def test_own_fields_of_a_change_event_are_known_when_it_carries_them() -> None:
    raw = event({"Synced_to_Hint__c": False, "Hint_Patient_Id__c": None})
    contact = read_change(raw, TEXT_BOOK, "003")
    assert (contact.synced, contact.patient_id) == (False, None)
    assert contact.known == {"synced", "patient_id"}


def test_fields_to_reread_are_named_as_hintd_names_them() -> None:
    contact = read_change(event({}, reread=["MailingStreet", "Description", "Email"]), TEXT_BOOK, "003")
    assert contact.reread == {"address_line1", "address_line2", "email"}


def test_the_bound_state_field_is_read_and_the_other_ignored() -> None:
    raw = event({"MailingState": "California", "MailingStateCode": "CA"})
    assert read_change(raw, CODE_BOOK, "003").values == {"state": "CA"}
    assert read_change(raw, TEXT_BOOK, "003").values == {"state": "California"}
    assert read_change(event({"MailingStateCode": "CA"}), TEXT_BOOK, "003").values == {}


def test_a_create_event_is_whole_and_a_delete_event_says_deleted() -> None:
    assert read_change(event({"FirstName": "Mary"}, whole=True), TEXT_BOOK, "003").whole
    assert read_change(event({}, changeType="DELETE"), TEXT_BOOK, "003").deleted


@pytest.mark.parametrize(
    ("raw", "attribute"),
    [
        pytest.param(event({}) | {"fields": ["secret"]}, "fields", id="list-for-fields"),
        pytest.param(event({}, commitTimestamp="secret"), "commitTimestamp", id="no-commit-time"),
        pytest.param(event({}, commitTimestamp=10**30), "commitTimestamp", id="commit-out-of-time"),
        pytest.param(event({}, reread="secret"), "reread", id="text-for-list"),
        pytest.param(event({}, whole="secret"), "whole", id="text-for-flag"),
    ],
)
def test_a_change_event_that_makes_no_sense_is_refused(raw: dict[str, Any], attribute: str) -> None:
    with pytest.raises(BadRecord, match=f"^{attribute} is not ") as refused:
        read_change(raw, TEXT_BOOK, "003")
    assert "secret" not in str(refused.value)


def test_query_asks_for_each_field_once_and_only_for_what_the_org_has() -> None:
    names = query_fields(CODE_BOOK)
    assert len(names) == len(set(names))
    assert {"Id", "LastModifiedDate", "MailingStreet", "MailingStateCode", "Suffix", "Hint_Patient_Id__c"} <= set(names)
    assert not {"MailingState", "MiddleName", "IsPersonAccount", "Hint_Sync_Error__c"} & set(names)
    assert set(OWN_FIELDS) & set(names) == {"Synced_to_Hint__c", "Hint_Patient_Id__c"}


# --- writing ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "fields"),
    [
        pytest.param({"first_name": " Mary "}, {"FirstName": "Mary"}, id="text"),
        pytest.param({"email": " "}, {"Email": None}, id="blank-clears"),
        pytest.param({"prefix": "dr"}, {"Salutation": "Dr."}, id="prefix-in-the-org's-spelling"),
        pytest.param({"prefix": "Sir"}, {"Salutation": "Sir"}, id="unrestricted-picklist-takes-any-text"),
        pytest.param({"gender": "man"}, {"GenderIdentity": "Male"}, id="gender-by-the-map"),
        pytest.param({"gender": "trans man"}, {"GenderIdentity": "Trans Man"}, id="gender-equally-named"),
        pytest.param({"date_of_birth": "1956-04-24"}, {"Birthdate": "1956-04-24"}, id="date"),
        pytest.param({"mobile_phone": "4155550101"}, {"MobilePhone": "(415) 555-0101"}, id="phone-national"),
        pytest.param({"mobile_phone": "4155550101 x9"}, {"MobilePhone": "(415) 555-0101 x9"}, id="phone-extension"),
        pytest.param({"mobile_phone": "+442079460958"}, {"MobilePhone": "+44 20 7946 0958"}, id="phone-abroad"),
        pytest.param({"mobile_phone": "ask her son"}, {"MobilePhone": "ask her son"}, id="no-phone"),
        pytest.param({"contract_accepted": None}, {"Hint_Member_Contract_Accepted__c": False}, id="flag-is-never-null"),
        pytest.param(
            {"contract_accepted_at": "2017-01-29T06:23:00.900000-08:00"},
            {"Hint_Member_Contract_Accepted_At__c": "2017-01-29T14:23:00Z"},
            id="instant",
        ),
        pytest.param({"state": "NY"}, {"MailingState": "NY"}, id="state-as-text"),
        pytest.param({"country": "United States"}, {"MailingCountry": "United States"}, id="country-as-text"),
    ],
)
def test_values_are_written_as_the_api_takes_them(changes: dict[str, Value], fields: dict[str, Any]) -> None:
    assert rendered_fields(changes, {}, TEXT_BOOK) == fields


@pytest.mark.parametrize(
    ("changes", "current", "street"),
    [
        pytest.param({"address_line1": "1 A St", "address_line2": "B"}, {}, "1 A St\nB", id="both"),
        pytest.param({"address_line1": "2 A St"}, {"address_line2": "B"}, "2 A St\nB", id="first-keeps-second"),
        pytest.param(
            {"address_line2": None}, {"address_line1": "1 A St", "address_line2": "B"}, "1 A St", id="cleared"
        ),
        pytest.param({"address_line1": None, "address_line2": None}, {"address_line2": "B"}, None, id="both-cleared"),
        pytest.param(
            {"address_line1": "1 A St\nrear"}, {"address_line2": "B"}, "1 A St, rear\nB", id="line-with-break"
        ),
    ],
)
def test_street_is_composed_of_both_lines(
    changes: dict[str, Value], current: dict[str, Value], street: str | None
) -> None:
    assert rendered_fields(changes, current, TEXT_BOOK) == {"MailingStreet": street}


@pytest.mark.parametrize(
    ("changes", "current", "fields"),
    [
        pytest.param(
            {"state": "California"}, {"country": "US"}, {"MailingStateCode": "CA"}, id="code-under-standing-country"
        ),
        pytest.param(
            {"state": "New York"},
            {},
            {"MailingStateCode": "NY", "MailingCountryCode": "US"},
            id="state-without-country-takes-the-default",
        ),
        pytest.param(
            {"country": None, "state": "NY"},
            {},
            {"MailingStateCode": "NY", "MailingCountryCode": "US"},
            id="blank-country-does-not-undo-the-default",
        ),
        pytest.param(
            {"country": "Canada", "state": "Ontario"},
            {"country": "US", "state": "CA"},
            {"MailingStateCode": "ON", "MailingCountryCode": "CA"},
            id="state-of-the-new-country",
        ),
        pytest.param({"state": None}, {"country": "US"}, {"MailingStateCode": None}, id="state-alone-is-cleared"),
        pytest.param(
            {"state": None, "country": None},
            {"country": "US", "state": "CA"},
            {"MailingStateCode": None, "MailingCountryCode": None},
            id="both-are-cleared",
        ),
    ],
)
def test_codes_are_written_where_the_org_has_them(
    changes: dict[str, Value], current: dict[str, Value], fields: dict[str, Any]
) -> None:
    assert rendered_fields(changes, current, CODE_BOOK) == fields


@pytest.mark.parametrize(
    ("changes", "current", "says"),
    [
        pytest.param({"city": "Secret" * 7}, {}, "MailingCity holds 40 characters, this value has 42", id="too-long"),
        pytest.param({"city": "\U0001f600" * 21}, {}, "MailingCity holds 40", id="emoji-count-twice"),
        pytest.param({"address_line2": "S" * 200}, {"address_line1": "1" * 55}, "MailingStreet holds 255", id="street"),
        pytest.param({"gender": "Secret"}, {}, "restricted picklist GenderIdentity", id="restricted-picklist"),
        pytest.param({"gender": "nonbinary"}, {}, "restricted picklist GenderIdentity", id="mapped-but-not-a-choice"),
        pytest.param({"date_of_birth": "Secret"}, {}, "calendar date", id="no-date"),
        pytest.param({"contract_accepted_at": "Secret"}, {}, "point in time", id="no-instant"),
        pytest.param({"last_name": None}, {}, "requires LastName", id="required"),
        pytest.param({"office_phone": "4155550101"}, {}, "Phone cannot be written", id="not-writable"),
        pytest.param({"state": "Secret"}, {"country": "US"}, "MailingStateCode has no code", id="unknown-state"),
        pytest.param({"state": "TX"}, {"country": "US"}, "MailingStateCode has no code", id="state-not-a-choice"),
        pytest.param({"state": "NY"}, {"country": "Secret"}, "MailingStateCode", id="state-of-an-unknown-country"),
        pytest.param({"country": "Secret"}, {}, "MailingCountryCode has no code", id="unknown-country"),
        pytest.param({"country": None}, {"country": "US", "state": "CA"}, "state stands", id="country-under-a-state"),
    ],
)
def test_what_the_org_cannot_hold_is_held_and_the_rest_is_written(
    changes: dict[str, Value], current: dict[str, Value], says: str
) -> None:
    rendered = render_contact(changes | {"first_name": "Mary"}, current, CODE_BOOK)
    assert rendered.fields == {"FirstName": "Mary"}
    (sentence,) = rendered.held.values()
    assert says in sentence
    assert "Secret" not in sentence


def test_a_state_is_coded_in_the_country_whose_clearing_is_held() -> None:
    rendered = render_contact({"state": "Ontario", "country": None}, {"country": "CA"}, CODE_BOOK)
    assert rendered.fields == {"MailingStateCode": "ON"}
    assert list(rendered.held) == ["country"]


def test_unmapped_gender_needs_an_equal_choice_even_where_the_picklist_takes_any_text() -> None:
    loose = replace(CODE_BOOK.shape["GenderIdentity"], restricted=False)
    book = replace(CODE_BOOK, shape={**CODE_BOOK.shape, "GenderIdentity": loose})
    assert list(render_contact({"gender": "trans woman"}, {}, book).held) == ["gender"]
    assert rendered_fields({"gender": "nonbinary"}, {}, book) == {"GenderIdentity": "Nonbinary"}


def test_a_line_with_a_field_of_its_own_is_no_part_of_a_street() -> None:
    own = tuple(replace(f, salesforce=("MailingCity",)) if f.name == "address_line2" else f for f in CODE_BOOK.fields)
    book = replace(CODE_BOOK, fields=own)
    assert rendered_fields({"address_line1": "1 A St", "address_line2": "B\nC"}, {}, book) == {
        "MailingStreet": "1 A St",
        "MailingCity": "B, C",
    }
    assert read_contact(RECORD | {"MailingCity": "B\nC"}, book).values["address_line2"] == "B\nC"


# --- what Salesforce stores of it ------------------------------------------------------------------------------------

CLEARABLE_TEXT = st.one_of(st.none(), st.text(max_size=20))
PEOPLE = st.fixed_dictionaries(
    {"address_line1": st.text(max_size=20)},
    optional={
        "prefix": st.sampled_from(["Dr.", "mr", "Sir", None]),
        "first_name": CLEARABLE_TEXT,
        "last_name": st.text(max_size=20),
        "date_of_birth": st.dates().map(str),
        "gender": st.sampled_from(["man", "woman", "trans man", "other", None]),
        "email": st.one_of(st.none(), st.emails()),
        "mobile_phone": st.one_of(st.none(), st.text("0123456789 +-()x#", max_size=20)),
        "home_phone": st.sampled_from(["4155550101", "+442079460958 x1", "+14165550123", "none"]),
        "city": CLEARABLE_TEXT,
        "state": st.sampled_from(["CA", "California", "Ontario", "nowhere", None]),
        "zip": st.sampled_from(["10002", "10002-1234", "K1A 0B1", None]),
        "country": st.sampled_from(["US", "Canada", "Germany", "Narnia"]),
        "contract_accepted": st.sampled_from([True, False, None]),
        "contract_accepted_at": st.datetimes(datetime(1900, 1, 1)).map(lambda at: at.isoformat() + "-08:00"),
    },
)


def stored_in_salesforce(written: dict[str, Any]) -> dict[str, Any]:
    """As Salesforce stores what it is given: trimmed, blank is null."""
    return RECORD | {k: v.strip() or None if isinstance(v, str) else v for k, v in written.items()}


@pytest.mark.parametrize("book", [pytest.param(TEXT_BOOK, id="text"), pytest.param(CODE_BOOK, id="codes")])
@given(changes=PEOPLE)
@settings(max_examples=100, deadline=None)
def test_what_salesforce_stores_of_our_writing_reads_back_as_the_same(book: Book, changes: dict[str, Value]) -> None:
    rendered = render_contact(changes, {}, book)
    back = read_contact(stored_in_salesforce(rendered.fields), book).values
    written = [name for name in changes if name not in rendered.held]
    differing = [name for name in written if not same(book.field(name), changes[name], back[name], book.rules)]
    assert differing == []


AT_HINT = {"id": "pat-1", "created_at": "2026-01-01T00:00:00Z", "updated_at": "2026-01-01T00:00:00Z"}


@given(lines=st.tuples(CLEARABLE_TEXT, CLEARABLE_TEXT))
@settings(max_examples=150, deadline=None)
def test_two_lines_at_hint_come_back_from_the_street(lines: tuple[str | None, str | None]) -> None:
    rows = [field for field in TEXT_BOOK.fields if field.kind is Kind.LINE]
    patient = read_patient(AT_HINT | {"address_line1": lines[0], "address_line2": lines[1]}, rows)
    back = read_contact(stored_in_salesforce(rendered_fields(dict(patient.values), {}, TEXT_BOOK)), TEXT_BOOK).values
    assert all(same(row, patient.values[row.name], back[row.name], TEXT_BOOK.rules) for row in rows)
