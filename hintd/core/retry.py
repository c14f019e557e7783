"""When to try again, as a value: exponential backoff with full jitter (every wait is uniform between 0 and the step,
so that many waiting records do not come back at once)."""

from __future__ import annotations

FIRST_S = 0.5
LONGEST_S = 60.0


def backoff_s(attempt: int, chance: float, *, at_least_s: float = 0.0) -> float:
    """Seconds to wait after ``attempt`` (1 for the first) failed; ``chance`` is a random number in [0, 1).

    ``at_least_s``: the remote's or the budget's own wish, never undercut; the jitter comes on top of it.
    """
    step = min(LONGEST_S, FIRST_S * 2.0 ** min(attempt - 1, 16))
    return at_least_s + step * chance
