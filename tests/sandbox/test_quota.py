"""Hint's rate: so many requests in a second, counted in either of two ways, and in a day."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from hintd.sandbox.clock import Clock
from hintd.sandbox.hint.answers import Declined
from hintd.sandbox.hint.quota import Quota
from hintd.sandbox.options import Options, Settings

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


class StoppedClock(Clock):
    """Shows what it is set to."""

    def __init__(self) -> None:
        super().__init__()
        self.shown = NOON

    def now(self) -> datetime:
        return self.shown


def admitted(options: Options, at_s: list[float], *, detail: bool = False) -> list[bool]:
    """Whether requests at these seconds after noon pass."""
    clock = StoppedClock()
    quota = Quota(Settings(options), clock)

    def passes(after_s: float) -> bool:
        clock.shown = NOON + timedelta(seconds=after_s)
        try:
            quota.spend(detail=detail)
        except Declined:
            return False
        return True

    return [passes(after_s) for after_s in at_s]


@pytest.mark.parametrize(
    ("sliding", "passed"),
    [(False, [True, True, True, True, False]), (True, [True, True, False, False, False])],
    ids=["each full second", "the last second"],
)
def test_a_burst_around_a_full_second_tells_the_two_ways_apart(sliding: bool, passed: list[bool]) -> None:
    options = Options(hint_requests_per_second=2, hint_sliding_second=sliding)
    assert admitted(options, [0.8, 0.9, 1.1, 1.2, 1.3]) == passed


@pytest.mark.parametrize("sliding", [False, True], ids=["each full second", "the last second"])
def test_an_even_pace_at_the_limit_passes_either_way(sliding: bool) -> None:
    options = Options(hint_requests_per_second=100, hint_sliding_second=sliding)
    assert all(admitted(options, [number * 0.0101 for number in range(500)]))


def test_the_day_ends_at_midnight() -> None:
    options = Options(hint_requests_per_second=0, hint_requests_per_day=1)
    assert admitted(options, [0, 1, 43_199, 43_200, 43_201]) == [True, False, False, True, False]


@pytest.mark.parametrize(("detail", "last"), [(True, False), (False, True)], ids=["one record", "a list"])
def test_the_address_of_one_record_may_have_a_lower_limit(detail: bool, last: bool) -> None:
    options = Options(hint_requests_per_second=20, hint_detail_per_second=2)
    assert admitted(options, [0.1, 0.2, 0.3], detail=detail) == [True, True, last]
