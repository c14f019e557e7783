"""Hint's quotas: so many requests in a second and in a UTC day, over everything the partner does."""

from __future__ import annotations

from collections import Counter

from hintd.sandbox.clock import Clock
from hintd.sandbox.hint.answers import Declined
from hintd.sandbox.options import Settings


class Quota:
    """Counts requests in whole seconds and whole days, the refused ones too."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._second = 0
        self._in_second: Counter[str] = Counter()
        self._day = 0
        self._in_day = 0
        self.refused = 0

    def spend(self, *, detail: bool) -> None:
        """Count one request.  Declines it with 429 when a quota is used up; no header says until when."""
        now = self._clock.now().timestamp()
        if int(now) != self._second:
            self._second, self._in_second = int(now), Counter()
        if now // 86_400 != self._day:
            self._day, self._in_day = int(now // 86_400), 0
        self._in_second["all"] += 1
        self._in_second["detail"] += detail
        self._in_day += 1
        options = self._settings.now
        if (
            _over(self._in_second["all"], options.hint_requests_per_second)
            or _over(self._in_second["detail"], options.hint_detail_per_second)
            or _over(self._in_day, options.hint_requests_per_day)
        ):
            self.refused += 1
            raise Declined(429, "Enhance your calm")


def _over(count: int, limit: int) -> bool:
    return 0 < limit < count
