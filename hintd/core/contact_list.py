"""The ids of a file that Salesforce exported, line by line (README rule 7).

Whoever stores the lines stores all or nothing: a file is refused by an exception, which may come at its very end.
Memory holds one chunk, one record and the ids seen, never the file.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from string import whitespace

from hintd.core.csv_dialect import SEPARATORS
from hintd.core.csv_reader import CsvReader
from hintd.core.csv_records import Record
from hintd.core.salesforce_id import contact_id, to_18

_SPACE = whitespace + "\xa0\udca0\u200b\ufeff"  # also no-break (\udca0: that of Windows-1252), zero-width, stray BOM
_AROUND_ID = _SPACE + "=\"'"  # Excel is kept from reading ids as numbers by ="..." or an apostrophe
_BLANK = _SPACE + SEPARATORS + '"'
_BUCKETS = 8_192


class LineKind(StrEnum):
    ID = "id"
    REPEATED = "repeated"
    IGNORED = "ignored"


@dataclass(frozen=True, slots=True)
class Line:
    """One record of the file that is not blank.  ``contact_id``: 18 characters, None where the line is ignored."""

    number: int  # of its first line in the file, from 1
    kind: LineKind
    contact_id: str | None = None


class UnreadableFile(Exception):
    """The file is refused; ``str()`` is a sentence that quotes nothing of it."""


class _SeenIds:
    """About 14 bytes for each id, where a set of strings needs 100: buckets of ids, each after a comma."""

    def __init__(self) -> None:
        self._buckets = [bytearray() for _ in range(_BUCKETS)]

    def add(self, contact_id: str) -> bool:
        """False when it was there."""
        key = b"," + contact_id[3:15].encode()  # all begin with 003, and the check letters follow from the rest
        bucket = self._buckets[hash(key) % _BUCKETS]
        if key in bucket:
            return False
        bucket += key
        return True


def _is_label(cell: str) -> bool:
    return cell[:1].isalpha() and to_18(cell) is None


class ContactListReader:
    """Bytes of the file in, in chunks cut anywhere; lines out.

    No lines are: blank records, also of separators only; a first line that tells Excel the separator (``sep=;``); and
    the header row, which is the first record if its first cell begins with a letter and has not the form of an id.
    ``max_rows`` bounds the lines of every kind together.  Both methods raise UnreadableFile, which ends the reading.
    """

    def __init__(self, max_rows: int) -> None:
        self._csv = CsvReader()
        self._max_rows = max_rows
        self._header_may_come = True
        self._rows = 0
        self._seen = _SeenIds()
        self._found = False

    def feed(self, chunk: bytes) -> list[Line]:
        """The lines that are known to have ended."""
        return self._lines(self._csv.feed(chunk))

    def finish(self) -> list[Line]:
        """The rest.  A file without any Contact id is refused here."""
        lines = self._lines(self._csv.finish())
        if not self._found:
            raise UnreadableFile(
                "The file has no Contact id in its first column. "
                "Export the report as CSV, with the Contact ID as its first column."
            )
        return lines

    def _lines(self, records: list[Record]) -> list[Line]:
        return [line for record in records if (line := self._line(record)) is not None]

    def _line(self, record: Record) -> Line | None:
        cell = record.first_cell.strip(_AROUND_ID)
        if not cell and not record.text.strip(_BLANK):
            return None
        may_be_header, self._header_may_come = self._header_may_come, False
        if may_be_header and _is_label(cell):
            return None
        self._count_row()
        return self._told_apart(record.number, contact_id(cell))

    def _count_row(self) -> None:
        self._rows += 1
        if self._rows > self._max_rows:
            raise UnreadableFile(
                f"The file has more than {self._max_rows:,} rows. "
                "Split it into smaller files, or raise max_csv_rows in the section [limits] of the settings."
            )

    def _told_apart(self, number: int, found: str | None) -> Line:
        if found is None:
            return Line(number, LineKind.IGNORED)
        self._found = True
        return Line(number, LineKind.ID if self._seen.add(found) else LineKind.REPEATED, found)
