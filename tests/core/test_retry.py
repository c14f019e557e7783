"""Waits between attempts."""

from __future__ import annotations

import pytest

from hintd.core.retry import FIRST_S, LONGEST_S, backoff_s


@pytest.mark.parametrize(("attempt", "step"), [(1, FIRST_S), (2, 2 * FIRST_S), (5, 16 * FIRST_S), (99, LONGEST_S)])
def test_waits_grow_to_a_limit_with_full_jitter(attempt: int, step: float) -> None:
    assert backoff_s(attempt, 0.0) == 0.0
    assert backoff_s(attempt, 0.5) == step / 2


def test_the_remotes_own_wish_is_never_undercut() -> None:
    assert backoff_s(1, 0.0, at_least_s=30.0) == 30.0
    assert backoff_s(99, 0.5, at_least_s=30.0) == 30.0 + LONGEST_S / 2
