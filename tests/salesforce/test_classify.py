"""What each error of Salesforce's means, as a table."""

from __future__ import annotations

from typing import Any

import pytest

from hintd.core.errors import (
    CredentialsRefused,
    Misconfigured,
    Refusal,
    Refused,
    RemoteDown,
    RemoteError,
    Retryable,
)
from hintd.core.model import Owner
from hintd.salesforce.classify import Gone, UnknownField, classify, failure
from hintd.salesforce.wire import Nonsense, read_errors


def verdict(status: int, *codes: str, message: str = "", fields: tuple[str, ...] = ()) -> Any:
    body = [{"errorCode": code, "message": message, "fields": list(fields)} for code in codes]
    return classify(status, read_errors(body))


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        pytest.param(400, "UNABLE_TO_LOCK_ROW", Retryable, id="locked row"),
        pytest.param(500, "UNKNOWN_EXCEPTION", Retryable, id="unknown exception"),
        pytest.param(400, "QUERY_TIMEOUT", Retryable, id="query timeout"),
        pytest.param(400, "INVALID_QUERY_LOCATOR", Retryable, id="expired page"),
        pytest.param(503, "SERVER_UNAVAILABLE", RemoteDown, id="server unavailable"),
        pytest.param(429, "ANYTHING", RemoteDown, id="429"),
        pytest.param(401, "INVALID_SESSION_ID", CredentialsRefused, id="session refused twice"),
        pytest.param(400, "INVALID_FIELD", UnknownField, id="unknown field"),
        pytest.param(400, "INVALID_FIELD_FOR_INSERT_UPDATE", Misconfigured, id="read-only field"),
        pytest.param(404, "INVALID_TYPE", Misconfigured, id="unknown object"),
        pytest.param(403, "API_DISABLED_FOR_ORG", Misconfigured, id="no API"),
        pytest.param(403, "STORAGE_LIMIT_EXCEEDED", Misconfigured, id="storage full"),
        pytest.param(403, "TXN_SECURITY_NO_ACCESS", Misconfigured, id="transaction security"),
    ],
)
def test_an_error_about_the_remote_becomes_the_exception_that_says_what_to_do(
    status: int, code: str, kind: type[RemoteError]
) -> None:
    assert type(verdict(status, code)) is kind


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        pytest.param(401, CredentialsRefused, id="401"),
        pytest.param(410, Misconfigured, id="410 retired version"),
        pytest.param(414, Misconfigured, id="414 too long"),
        pytest.param(429, RemoteDown, id="429"),
        pytest.param(500, Retryable, id="500"),
        pytest.param(503, RemoteDown, id="503"),
        pytest.param(302, Nonsense, id="302 to a login page"),
        pytest.param(400, Nonsense, id="400 without a reason"),
    ],
)
def test_a_status_without_errors_is_judged_by_itself(status: int, kind: type[RemoteError]) -> None:
    assert type(classify(status, ())) is kind


@pytest.mark.parametrize(
    ("message", "at_least_s", "at_most_s"),
    [
        pytest.param("TotalRequests Limit exceeded.", 600, 86400, id="daily"),
        pytest.param("ConcurrentRequests (Concurrent API Requests) Limit exceeded.", 1, 30, id="concurrent"),
    ],
)
def test_the_daily_limit_waits_long_and_the_concurrent_one_seconds(
    message: str, at_least_s: float, at_most_s: float
) -> None:
    error = verdict(403, "REQUEST_LIMIT_EXCEEDED", message=message)
    assert isinstance(error, RemoteDown)
    assert error.after_s is not None and at_least_s <= error.after_s <= at_most_s


@pytest.mark.parametrize(
    ("code", "owner"),
    [
        ("STRING_TOO_LONG", Owner.CLINIC),
        ("INVALID_EMAIL_ADDRESS", Owner.CLINIC),
        ("FIELD_INTEGRITY_EXCEPTION", Owner.CLINIC),
        ("FIELD_CUSTOM_VALIDATION_EXCEPTION", Owner.CLINIC),
        ("DUPLICATES_DETECTED", Owner.CLINIC),
        ("REQUIRED_FIELD_MISSING", Owner.SALESFORCE_ADMIN),
        ("INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", Owner.SALESFORCE_ADMIN),
        ("CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", Owner.SALESFORCE_ADMIN),
        ("CANNOT_UPDATE_CONVERTED_LEAD", Owner.SALESFORCE_ADMIN),
        ("INSUFFICIENT_ACCESS_OR_READONLY", Owner.SALESFORCE_ADMIN),
        ("SOMETHING_NEW", Owner.ON_CALL),
    ],
)
def test_a_refused_record_goes_to_the_person_who_can_mend_it(code: str, owner: Owner) -> None:
    refusal = verdict(400, code, message="told", fields=("LastName",))
    assert refusal == Refusal(code, "told", owner, ("LastName",))


@pytest.mark.parametrize("code", ["ENTITY_IS_DELETED", "NOT_FOUND", "INVALID_CROSS_REFERENCE_KEY"])
def test_a_record_that_is_not_there_is_gone(code: str) -> None:
    assert isinstance(verdict(404, code), Gone)


def test_a_reference_that_is_not_there_is_a_refusal_and_not_the_end_of_the_record() -> None:
    refusal = verdict(400, "INVALID_CROSS_REFERENCE_KEY", fields=("AccountId",))
    assert isinstance(refusal, Refusal)
    assert refusal.fields == ("AccountId",)


def test_several_errors_of_a_record_are_one_refusal_with_all_their_fields() -> None:
    errors = read_errors(
        [
            {"errorCode": "STRING_TOO_LONG", "message": "a", "fields": ["LastName"]},
            {"errorCode": "INVALID_EMAIL_ADDRESS", "message": "b", "fields": ["Email", "LastName"]},
        ]
    )
    assert classify(400, errors) == Refusal("STRING_TOO_LONG", "a; b", Owner.CLINIC, ("LastName", "Email"))


def test_an_error_about_the_remote_outweighs_a_refusal() -> None:
    assert type(verdict(400, "STRING_TOO_LONG", "UNABLE_TO_LOCK_ROW")) is Retryable


@pytest.mark.parametrize(
    "body",
    [
        pytest.param({"errorCode": "STRING_TOO_LONG", "message": "m"}, id="bare object"),
        pytest.param([{"errorCode": "STRING_TOO_LONG", "message": "m"}], id="array"),
        pytest.param(
            {"success": False, "errors": [{"statusCode": "STRING_TOO_LONG", "message": "m"}]}, id="collections"
        ),
    ],
)
def test_every_shape_of_error_is_read(body: Any) -> None:
    assert [(e.code, e.message) for e in read_errors(body)] == [("STRING_TOO_LONG", "m")]


@pytest.mark.parametrize("body", [None, "text", 7, ["text"], [None]], ids=repr)
def test_what_is_no_error_is_read_as_none(body: Any) -> None:
    assert read_errors(body) == ()


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        pytest.param("0032X00002QU10J", "0032X00002QU10JQAT", id="15 characters"),
        pytest.param("0032X00002QU10JQAT", "0032X00002QU10JQAT", id="18 characters"),
        pytest.param("0032X00002QU10JQAA", None, id="wrong check letters"),
        pytest.param("<unknown>", None, id="hidden record"),
    ],
)
def test_a_duplicate_value_names_the_other_record(told: str, expected: str | None) -> None:
    message = f"duplicate value found: Hint_Patient_Id__c duplicates value on record with id: {told}"
    assert verdict(400, "DUPLICATE_VALUE", message=message).existing_id == expected


def test_a_duplicate_rule_names_the_record_that_it_found() -> None:
    match = {"matchRecords": [{"record": {"attributes": {"type": "Contact"}, "Id": "003000000000007AAA"}}]}
    body = [{"errorCode": "DUPLICATES_DETECTED", "message": "m", "duplicateResult": {"matchResults": [match]}}]
    refusal = classify(400, read_errors(body))
    assert isinstance(refusal, Refusal)
    assert refusal.existing_id == "003000000000007AAA"


@pytest.mark.parametrize("code", ["INVALID_FIELD", "INVALID_FIELD_FOR_INSERT_UPDATE", "STORAGE_LIMIT_EXCEEDED"])
def test_no_exception_quotes_a_message_that_may_hold_values(code: str) -> None:
    error = verdict(400, code, message="Zzyzx, Ann", fields=("Email",))
    assert "Zzyzx" not in str(error)
    assert "Email" in str(error)


def test_a_refusal_as_an_exception_keeps_the_message_out_of_its_text() -> None:
    error = failure(verdict(400, "STRING_TOO_LONG", message="Zzyzx"))
    assert isinstance(error, Refused)
    assert error.refusal.message == "Zzyzx"
    assert "Zzyzx" not in str(error)


def test_gone_where_no_record_was_meant_is_a_wrong_set_up() -> None:
    assert isinstance(failure(verdict(404, "NOT_FOUND")), Misconfigured)
