"""The partner's own addresses: installations, the token exchange, webhook addresses and past deliveries."""

from __future__ import annotations

from typing import Any

import msgspec
from aiohttp import web

from hintd.sandbox.hint.answers import Declined, answer, json_object, no_content
from hintd.sandbox.hint.installation import Installation
from hintd.sandbox.hint.lists import instant, operators_in, page_of
from hintd.sandbox.hint.webhooks import Webhooks

_EVENT_TYPES = (
    "patient.created",
    "patient.updated",
    "patient.destroyed",
    "patient.inactive",
    "integration.activated",
    "integration.deactivated",
)
_GLOBAL = "global"


class Partner:
    """Handlers of ``/api/partner``, ``/api/oauth``, ``/api/integrations`` and ``/api/global_webhook_endpoints``."""

    def __init__(self, installation: Installation, webhooks: Webhooks) -> None:
        self._installation = installation
        self._webhooks = webhooks

    def routes(self, app: web.Application) -> None:
        """Add the routes; each family of webhook addresses is published twice."""
        add = app.router.add_route
        add("POST", "/api/partner/installations/connect", self.connect)
        add("POST", "/api/oauth/tokens", self.exchange)
        add("GET", "/api/partner/webhook_requests", self.past_deliveries)
        add("GET", "/api/partner/webhook_events", self.event_types)
        add("GET", "/api/partner/installations", self.list_installations)
        add("GET", "/api/integrations", self.list_installations)
        for family in ("/api/partner/installations/{installation}", "/api/integrations/{installation}"):
            add("GET", family, self.show)
            add("PATCH", family, self.change)
            add("POST", family + "/activate", self.activate)
            add("POST", family + "/deactivate", self.deactivate)
            self._endpoint_routes(app, family + "/webhook_endpoints")
        for family in ("/api/global_webhook_endpoints", "/api/partner/webhook_endpoints"):
            self._endpoint_routes(app, family)

    def _endpoint_routes(self, app: web.Application, base: str) -> None:
        add = app.router.add_route
        add("GET", base, self.list_endpoints)
        add("POST", base, self.register)
        add("GET", base + "/{endpoint}", self.show_endpoint)
        add("PATCH", base + "/{endpoint}", self.move)
        add("PUT", base + "/{endpoint}", self.move)
        add("DELETE", base + "/{endpoint}", self.unregister)

    async def connect(self, request: web.Request) -> web.Response:
        body = await json_object(request)
        self._connect(body)
        return answer(self._installation.shown(with_keys=True))

    async def exchange(self, request: web.Request) -> web.Response:
        body = await json_object(request)
        if body.get("grant_type") != "authorization_code":
            raise Declined(400, "grant_type must be authorization_code")
        self._connect(body)
        return answer(self._installation.shown_as_token())

    def _connect(self, body: dict[str, Any]) -> None:
        was_active = self._installation.active
        self._installation.connect(str(body.get("code") or ""), activate=body.get("activate", True) is not False)
        if self._installation.active and not was_active:
            self._tell("integration.activated")

    async def list_installations(self, request: web.Request) -> web.Response:
        status = request.query.get("status")
        matches = self._installation.status != "onboarding" and status in (None, self._installation.status)
        return answer([self._shown(request)] if matches else [])

    async def show(self, request: web.Request) -> web.Response:
        self._installation.check_id(request.match_info["installation"])
        return answer(self._shown(request))

    async def change(self, request: web.Request) -> web.Response:
        self._installation.check_id(request.match_info["installation"])
        self._installation.override_url = (await json_object(request)).get("webhook_url_override")
        return answer(self._shown(request))

    async def activate(self, request: web.Request) -> web.Response:
        self._installation.check_id(request.match_info["installation"])
        self._installation.status = "active"
        self._tell("integration.activated")
        return answer(self._shown(request))

    async def deactivate(self, request: web.Request) -> web.Response:
        self._installation.check_id(request.match_info["installation"])
        self._tell("integration.deactivated")
        self._installation.status = "deactivated"
        return answer(self._shown(request))

    def _shown(self, request: web.Request) -> dict[str, Any]:
        older = request.path.startswith("/api/integrations")
        return self._installation.shown_as_integration() if older else self._installation.shown()

    def _tell(self, event_type: str) -> None:
        self._webhooks.send(event_type, self._installation.shown_as_integration())

    def _scope(self, request: web.Request) -> str:
        installation_id = request.match_info.get("installation")
        if installation_id is None:
            return _GLOBAL
        self._installation.check_id(installation_id)
        return installation_id

    async def list_endpoints(self, request: web.Request) -> web.Response:
        return answer([endpoint.shown() for endpoint in self._installation.endpoints(self._scope(request))])

    async def register(self, request: web.Request) -> web.Response:
        url = (await json_object(request)).get("webhook_url")
        return answer(self._installation.register(self._scope(request), str(url or "")).shown())

    async def show_endpoint(self, request: web.Request) -> web.Response:
        return answer(self._installation.endpoint(self._scope(request), request.match_info["endpoint"]).shown())

    async def move(self, request: web.Request) -> web.Response:
        endpoint = self._installation.endpoint(self._scope(request), request.match_info["endpoint"])
        if "webhook_url" in (body := await json_object(request)):
            self._installation.move(endpoint, str(body["webhook_url"] or ""))
        return answer(endpoint.shown())

    async def unregister(self, request: web.Request) -> web.Response:
        endpoint = self._installation.endpoint(self._scope(request), request.match_info["endpoint"])
        self._installation.unregister(endpoint)
        self._webhooks.cancel_for(endpoint.id)
        return no_content()

    async def event_types(self, request: web.Request) -> web.Response:
        return answer(_EVENT_TYPES)

    async def past_deliveries(self, request: web.Request) -> web.Response:
        query = request.query
        since = operators_in(query["created_at"]).get("gte") if "created_at" in query else None
        oldest = instant(str(since)) if since else None
        found = [
            delivery
            for delivery in self._webhooks.deliveries
            if query.get("status") in (None, delivery.status)
            and query.get("event_type") in (None, delivery.event_type)
            and (oldest is None or delivery.created >= oldest)
        ]
        cut = found[page_of(query)]
        headers = {"x-count": str(len(cut)), "x-total-count": str(len(found))}
        return answer([delivery.shown(msgspec.Raw(delivery.payload)) for delivery in cut], headers=headers)
