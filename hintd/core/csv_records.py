"""Records of a CSV file, put together of its lines: a quoted cell may hold line ends.

The csv module is not used because it cannot step back: a lone quote at the start of a cell would take in the rows
behind it, unseen.  Here a quote opens a cell only if that cell ends, within ``LONGEST`` characters, with a quote before
a separator or a line end; otherwise it is a character like others, and each line since then is a record of its own.
No line is looked at more than twice.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

LONGEST = 1_048_576  # characters of a line or record: eight of Salesforce's longest text fields


@dataclass(frozen=True, slots=True)
class Record:
    number: int  # of its first line, from 1
    first_cell: str  # as it is written, with its quotes
    text: str


class RecordReader:
    """Holds the lines of a record whose quoted cell has not ended."""

    def __init__(self, separator: str) -> None:
        quoted = r'"[^"]*+(?:""[^"]*+)*+'
        closed = rf'{quoted}"(?![^{separator}])'
        cell = rf'(?:{closed}|[^"{separator}][^{separator}]*+|)'
        self._separator = separator
        self._whole = re.compile(rf"{cell}(?:{separator}{cell})*+")
        self._open = re.compile(rf"(?:{cell}{separator})*+{quoted}")
        self._closed = re.compile(closed)
        self._number = 0
        self._held: list[str] = []
        self._held_from = 0
        self._held_length = 0

    def take(self, line: str) -> list[Record]:
        """The records that are known to have ended with this line, which comes without its line end."""
        self._number += 1
        if not self._held and '"' not in line:
            return [Record(self._number, line.partition(self._separator)[0], line)]
        return self._take_quoted(line)

    def finish(self) -> list[Record]:
        """The lines behind a quote that nothing has ended."""
        return self._one_by_one()

    def _take_quoted(self, line: str) -> list[Record]:
        text = '"' + line if self._held else line  # a line within a cell reads like one that opens it
        if self._open.fullmatch(text):
            self._hold(line)
            return self._one_by_one() if self._held_length > LONGEST else []
        if self._whole.fullmatch(text):
            self._hold(line)
            return self._as_one()
        if self._held:
            return [*self._one_by_one(), *self._take_quoted(line)]
        return [self._record(self._number, line)]

    def _hold(self, line: str) -> None:
        if not self._held:
            self._held_from = self._number
        self._held.append(line)
        self._held_length += len(line) + 1

    def _release(self) -> list[str]:
        held, self._held, self._held_length = self._held, [], 0
        return held

    def _as_one(self) -> list[Record]:
        return [self._record(self._held_from, "\n".join(self._release()))]

    def _one_by_one(self) -> list[Record]:
        return [self._record(number, line) for number, line in enumerate(self._release(), self._held_from)]

    def _record(self, number: int, text: str) -> Record:
        quoted = self._closed.match(text)
        return Record(number, quoted[0] if quoted else text.partition(self._separator)[0], text)
