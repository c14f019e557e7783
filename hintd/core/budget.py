"""How many calls a remote allows, as arithmetic: a second's bucket and a day's count.

Hint allows a number of calls per second and per day for the whole partner, and says nothing about what is left.  Both
classes are told the time; ``hintd.hint.budget`` does the waiting.  What must hold: never more than the allowed calls in
any one second, and a share of both allowances that only urgent calls may touch.
"""

from __future__ import annotations

from collections import deque
from datetime import UTC, date, datetime, time, timedelta

RESERVED_ONE_OF = 5
"""One call of five of each allowance is closed to batches and sweeps: for real time, people and retries."""

RECOVER_EVERY_S = 5.0
RECOVER_STEPS = 20
"""After throttling the rate grows by 1/20 of the configured one every 5 s: Hint never says that it has calmed down."""

SHORTEST_WAIT_S = 0.001
"""Shorter waits are rounded up, so that the rounding of clocks cannot make a waiter spin."""


def without_reserve(allowance: int) -> int:
    """What of an allowance is open to batches and sweeps; never nothing, or they would starve at one call a second."""
    reserve = -(-allowance // RESERVED_ONE_OF)
    return max(1, allowance - reserve)


class Bucket:
    """``per_second`` tokens; one that is spent comes back a second later.

    Tokens that flow back at a steady rate instead would allow twice the rate in the first second after a rest, and
    Hint would answer 429.  Times are seconds of a monotonic clock and must not go back.
    """

    def __init__(self, per_second: int) -> None:
        if per_second < 1:
            raise ValueError("a budget needs at least one request per second")
        self._configured = per_second
        self._allowed = per_second
        self._spent: deque[float] = deque()
        self._throttled_at = float("-inf")
        self._recovered_at = float("-inf")

    @property
    def allowed(self) -> int:
        """Calls per second as of the last question: the configured rate, or less after throttling."""
        return self._allowed

    def wait_s(self, now: float, *, urgent: bool) -> float:
        """0 when a token may be spent now, else how long to wait before asking again."""
        self._recover(now)
        self._take_back(now)
        open_tokens = self._allowed if urgent else without_reserve(self._allowed)
        surplus = len(self._spent) - open_tokens
        if surplus < 0:
            return 0.0
        return max(SHORTEST_WAIT_S, self._spent[surplus] + 1.0 - now)

    def spend(self, now: float) -> None:
        """Only after ``wait_s`` answered 0 for the same time."""
        self._spent.append(now)

    def throttle(self, now: float) -> None:
        """The remote says that it is too much: half of it from now on.

        The calls of one second are answered together, so they halve the rate once, not down to nothing.
        """
        if now - self._throttled_at < 1.0:
            return
        self._recover(now)
        self._allowed = max(1, self._allowed // 2)
        self._throttled_at = self._recovered_at = now

    def _recover(self, now: float) -> None:
        if self._allowed == self._configured:
            return
        steps = int((now - self._recovered_at) / RECOVER_EVERY_S)
        step = max(1, self._configured // RECOVER_STEPS)
        self._allowed = min(self._configured, self._allowed + steps * step)
        self._recovered_at += steps * RECOVER_EVERY_S

    def _take_back(self, now: float) -> None:
        while self._spent and self._spent[0] + 1.0 <= now:
            self._spent.popleft()


class DayCount:
    """The calls of one day, which begins at 00:00 UTC."""

    def __init__(self, per_day: int) -> None:
        if per_day < 1:
            raise ValueError("a budget needs at least one request per day")
        self._per_day = per_day
        self._day: date | None = None
        self._spent = 0

    def is_used_up(self, now: datetime, *, urgent: bool) -> bool:
        self._turn(now)
        return self._spent >= (self._per_day if urgent else without_reserve(self._per_day))

    def spend(self, now: datetime) -> None:
        self._turn(now)
        self._spent += 1

    def _turn(self, now: datetime) -> None:
        today = now.astimezone(UTC).date()
        if today != self._day:
            self._day, self._spent = today, 0


def seconds_to_midnight(now: datetime) -> float:
    """Until the day's count begins anew, at 00:00 UTC; more than 0."""
    tomorrow = now.astimezone(UTC).date() + timedelta(days=1)
    return (datetime.combine(tomorrow, time(), UTC) - now).total_seconds()
