"""The control port: what a person, a test or the page does to the sandbox itself, as JSON over HTTP.

Edits made here are made by people, never by hintd: a webhook or a change event follows them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aiohttp import web
from aiohttp.typedefs import Handler

from hintd.sandbox.changes import CLINIC
from hintd.sandbox.hint.answers import Declined, answer, json_object, no_content
from hintd.sandbox.live import Live
from hintd.sandbox.load import run_load
from hintd.sandbox.salesforce import control as salesforce_control
from hintd.sandbox.salesforce.refusal import Refusal

if TYPE_CHECKING:
    from hintd.sandbox.app import Sandbox

_MOST_SHOWN = 500
_SECRETS = frozenset({"partner_key", "webhook_secret", "connect_code", "practice_token", "client_secret"})


def routes(app: web.Application, sandbox: Sandbox) -> None:
    """Add everything under ``/control``."""
    Records(sandbox).routes(app)
    Machinery(sandbox).routes(app)
    salesforce_control.routes(app, sandbox.salesforce)
    Live(sandbox.changes).routes(app)
    app.middlewares.append(_sentences)


@web.middleware
async def _sentences(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refusals of the control port as ``{"message": …}``."""
    if not request.path.startswith("/control/"):
        return await handler(request)
    try:
        return await handler(request)
    except Declined as declined:
        return answer({"message": declined.message}, status=declined.status)
    except Refusal as refused:
        return answer({"message": str(refused)}, status=refused.status)
    except (ValueError, TypeError) as bad:
        return answer({"message": str(bad)}, status=422)
    except KeyError as missing:
        return answer({"message": f"there is no {missing}"}, status=404)


class Records:
    """Patients as the clinic's staff edits them, Contacts as a Salesforce user does."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._patients = sandbox.hint.patients
        self._salesforce = sandbox.salesforce
        self._sandbox = sandbox

    def routes(self, app: web.Application) -> None:
        add = app.router.add_route
        add("GET", "/control/records", self.all)
        add("POST", "/control/patients", self.create_patient)
        add("PATCH", "/control/patients/{id}", self.edit_patient)
        add("DELETE", "/control/patients/{id}", self.destroy_patient)
        add("POST", "/control/patients/{id}/merge", self.merge_patient)
        add("POST", "/control/contacts", self.create_contact)
        add("PATCH", "/control/contacts/{id}", self.edit_contact)
        add("DELETE", "/control/contacts/{id}", self.delete_contact)
        add("POST", "/control/contacts/{id}/merge", self.merge_contacts)
        add("POST", "/control/contacts/{id}/undelete", self.undelete_contact)
        add("POST", "/control/load", self.load)

    async def all(self, request: web.Request) -> web.Response:
        """All records, of a big practice the first ones."""
        most = _MOST_SHOWN if self._sandbox.crowd.big else None
        return answer({
            "hint": [self._patients.shown(stored) for stored in islice(self._patients, most)],
            "salesforce": self._salesforce.contacts(most=most),
        })  # fmt: skip

    async def create_patient(self, request: web.Request) -> web.Response:
        return answer(self._patients.shown(self._patients.create(await json_object(request), CLINIC)), status=201)

    async def edit_patient(self, request: web.Request) -> web.Response:
        body = await json_object(request)
        stored = self._patients.update(self._patients.get(request.match_info["id"]), body, CLINIC)
        return answer(self._patients.shown(stored))

    async def destroy_patient(self, request: web.Request) -> web.Response:
        self._patients.destroy(self._patients.get(request.match_info["id"]), CLINIC)
        return no_content()

    async def merge_patient(self, request: web.Request) -> web.Response:
        into = (await json_object(request))["into"]
        self._patients.merge(self._patients.get(request.match_info["id"]), self._patients.get(into))
        return no_content()

    async def create_contact(self, request: web.Request) -> web.Response:
        return answer({"Id": self._salesforce.user_create(await json_object(request))}, status=201)

    async def edit_contact(self, request: web.Request) -> web.Response:
        self._salesforce.user_edit(request.match_info["id"], await json_object(request))
        return no_content()

    async def delete_contact(self, request: web.Request) -> web.Response:
        self._salesforce.user_delete(request.match_info["id"])
        return no_content()

    async def merge_contacts(self, request: web.Request) -> web.Response:
        self._salesforce.user_merge(request.match_info["id"], (await json_object(request))["losers"])
        return no_content()

    async def undelete_contact(self, request: web.Request) -> web.Response:
        self._salesforce.user_undelete(request.match_info["id"])
        return no_content()

    async def load(self, request: web.Request) -> web.Response:
        """Make ``edits`` edits, ``rate`` in a second (0: as fast as it goes), on ``side`` hint, salesforce or both."""
        body = await json_object(request)
        edits, rate, side = int(body.get("edits", 100)), float(body.get("rate", 0)), str(body.get("side", "hint"))
        return answer(await run_load(self._sandbox, edits, rate, side))


class Machinery:
    """Calls, faults, settings, the clock and the webhooks."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox

    def routes(self, app: web.Application) -> None:
        add = app.router.add_route
        add("GET", "/control/calls", self.calls)
        add("POST", "/control/calls/reset", self.reset_calls)
        add("GET", "/control/faults", self.faults)
        add("POST", "/control/faults", self.arm)
        add("DELETE", "/control/faults", self.disarm)
        add("DELETE", "/control/faults/{id}", self.disarm)
        add("GET", "/control/settings", self.settings)
        add("POST", "/control/settings", self.change_settings)
        add("POST", "/control/clock", self.set_clock)
        add("GET", "/control/webhooks", self.webhooks)
        add("POST", "/control/webhooks", self.set_webhooks)
        add("POST", "/control/webhooks/{action:release|retry|repeat}", self.act_on_webhooks)

    async def calls(self, request: web.Request) -> web.Response:
        """Requests by remote and "METHOD template", refused ones too."""
        sides = {"hint": self._sandbox.hint.calls, "salesforce": self._sandbox.salesforce.calls}
        shown: dict[str, Any] = {name: {"total": calls.total(), "by": dict(calls)} for name, calls in sides.items()}
        shown["hint"]["throttled"] = self._sandbox.hint.quota.refused
        return answer(shown)

    async def reset_calls(self, request: web.Request) -> web.Response:
        self._sandbox.hint.calls.clear()
        self._sandbox.hint.quota.refused = 0
        self._sandbox.salesforce.calls.clear()
        return no_content()

    async def faults(self, request: web.Request) -> web.Response:
        return answer(self._sandbox.faults.armed())

    async def arm(self, request: web.Request) -> web.Response:
        body = await json_object(request)
        fault = self._sandbox.faults.arm(body.pop("remote"), body.pop("kind"), **body)
        return answer(fault.shown(), status=201)

    async def disarm(self, request: web.Request) -> web.Response:
        fault_id = request.match_info.get("id")
        return answer({"disarmed": self._sandbox.faults.disarm(int(fault_id) if fault_id else None)})

    async def settings(self, request: web.Request) -> web.Response:
        now = self._sandbox.settings.now
        shown = {f.name: getattr(now, f.name) for f in fields(now) if f.name not in _SECRETS}
        return answer({name: str(value) if isinstance(value, Path) else value for name, value in shown.items()})

    async def change_settings(self, request: web.Request) -> web.Response:
        self._sandbox.settings.change(await json_object(request))
        return await self.settings(request)

    async def set_clock(self, request: web.Request) -> web.Response:
        self._sandbox.clock.set_offset(float((await json_object(request))["offset_s"]))
        return answer({"now": self._sandbox.clock.now()})

    async def webhooks(self, request: web.Request) -> web.Response:
        """The mode, and the deliveries without what they carry."""
        webhooks = self._sandbox.hint.webhooks
        deliveries = [delivery.shown(None) for delivery in webhooks.deliveries]
        return answer({"mode": webhooks.mode, "delay_s": webhooks.delay_s, "deliveries": deliveries})

    async def set_webhooks(self, request: web.Request) -> web.Response:
        body = await json_object(request)
        self._sandbox.hint.webhooks.set_mode(str(body["mode"]), float(body.get("delay_s", 0)))
        return no_content()

    async def act_on_webhooks(self, request: web.Request) -> web.Response:
        """Release what is held, retry what was refused, or repeat what was delivered (``event_id``: only that one)."""
        webhooks, event_id = self._sandbox.hint.webhooks, (await json_object(request)).get("event_id")
        actions: Mapping[str, Callable[[], int]] = {
            "release": webhooks.release,
            "retry": webhooks.retry_now,
            "repeat": lambda: webhooks.repeat(event_id),
        }
        return answer({"deliveries": actions[request.match_info["action"]]()})
