"""Hint as one thing: its patients, its keys and quotas, its addresses and its webhooks."""

from __future__ import annotations

import hmac
from collections import Counter
from collections.abc import Sequence

from aiohttp import web
from aiohttp.typedefs import Handler

from hintd.sandbox.changes import Changes
from hintd.sandbox.clock import Clock
from hintd.sandbox.crowd import Crowd
from hintd.sandbox.hint.answers import Declined, refusal
from hintd.sandbox.hint.installation import Installation
from hintd.sandbox.hint.partner import Partner
from hintd.sandbox.hint.patients import Patients
from hintd.sandbox.hint.provider import Provider
from hintd.sandbox.hint.quota import Quota
from hintd.sandbox.hint.webhooks import Webhooks
from hintd.sandbox.options import Settings
from hintd.sandbox.people import Person


class HintSide:
    """``calls`` counts every request that arrived, refused ones too, as "METHOD template"."""

    def __init__(
        self, settings: Settings, clock: Clock, changes: Changes, people: Sequence[Person], crowd: Crowd
    ) -> None:
        self._settings = settings
        self.calls: Counter[str] = Counter()
        self.quota = Quota(settings, clock)
        self.installation = Installation(settings, clock)
        self.webhooks = Webhooks(settings, clock, self.installation)
        self.patients = Patients(settings, clock, changes, crowd)
        self.patients.seed(person.patient for person in people if person.patient is not None)
        self.patients.send_event = self.webhooks.send

    def routes(self, app: web.Application) -> None:
        Partner(self.installation, self.webhooks).routes(app)
        Provider(self.patients).routes(app)
        app.middlewares.append(self._admit)

    async def start(self) -> None:
        await self.webhooks.start()

    async def stop(self) -> None:
        await self.webhooks.stop()

    @web.middleware
    async def _admit(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Count, check quota and key, and turn refusals into answers; only for Hint's own addresses."""
        if not request.path.startswith("/api/"):
            return await handler(request)
        resource = request.match_info.route.resource
        self.calls[f"{request.method} {resource.canonical if resource else 'unknown address'}"] += 1
        try:
            self.quota.spend(detail=resource is not None and resource.canonical.endswith("/patients/{id}"))
            self._check_key(request)
            return await handler(request)
        except Declined as declined:
            return refusal(declined.status, declined.message)
        except web.HTTPNotFound:
            return refusal(404, "Not found")
        except web.HTTPMethodNotAllowed:
            return refusal(405, "Method not allowed")

    def _check_key(self, request: web.Request) -> None:
        """Declines with 401 what is no key, and with 428 the partner's key where a practice's is needed."""
        key = request.headers.get("Authorization", "").removeprefix("Bearer ")
        is_partner = hmac.compare_digest(key.encode(), self._settings.now.partner_key.encode())
        for_practice = request.path.startswith("/api/provider/")
        if for_practice and is_partner:
            raise Declined(428, "This request requires a Practice")
        if not (self.installation.token_works(key) if for_practice else is_partner):
            raise Declined(401, "Unauthorized")
