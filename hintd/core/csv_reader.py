"""Bytes of a CSV file to its records, in chunks cut anywhere, whatever its encoding, separator and line ends.

No bytes can fail, and no file can fill the memory: NUL characters are dropped, and of a line longer than ``LONGEST``
only the start is read.
"""

from __future__ import annotations

from hintd.core.csv_dialect import HEAD_BYTES, Dialect, is_separator_note, look
from hintd.core.csv_records import LONGEST, Record, RecordReader


class _Body:
    """The file behind its BOM, whose dialect is known."""

    def __init__(self, dialect: Dialect) -> None:
        self._decoder = dialect.decoder()
        self._records = RecordReader(dialect.separator)
        self._at_first_line = True
        self._unended = ""  # the line that the next chunk goes on with

    def read(self, chunk: bytes, *, final: bool = False) -> list[Record]:
        text = self._decoder.decode(chunk, final=final).replace("\0", "")
        *ended, unended = (self._unended + text).split("\n")
        self._unended = unended[:LONGEST]
        return [record for line in ended for record in self._take(line[:LONGEST])]

    def finish(self) -> list[Record]:
        records = self.read(b"", final=True)
        return [*records, *self._take(self._unended), *self._records.finish()]

    def _take(self, line: str) -> list[Record]:
        if self._at_first_line:
            self._at_first_line = False
            line = "" if is_separator_note(line) else line
        return self._records.take(line)


class CsvReader:
    """Waits for the head of the file, then reads on by what it has shown."""

    def __init__(self) -> None:
        self._head = b""
        self._body: _Body | None = None

    def feed(self, chunk: bytes) -> list[Record]:
        """The records that are known to have ended."""
        if self._body is not None:
            return self._body.read(chunk)
        self._head += chunk
        if len(self._head) < HEAD_BYTES:
            return []
        self._body, rest = self._start()
        return self._body.read(rest)

    def finish(self) -> list[Record]:
        """The rest; the last line needs no line end."""
        if self._body is not None:
            return self._body.finish()
        body, rest = self._start()
        return [*body.read(rest), *body.finish()]

    def _start(self) -> tuple[_Body, bytes]:
        dialect = look(self._head[:HEAD_BYTES])
        rest, self._head = self._head[dialect.bom :], b""
        return _Body(dialect), rest
