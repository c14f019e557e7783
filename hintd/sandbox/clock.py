"""The time in the sandbox: the machine's, plus an offset that a test sets to let tokens and cursors expire."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta


class Clock:
    """``now()`` never repeats and never goes back, unless the offset is set back."""

    def __init__(self) -> None:
        self.offset = timedelta()
        self._last = datetime.min.replace(tzinfo=UTC)

    def now(self) -> datetime:
        """The aware UTC time; each call is at least a microsecond after the one before, so stamps order changes."""
        self._last = max(datetime.now(UTC) + self.offset, self._last + timedelta(microseconds=1))
        return self._last

    def set_offset(self, seconds: float) -> None:
        self.offset = timedelta(seconds=seconds)
        self._last = datetime.now(UTC) + self.offset
