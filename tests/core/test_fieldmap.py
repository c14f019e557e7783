"""The field table with the configuration's changes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from hintd.core.contact import render_contact
from hintd.core.fieldmap import apply_field_settings, check_against_shape
from hintd.core.fields import FIELDS, BadFieldMap, Field, FieldShape, Kind, Way, Winner, make_book
from hintd.core.patient import read_patient, render_patient
from hintd.core.rules import Rules

PRONOUNS = {"hint": "pronouns", "salesforce": "Pronouns__c"}


def field(settings: dict[str, Any], name: str) -> Field:
    return next(f for f in apply_field_settings(settings) if f.name == name)


def test_without_settings_the_table_is_the_default() -> None:
    assert apply_field_settings({}) == FIELDS


def test_a_field_is_renamed_and_the_others_stay_in_their_order() -> None:
    table = apply_field_settings({"gender": {"salesforce": "Gender__c"}})
    assert [f.name for f in table] == [f.name for f in FIELDS]
    assert field({"gender": {"salesforce": "Gender__c"}}, "gender").salesforce == ("Gender__c",)


@pytest.mark.parametrize(
    ("entry", "way", "winner"),
    [
        pytest.param({"winner": "hint"}, Way.BOTH, Winner.HINT, id="winner"),
        pytest.param({"way": "to_salesforce"}, Way.TO_SALESFORCE, Winner.HINT, id="to-salesforce"),
        pytest.param({"way": "to_hint"}, Way.TO_HINT, Winner.SALESFORCE, id="to-hint"),
        pytest.param({"way": "both", "winner": "later"}, Way.BOTH, Winner.LATER, id="both"),
    ],
)
def test_way_and_winner_of_a_known_field_change(entry: dict[str, str], way: Way, winner: Winner) -> None:
    changed = field({"email": entry}, "email")
    assert (changed.way, changed.winner) == (way, winner)


def test_a_field_opened_both_ways_goes_by_the_later_change() -> None:
    opened = field({"insurance_payer": {"way": "both"}}, "insurance_payer")
    assert (opened.way, opened.winner) == (Way.BOTH, Winner.LATER)


def test_an_added_pair_has_defaults() -> None:
    assert field({"pronouns": PRONOUNS}, "pronouns") == Field("pronouns", Kind.TEXT, "pronouns", ("Pronouns__c",))


def test_an_added_pair_takes_all_settings() -> None:
    entry = {"hint": "location.name", "salesforce": "Clinic__c", "kind": "text", "way": "to_salesforce"}
    added = field({"clinic": entry}, "clinic")
    assert added == Field("clinic", Kind.TEXT, "location.name", ("Clinic__c",), Way.TO_SALESFORCE, Winner.HINT)


@pytest.mark.parametrize("kind", ["text", "date", "flag", "email", "phone", "instant"])
def test_scalar_kinds_can_be_added(kind: str) -> None:
    assert field({"x": PRONOUNS | {"kind": kind}}, "x").kind == kind


@pytest.mark.parametrize(
    ("settings", "names", "says"),
    [
        pytest.param({"email": {"hint": "x"}}, "email", "'hint'", id="known-field-keeps-its-attribute"),
        pytest.param({"email": {"colour": "x"}}, "email", "salesforce, way, winner", id="unknown-key"),
        pytest.param({"email": "Email__c"}, "email", "table", id="no-table"),
        pytest.param({"email": {"salesforce": 3}}, "email", "quotes", id="wrong-type"),
        pytest.param({"email": {"salesforce": " "}}, "email", "quotes", id="blank"),
        pytest.param({"email": {"salesforce": "Account.Name"}}, "email", "API name", id="no-api-name"),
        pytest.param({"email": {"way": "left"}}, "email", "both, to_salesforce, to_hint", id="unknown-way"),
        pytest.param({"email": {"winner": "me"}}, "email", "later, hint, salesforce", id="unknown-winner"),
        pytest.param({"email": {"way": "to_hint", "winner": "hint"}}, "email", "one way", id="winner-against-the-way"),
        pytest.param({"x": PRONOUNS | {"kind": "state"}}, "x", "text, date, flag", id="kind-not-for-added-fields"),
        pytest.param({"x": PRONOUNS | {"kind": "number"}}, "x", "text, date, flag", id="unknown-kind"),
        pytest.param({"x": {"salesforce": "X__c"}}, "x", "lacks hint", id="no-attribute"),
        pytest.param({"x": {"hint": "pronouns"}}, "x", "lacks salesforce", id="no-contact-field"),
        pytest.param({"Fax Line": PRONOUNS}, "Fax Line", "small letters", id="bad-name"),
        pytest.param({"x": PRONOUNS | {"hint": "phones:fax"}}, "x", "phones of a type", id="phones"),
        pytest.param({"x": PRONOUNS | {"hint": "phones"}}, "x", "more than one value", id="a-list"),
        pytest.param({"x": PRONOUNS | {"hint": "Pro nouns"}}, "x", "not an attribute", id="no-attribute-name"),
        pytest.param({"x": PRONOUNS | {"hint": "integration_record_id"}}, "x", "hintd itself", id="own-attribute"),
        pytest.param(
            {"x": PRONOUNS | {"hint": "practitioner.email"}}, "x", 'way = "to_salesforce"', id="read-only-path"
        ),
        pytest.param({"x": PRONOUNS | {"hint": "membership_status"}}, "x", 'way = "to_salesforce"', id="read-only"),
        pytest.param({"practitioner": {"way": "both"}}, "practitioner", "be written", id="read-only-known-field"),
        pytest.param({"x": PRONOUNS | {"hint": "email"}}, "x", "email writes email already", id="two-writers-at-hint"),
        pytest.param(
            {"x": PRONOUNS | {"salesforce": "email"}}, "x", "field of email", id="two-fields-on-one-contact-field"
        ),
        pytest.param(
            {"x": PRONOUNS | {"salesforce": "MailingState"}}, "x", "field of state", id="name-kept-in-reserve"
        ),
        pytest.param({"x": PRONOUNS | {"salesforce": "MailingStreet"}}, "x", "field of address_line1", id="street"),
        pytest.param(
            {"x": PRONOUNS | {"salesforce": "synced_to_hint__C"}}, "x", "hintd itself", id="own-contact-field"
        ),
    ],
)
def test_a_map_that_cannot_work_is_refused_with_the_field_and_what_to_do(
    settings: dict[str, Any], names: str, says: str
) -> None:
    with pytest.raises(BadFieldMap) as refused:
        apply_field_settings(settings)
    assert names in str(refused.value)
    assert says in str(refused.value)


def test_a_contact_field_is_free_once_the_default_is_renamed() -> None:
    settings = {"email": {"salesforce": "Hint_Email__c"}, "second": PRONOUNS | {"salesforce": "Email"}}
    assert field(settings, "second").salesforce == ("Email",)


def test_an_added_pair_is_read_and_written() -> None:
    table = apply_field_settings({"pronouns": PRONOUNS, "fax": {"hint": "fax", "salesforce": "Fax", "kind": "phone"}})
    shape = {name: FieldShape(name, "string", 40) for name in ("Pronouns__c", "Fax")}
    book = make_book(table, shape, Rules())
    times = {"created_at": "2026-01-01T00:00:00Z", "updated_at": "2026-01-01T00:00:00Z"}
    values = read_patient({"id": "pat-1", "pronouns": "they", "fax": "4155550101"} | times, book.fields).values
    assert values == {"pronouns": "they", "fax": "4155550101"}
    assert render_contact(values, {}, book).fields == {"Pronouns__c": "they", "Fax": "(415) 555-0101"}
    assert render_patient({"fax": "(415) 555-0101"}, (), book).fields == {"fax": "4155550101"}


# --- against the org -------------------------------------------------------------------------------------------------

SHAPE = {
    "Email": FieldShape("Email", "email", 80, updateable=False),
    "Pronouns__c": FieldShape("Pronouns__c", "string", 20),
}


def complaints(settings: dict[str, Any], shape: dict[str, FieldShape] = SHAPE) -> list[str]:
    table = apply_field_settings(settings)
    return check_against_shape(make_book(table, shape, Rules()), table)


def test_what_the_org_has_is_no_complaint() -> None:
    assert complaints({"pronouns": PRONOUNS}) == []


def test_defaults_that_the_org_lacks_are_no_complaint_about_the_map() -> None:
    assert complaints({}) == []


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        pytest.param({"city": {"salesforce": "Town__c"}}, "city: the org has no Contact field Town__c", id="renamed"),
        pytest.param({"x": PRONOUNS | {"salesforce": "X__c"}}, "x: the org has no Contact field X__c", id="added"),
        pytest.param({"x": PRONOUNS | {"kind": "date"}}, "Pronouns__c is of type string, but the kind date", id="type"),
    ],
)
def test_a_changed_field_that_the_org_cannot_serve_is_said(settings: dict[str, Any], says: str) -> None:
    (sentence,) = complaints(settings)
    assert says in sentence


def test_a_changed_field_that_cannot_be_written_is_said_only_where_it_flows_there() -> None:
    locked = {"Pronouns__c": replace(SHAPE["Pronouns__c"], updateable=False)}
    (sentence,) = complaints({"pronouns": PRONOUNS}, locked)
    assert "may not edit Pronouns__c" in sentence
    assert complaints({"pronouns": PRONOUNS | {"way": "to_hint"}}, locked) == []


def test_without_the_table_an_added_field_that_is_missing_is_still_said() -> None:
    table = apply_field_settings({"x": PRONOUNS | {"salesforce": "X__c"}, "city": {"salesforce": "Town__c"}})
    (sentence,) = check_against_shape(make_book(table, SHAPE, Rules()))
    assert sentence.startswith("x: ")
