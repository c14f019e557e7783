"""How Hint answers: bare JSON, and errors as a status with a sentence for people."""

from __future__ import annotations

from typing import Any

import msgspec
from aiohttp import web

_ENCODE = msgspec.json.Encoder().encode


class Declined(Exception):
    """A request that Hint refuses; becomes ``{"status": …, "message": …}``."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


def encode(body: Any) -> bytes:
    return _ENCODE(body)


def answer(body: Any, *, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    return web.Response(body=_ENCODE(body), status=status, content_type="application/json", headers=headers)


def no_content() -> web.Response:
    return web.Response(status=204)


def refusal(status: int, message: str) -> web.Response:
    return answer({"status": status, "message": message}, status=status)


async def json_object(request: web.Request) -> dict[str, Any]:
    """The request's body.  Declines what is not a JSON object with 400; no body at all is an empty object."""
    raw = await request.read()
    if not raw:
        return {}
    try:
        body = msgspec.json.decode(raw)
    except msgspec.DecodeError:
        raise Declined(400, "Request body is not valid JSON") from None
    if not isinstance(body, dict):
        raise Declined(400, "Request body must be an object")
    return body
