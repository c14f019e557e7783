"""What the partner key is for: connecting practices, their webhooks, and deliveries that Hint could not make.

Hint serves each of these under an older path too.  The newer one is asked first; 404 there leads to the older one.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeVar

import aiohttp
import msgspec

from hintd.core.errors import Refusal, Refused, Retryable
from hintd.core.model import Owner
from hintd.hint.client import since_filter
from hintd.hint.transport import Answer, Request, Transport
from hintd.hint.wire import InstallationAnswer, WebhookEndpoint, WebhookRequest
from hintd.ports import Budget, Call, CallClass, CountCall

T = TypeVar("T")

_REMEDY = "Check [hint] partner_key: it must be the partner API key of this Hint environment."
_PAGE = 100

_read_installation = msgspec.json.Decoder(InstallationAnswer).decode
_read_webhook = msgspec.json.Decoder(WebhookEndpoint).decode
_read_webhooks = msgspec.json.Decoder(tuple[WebhookEndpoint, ...]).decode
_read_deliveries = msgspec.json.Decoder(tuple[WebhookRequest, ...]).decode


@dataclass(frozen=True, slots=True)
class Installation:
    """A practice's installation of this partner's integration; only ``connect`` brings its token."""

    id: str
    status: str  # onboarding, pending, active, deactivated; empty where Hint does not say
    practice_id: str
    practice_name: str
    token: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Webhook:
    id: str
    url: str


@dataclass(frozen=True, slots=True)
class FailedDelivery:
    """``event`` is the body of the delivery as JSON, to be read like a webhook's; it carries patients' values."""

    type: str
    created_at: str | None
    event: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class _Paths:
    """The newer path and the older one of the same thing."""

    newer: str
    older: str


_CONNECT = _Paths("/partner/installations/connect", "/oauth/tokens")
_ACTIVATE = _Paths("/partner/installations/{id}/activate", "/integrations/{id}/activate")
_DEACTIVATE = _Paths("/partner/installations/{id}/deactivate", "/integrations/{id}/deactivate")
_WEBHOOKS = _Paths("/partner/installations/{id}/webhook_endpoints", "/integrations/{id}/webhook_endpoints")
_WEBHOOK = _Paths(
    "/partner/installations/{id}/webhook_endpoints/{webhook_id}", "/integrations/{id}/webhook_endpoints/{webhook_id}"
)


class HintPartner:
    """Raises the errors of ``hintd.core.errors``.  ``api_url`` is without ``/api``."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        *,
        api_url: str,
        partner_key: str,
        budget: Budget,
        count: CountCall,
        timeout_s: float = 30.0,
    ) -> None:
        self._transport = Transport(
            session, api_url=api_url, token=partner_key, remedy=_REMEDY, budget=budget, count=count, timeout_s=timeout_s
        )

    async def connect(self, code: str) -> Installation:
        """Exchange a practice's authorization code.  Raises Refused when Hint does not take the code."""
        call = Call(CallClass.MANUAL, "connect")
        answer = await self._transport.send(
            Request("POST", _CONNECT.newer, body={"code": code, "activate": True}), call, _installation
        )
        if answer is None:
            older = {"grant_type": "authorization_code", "code": code, "activate": True}
            answer = await self._transport.send(Request("POST", _CONNECT.older, body=older), call, _installation)
        if answer is None:
            raise Refused(Refusal("404", "Hint does not know this authorization code.", Owner.CLINIC))
        if answer.token is None:
            raise Retryable(
                "Hint connected the practice but sent no token; ask its admin for a new code and try again."
            )
        return answer

    async def activate(self, installation_id: str) -> Installation | None:
        """None when Hint does not know the installation."""
        call = Call(CallClass.MANUAL, "activate")
        return await self._ask("POST", _ACTIVATE, {"id": installation_id}, call, _installation)

    async def deactivate(self, installation_id: str) -> Installation | None:
        """None when Hint does not know the installation."""
        call = Call(CallClass.MANUAL, "deactivate")
        return await self._ask("POST", _DEACTIVATE, {"id": installation_id}, call, _installation)

    async def list_webhooks(self, installation_id: str) -> tuple[Webhook, ...]:
        """This installation's webhooks; none when Hint does not know the installation."""
        call = Call(CallClass.MANUAL, "list_webhooks")
        return await self._ask("GET", _WEBHOOKS, {"id": installation_id}, call, _webhooks) or ()

    async def register_webhook(self, installation_id: str, url: str) -> Webhook:
        """The webhook with this URL, made only where there is none: two would deliver every event twice."""
        standing = next((hook for hook in await self.list_webhooks(installation_id) if hook.url == url), None)
        if standing is not None:
            return standing
        call = Call(CallClass.MANUAL, "register_webhook")
        made = await self._ask("POST", _WEBHOOKS, {"id": installation_id}, call, _webhook, {"webhook_url": url})
        if made is None:
            raise Refused(Refusal("404", "Hint does not know this installation.", Owner.HINT_ADMIN))
        return made

    async def change_webhook(self, installation_id: str, webhook_id: str, url: str) -> Webhook | None:
        """None when Hint does not know the webhook."""
        ids = {"id": installation_id, "webhook_id": webhook_id}
        call = Call(CallClass.MANUAL, "change_webhook")
        return await self._ask("PATCH", _WEBHOOK, ids, call, _webhook, {"webhook_url": url})

    async def remove_webhook(self, installation_id: str, webhook_id: str) -> bool:
        """Cancels its pending deliveries as well.  False when Hint does not know the webhook."""
        ids = {"id": installation_id, "webhook_id": webhook_id}
        call = Call(CallClass.MANUAL, "remove_webhook")
        return await self._ask("DELETE", _WEBHOOK, ids, call, lambda _: True) or False

    async def failed_deliveries(self, since: datetime) -> AsyncIterator[FailedDelivery]:
        """The deliveries of all practices, created since, that Hint gave up.

        Read in pages while Hint goes on delivering, so some may be missed; the sweep finds what they were about.
        """
        call = Call(CallClass.SWEEP, "failed_deliveries")
        query = {"status": "failed", "created_at": since_filter(since), "limit": str(_PAGE)}
        offset = 0
        while True:
            request = Request("GET", "/partner/webhook_requests", query=query | {"offset": str(offset)})
            page = await self._transport.send(request, call, lambda answer: _read_deliveries(answer.body)) or ()
            for delivery in page:
                yield FailedDelivery(delivery.event_type or "", delivery.created_at, bytes(delivery.payload))
            offset += len(page)
            if len(page) < _PAGE:
                return

    async def _ask(
        self,
        method: str,
        paths: _Paths,
        ids: Mapping[str, str],
        call: Call,
        read: Callable[[Answer], T],
        body: Mapping[str, Any] | None = None,
    ) -> T | None:
        value = await self._transport.send(Request(method, paths.newer, ids, body=body), call, read)
        if value is None:
            value = await self._transport.send(Request(method, paths.older, ids, body=body), call, read)
        return value


def _installation(answer: Answer) -> Installation:
    told = _read_installation(answer.body)
    return Installation(told.id, told.status or "", told.practice.id, told.practice.name or "", told.token)


def _webhook(answer: Answer) -> Webhook:
    told = _read_webhook(answer.body)
    return Webhook(told.id, told.webhook_url or "")


def _webhooks(answer: Answer) -> tuple[Webhook, ...]:
    return tuple(Webhook(told.id, told.webhook_url or "") for told in _read_webhooks(answer.body))
