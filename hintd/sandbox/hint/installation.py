"""The partner's one installation at the sandbox's one practice, and the webhook addresses that it registered."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from hintd.sandbox.clock import Clock
from hintd.sandbox.hint.answers import Declined
from hintd.sandbox.hint.patients import stamp
from hintd.sandbox.options import Settings

PRACTICE: dict[str, Any] = {"id": "pra-sandbox00001", "name": "Sandbox Family Medicine"}
_PRODUCT: dict[str, Any] = {"id": "ppro-sandbox0001", "name": "hintd", "slug": "hintd"}
_ID = "int-sandbox00001"


@dataclass
class Endpoint:
    """A registered webhook address.  ``scope`` is ``global`` or the installation's id."""

    id: str
    scope: str
    url: str
    created: datetime
    updated: datetime
    delivered: datetime | None = None
    failures_in_row: int = 0
    muted_until: datetime | None = None

    def shown(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "created_at": stamp(self.created),
            "last_delivered_at": self.delivered and stamp(self.delivered),
            "updated_at": stamp(self.updated),
            "webhook_url": self.url,
        }


@dataclass
class Installation:
    """What Hint knows of the partner at the practice.  Its token works while it is not deactivated."""

    settings: Settings
    clock: Clock
    status: str = "onboarding"
    override_url: str | None = None
    _endpoints: dict[str, Endpoint] = field(default_factory=dict)
    _ids: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    @property
    def active(self) -> bool:
        return self.status == "active"

    def connect(self, code: str, *, activate: bool) -> None:
        """Exchange an authorization code.  Declines a wrong one; the right one works again and again."""
        if code != self.settings.now.connect_code:
            raise Declined(422, "Authorization code is invalid or has expired")
        if activate:
            self.status = "active"
        elif not self.active:
            self.status = "pending"

    def check_id(self, installation_id: str) -> None:
        if installation_id != _ID:
            raise Declined(404, "Couldn't find Installation")

    def token_works(self, token: str) -> bool:
        return self.status in ("active", "pending") and token == self.settings.now.practice_token

    def shown(self, *, with_keys: bool = False) -> dict[str, Any]:
        """As the installations of today are shown; the keys only to who has just connected."""
        shown = {
            "id": _ID,
            "auto_grant_partner_app_access": False,
            "default_partner_app_admin_role": None,
            "default_partner_app_non_admin_role": None,
            "status": self.status,
            "practice": PRACTICE,
            "product": _PRODUCT,
        }
        if with_keys:
            key = {"id": "key-sandbox00001", "deactivated_at": None, "label": "hintd", "last_used_at": None}
            shown["api_keys"] = [key | {"token": self.settings.now.practice_token}]
        return shown

    def shown_as_integration(self) -> dict[str, Any]:
        """As the older family of addresses shows it."""
        return {
            "id": _ID,
            "expires_in": None,
            "refresh_token": None,
            "status": self.status,
            "token_type": "bearer",
            "webhook_url_default": None,
            "webhook_url_override": self.override_url,
            "practice": PRACTICE,
        }

    def shown_as_token(self) -> dict[str, Any]:
        """As the older token exchange answers."""
        token = self.settings.now.practice_token
        key = {"deactivated_at": None, "description": "hintd", "last_used_at": None, "token": token}
        return self.shown_as_integration() | {"access_token": token, "api_keys": [key], "product": _PRODUCT}

    def endpoints(self, scope: str | None = None) -> list[Endpoint]:
        return [e for e in self._endpoints.values() if scope in (None, e.scope)]

    def endpoint(self, scope: str, endpoint_id: str) -> Endpoint:
        found = self._endpoints.get(endpoint_id)
        if found is None or found.scope != scope:
            raise Declined(404, "Couldn't find WebhookEndpoint")
        return found

    def is_registered(self, endpoint: Endpoint) -> bool:
        return endpoint.id in self._endpoints

    def register(self, scope: str, url: str) -> Endpoint:
        now = self.clock.now()
        endpoint = Endpoint(f"whe-sandbox{next(self._ids):05}", scope, _checked(url), now, now)
        self._endpoints[endpoint.id] = endpoint
        return endpoint

    def move(self, endpoint: Endpoint, url: str) -> None:
        endpoint.url, endpoint.updated = _checked(url), self.clock.now()
        endpoint.failures_in_row, endpoint.muted_until = 0, None

    def unregister(self, endpoint: Endpoint) -> None:
        del self._endpoints[endpoint.id]


def _checked(url: str) -> str:
    if not url.startswith(("http://", "https://")):
        raise Declined(422, "Validation failed: Webhook url is invalid")
    return url
