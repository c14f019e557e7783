"""The log that people read (README rule 12): ids, field names and sentences, never a patient's value."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hintd.composition import House
from hintd.desk.finding import find_id
from hintd.ports import LogEntry, LogFilter
from hintd.web.shapes import LogEntryJson


@dataclass(frozen=True, slots=True)
class HouseLog:
    house: House

    async def entries(self, name: str | None, only: LogFilter) -> Sequence[LogEntryJson]:
        log, connection_id = self.house.stores.log, await find_id(self.house, name)
        found = await (log.read if only.after_id else log.newest)(connection_id, only)
        return [_shown(entry_id, entry) for entry_id, entry in found]


def _shown(entry_id: int, entry: LogEntry) -> LogEntryJson:
    return {
        "id": entry_id,
        "at": entry.at,
        "level": entry.level,
        "what": entry.what,
        "contact_id": entry.contact_id,
        "patient_id": entry.patient_id,
        "batch_id": entry.batch_id,
        "message": entry.message,
    }
