"""Where the tally of calls is kept, for all processes together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from hintd.core.budget import Tally


@dataclass(frozen=True, slots=True)
class Reading:
    """The tally as it stands.  ``turn`` changes with every write; ``now``: by the keeper's clock, seconds since
    the epoch."""

    turn: int
    tally: Tally
    now: float


class SharedTally(Protocol):
    """Read, decide, write: whoever finds that another has written meanwhile decides anew.  Raises StoreDown."""

    async def read(self) -> Reading: ...

    async def write(self, turn: int, tally: Tally) -> bool:
        """False, and nothing is written, when ``turn`` is no longer that of the tally."""
        ...
