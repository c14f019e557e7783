"""How Salesforce spells dates, SOQL and addresses."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from hintd.salesforce.wire import check_address, http_date, path_segment, soql_instant, soql_select, soql_text

EAST = timezone(timedelta(hours=5, minutes=30))


@pytest.mark.parametrize(
    "moment",
    [
        pytest.param(datetime(2026, 11, 22, 10, 15, 0, 999_999, UTC), id="fraction"),
        pytest.param(datetime(2026, 11, 22, 15, 45, 0, tzinfo=EAST), id="other zone"),
    ],
)
def test_a_condition_is_in_whole_seconds_of_gmt(moment: datetime) -> None:
    assert http_date(moment) == "Sun, 22 Nov 2026 10:15:00 GMT"


@pytest.mark.parametrize(
    ("moment", "literal"),
    [
        pytest.param(datetime(2026, 11, 22, 10, 15, tzinfo=UTC), "2026-11-22T10:15:00.000Z", id="whole second"),
        pytest.param(datetime(2026, 11, 22, 10, 15, 0, 999_999, UTC), "2026-11-22T10:15:00.999Z", id="cut off"),
        pytest.param(datetime(2026, 11, 22, 15, 45, tzinfo=EAST), "2026-11-22T10:15:00.000Z", id="other zone"),
    ],
)
def test_a_soql_instant_is_in_milliseconds_of_utc(moment: datetime, literal: str) -> None:
    assert soql_instant(moment) == literal


@pytest.mark.parametrize(
    ("text", "literal"),
    [
        ("O'Brien", r"'O\'Brien'"),
        ("a\\", r"'a\\'"),
        ("\\' OR Id != '", r"'\\\' OR Id != \''"),
        ("two\r\nlines", r"'two\r\nlines'"),
        ("Zoë", "'Zoë'"),
    ],
)
def test_text_cannot_leave_its_soql_literal(text: str, literal: str) -> None:
    assert soql_text(text) == literal


def test_a_query_is_put_together_from_its_clauses() -> None:
    assert (
        soql_select(("Id", "Name"), "Account", "WHERE", "Name = 'x'") == "SELECT Id, Name FROM Account WHERE Name = 'x'"
    )


def test_nothing_in_a_path_segment_can_end_it() -> None:
    assert path_segment("a/b?c#d%2F e") == "a%2Fb%3Fc%23d%252F%20e"


@pytest.mark.parametrize(
    "url",
    ["https://acme.my.salesforce.com/", "http://127.0.0.1:8080", "http://localhost", "http://[::1]:8080/"],
)
def test_https_and_loopback_addresses_are_taken_without_their_final_slash(url: str) -> None:
    assert check_address(url, "login_url") == url.rstrip("/")


@pytest.mark.parametrize(
    "url", ["http://acme.my.salesforce.com", "http://127.0.0.1.evil.example", "ftp://x", "", "acme"]
)
def test_other_addresses_are_refused_by_name(url: str) -> None:
    with pytest.raises(ValueError, match="login_url"):
        check_address(url, "login_url")
