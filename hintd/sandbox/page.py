"""The sandbox's page: every person's two records side by side, to edit and to watch."""

from __future__ import annotations

from pathlib import Path

from aiohttp import web

_STATIC = Path(__file__).parent / "static"
_POLICY = "default-src 'self'; img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"


def routes(app: web.Application) -> None:
    app.router.add_get("/", _page)
    app.router.add_static("/static/", _STATIC)


async def _page(request: web.Request) -> web.StreamResponse:
    return web.FileResponse(_STATIC / "page.html", headers={"Content-Security-Policy": _POLICY})
