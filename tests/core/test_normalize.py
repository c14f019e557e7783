"""When two values are equal: README rules 1 and 14."""

from __future__ import annotations

import pytest

from hintd.core.fields import FIELDS, Field
from hintd.core.model import Value
from hintd.core.normalize import canonical, iso_day, same, spell_instant, utc_second
from hintd.core.rules import Rules

BY_NAME = {field.name: field for field in FIELDS}
RULES = Rules()


def field(name: str) -> Field:
    return BY_NAME[name]


EQUAL = [
    pytest.param("prefix", "Dr.", "dr", id="prefix-ignores-case-and-final-dot"),
    pytest.param("first_name", "  Mary \t Ann ", "Mary Ann", id="names-fold-white-space"),
    pytest.param("last_name", "Nun\u0303ez", "Nu\u00f1ez", id="accents-in-either-encoding"),
    pytest.param("middle_name", None, " \n ", id="blank-text-is-blank"),
    pytest.param("date_of_birth", "1956-04-24", "1956-04-24T00:00:00.000-08:00", id="date-never-through-a-time-zone"),
    pytest.param("gender", "man", "Male", id="gender-by-the-map"),
    pytest.param("gender", "Not listed", "NOT LISTED", id="gender-ignores-case"),
    pytest.param("gender", "Trans Woman", "trans woman", id="unmapped-gender-equally-named"),
    pytest.param("email", "Bass_Man@Example.com", "bass_man@example.COM", id="email-ignores-case"),
    pytest.param("mobile_phone", "4155550101", "(415) 555-0101", id="phone-spellings"),
    pytest.param("mobile_phone", "+1 415 555 0101", "1-415-555-0101", id="phone-with-country"),
    pytest.param("mobile_phone", "+442079460958", "011 44 20 7946 0958", id="phone-dialled-abroad"),
    pytest.param("mobile_phone", "4155550101 x123", "(415) 555-0101 ext. 123", id="phone-extensions"),
    pytest.param("mobile_phone", "555-0101", "555 0101", id="local-numbers-by-their-digits"),
    pytest.param("mobile_phone", "\u0664\u0661\u0665 555 0101", "4155550101", id="digits-of-any-script"),
    pytest.param("mobile_phone", "ask  her son", "ask her son ", id="phone-without-digits-is-text"),
    pytest.param("address_line1", " 157 E Houston St ", "157 E Houston St", id="lines-are-trimmed"),
    pytest.param("address_line2", "Suite 1\r\nFloor 2", "Suite 1, Floor 2", id="broken-line-is-joined"),
    pytest.param("zip", "10002", "10002-1234", id="zip-with-only-five-digits"),
    pytest.param("zip", "100021234", "10002", id="zip-of-nine-without-dash"),
    pytest.param("state", "California", "CA", id="state-name-and-code"),
    pytest.param("state", "us-ca", "california", id="state-with-its-country"),
    pytest.param("state", "N.Y.", "New York", id="state-with-dots"),
    pytest.param("state", "ON", "Ontario", id="state-abroad"),
    pytest.param("state", "Qu\u00e9bec", "QC", id="state-abroad-with-accent"),
    pytest.param("country", "United States", "USA", id="country-name-and-alpha-3"),
    pytest.param("country", "us", "United States of America", id="country-code-and-official-name"),
    pytest.param("country", "Vietnam", "Viet Nam", id="country-common-name"),
    pytest.param("country", "Narnia", "NARNIA", id="unknown-country-ignores-case"),
    pytest.param("contract_accepted", None, False, id="unset-flag-is-false"),
    pytest.param("hipaa_accepted_at", "2017-01-29T06:23:00.4-08:00", "2017-01-29T14:23:00.000+0000", id="same-second"),
]

DIFFERENT = [
    pytest.param("first_name", "Mcdonald", "McDonald", id="a-change-of-case-is-worth-syncing"),
    pytest.param("first_name", "Rene", "Ren\u00e9", id="an-accent-is-worth-syncing"),
    pytest.param("prefix", "Mr.", "Mrs.", id="prefixes"),
    pytest.param("date_of_birth", "1956-04-24", "1956-04-25", id="dates"),
    pytest.param("gender", "trans man", "Male", id="gender-is-not-guessed"),
    pytest.param("gender", None, "Male", id="blank-gender"),
    pytest.param("mobile_phone", "4155550101", "4155550101 x1", id="extension-counts"),
    pytest.param("mobile_phone", "4155550101", "+44 4155550101", id="country-of-phone-counts"),
    pytest.param("address_line1", "1 A  St", "1 A St", id="lines-are-only-trimmed"),
    pytest.param("zip", "10002-1234", "10002-9999", id="zips-with-nine-digits-each"),
    pytest.param("zip", "1000", "10002-1234", id="a-short-zip-is-no-zip"),
    pytest.param("state", "CA", "CO", id="states"),
    pytest.param("state", "CA", "Cagliari", id="a-code-of-the-default-country-is-its-own"),
    pytest.param("state", "Washington", "Western Australia", id="states-abroad-that-share-a-code"),
    pytest.param("country", "Canada", "CAN Inc", id="countries"),
    pytest.param("contract_accepted", True, None, id="flags"),
    pytest.param("hipaa_accepted_at", "2017-01-29T06:23:00Z", "2017-01-29T06:23:01Z", id="one-second-apart"),
]


@pytest.mark.parametrize(("name", "a", "b"), EQUAL)
def test_values_equal_by_rule_are_the_same(name: str, a: Value, b: Value) -> None:
    assert same(field(name), a, b, RULES)
    assert same(field(name), b, a, RULES)


@pytest.mark.parametrize(("name", "a", "b"), DIFFERENT)
def test_other_values_differ(name: str, a: Value, b: Value) -> None:
    assert not same(field(name), a, b, RULES)
    assert not same(field(name), b, a, RULES)


@pytest.mark.parametrize(
    ("name", "value", "form"),
    [
        pytest.param("mobile_phone", "(415) 555-0101 x9", "+14155550101;ext=9", id="phone"),
        pytest.param("state", "California", "CA", id="state"),
        pytest.param("country", "U.S.A.", "US", id="country"),
        pytest.param("gender", "woman", "female", id="gender"),
        pytest.param("hipaa_accepted_at", "2017-01-29T06:23:00.999999-08:00", "2017-01-29T14:23:00Z", id="instant"),
        pytest.param("hipaa_accepted_at", "some day", "some day", id="no-instant"),
        pytest.param("date_of_birth", "1956-02-30", "1956-02-30", id="no-date"),
        pytest.param("contract_accepted", None, False, id="flag"),
        pytest.param("first_name", "   ", None, id="blank"),
    ],
)
def test_canonical_form(name: str, value: Value, form: Value) -> None:
    assert canonical(field(name), value, RULES) == form


def test_default_region_and_country_are_settings() -> None:
    rules = Rules(default_region="GB", default_country="CA")
    assert same(field("mobile_phone"), "020 7946 0958", "+442079460958", rules)
    assert canonical(field("state"), "British Columbia", rules) == "BC"


def test_two_hint_words_for_one_org_word_count_as_equal() -> None:
    rules = Rules(genders=(("nonbinary", "Other"), ("not listed", "Other"), ("man", "Male")))
    assert same(field("gender"), "nonbinary", "not listed", rules)
    assert same(field("gender"), "not listed", "other", rules)
    assert not same(field("gender"), "man", "Other", rules)


def test_two_org_words_for_one_hint_word_count_as_equal() -> None:
    rules = Rules(genders=(("man", "Male"), ("woman", "F"), ("man", "M"), ("woman", "Female")))
    assert same(field("gender"), "M", "Male", rules)
    assert same(field("gender"), "F", "Female", rules)
    assert not same(field("gender"), "M", "F", rules)


@pytest.mark.parametrize("text", ["", "2017", "9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00+14:00"])
def test_no_instant_is_none_and_never_an_error(text: str) -> None:
    assert utc_second(text) is None


def test_time_without_offset_is_utc() -> None:
    instant = utc_second("2026-11-22T10:15:00")
    assert instant is not None
    assert spell_instant(instant) == "2026-11-22T10:15:00Z"


def test_day_is_read_as_written() -> None:
    assert iso_day(" 1956-04-24T23:59:59-12:00 ") == "1956-04-24"
    assert iso_day("04/24/1956") is None
