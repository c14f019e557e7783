"""The tally of calls to Hint, in one row for all processes; Postgres' clock is everybody's.

No lock is held while a process decides, so one that stalls or dies holds up nobody.
"""

from __future__ import annotations

import msgspec

from hintd.core.budget import Tally
from hintd.ports import Reading
from hintd.postgres.pool import Database

_READ = "select turn, tally, extract(epoch from clock_timestamp())::float8 as now from budget where remote = 'hint'"
_WRITE = "select write_tally('hint', $1, $2)"

_tallies = msgspec.json.Decoder(Tally)


class PostgresTally:
    def __init__(self, database: Database) -> None:
        self._db = database

    async def read(self) -> Reading:
        row = await self._db.row(_READ)
        if row is None:
            raise RuntimeError(
                "The table budget has no row for hint: insert (remote, turn, tally) = ('hint', 0, '{}')."
            )
        return Reading(row["turn"], _tallies.decode(row["tally"]), row["now"])

    async def write(self, turn: int, tally: Tally) -> bool:
        written: bool = await self._db.value(_WRITE, turn, msgspec.json.encode(tally).decode())
        return written
