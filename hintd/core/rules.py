"""The settings that the pure rules need, as one value.  Defaults are those of the README's configuration chapter."""

from __future__ import annotations

from dataclasses import dataclass

GENDERS: tuple[tuple[str, str], ...] = (
    ("man", "Male"),
    ("woman", "Female"),
    ("nonbinary", "Nonbinary"),
    ("not listed", "Not Listed"),
)


@dataclass(frozen=True, slots=True)
class Rules:
    """``default_region`` and ``default_country`` are ISO 3166 alpha-2 codes; ``genders`` pairs Hint's word with the
    org's; ``revert_read_only``: set a field that only flows from Hint back when it is edited in Salesforce.

    A field written back and forth ``freeze_changes`` times within ``freeze_window_s`` seconds is frozen for its pair.
    hintd stops acting on absence when at least ``absence_min`` linked records of one side, and more than the share
    ``absence_share`` of them, look gone or emptied at once.
    """

    default_region: str = "US"
    default_country: str = "US"
    genders: tuple[tuple[str, str], ...] = GENDERS
    revert_read_only: bool = True
    freeze_changes: int = 6
    freeze_window_s: float = 600.0
    absence_share: float = 0.2
    absence_min: int = 5
