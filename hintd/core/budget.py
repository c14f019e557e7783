"""How many calls a remote allows, as arithmetic over one tally that all processes share.

Hint allows a number of calls per second and per day for the whole partner, and says nothing about what is left.  Here
is decided who may call now and who waits how long; ``hintd.hint.budget`` does the waiting.  What must hold: never more
than the allowed calls in any one second; batches and sweeps may use whatever the urgent classes (real time, people,
retries) do not need, but an urgent call finds a free one within about one interval of the rate.

Times are seconds since the epoch, UTC, by the one clock of whoever keeps the tally.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate

SLICES_PER_S = 100
"""Calls are counted by slices of 10 ms, so that a tally stays small at any rate.  A second touches 101 of them."""

PACE_S = 1.02
"""Batches and sweeps spread a second's calls over a little more: 10 ms on the way to Hint shall not make 21 of 20."""

CATCH_UP_S = 0.1
"""How late a paced call may be without putting off the next ones: a process that was busy with other things for a
moment shall not lose the rate for it.  A second still holds no more calls than are allowed."""

URGENT_LATELY_S = 10.0
"""Over this time the rate of urgent calls is averaged; without any for so long, nothing is reserved."""

RESERVED_ONE_OF = 5
"""At most one call of five of a second is reserved: for bursts, as the urgent go first in any case."""

RESERVED_OF_DAY = 20
"""One call of twenty of a day is closed to batches and sweeps."""

YIELD_S = 0.05
"""How long after its turn an urgent call, perhaps of another process, still goes before batches and sweeps."""

FULL_RATE = 20
RECOVER_EVERY_S = 0.5
"""A second after throttling the rate begins to grow, by 1/20 of the configured one every half second: Hint never says
that it has calmed down, and its limit is one of a second.  Where it goes on answering 429 the rate is lowered again
each second."""

SHORTEST_WAIT_S = 0.001
"""Shorter waits are rounded up, so that the rounding of clocks cannot make a waiter spin."""

DAY_S = 86_400


@dataclass(frozen=True, slots=True)
class Limits:
    """What the remote allows, as configured."""

    per_second: int
    per_day: int

    def __post_init__(self) -> None:
        if self.per_second < 1 or self.per_day < 1:
            raise ValueError("a budget needs at least one request per second and per day")


@dataclass(frozen=True, slots=True)
class Tally:
    """The calls that were made, as far as they still matter."""

    recent: tuple[tuple[int, int], ...] = ()  # (slice, calls) of the last second, oldest first
    paced_until: float = 0.0  # when the next batch or sweep is due
    urgent_rate: float = 0.0  # calls per second, as of the last urgent call
    urgent_at: float = 0.0
    yield_until: float = 0.0  # an urgent call waits: batches and sweeps do not go before this
    twentieths: int = FULL_RATE  # of the configured rate, as of the last throttling
    throttled_at: float = 0.0
    day: int = 0  # since the epoch
    spent: int = 0  # on that day


@dataclass(frozen=True, slots=True)
class Granted:
    """The call may be made; ``tally`` counts it."""

    tally: Tally


@dataclass(frozen=True, slots=True)
class Wait:
    """Ask again after ``seconds``; ``tally`` tells the others to let an urgent one go first."""

    seconds: float
    tally: Tally


@dataclass(frozen=True, slots=True)
class UsedUp:
    """The day's calls are spent; for a batch or sweep (not ``urgent``) some may be left to the urgent."""

    seconds: float
    urgent: bool


Answer = Granted | Wait | UsedUp


def ask(tally: Tally, limits: Limits, now: float, *, urgent: bool) -> Answer:
    """May one call be made now?"""
    if left_today(tally, limits, now, urgent=urgent) == 0:
        return UsedUp(seconds_to_midnight(now), urgent)
    wait_s = _urgent_wait_s(tally, limits, now) if urgent else _paced_wait_s(tally, limits, now)
    if wait_s == 0:
        return Granted(_spend(tally, limits, now, urgent=urgent))
    return Wait(wait_s, replace(tally, yield_until=now + wait_s + YIELD_S) if urgent else tally)


def ask_for_all(
    tally: Tally, limits: Limits, now: float, line: Sequence[bool]
) -> tuple[list[Granted | UsedUp], float, Tally]:
    """The answers to the first of a line of waiters (are they urgent?), up to one who has to wait: if the most urgent
    waits, so does everyone behind it.  With the seconds until that one asks again, or 0, and the tally after all."""
    answers: list[Granted | UsedUp] = []
    for urgent in line:
        answer = ask(tally, limits, now, urgent=urgent)
        if isinstance(answer, Wait):
            return answers, answer.seconds, answer.tally
        if isinstance(answer, Granted):
            tally = answer.tally
        answers.append(answer)
    return answers, 0.0, tally


def throttle(tally: Tally, now: float) -> Tally:
    """The remote says that it is too much: three quarters of it from now on, and again for each second of it.

    The calls of one second are answered together, so they lower the rate once, not down to nothing.
    """
    if 0 <= now - tally.throttled_at < 1.0:
        return tally
    return replace(tally, twentieths=max(1, _twentieths(tally, now) * 3 // 4), throttled_at=now)


def usable_per_second(tally: Tally, limits: Limits, now: float) -> int:
    """The configured rate, or less after throttling; at least 1."""
    return max(1, limits.per_second * _twentieths(tally, now) // FULL_RATE)


def left_today(tally: Tally, limits: Limits, now: float, *, urgent: bool) -> int:
    """How many calls may be made until midnight UTC; batches and sweeps leave some to the urgent."""
    kept_back = 0 if urgent else min(-(-limits.per_day // RESERVED_OF_DAY), limits.per_day - 1)
    return max(0, limits.per_day - kept_back - _spent_today(tally, now))


def reserve(tally: Tally, usable: int, now: float) -> int:
    """Calls of a second that batches and sweeps leave free: twice what the urgent have needed lately, but never all."""
    since_s = max(0.0, now - tally.urgent_at)
    if since_s > URGENT_LATELY_S:
        return 0
    wanted = max(1, math.ceil(2 * _faded(tally.urgent_rate, since_s)))
    return min(wanted, max(1, usable // RESERVED_ONE_OF), usable - 1)


def seconds_to_midnight(now: float) -> float:
    """Until the day's count begins anew, at 00:00 UTC; more than 0."""
    return DAY_S - now % DAY_S


def _urgent_wait_s(tally: Tally, limits: Limits, now: float) -> float:
    return _slot_wait_s(tally, usable_per_second(tally, limits, now), now)


def _paced_wait_s(tally: Tally, limits: Limits, now: float) -> float:
    free_s = _slot_wait_s(tally, _open_to_all(tally, limits, now), now)
    due_s = max(_until(tally.paced_until, now), _until(tally.yield_until, now))
    return max(free_s, due_s, SHORTEST_WAIT_S) if free_s or due_s else 0.0


def _until(at: float, now: float) -> float:
    """Of a mark that lies no further ahead than it can have been set: the clock may have been put back."""
    return at - now if 0 < at - now < 2 * PACE_S else 0.0


def _open_to_all(tally: Tally, limits: Limits, now: float) -> int:
    usable = usable_per_second(tally, limits, now)
    return usable - reserve(tally, usable, now)


def _slot_wait_s(tally: Tally, slots: int, now: float) -> float:
    """Until fewer than ``slots`` calls lie within a second.

    Slots that come back at a steady rate instead would allow twice the rate in the first second after a rest, and
    Hint would answer 429.
    """
    recent = _recent(tally, now)
    too_many = sum(calls for _, calls in recent) - slots + 1
    if too_many <= 0:
        return 0.0
    gone = accumulate(calls for _, calls in recent)
    last = next(at for (at, _), calls in zip(recent, gone, strict=True) if calls >= too_many)
    return max(SHORTEST_WAIT_S, (last + SLICES_PER_S + 1) / SLICES_PER_S - now)


def _recent(tally: Tally, now: float) -> tuple[tuple[int, int], ...]:
    this = int(now * SLICES_PER_S)
    return tuple((at, calls) for at, calls in tally.recent if abs(this - at) <= SLICES_PER_S)


def _spend(tally: Tally, limits: Limits, now: float, *, urgent: bool) -> Tally:
    counted = replace(
        tally,
        recent=_with_one_more(_recent(tally, now), int(now * SLICES_PER_S)),
        day=int(now // DAY_S),
        spent=_spent_today(tally, now) + 1,
    )
    if urgent:
        rate = _faded(tally.urgent_rate, max(0.0, now - tally.urgent_at)) + 1 / URGENT_LATELY_S
        return replace(counted, urgent_rate=rate, urgent_at=now)
    due = tally.paced_until if 0 <= now - tally.paced_until <= CATCH_UP_S else now
    return replace(counted, paced_until=due + PACE_S / _open_to_all(tally, limits, now))


def _with_one_more(recent: tuple[tuple[int, int], ...], this: int) -> tuple[tuple[int, int], ...]:
    if recent and recent[-1][0] == this:
        return (*recent[:-1], (this, recent[-1][1] + 1))
    return (*recent, (this, 1))


def _faded(rate: float, seconds: float) -> float:
    return rate * math.exp(-seconds / URGENT_LATELY_S)


def _twentieths(tally: Tally, now: float) -> int:
    recovered = max(0, int((now - tally.throttled_at - 1.0) / RECOVER_EVERY_S))
    return min(FULL_RATE, tally.twentieths + recovered)


def _spent_today(tally: Tally, now: float) -> int:
    return tally.spent if tally.day == int(now // DAY_S) else 0
