"""A Hint patient, read and written."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hintd.core.fields import FIELDS, Book, FieldShape, Kind, make_book
from hintd.core.model import Phone, Value
from hintd.core.normalize import same
from hintd.core.patient import phone_type, read_patient, render_patient
from hintd.core.place import state_code
from hintd.core.record import BadRecord
from hintd.core.rules import Rules
from hintd.core.street import join_street, split_street

SHAPE = {api: FieldShape(api, "string", 255) for field in FIELDS for api in field.salesforce}
RULES = Rules()
BOOK = make_book(FIELDS, SHAPE, RULES)

GORDON: dict[str, Any] = {
    # excerpt of the example answer of Show Patient in Hint's API reference (2026), with phones put in
    "id": "pat-ab12C345DeF6",
    "address_city": "New York",
    "address_country": "United States",
    "address_line1": "157 E Houston St",
    "address_line2": "Suite 2402",
    "address_state": "NY",
    "address_zip": "10002",
    "age": 60,
    "created_at": "2017-02-05T06:23:00.000000-08:00",
    "dob": "1956-04-24",
    "email": "bass_man@bumblebeeinc.com",
    "first_name": "Gordon",
    "gender": "male",
    "gender_identity": "man",
    "health_insurance_group_id": "12345",
    "health_insurance_member_id": "A22222222",
    "health_insurance_payer_name": "Anthem Blue Cross California",
    "hipaa_authorization_accepted": True,
    "hipaa_authorization_accepted_at": "2017-01-29T06:23:00.000000-08:00",
    "last_name": "Sumner",
    "membership_status": "active",
    "middle_name": "Thomas",
    "patient_agreement_accepted": False,
    "patient_agreement_accepted_at": None,
    "suffix": None,
    "updated_at": "2017-02-05T06:23:01.250000-08:00",
    "merged_into": None,
    "phones": [
        {"number": "5553050051", "type": "Cell", "us_formattable": True},
        {"number": "5553050052", "type": "mobile", "us_formattable": True, "id": "pho-2"},
        {"number": 5553050053, "type": "fax"},
        {"number": None, "type": "home"},
    ],
    "practitioner": {"id": "pct-ab12C345DeF6", "name": "Reginald Dwight", "locations": []},
    "integration_record_id": None,
    "integration_web_link": "",
}
PHONES = read_patient(GORDON, FIELDS).phones


def test_published_patient_is_read() -> None:
    patient = read_patient(GORDON, FIELDS)
    assert patient.id == "pat-ab12C345DeF6"
    assert patient.stamp == datetime(2017, 2, 5, 14, 23, 1, 250_000, tzinfo=UTC)
    assert patient.created_at == datetime(2017, 2, 5, 14, 23, tzinfo=UTC)
    assert (patient.contact_id, patient.web_link, patient.suffix, patient.merged_into) == (None, None, None, None)
    assert not patient.archived
    assert patient.values == {
        "first_name": "Gordon",
        "middle_name": "Thomas",
        "last_name": "Sumner",
        "date_of_birth": "1956-04-24",
        "gender": "man",
        "email": "bass_man@bumblebeeinc.com",
        "mobile_phone": "5553050051",
        "home_phone": None,
        "office_phone": None,
        "address_line1": "157 E Houston St",
        "address_line2": "Suite 2402",
        "city": "New York",
        "state": "NY",
        "zip": "10002",
        "country": "United States",
        "practitioner": "Reginald Dwight",
        "insurance_payer": "Anthem Blue Cross California",
        "insurance_group_id": "12345",
        "insurance_member_id": "A22222222",
        "contract_accepted": False,
        "contract_accepted_at": None,
        "hipaa_accepted": True,
        "hipaa_accepted_at": "2017-01-29T06:23:00.000000-08:00",
    }


def test_every_phone_with_a_number_is_kept_in_order() -> None:
    assert read_patient(GORDON, FIELDS).phones == (
        Phone("5553050051", "mobile"),
        Phone("5553050052", "mobile", id="pho-2"),
        Phone("5553050053", "fax"),
    )


@pytest.mark.parametrize(
    ("attributes", "name", "value"),
    [
        pytest.param({"title": "  "}, "prefix", None, id="blank-text"),
        pytest.param({"title": "Dr."}, "prefix", "Dr.", id="title-where-shown"),
        pytest.param({"gender_identity": None}, "gender", "man", id="older-gender"),
        pytest.param({"gender_identity": "", "gender": "Female "}, "gender", "woman", id="older-gender-in-any-case"),
        pytest.param({"gender_identity": None, "gender": "other"}, "gender", "other", id="older-gender-unknown-word"),
        pytest.param({"gender_identity": None, "gender": None}, "gender", None, id="no-gender"),
        pytest.param({"practitioner": None}, "practitioner", None, id="no-practitioner"),
        pytest.param({"phones": None}, "mobile_phone", None, id="no-phones"),
        pytest.param({"address_zip": 10002}, "zip", "10002", id="number-for-text"),
    ],
)
def test_odd_attributes_are_read(attributes: dict[str, Any], name: str, value: Value) -> None:
    assert read_patient(GORDON | attributes, FIELDS).values[name] == value


@pytest.mark.parametrize(
    ("attribute", "name"),
    [("email", "email"), ("practitioner", "practitioner"), ("phones", "home_phone")],
)
def test_an_attribute_that_hint_does_not_show_is_unknown(attribute: str, name: str) -> None:
    shown = {key: value for key, value in GORDON.items() if key != attribute}
    assert name not in read_patient(shown, FIELDS).values
    assert "prefix" not in read_patient(GORDON, FIELDS).values


@pytest.mark.parametrize(
    ("status", "archived"), [("archived", True), ("inactive", False), ("active", False), (None, False)]
)
def test_only_archived_patients_are_archived(status: str | None, archived: bool) -> None:
    assert read_patient(GORDON | {"membership_status": status}, FIELDS).archived is archived


def test_a_merged_patient_names_its_winner() -> None:
    merged = read_patient(GORDON | {"merged_into": {"id": "pat-winner", "name": "Gordon"}}, FIELDS)
    assert merged.merged_into == "pat-winner"


@pytest.mark.parametrize(
    ("attributes", "attribute"),
    [
        pytest.param({"email": ["secret@example.com"]}, "email", id="list-for-text"),
        pytest.param({"first_name": True}, "first_name", id="flag-for-text"),
        pytest.param({"hipaa_authorization_accepted": "secret"}, "hipaa_authorization_accepted", id="text-for-flag"),
        pytest.param({"practitioner": "secret"}, "practitioner", id="text-for-object"),
        pytest.param({"practitioner": {"name": {}}}, "practitioner.name", id="object-for-text"),
        pytest.param({"phones": "secret"}, "phones", id="text-for-list"),
        pytest.param({"phones": ["secret"]}, "phones", id="text-for-phone"),
        pytest.param({"phones": [{"number": []}]}, "phones.number", id="list-for-number"),
        pytest.param({"merged_into": "secret"}, "merged_into", id="text-for-merge"),
        pytest.param({"updated_at": "secret"}, "updated_at", id="no-stamp"),
        pytest.param({"created_at": None}, "created_at", id="no-creation"),
        pytest.param({"id": " "}, "id", id="no-id"),
    ],
)
def test_a_wrong_type_is_refused_by_its_name_without_the_value(attributes: dict[str, Any], attribute: str) -> None:
    with pytest.raises(BadRecord, match=f"^{attribute} is not ") as refused:
        read_patient(GORDON | attributes, FIELDS)
    assert refused.value.attribute == attribute
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    ("text", "canon"),
    [("H", "home"), ("cell  phone", "mobile"), ("Work", "office"), ("Company Phone", "office"), ("Fax", "fax")],
)
def test_phone_types_are_folded_as_hint_does(text: str, canon: str) -> None:
    assert phone_type(text) == canon


# --- writing ---------------------------------------------------------------------------------------------------------


def phones_written(changes: dict[str, Value], rules: Rules = BOOK.rules) -> list[tuple[str, str, bool]]:
    written = render_patient(changes, PHONES, Book(BOOK.fields, BOOK.shape, rules)).fields["phones"]
    return [(phone["number"], phone["type"], phone["us_formattable"]) for phone in written]


SECOND = ("5553050052", "mobile", True)
FAX = ("5553050053", "fax", True)


def test_a_new_number_replaces_the_first_of_its_type_and_leaves_the_others() -> None:
    assert phones_written({"mobile_phone": "(415) 555-0101"}) == [("4155550101", "mobile", True), SECOND, FAX]


def test_a_cleared_number_goes_and_its_siblings_stay() -> None:
    assert phones_written({"mobile_phone": None}) == [SECOND, FAX]


def test_a_number_of_a_new_type_comes_last() -> None:
    assert phones_written({"home_phone": "4155550102"})[1:] == [SECOND, FAX, ("4155550102", "home", True)]


def test_clearing_a_type_that_hint_does_not_have_changes_no_phone() -> None:
    assert phones_written({"home_phone": None}) == [("5553050051", "mobile", True), SECOND, FAX]


def test_several_phones_change_at_once() -> None:
    written = phones_written({"mobile_phone": None, "office_phone": "4155550103"})
    assert written == [SECOND, FAX, ("4155550103", "office", True)]


def test_a_replaced_phone_keeps_its_id_and_unknown_parts_are_left_out() -> None:
    phones = (Phone("5553050051", "mobile", id="pho-1"), Phone("1", "", us_formattable=False))
    assert render_patient({"mobile_phone": "4155550101"}, phones, BOOK).fields["phones"] == [
        {"id": "pho-1", "number": "4155550101", "type": "mobile", "us_formattable": True},
        {"number": "1", "us_formattable": False},
    ]


@pytest.mark.parametrize(
    ("given_text", "number", "formattable"),
    [
        pytest.param("(415) 555-0101", "4155550101", True, id="us"),
        pytest.param("+1 415 555 0101 ext. 123", "4155550101 x123", False, id="us-with-extension"),
        pytest.param("+44 20 7946 0958", "+442079460958", False, id="abroad"),
        pytest.param("+44 20 7946 0958 x7", "+442079460958 x7", False, id="abroad-with-extension"),
        pytest.param("555-0101", "555-0101", False, id="local"),
        pytest.param("ask her son", "ask her son", False, id="no-number"),
    ],
)
def test_numbers_are_written_as_hint_expects_them(given_text: str, number: str, formattable: bool) -> None:
    assert phones_written({"mobile_phone": given_text})[0] == (number, "mobile", formattable)


def test_ten_digits_are_not_written_where_they_would_read_back_as_another_number() -> None:
    written = phones_written({"mobile_phone": "+1 415 555 0101"}, Rules(default_region="GB"))
    assert written[0] == ("+14155550101", "mobile", False)


@pytest.mark.parametrize(
    ("name", "value", "attributes"),
    [
        pytest.param("first_name", " Mary ", {"first_name": "Mary"}, id="text"),
        pytest.param("email", None, {"email": None}, id="clear"),
        pytest.param("email", "  ", {"email": None}, id="blank-clears"),
        pytest.param("prefix", "Dr.", {"title": "Dr."}, id="prefix"),
        pytest.param("date_of_birth", "1956-04-24", {"dob": "1956-04-24"}, id="date"),
        pytest.param("gender", "Female", {"gender_identity": "woman"}, id="gender-by-map"),
        pytest.param("gender", "TRANS MAN", {"gender_identity": "trans man"}, id="gender-equally-named"),
        pytest.param("gender", None, {"gender_identity": None, "gender": None}, id="clearing-clears-both-genders"),
        pytest.param("state", "California", {"address_state": "California"}, id="state"),
        pytest.param("country", "CA", {"address_country": "Canada"}, id="country-by-name"),
        pytest.param("country", "USA", {"address_country": "USA"}, id="country-as-spelled"),
        pytest.param("address_line2", "Suite 1, Floor 2", {"address_line2": "Suite 1, Floor 2"}, id="line"),
        pytest.param("contract_accepted", None, {"patient_agreement_accepted": False}, id="flag"),
        pytest.param(
            "contract_accepted_at",
            "2026-11-22T10:15:00.000+0000",
            {"patient_agreement_accepted_at": "2026-11-22T10:15:00Z"},
            id="instant",
        ),
    ],
)
def test_values_are_written_to_their_attributes(name: str, value: Value, attributes: dict[str, Any]) -> None:
    rendered = render_patient({name: value}, PHONES, BOOK)
    assert (rendered.fields, rendered.held) == (attributes, {})


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        pytest.param("first_name", None, "requires the first name", id="first-name-is-required"),
        pytest.param("last_name", " ", "requires the last name", id="last-name-is-required"),
        pytest.param("gender", "Secret", "gender map", id="gender-without-a-word"),
        pytest.param("practitioner", "Secret", "does not let the practitioner", id="read-only"),
        pytest.param("date_of_birth", "Secret", "calendar date", id="no-date"),
        pytest.param("hipaa_accepted_at", "Secret", "point in time", id="no-instant"),
    ],
)
def test_what_hint_cannot_hold_is_held_and_the_rest_is_written(name: str, value: Value, says: str) -> None:
    rendered = render_patient({name: value, "city": "Oslo"}, PHONES, BOOK)
    assert rendered.fields == {"address_city": "Oslo"}
    assert list(rendered.held) == [name]
    assert says in rendered.held[name]
    assert "Secret" not in rendered.held[name]


# --- the street ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("at_hint", "lines"),
    [
        pytest.param((" ", "Suite 5"), ("Suite 5", None), id="the-first-non-blank-line-is-line-1"),
        pytest.param(("1 A St", "Suite 5"), ("1 A St", "Suite 5"), id="both"),
        pytest.param(("1 A St", None), ("1 A St", None), id="one"),
        pytest.param((None, ""), (None, None), id="none"),
    ],
)
def test_street_at_hint_begins_with_its_first_line(
    at_hint: tuple[str | None, str | None], lines: tuple[str | None, str | None]
) -> None:
    values = read_patient(GORDON | {"address_line1": at_hint[0], "address_line2": at_hint[1]}, BOOK.fields).values
    assert (values["address_line1"], values["address_line2"]) == lines


def test_a_second_line_alone_stays_one_when_the_first_is_not_shown() -> None:
    shown = {key: value for key, value in GORDON.items() if key != "address_line1"}
    assert read_patient(shown, BOOK.fields).values["address_line2"] == "Suite 2402"


def test_lines_with_fields_of_their_own_stay_where_they_are() -> None:
    own = tuple(replace(f, salesforce=(f.name,)) if f.kind is Kind.LINE else f for f in BOOK.fields)
    values = read_patient(GORDON | {"address_line1": None}, own).values
    assert (values["address_line1"], values["address_line2"]) == (None, "Suite 2402")
    book = replace(BOOK, fields=own)
    assert render_patient({"address_line1": "1 A St"}, (), book, values).fields == {"address_line1": "1 A St"}


def test_with_one_line_the_whole_street_is_written() -> None:
    current: dict[str, Value] = {"address_line1": "1 A St", "address_line2": "B", "city": "Oslo"}
    assert render_patient({"address_line2": None}, (), BOOK, current).fields == {
        "address_line1": "1 A St",
        "address_line2": None,
    }
    assert render_patient({"city": "Bergen"}, (), BOOK, current).fields == {"address_city": "Bergen"}


LINES = st.one_of(st.none(), st.text(max_size=12), st.sampled_from(["1 A St", "Suite 5\r\nrear", " "]))


@given(before=st.tuples(LINES, LINES), changes=st.fixed_dictionaries({}, optional={"address_line1": LINES}))
@settings(max_examples=150, deadline=None)
def test_a_changed_first_line_reaches_hint_whichever_line_held_it(
    before: tuple[str | None, str | None], changes: dict[str, Value]
) -> None:
    raw = GORDON | {"address_line1": before[0], "address_line2": before[1]}
    current = read_patient(raw, BOOK.fields).values
    written = render_patient(changes, (), BOOK, current).fields
    back = read_patient(stored_at_hint(raw | written), BOOK.fields).values
    after = {**current, **changes}
    lines = (after["address_line1"], after["address_line2"])
    wanted = split_street(join_street(str(line) for line in lines if line is not None))
    rows = (BOOK.field("address_line1"), BOOK.field("address_line2"))
    assert [same(row, line, back[row.name], RULES) for row, line in zip(rows, wanted, strict=True)] == [True, True]


# --- what Hint stores of it ------------------------------------------------------------------------------------------


def stored_at_hint(written: dict[str, Any]) -> dict[str, Any]:
    """As Hint rewrites what it is given: trims, blank is null, states by code."""
    stored = {key: value.strip() or None if isinstance(value, str) else value for key, value in written.items()}
    if state := stored.get("address_state"):
        stored["address_state"] = state_code(state, "US") or state
    return GORDON | stored


PEOPLE = st.fixed_dictionaries(
    {},
    optional={
        "prefix": st.sampled_from(["Dr.", "mr", None]),
        "first_name": st.text(min_size=1, max_size=20),
        "middle_name": st.one_of(st.none(), st.text(max_size=20)),
        "date_of_birth": st.dates().map(str),
        "gender": st.sampled_from(["Male", "Female", "NONBINARY", "Not Listed", "Trans Man", None]),
        "email": st.one_of(st.none(), st.emails()),
        "office_phone": st.one_of(st.none(), st.text("0123456789 +-()x#", max_size=20)),
        "home_phone": st.sampled_from(["(415) 555-0101", "+44 20 7946 0958 x1", "+1 416 555 0123", "none"]),
        "city": st.text(max_size=20),
        "state": st.sampled_from(["CA", "California", "Ontario", "nowhere", None]),
        "zip": st.sampled_from(["10002", "10002-1234", "K1A 0B1", None]),
        "country": st.sampled_from(["US", "USA", "United States", "DE", "CD", "Narnia", None]),
    },
)


@given(changes=PEOPLE)
@settings(max_examples=150, deadline=None)
def test_what_hint_stores_of_our_writing_reads_back_as_the_same(changes: dict[str, Value]) -> None:
    rendered = render_patient(changes, PHONES, BOOK)
    back = read_patient(stored_at_hint(rendered.fields), FIELDS).values
    written = [name for name in changes if name not in rendered.held]
    differing = [name for name in written if not same(BOOK.field(name), changes[name], back[name], BOOK.rules)]
    assert differing == []
