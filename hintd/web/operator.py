"""The operator's port: health and metrics.  Metrics are shown to loopback, or to whoever bears the configured token."""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable, Mapping

from aiohttp import web

from hintd.telemetry import Metrics

Render = Callable[[], Awaitable[bytes]]
Problems = Callable[[], Mapping[str, str]]


def make_operator_app(render: Render, problems: Problems, *, token: str = "") -> web.Application:
    """``GET /metrics``, ``/healthz``, ``/readyz``."""

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
    return app


def _may_see_metrics(request: web.Request, token: str) -> bool:
    remote = request.remote or ""
    if remote in ("127.0.0.1", "::1"):
        return True
    given = request.headers.get("Authorization", "").removeprefix("Bearer ")
    return bool(token) and hmac.compare_digest(given.encode(), token.encode())
