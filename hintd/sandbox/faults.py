"""Faults that a test or a person arms: the next calls that fit meet them, then they are used up.

Both halves of a lost answer are here, because they differ for the caller's records only: ``lost_before`` cuts the
connection before anything is done, ``lost_after`` when all is done and committed.
"""

from __future__ import annotations

import asyncio
import itertools
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

KINDS = ("status", "lost_before", "lost_after", "slow", "throttle", "nonsense", "revoke")
# Beside HTTP: ends of gRPC calls (its method and topic stand for method and path), and locks met while saving a record
# (its id stands for the path).
KINDS_BESIDE: Mapping[str, tuple[str, ...]] = {
    "pubsub": ("unavailable", "auth", "stall", "reset", "corrupted", "limit"),
    "save": ("lock",),
}
PREFIXES: Mapping[str, str] = {"hint": "/api/", "salesforce": "/services/"}
_NONSENSE = b'<html><body>It works!</body></html>{"'


@dataclass
class Fault:
    """One armed fault.  ``times`` counts down; -1 stays until it is disarmed.  ``path`` is searched in the path."""

    id: int
    remote: str
    kind: str
    times: int = 1
    path: re.Pattern[str] | None = None
    method: str | None = None
    delay_s: float = 0.0
    status: int = 503
    body: Any = None
    met: int = field(default=0, init=False)

    def fits(self, remote: str, method: str, path: str) -> bool:
        return (
            self.remote == remote
            and self.method in (None, method)
            and (self.path is None or self.path.search(path) is not None)
        )

    def shown(self) -> dict[str, Any]:
        """As JSON for the control port."""
        return {
            "id": self.id,
            "remote": self.remote,
            "kind": self.kind,
            "times": self.times,
            "path": self.path.pattern if self.path else None,
            "method": self.method,
            "delay_s": self.delay_s,
            "met": self.met,
        }


class Faults:
    """The armed faults, oldest first."""

    def __init__(self) -> None:
        self._armed: list[Fault] = []
        self._ids = itertools.count(1)
        self._on_arm: list[Callable[[], None]] = []

    def on_arm(self, listener: Callable[[], None]) -> None:
        """Call ``listener`` after each arming: an open stream has no next call that would meet the fault."""
        self._on_arm.append(listener)

    def arm(self, remote: str, kind: str, *, times: int = 1, path: str | None = None, **more: Any) -> Fault:
        """Arm a fault.  ``more``: method, delay_s, status, body.  Raises ValueError for what cannot be."""
        kinds = KINDS_BESIDE.get(remote, KINDS if remote in PREFIXES else ())
        if kind not in kinds:
            remotes = ", ".join((*PREFIXES, *KINDS_BESIDE))
            raise ValueError(f"a fault needs a remote of {remotes}, and a kind of {', '.join(kinds or KINDS)}")
        if times == 0 or times < -1:
            raise ValueError("times is a count, or -1 for until disarmed")
        pattern = _compiled(path) if path else None
        fault = Fault(next(self._ids), remote, kind, times, pattern, **more)
        self._armed.append(fault)
        for listener in self._on_arm:
            listener()
        return fault

    def take(self, remote: str, method: str, path: str) -> Fault | None:
        """The first armed fault that this call meets; it is counted, and gone when used up."""
        for fault in self._armed:
            if fault.fits(remote, method, path):
                fault.met += 1
                if fault.times > 0:
                    fault.times -= 1
                    if fault.times == 0:
                        self._armed.remove(fault)
                return fault
        return None

    def disarm(self, fault_id: int | None = None) -> int:
        """Disarm one fault, or all; returns how many."""
        before = len(self._armed)
        self._armed = [f for f in self._armed if fault_id is not None and f.id != fault_id]
        return before - len(self._armed)

    def armed(self) -> list[dict[str, Any]]:
        return [fault.shown() for fault in self._armed]


def _compiled(path: str) -> re.Pattern[str]:
    try:
        return re.compile(path)
    except re.error as bad:
        raise ValueError(f"path is no regular expression: {bad}") from None


def with_faults(remote: str, faults: Faults) -> Middleware:
    """A middleware that lets calls to ``remote`` meet the armed faults."""
    prefix = PREFIXES[remote]

    @web.middleware
    async def meet(request: web.Request, handler: Handler) -> web.StreamResponse:
        if not request.path.startswith(prefix):
            return await handler(request)
        fault = faults.take(remote, request.method, request.path)
        return await (handler(request) if fault is None else _act(fault, request, handler))

    return meet


def with_latency(remote: str, latency_ms: Callable[[], float]) -> Middleware:
    """A middleware that answers calls to ``remote`` no sooner than after the latency."""
    prefix = PREFIXES[remote]

    @web.middleware
    async def wait(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path.startswith(prefix) and (latency := latency_ms()):
            await asyncio.sleep(latency / 1000)
        return await handler(request)

    return wait


async def _act(fault: Fault, request: web.Request, handler: Handler) -> web.StreamResponse:
    if fault.delay_s:
        await asyncio.sleep(fault.delay_s)
    match fault.kind:
        case "slow":
            return await handler(request)
        case "lost_before":
            return _cut(request)
        case "lost_after":
            await _whole(handler, request)
            return _cut(request)
        case "nonsense":
            return web.Response(body=_NONSENSE, content_type="application/json")
        case "throttle":
            return throttled(fault.remote)
        case "revoke":
            return _refused(fault.remote)
        case _:
            return _answer(fault.status, fault.body if fault.body is not None else _error(fault))


async def _whole(handler: Handler, request: web.Request) -> None:
    try:
        await handler(request)
    except web.HTTPException:
        pass  # a refusal is an answer too, and it is lost like any other


def _cut(request: web.Request) -> web.StreamResponse:
    if request.transport is not None:
        request.transport.abort()
    return web.Response()  # goes nowhere: the connection is gone


def throttled(remote: str) -> web.Response:
    """What the remote answers when too much was asked: neither sends a Retry-After."""
    if remote == "hint":
        return _answer(429, {"status": 429, "message": "Enhance your calm"})
    return _answer(403, [{"message": "TotalRequests Limit exceeded.", "errorCode": "REQUEST_LIMIT_EXCEEDED"}])


def _refused(remote: str) -> web.Response:
    if remote == "hint":
        return _answer(401, {"status": 401, "message": "Unauthorized"})
    return _answer(401, [{"message": "Session expired or invalid", "errorCode": "INVALID_SESSION_ID"}])


def _error(fault: Fault) -> Any:
    sentence = "Something went wrong"
    if fault.remote == "hint":
        return {"status": fault.status, "message": sentence}
    return [{"message": sentence, "errorCode": "UNKNOWN_EXCEPTION"}]


def _answer(status: int, body: Any) -> web.Response:
    return web.json_response(body, status=status)
