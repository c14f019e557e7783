"""Hint's JSON as types, decoded permissively: Hint adds attributes without notice.

Patients are not here: which of their attributes matter is configuration, so ``hintd.core.patient`` reads them from a
mapping.
"""

from __future__ import annotations

import msgspec


class EventRecord(msgspec.Struct, frozen=True, gc=False):
    """What the listener reads of an event's record; attributes of a wrong type shall not cost the event."""

    id: object = None
    updated_at: object = None


class EventHead(msgspec.Struct, frozen=True, gc=False):
    """An event without its record."""

    type: str
    practice_id: str | None = None


class WebhookEvent(EventHead, frozen=True, gc=False):
    """Decoded in one pass: the listener needs the record's id and stamp only, and passes the event's bytes on."""

    record: EventRecord = msgspec.field(name="object", default=EventRecord())


class Practice(msgspec.Struct, frozen=True):
    id: str
    name: str | None = None


class ApiKey(msgspec.Struct, frozen=True):
    token: str | None = None
    deactivated_at: str | None = None

    def __repr__(self) -> str:
        return "ApiKey(…)"


class InstallationAnswer(msgspec.Struct, frozen=True):
    """The answer about an installation; the older ``/oauth/tokens`` puts the token into ``access_token``."""

    id: str
    practice: Practice
    status: str | None = None
    access_token: str | None = None
    api_keys: tuple[ApiKey, ...] | None = None

    def __repr__(self) -> str:
        return f"InstallationAnswer({self.id})"

    @property
    def token(self) -> str | None:
        """The practice's token; only the answers to an authorization code carry one."""
        usable = (key.token for key in self.api_keys or () if key.token and not key.deactivated_at)
        return next(usable, None) or self.access_token or None


class WebhookEndpoint(msgspec.Struct, frozen=True):
    id: str
    webhook_url: str | None = None


class WebhookRequest(msgspec.Struct, frozen=True):
    """A past delivery; ``payload`` is the event as it was sent, which carries patients' values."""

    event_type: str | None = None
    created_at: str | None = None
    payload: msgspec.Raw = msgspec.Raw()

    def __repr__(self) -> str:
        return f"WebhookRequest({self.event_type})"


class ErrorBody(msgspec.Struct, frozen=True):
    message: str | None = None
