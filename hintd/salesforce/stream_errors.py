"""Why a subscription ended, typed by what to do about it.

Salesforce puts its own code into the call's trailers; the gRPC status beside it is not to be relied on (an unavailable
service comes as INTERNAL).  Where there is no code, as from a proxy or a cut connection, the status decides.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any, cast

import grpc
import grpc.aio

from hintd.core.errors import Retryable

PREFIX = "sfdc.platform.eventbus.grpc."
ALLOWANCE_PAUSE_S = 3600.0  # the allowance is counted over the last 24 hours, so it comes back bit by bit


class DeliveryAllowanceUsedUp(Retryable):
    """The org's event deliveries of the last 24 hours are used up: poll, and try again after ``after_s`` seconds."""

    def __init__(self) -> None:
        super().__init__(
            "Salesforce delivers no more change events today: the org's allowance is used up. Changes are polled "
            "meanwhile. Fewer subscribers or the add-on for event deliveries would help.",
            after_s=ALLOWANCE_PAUSE_S,
        )


class Ending(StrEnum):
    RETRY = "retry"  # subscribe again from the same cursor, after a pause
    TOKEN = "token"  # noqa: S105 - a word, no secret: get a new access token, then subscribe again
    CURSOR_LOST = "cursor_lost"  # subscribe from now on, and sweep
    ALLOWANCE = "allowance"
    MISCONFIGURED = "misconfigured"  # a person must mend it


_BY_CODE = {
    "service.auth.error": Ending.TOKEN,
    "service.auth.headers.invalid": Ending.MISCONFIGURED,
    "service.tenant.license": Ending.MISCONFIGURED,
    "topic.not.found": Ending.MISCONFIGURED,
    "topic.meta.permission": Ending.MISCONFIGURED,
    "topic.validation.empty": Ending.MISCONFIGURED,
    "schema.meta.permission": Ending.MISCONFIGURED,
    "subscription.topic.cannot.subscribe": Ending.MISCONFIGURED,
    "subscription.fetch.replayid.corrupted": Ending.CURSOR_LOST,
    "subscription.fetch.replayid.validation.failed": Ending.CURSOR_LOST,
    "subscription.limit.exceeded": Ending.ALLOWANCE,
}
_BY_STATUS = {
    grpc.StatusCode.UNAUTHENTICATED: Ending.TOKEN,
    grpc.StatusCode.NOT_FOUND: Ending.MISCONFIGURED,
    grpc.StatusCode.PERMISSION_DENIED: Ending.MISCONFIGURED,
    grpc.StatusCode.INVALID_ARGUMENT: Ending.CURSOR_LOST,  # the cursor is the one argument that can turn bad by itself
}


def error_code(error: grpc.aio.AioRpcError) -> str:
    """Salesforce's own code without its prefix, such as ``service.auth.error``; empty when there is none."""
    trailers = dict(cast(Any, error.trailing_metadata()) or ())  # the type stubs have lost its type
    return str(trailers.get("error-code", "")).removeprefix(PREFIX)


def classify(error: grpc.aio.AioRpcError) -> Ending:
    """What to do after a call ended with ``error``.  A code that is not known is retried, from the same cursor."""
    code = error_code(error)
    if code:
        return _BY_CODE.get(code, Ending.RETRY)
    return _BY_STATUS.get(error.code(), Ending.RETRY)


def describe(error: grpc.aio.AioRpcError) -> str:
    """A word for the log: Salesforce's code, else the gRPC status.  Never the details, which quote requests."""
    return error_code(error) or error.code().name.lower()


def remedy(error: grpc.aio.AioRpcError, topic: str) -> str:
    """A sentence for the person who can mend it."""
    match error_code(error):
        case "service.tenant.license":
            return "The org's licence does not include the Pub/Sub API or Change Data Capture: use polling mode."
        case "service.auth.headers.invalid":
            return (
                "Salesforce refuses the change stream's headers: the token's instance URL and 18-character org id do "
                "not belong together. Connect the org again."
            )
        case "topic.meta.permission" | "schema.meta.permission" | "subscription.topic.cannot.subscribe":
            return (
                f"The integration user may not subscribe to {topic}: give it read access to Contact "
                "(permission set Hint Sync User) or View All Data."
            )
    return (
        f"Salesforce does not offer {topic} to the integration user: select Contact in Setup, Change Data Capture "
        "(it is part of deploy/salesforce), and give the user read access to Contact. "
        f"Salesforce says: {describe(error)}."
    )


CREDENTIALS_SENTENCE = (
    "Salesforce refuses the change stream although the access token is new: approve the app for the integration user, "
    "and switch off Lock sessions to the IP address from which they originated (Setup, Session Settings)."
)
