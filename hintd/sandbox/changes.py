"""Who changed what, on which side and when: what the page shows live and what tests wait for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

# Origins: people of the clinic in Hint, people in Salesforce, and the integration that is being tested.
CLINIC = "clinic staff"
SALESFORCE_USER = "Salesforce user"
HINTD = "hintd"


@dataclass(frozen=True)
class Change:
    """One committed change of one record.  ``kind``: created, updated, deleted, undeleted or merged."""

    side: str  # "hint" or "salesforce"
    record_id: str
    kind: str
    fields: tuple[str, ...]
    origin: str
    at: datetime


Listener = Callable[[Change], None]


class Changes:
    """Tells every listener of each change, in the order of the commits.  A listener must not block."""

    def __init__(self) -> None:
        self._listeners: list[Listener] = []

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Call ``listener`` for each change from now on, until the returned function is called."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def tell(self, change: Change) -> None:
        for listener in tuple(self._listeners):
            listener(change)
