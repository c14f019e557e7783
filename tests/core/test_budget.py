from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hintd.core.budget import Bucket, DayCount, seconds_to_midnight, without_reserve

NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


def drain(bucket: Bucket, now: float, *, urgent: bool = True) -> int:
    """Spend all that may be spent at one instant."""
    spent = 0
    while bucket.wait_s(now, urgent=urgent) == 0:
        bucket.spend(now)
        spent += 1
    return spent


def test_second_holds_the_configured_calls() -> None:
    bucket = Bucket(20)
    assert drain(bucket, 100.0) == 20
    assert bucket.wait_s(100.0, urgent=True) == 1.0
    assert drain(bucket, 100.999) == 0
    assert drain(bucket, 101.0) == 20


def test_token_comes_back_a_second_after_it_was_spent() -> None:
    bucket = Bucket(2)
    bucket.spend(100.0)
    bucket.spend(100.6)
    assert bucket.wait_s(100.75, urgent=True) == pytest.approx(0.25)
    assert drain(bucket, 101.0) == 1
    assert bucket.wait_s(101.0, urgent=True) == pytest.approx(0.6)


def test_reserve_is_closed_to_batches_and_open_to_the_urgent() -> None:
    bucket = Bucket(20)
    assert drain(bucket, 100.0, urgent=False) == 16
    assert drain(bucket, 100.0) == 4


@pytest.mark.parametrize(
    ("allowance", "open_to_batches"), [(1, 1), (2, 1), (5, 4), (6, 4), (20, 16), (500_000, 400_000)]
)
def test_one_of_five_is_reserved_but_never_everything(allowance: int, open_to_batches: int) -> None:
    assert without_reserve(allowance) == open_to_batches


def test_throttling_halves_the_rate_once_for_all_calls_of_a_second() -> None:
    bucket = Bucket(20)
    for _ in range(20):
        bucket.throttle(100.0)
    assert bucket.allowed == 10
    bucket.throttle(101.0)
    assert bucket.allowed == 5


def test_rate_never_falls_below_one() -> None:
    bucket = Bucket(20)
    for second in range(20):
        bucket.throttle(float(second))
    assert bucket.allowed == 1
    assert drain(bucket, 20.0, urgent=False) == 1


def test_rate_recovers_by_small_steps_up_to_the_configured_one() -> None:
    bucket = Bucket(40)
    bucket.throttle(100.0)
    rates = []
    for now in (104.9, 105.0, 109.9, 110.0, 149.9, 150.0, 1000.0):
        bucket.wait_s(now, urgent=True)
        rates.append(bucket.allowed)
    assert rates == [20, 22, 22, 24, 38, 40, 40]


def test_throttling_right_after_a_step_of_recovery_counts() -> None:
    bucket = Bucket(40)
    bucket.throttle(100.0)
    bucket.wait_s(105.0, urgent=True)
    bucket.throttle(105.1)
    assert bucket.allowed == 11


@given(
    per_second=st.integers(1, 30),
    arrivals=st.lists(st.tuples(st.floats(0, 0.7), st.booleans(), st.booleans()), max_size=80),
)
def test_no_second_ever_has_more_calls_than_allowed(per_second: int, arrivals: list[tuple[float, bool, bool]]) -> None:
    bucket, now, sent = Bucket(per_second), 0.0, []
    for pause, urgent, throttled in arrivals:
        now += pause
        if throttled:
            bucket.throttle(now)
        while (wait_s := bucket.wait_s(now, urgent=urgent)) > 0:
            now += wait_s
        bucket.spend(now)
        sent.append(now)
    busiest = max((sum(start <= at < start + 1.0 for at in sent) for start in sent), default=0)
    assert busiest <= per_second


def test_day_ends_when_its_calls_are_spent_and_begins_anew_at_midnight() -> None:
    day = DayCount(3)
    late = datetime(2026, 11, 22, 23, 59, 59, tzinfo=UTC)
    for _ in range(3):
        assert not day.is_used_up(late, urgent=True)
        day.spend(late)
    assert day.is_used_up(late, urgent=True)
    assert not day.is_used_up(late + timedelta(seconds=1), urgent=True)


def test_batches_leave_a_part_of_the_day_to_the_urgent() -> None:
    day = DayCount(10)
    for _ in range(8):
        day.spend(NOON)
    assert day.is_used_up(NOON, urgent=False)
    assert not day.is_used_up(NOON, urgent=True)


@pytest.mark.parametrize(
    ("now", "seconds"),
    [
        pytest.param(NOON, 12 * 3600, id="noon"),
        pytest.param(datetime(2026, 11, 22, tzinfo=UTC), 24 * 3600, id="midnight is the new day already"),
        pytest.param(datetime(2026, 12, 31, 23, 59, 59, 500_000, tzinfo=UTC), 0.5, id="the year's last half second"),
        pytest.param(
            datetime(2026, 11, 22, 20, 0, tzinfo=timezone(timedelta(hours=-5))), 23 * 3600, id="another time zone"
        ),
    ],
)
def test_day_is_that_of_utc(now: datetime, seconds: float) -> None:
    assert seconds_to_midnight(now) == seconds


@pytest.mark.parametrize("make", [Bucket, DayCount])
def test_budget_of_nothing_is_refused(make: type[Bucket] | type[DayCount]) -> None:
    with pytest.raises(ValueError, match="at least one"):
        make(0)
