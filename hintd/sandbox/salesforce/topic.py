"""The event log of the org: what was published, under which replay id, and for how long it can be had.

The log also keeps marks without an event: the replay ids that keep-alives gave out age like any other.
"""

from __future__ import annotations

import asyncio
import random
import uuid
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

_START = 0x5A94F0
_STEP = 7  # ids grow by up to this much: they are not contiguous
_COMPACT = 10_000


@dataclass(frozen=True, slots=True)
class Entry:
    """One published event, or with ``payload`` None a mark."""

    number: int
    at: datetime
    event_id: str = ""
    schema_id: str = ""
    payload: bytes | None = None

    @property
    def replay_id(self) -> bytes:
        return replay_id(self.number)


def replay_id(number: int) -> bytes:
    """Ten bytes: a counter and two that were always seen zero."""
    return number.to_bytes(8, "big") + b"\0\0"


class ReplayIdCorrupted(ValueError):
    """Malformed, unknown, or older than what is kept: the platform has one answer for all."""


class Topic:
    """The log.  ``kept`` says now for how long (seconds) and how many events; 0 events is no limit."""

    def __init__(self, now: Callable[[], datetime], kept: Callable[[], tuple[float, int]], seed: int) -> None:
        self._now = now
        self._kept = kept
        self._random = random.Random(seed)
        self._entries: list[Entry] = []
        self._numbers: list[int] = []
        self._first = 0
        self._floor = self._last = _START
        self._expired = -1
        self._waiting: set[asyncio.Event] = set()

    @property
    def latest(self) -> int:
        return self._last

    @property
    def earliest(self) -> int:
        """The position before the oldest event that is kept."""
        self._expire()
        return self._floor

    def publish(self, schema_id: str, payload: bytes, event_id: str | None = None) -> Entry:
        entry = Entry(self._step(), self._now(), event_id or str(uuid.uuid4()), schema_id, payload)
        self._append(entry)
        self.wake()
        return entry

    def mark(self) -> int:
        """A number for a keep-alive, ahead of every event so far."""
        self._append(Entry(self._step(), self._now()))
        return self._last

    def repeat(self, count: int) -> int:
        """Publish the last events once more: same event ids, new replay ids.  Returns how many."""
        events = [entry for entry in self._entries[self._first :] if entry.payload is not None][-count:]
        for entry in events:
            self.publish(entry.schema_id, entry.payload or b"", entry.event_id)
        return len(events)

    def reset(self) -> None:
        """Begin anew with lower ids, as after an org migration: ids given out before are not known any more."""
        self._entries.clear()
        self._numbers.clear()
        self._first = 0
        self._floor = self._last = _START // 2
        self._expired = -1
        self.wake()

    def position(self, raw: bytes) -> int:
        """The position after a replay id.  Raises ReplayIdCorrupted."""
        if len(raw) != 10:
            raise ReplayIdCorrupted
        number = int.from_bytes(raw[:8], "big")
        # The id of an expired event is refused even where nothing after it was lost.
        if not self.earliest <= number <= self._last or number <= self._expired:
            raise ReplayIdCorrupted
        return number

    def after(self, position: int, most: int) -> list[Entry]:
        """The next events after a position, at most so many."""
        self._expire()
        found: list[Entry] = []
        for index in range(max(self._first, bisect_right(self._numbers, position)), len(self._entries)):
            if self._entries[index].payload is not None:
                found.append(self._entries[index])
                if len(found) == most:
                    break
        return found

    def watch(self, waiting: asyncio.Event) -> None:
        """Set ``waiting`` at each publish until ``unwatch``."""
        self._waiting.add(waiting)

    def unwatch(self, waiting: asyncio.Event) -> None:
        self._waiting.discard(waiting)

    def wake(self) -> None:
        for waiting in self._waiting:
            waiting.set()

    def _step(self) -> int:
        self._last += self._random.randint(1, _STEP)
        return self._last

    def _append(self, entry: Entry) -> None:
        self._entries.append(entry)
        self._numbers.append(entry.number)

    def _expire(self) -> None:
        seconds, most = self._kept()
        horizon = self._now() - timedelta(seconds=seconds)
        count = len(self._entries)
        while self._first < count and (
            self._entries[self._first].at < horizon or (most and count - self._first > most)
        ):
            self._floor = self._expired = self._numbers[self._first]
            self._first += 1
        if self._first > _COMPACT:
            del self._entries[: self._first], self._numbers[: self._first]
            self._first = 0
