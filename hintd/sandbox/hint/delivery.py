"""One webhook on its way to one registered address, as ``webhook_requests`` shows it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from hintd.sandbox.hint.installation import Endpoint
from hintd.sandbox.hint.patients import stamp

MODES = ("normal", "hold", "drop", "repeat", "reverse")
WAITING = ("pending", "failed", "held")


@dataclass
class Delivery:
    """``status``: pending, delivered, failed (tried again until given up), held, dropped, cancelled."""

    event_id: str
    event_type: str
    payload: bytes
    endpoint: Endpoint
    created: datetime
    status: str = "pending"
    attempts: int = 0
    delivered: datetime | None = None
    attempted: datetime | None = None
    last_status_code: int | None = None
    last_response: str | None = None

    @property
    def settled(self) -> bool:
        return self.status not in WAITING

    def shown(self, payload: Any) -> dict[str, Any]:
        return {
            "event_id": self.event_id,
            "event_type": self.event_type,
            "status": self.status,
            "attempts": self.attempts,
            "created_at": stamp(self.created),
            "delivered_at": self.delivered and stamp(self.delivered),
            "last_attempted_at": self.attempted and stamp(self.attempted),
            "last_status_code": self.last_status_code,
            "last_response": self.last_response,
            "payload": payload,
            "webhook_endpoint": self.endpoint.shown(),
        }
