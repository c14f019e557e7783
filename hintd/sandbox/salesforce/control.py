"""The part of the control port that is Salesforce's alone: the org's switches, and what befalls events and tokens."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from hintd.sandbox.salesforce.side import SalesforceSide


def routes(app: web.Application, side: SalesforceSide) -> None:
    """Add everything under ``/control/salesforce``."""
    port = SalesforceControl(side)
    app.router.add_get("/control/salesforce/switches", port.switches)
    app.router.add_post("/control/salesforce/switches", port.change_switches)
    app.router.add_post("/control/salesforce/gap", port.gap)
    app.router.add_post("/control/salesforce/repeat", port.repeat)
    app.router.add_post("/control/salesforce/reset-replay-ids", port.reset_replay_ids)
    app.router.add_post("/control/salesforce/revoke-tokens", port.revoke_tokens)


class SalesforceControl:
    """The handlers; what they refuse becomes a sentence in the control port's middleware."""

    def __init__(self, side: SalesforceSide) -> None:
        self._side = side

    async def switches(self, request: web.Request) -> web.Response:
        return web.json_response(self._side.switches.shown())

    async def change_switches(self, request: web.Request) -> web.Response:
        return web.json_response(self._side.change_switches(await _object(request)).shown())

    async def gap(self, request: web.Request) -> web.Response:
        """``{"type": "GAP_UPDATE", "ids": [...]}``; GAP_OVERFLOW names no ids."""
        body = await _object(request)
        self._side.emit_gap(str(body["type"]), body.get("ids", ()))
        return web.Response(status=204)

    async def repeat(self, request: web.Request) -> web.Response:
        """Publish the last ``count`` events again, with their own event ids."""
        return web.json_response({"events": self._side.repeat_events(int((await _object(request)).get("count", 1)))})

    async def reset_replay_ids(self, request: web.Request) -> web.Response:
        self._side.reset_replay_ids()
        return web.Response(status=204)

    async def revoke_tokens(self, request: web.Request) -> web.Response:
        return web.json_response({"tokens": self._side.revoke_tokens()})


async def _object(request: web.Request) -> dict[str, Any]:
    body = await request.json()
    if not isinstance(body, dict):
        raise ValueError("a JSON object is needed")
    return body
