"""Who may ask: whoever bears the configured token.  Closed where none is configured."""

from __future__ import annotations

import hmac

from aiohttp import web

_SCHEME = "bearer "


def bears(request: web.Request, token: str) -> bool:
    """Whether the request bears the token; never with an empty one.  Takes the same time however wrong it is."""
    header = request.headers.get("Authorization", "")
    given = header[len(_SCHEME) :] if header.lower().startswith(_SCHEME) else ""
    return bool(token) and hmac.compare_digest(given.encode(errors="surrogateescape"), token.encode())
