from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hintd.core.budget import (
    YIELD_S,
    Granted,
    Limits,
    Tally,
    UsedUp,
    Wait,
    ask,
    ask_for_all,
    left_today,
    reserve,
    seconds_to_midnight,
    throttle,
    usable_per_second,
)

NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC).timestamp()
DAY = 1_000_000
TWENTY = Limits(20, DAY)


@dataclass
class Line:
    """Calls one after the other, each at the first moment at which it may be made, and the time that this takes."""

    limits: Limits = TWENTY
    tally: Tally = field(default_factory=Tally)
    now: float = NOON
    late_s: float = 0.0  # how late every timer is
    made: list[float] = field(default_factory=list)

    def call(self, *, urgent: bool) -> float:
        """Seconds waited."""
        began = self.now
        while isinstance(answer := ask(self.tally, self.limits, self.now, urgent=urgent), Wait):
            self.now, self.tally = self.now + answer.seconds + self.late_s, answer.tally
        assert isinstance(answer, Granted)
        self.tally = answer.tally
        self.made.append(self.now)
        return self.now - began

    def call_for(self, seconds: float, *, urgent: bool) -> int:
        """Call without a pause; how many calls that were."""
        before, until = len(self.made), self.now + seconds
        while self.now < until:
            self.call(urgent=urgent)
        return len(self.made) - before - 1


def busiest_second(made: Sequence[float]) -> int:
    return max((sum(start <= at < start + 1.0 for at in made) for start in made), default=0)


def drain(tally: Tally, now: float, *, urgent: bool = True, limits: Limits = TWENTY) -> tuple[int, Tally]:
    """How many calls may be made at one instant."""
    spent = 0
    while isinstance(answer := ask(tally, limits, now, urgent=urgent), Granted):
        spent, tally = spent + 1, answer.tally
    return spent, tally


def test_second_holds_the_configured_calls() -> None:
    spent, tally = drain(Tally(), NOON)
    assert spent == 20
    assert drain(tally, NOON + 0.999)[0] == 0
    assert drain(tally, NOON + 1.011)[0] == 20


def test_slot_comes_back_a_second_after_it_was_taken() -> None:
    line = Line(Limits(2, DAY))
    line.call(urgent=True)
    line.now += 0.6
    line.call(urgent=True)
    assert line.call(urgent=True) == pytest.approx(0.41, abs=0.011)
    assert line.call(urgent=True) == pytest.approx(0.6, abs=0.011)


@given(
    per_second=st.integers(1, 30),
    arrivals=st.lists(st.tuples(st.floats(0, 0.7), st.booleans(), st.booleans()), max_size=80),
)
def test_no_second_ever_has_more_calls_than_allowed(per_second: int, arrivals: list[tuple[float, bool, bool]]) -> None:
    line = Line(Limits(per_second, DAY))
    for pause, urgent, throttled in arrivals:
        line.now += pause
        line.tally = throttle(line.tally, line.now) if throttled else line.tally
        line.call(urgent=urgent)
    assert busiest_second(line.made) <= per_second


@pytest.mark.parametrize("late_s", [0.0, 0.003, 0.01], ids=lambda late_s: f"timers {late_s} s late")
@pytest.mark.parametrize("per_second", [2, 5, 20, 100])
def test_a_batch_alone_uses_nearly_the_whole_rate(per_second: int, late_s: float) -> None:
    line = Line(Limits(per_second, DAY), late_s=late_s)
    assert line.call_for(60.0, urgent=False) >= 0.97 * per_second * 60
    assert busiest_second(line.made) <= per_second


def test_a_batch_spreads_its_calls_over_the_second() -> None:
    line = Line()
    line.call_for(5.0, urgent=False)
    steady = line.made[20:]
    gaps = [after - before for before, after in pairwise(steady)]
    assert (min(gaps), max(gaps)) == (pytest.approx(0.051, abs=0.011), pytest.approx(0.051, abs=0.011))


@pytest.mark.parametrize("batch_s", [0.3, 1.0, 1.7, 5.0, 5.02, 5.04])
def test_an_urgent_call_beside_a_batch_waits_no_longer_than_one_interval(batch_s: float) -> None:
    line = Line()
    line.call_for(batch_s, urgent=False)
    assert line.call(urgent=True) <= 1 / 20 + 0.011


@pytest.mark.parametrize(
    ("rate", "since_s", "usable", "kept"),
    [
        pytest.param(0.1, 10.1, 20, 0, id="none for ten seconds"),
        pytest.param(0.1, 9.9, 20, 1, id="one a while ago"),
        pytest.param(1.4, 0.0, 20, 3, id="twice the rate"),
        pytest.param(1.4, 5.0, 20, 2, id="the rate fades"),
        pytest.param(15.0, 0.0, 20, 4, id="a fifth at most"),
        pytest.param(15.0, 0.0, 3, 1, id="one of a few"),
        pytest.param(15.0, 0.0, 1, 0, id="never everything"),
        pytest.param(0.1, -60.0, 20, 1, id="the clock was put back"),
    ],
)
def test_reserve_follows_what_the_urgent_needed_lately(rate: float, since_s: float, usable: int, kept: int) -> None:
    assert reserve(Tally(urgent_rate=rate, urgent_at=NOON - since_s), usable, NOON) == kept


def test_rate_of_urgent_calls_is_averaged() -> None:
    line = Line()
    for _ in range(120):
        line.now += 0.5
        line.call(urgent=True)
    assert line.tally.urgent_rate == pytest.approx(2.0, rel=0.1)


def test_batches_leave_the_reserve_free() -> None:
    line = Line(tally=Tally(urgent_rate=2.0, urgent_at=NOON))
    line.call_for(1.2, urgent=False)
    assert drain(line.tally, line.now)[0] >= 3


def test_an_urgent_call_that_waits_goes_before_batches_of_other_processes() -> None:
    _, full = drain(Tally(), NOON)
    waiting = ask(full, TWENTY, NOON, urgent=True)
    assert isinstance(waiting, Wait)
    its_turn = NOON + waiting.seconds
    assert isinstance(ask(full, TWENTY, its_turn, urgent=False), Granted)
    batch = ask(waiting.tally, TWENTY, its_turn, urgent=False)
    assert isinstance(batch, Wait)
    assert batch.seconds == pytest.approx(YIELD_S)
    assert isinstance(ask(waiting.tally, TWENTY, its_turn, urgent=True), Granted)
    assert isinstance(ask(waiting.tally, TWENTY, its_turn + YIELD_S + 0.001, urgent=False), Granted)


def test_throttling_lowers_the_rate_once_for_all_calls_of_a_second() -> None:
    tally = Tally()
    for late_s in (0.0, 0.1, 0.9):
        tally = throttle(tally, NOON + late_s)
    assert usable_per_second(tally, TWENTY, NOON + 0.9) == 15
    assert usable_per_second(throttle(tally, NOON + 1.0), TWENTY, NOON + 1.0) == 11


def test_rate_never_falls_below_one() -> None:
    tally = Tally()
    for second in range(20):
        tally = throttle(tally, NOON + second)
    assert usable_per_second(tally, Limits(5, DAY), NOON + 20) == 1
    assert drain(tally, NOON + 20, urgent=False, limits=Limits(5, DAY))[0] == 1


def test_rate_recovers_by_small_steps_up_to_the_configured_one() -> None:
    tally = throttle(Tally(), NOON)
    rates = [usable_per_second(tally, Limits(40, DAY), NOON + s) for s in (0, 1.4, 1.5, 1.9, 2, 3.4, 3.5, 1000)]
    assert rates == [30, 30, 32, 32, 34, 38, 40, 40]


def test_throttling_right_after_a_step_of_recovery_counts() -> None:
    tally = throttle(throttle(Tally(), NOON), NOON + 1.6)
    assert usable_per_second(tally, Limits(40, DAY), NOON + 1.6) == 24


def test_throttled_rate_is_kept() -> None:
    line = Line(tally=throttle(Tally(), NOON))
    assert line.call_for(1.4, urgent=True) == 2 * 15
    assert busiest_second(line.made) == 15


def test_day_ends_when_its_calls_are_spent_and_begins_anew_at_midnight() -> None:
    limits, late = Limits(20, 3), datetime(2026, 11, 22, 23, 59, 59, tzinfo=UTC).timestamp()
    spent, tally = drain(Tally(), late, limits=limits)
    assert spent == 3
    assert ask(tally, limits, late, urgent=True) == UsedUp(1.0, urgent=True)
    assert isinstance(ask(tally, limits, late + 1.0, urgent=True), Granted)


@pytest.mark.parametrize(
    ("per_day", "spent", "to_all", "to_urgent"),
    [
        (500_000, 0, 475_000, 500_000),
        (500_000, 475_000, 0, 25_000),
        (500_000, 500_001, 0, 0),
        (10, 0, 9, 10),
        (1, 0, 1, 1),
    ],
)
def test_batches_leave_a_twentieth_of_the_day_to_the_urgent(
    per_day: int, spent: int, to_all: int, to_urgent: int
) -> None:
    limits, tally = Limits(20, per_day), Tally(day=int(NOON // 86_400), spent=spent)
    left = [left_today(tally, limits, NOON, urgent=urgent) for urgent in (False, True)]
    assert left == [to_all, to_urgent]
    assert isinstance(ask(tally, limits, NOON, urgent=False), UsedUp) is (to_all == 0)


@pytest.mark.parametrize(
    ("now", "seconds"),
    [
        pytest.param(datetime(2026, 11, 22, 12, tzinfo=UTC), 12 * 3600, id="noon"),
        pytest.param(datetime(2026, 11, 22, tzinfo=UTC), 24 * 3600, id="midnight is the new day already"),
        pytest.param(datetime(2026, 12, 31, 23, 59, 59, 500_000, tzinfo=UTC), 0.5, id="the year's last half second"),
    ],
)
def test_day_is_that_of_utc(now: datetime, seconds: float) -> None:
    assert seconds_to_midnight(now.timestamp()) == seconds


@pytest.mark.parametrize("urgent", [True, False], ids=["urgent", "batch"])
def test_a_clock_that_is_put_back_stops_nobody(urgent: bool) -> None:
    line = Line(tally=throttle(Tally(), NOON))
    line.call_for(3.0, urgent=urgent)
    _, waiting = drain(line.tally, line.now, urgent=True)
    assert isinstance(ask(waiting, TWENTY, NOON - 3600, urgent=urgent), Granted)


def test_those_in_line_are_answered_up_to_the_first_who_waits() -> None:
    _, almost_full = drain(Tally(), NOON, limits=Limits(18, DAY))
    answers, wait_s, tally = ask_for_all(almost_full, TWENTY, NOON, [True] * 5)
    assert len(answers) == 2
    assert wait_s == pytest.approx(1.0, abs=0.011)
    assert (tally.spent, tally.yield_until) == (20, NOON + wait_s + YIELD_S)


def test_those_in_line_are_all_turned_away_when_the_day_is_used_up() -> None:
    answers, wait_s, tally = ask_for_all(Tally(), Limits(20, 3), NOON, [True] * 5)
    assert [type(answer) for answer in answers] == [Granted] * 3 + [UsedUp] * 2
    assert (wait_s, tally.spent) == (0.0, 3)


def test_the_tally_stays_small_at_any_rate() -> None:
    line = Line(Limits(5000, DAY * 10))
    line.call_for(2.5, urgent=True)
    assert len(line.tally.recent) <= 101


@pytest.mark.parametrize(("per_second", "per_day"), [(0, 1), (1, 0)])
def test_budget_of_nothing_is_refused(per_second: int, per_day: int) -> None:
    with pytest.raises(ValueError, match="at least one"):
        Limits(per_second, per_day)


def test_calls_of_a_faster_process_count_for_a_slower_one() -> None:
    _, tally = drain(Tally(), NOON)
    assert drain(replace(tally), NOON + 0.5, limits=Limits(10, DAY))[0] == 0
