"""Hint's quotas: so many requests in a second and in a UTC day, over everything the partner does."""

from __future__ import annotations

from collections import deque

from hintd.sandbox.clock import Clock
from hintd.sandbox.hint.answers import Declined
from hintd.sandbox.options import Settings


class Quota:
    """Counts requests of a second and of a UTC day, the refused ones too.  The second is the clock's, from one full
    second to the next, or with ``hint_sliding_second`` the last one."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._recent: deque[tuple[float, bool]] = deque()  # when, and whether of one record's address
        self._day = 0
        self._in_day = 0
        self.refused = 0

    def spend(self, *, detail: bool) -> None:
        """Count one request.  Declines it with 429 when a quota is used up; no header says until when."""
        now, options = self._clock.now().timestamp(), self._settings.now
        self._keep(now - 1 if options.hint_sliding_second else now // 1, now)
        if now // 86_400 != self._day:
            self._day, self._in_day = int(now // 86_400), 0
        self._recent.append((now, detail))
        self._in_day += 1
        if (
            _over(len(self._recent), options.hint_requests_per_second)
            or (options.hint_detail_per_second and _over(self._details(), options.hint_detail_per_second))
            or _over(self._in_day, options.hint_requests_per_day)
        ):
            self.refused += 1
            raise Declined(429, "Enhance your calm")

    def _keep(self, first: float, last: float) -> None:
        """Forget what was not between the two; a clock that was set back leaves requests in the future."""
        while self._recent and not first <= self._recent[0][0] <= last:
            self._recent.popleft()

    def _details(self) -> int:
        return sum(detail for _, detail in self._recent)


def _over(count: int, limit: int) -> bool:
    return 0 < limit < count
