"""The operator's port: health, metrics and the API.  Metrics are shown to loopback, or to whoever bears the configured
token."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from aiohttp import web

from hintd.telemetry import Metrics
from hintd.web.access import bears
from hintd.web.api import PREFIX

Render = Callable[[], Awaitable[bytes]]
Problems = Callable[[], Mapping[str, str]]


def make_operator_app(
    render: Render, problems: Problems, *, token: str = "", api: web.Application | None = None
) -> web.Application:
    """``GET /metrics``, ``/healthz``, ``/readyz``, and ``api`` at its prefix.  ``token``: that of the metrics."""

    async def metrics(request: web.Request) -> web.Response:
        if not _may_see_metrics(request, token):
            return web.json_response(
                {"status": 401, "message": "Metrics need the token of [service] metrics_token."}, status=401
            )
        return web.Response(body=await render(), headers={"Content-Type": Metrics.content_type})

    async def health(_: web.Request) -> web.Response:
        return web.json_response({"ok": True})

    async def ready(_: web.Request) -> web.Response:
        found = dict(problems())
        return web.json_response({"ok": not found, "problems": found}, status=503 if found else 200)

    app = web.Application()
    app.add_routes([web.get("/metrics", metrics), web.get("/healthz", health), web.get("/readyz", ready)])
    if api is not None:
        app.add_subapp(PREFIX, api)
    return app


def _may_see_metrics(request: web.Request, token: str) -> bool:
    return request.remote in ("127.0.0.1", "::1") or bears(request, token)
