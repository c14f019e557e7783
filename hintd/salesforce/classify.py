"""What an error of Salesforce's means for hintd: one pure function over one table.

An error is either about the remote or the set-up (an exception of ``hintd.core.errors``), about one record that
cannot be written (``Refusal``), or says that the record is no more (``Gone``).  Sentences name codes and API names
only; Salesforce's own messages may quote values and stay inside the Refusal.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from hintd.core.errors import CredentialsRefused, Misconfigured, Refusal, Refused, RemoteDown, RemoteError, Retryable
from hintd.core.model import Owner
from hintd.core.salesforce_id import to_18
from hintd.salesforce.wire import Nonsense, WireError

DAILY_LIMIT_WAIT_S = 900.0  # the allowance rolls over 24 hours: asking again sooner only spends what trickles back
CONCURRENT_LIMIT_WAIT_S = 5.0
THROTTLED_WAIT_S = 10.0


@dataclass(frozen=True, slots=True)
class Gone:
    """The record is deleted, merged away, purged or hidden."""

    error: WireError


class UnknownField(Misconfigured):
    """A field that was asked for is not there (any more) for hintd's user: describe knows more."""


Verdict = RemoteError | Refusal | Gone

_GONE = frozenset({"ENTITY_IS_DELETED", "NOT_FOUND", "INVALID_CROSS_REFERENCE_KEY"})
_BUSY = frozenset({"UNABLE_TO_LOCK_ROW", "UNKNOWN_EXCEPTION", "QUERY_TIMEOUT", "INVALID_QUERY_LOCATOR"}) | {
    "ALL_OR_NONE_OPERATION_ROLLED_BACK",
    "PROCESSING_HALTED",
}
_DOWN = frozenset({"SERVER_UNAVAILABLE", "API_CURRENTLY_DISABLED"})

_REMEDIES: dict[str, str] = {
    "INVALID_FIELD_FOR_INSERT_UPDATE": "let hintd's user edit it by the permission set, or map another field",
    "INVALID_TYPE": "give hintd's user access to the object",
    "MALFORMED_QUERY": "check the field map: one of its names cannot be queried",
    "INVALID_QUERY_FILTER_OPERATOR": "check the field map: one of its fields cannot be filtered",
    "INSUFFICIENT_ACCESS": "give hintd's user the permission set of the package",
    "API_DISABLED_FOR_ORG": "this edition has no API: Enterprise, or Professional with the API add-on, is needed",
    "FUNCTIONALITY_NOT_ENABLED": "enable API access for hintd's user",
    "STORAGE_LIMIT_EXCEEDED": "free data storage in the org, or buy more",
    "LIMIT_EXCEEDED": "look up which limit the org has reached (Setup, System Overview)",
    "EXCEEDED_ID_LIMIT": "sweep more often: too many records changed in one span",
    "TXN_SECURITY_NO_ACCESS": "a Transaction Security policy blocks hintd's user: exempt it",
    "TXN_SECURITY_RUNTIME_EXCEPTION": "a Transaction Security policy fails for hintd's user: mend or exempt it",
    "ORG_LOCKED": "the org is locked: ask Salesforce's support",
    "INVALID_OPERATION_WITH_EXPIRED_PASSWORD": "the password of hintd's user has run out: renew it",
    "UNSUPPORTED_API_VERSION": "set [salesforce] api_version to a version that the org answers",
}

_OWNERS: dict[str, Owner] = {
    "INVALID_EMAIL_ADDRESS": Owner.CLINIC,
    "STRING_TOO_LONG": Owner.CLINIC,
    "FIELD_INTEGRITY_EXCEPTION": Owner.CLINIC,  # state or country not in the org's list
    "FIELD_CUSTOM_VALIDATION_EXCEPTION": Owner.CLINIC,
    "NUMBER_OUTSIDE_VALID_RANGE": Owner.CLINIC,
    "DUPLICATES_DETECTED": Owner.CLINIC,
    "DUPLICATE_VALUE": Owner.CLINIC,
    # describe let us write it, so the org asks for something that is not in the field map
    "REQUIRED_FIELD_MISSING": Owner.SALESFORCE_ADMIN,
    "FIELD_FILTER_VALIDATION_EXCEPTION": Owner.SALESFORCE_ADMIN,
    "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST": Owner.SALESFORCE_ADMIN,
    "INVALID_TYPE_ON_FIELD_IN_RECORD": Owner.SALESFORCE_ADMIN,
    "JSON_PARSER_ERROR": Owner.SALESFORCE_ADMIN,  # text for a number field: the map pairs what does not fit
    "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY": Owner.SALESFORCE_ADMIN,
    "CANNOT_EXECUTE_FLOW_TRIGGER": Owner.SALESFORCE_ADMIN,
    "APEX_ERROR": Owner.SALESFORCE_ADMIN,
    "DUPLICATE_EXTERNAL_ID": Owner.SALESFORCE_ADMIN,
    "INSUFFICIENT_ACCESS_ON_CROSS_REFERENCE_ENTITY": Owner.SALESFORCE_ADMIN,
    "INSUFFICIENT_ACCESS_OR_READONLY": Owner.SALESFORCE_ADMIN,
    "INVALID_CROSS_REFERENCE_KEY": Owner.SALESFORCE_ADMIN,
    "ENTITY_IS_DELETED": Owner.SALESFORCE_ADMIN,
    "NOT_FOUND": Owner.SALESFORCE_ADMIN,
}

# Salesforce says: duplicate value found: SomeField__c duplicates value on record with id, a colon, 15 characters
_OTHER_ID = re.compile(r"\bwith id:?\s*([A-Za-z0-9]{15,18})\b")


def classify(status: int, errors: Sequence[WireError]) -> Verdict:
    """What an answer with this status and these errors means.  One error about the remote outweighs any refusal."""
    if not errors:
        return _by_status(status)
    verdicts = [_verdict(status, error) for error in errors]
    about_remote = next((v for v in verdicts if isinstance(v, RemoteError)), None)
    if about_remote is not None:
        return about_remote
    gone = next((v for v in verdicts if isinstance(v, Gone)), None)
    return gone if gone is not None else refuse(errors)


def refuse(errors: Sequence[WireError]) -> Refusal:
    """All errors of one record as one refusal; the first gives the code and so who can mend it."""
    first = errors[0]
    fields = dict.fromkeys(name for error in errors for name in error.fields)
    return Refusal(
        first.code,
        "; ".join(error.message for error in errors if error.message),
        _OWNERS.get(first.code, Owner.SALESFORCE_ADMIN if first.code.startswith("CANNOT_") else Owner.ON_CALL),
        tuple(fields),
        next((found for error in errors if (found := _existing_id(error))), None),
    )


def failure(verdict: Verdict) -> RemoteError:
    """The verdict as an exception, where the answer was to be about no single record."""
    match verdict:
        case RemoteError():
            return verdict
        case Refusal():
            return Refused(verdict)
        case Gone():
            return Misconfigured(
                f"Salesforce does not know what was asked for ({verdict.error.code}): "
                "check [salesforce] api_version and the permissions of hintd's user"
            )


def _existing_id(error: WireError) -> str | None:
    if error.duplicate_ids:
        return error.duplicate_ids[0]
    found = _OTHER_ID.search(error.message) if error.code == "DUPLICATE_VALUE" else None
    return to_18(found[1]) if found else None


def _verdict(status: int, error: WireError) -> Verdict:
    code = error.code
    by_code = _BY_CODE.get(code)
    if by_code is not None:
        return by_code(error)
    if code in _BUSY:
        return Retryable(f"Salesforce was busy: {code}")
    if code in _DOWN or status in (420, 429, 502, 503, 504):
        return RemoteDown(f"Salesforce does not serve now: {code}", after_s=THROTTLED_WAIT_S)
    if code in _GONE and not _blames_another(error):
        return Gone(error)
    if code in _REMEDIES:
        return Misconfigured(f"Salesforce refuses {code}{_named(error)}: {_REMEDIES[code]}")
    return _by_status(status) if status >= 500 or not code else refuse([error])


def _blames_another(error: WireError) -> bool:
    """A reference of the record, such as its account, is gone or hidden; not the record itself."""
    return any(name.lower() != "id" for name in error.fields)


def _named(error: WireError) -> str:
    return f" ({', '.join(error.fields)})" if error.fields else ""


def _request_limit(error: WireError) -> RemoteError:
    # only this code's message is looked at: it is Salesforce's own text and the one place that tells the two apart
    if "concurrent" in error.message.lower():
        return RemoteDown("Salesforce runs too many long requests of this org now", after_s=CONCURRENT_LIMIT_WAIT_S)
    return RemoteDown("The org's API calls of the last 24 hours are used up", after_s=DAILY_LIMIT_WAIT_S)


def _unknown_field(error: WireError) -> RemoteError:
    return UnknownField(
        f"Salesforce does not show hintd's user a field of the map{_named(error)}: deploy it, or give access to it "
        "by the permission set, then run hintd check"
    )


def _session_refused(error: WireError) -> RemoteError:
    return CredentialsRefused(
        f"Salesforce refuses a fresh token ({error.code}): check that hintd's user is active and may use the API, and "
        "that sessions are not locked to another IP address"
    )


_BY_CODE: dict[str, Callable[[WireError], RemoteError]] = {
    "REQUEST_LIMIT_EXCEEDED": _request_limit,
    "INVALID_FIELD": _unknown_field,
    "INVALID_SESSION_ID": _session_refused,
    "INVALID_AUTH_HEADER": _session_refused,
}


def _by_status(status: int) -> RemoteError:
    match status:
        case 401:
            return _session_refused(WireError("401"))
        case 410:
            return Misconfigured("Salesforce has retired this API version: raise [salesforce] api_version")
        case 414 | 431:
            return Misconfigured("The request is longer than Salesforce takes (16,384 bytes): map fewer fields")
        case 420 | 429 | 502 | 503 | 504:
            return RemoteDown(f"Salesforce does not serve now ({status})", after_s=THROTTLED_WAIT_S)
        case _ if status >= 500:
            return Retryable(f"Salesforce failed ({status})")
        case _:
            return Nonsense(f"Salesforce answered {status} without a reason")
