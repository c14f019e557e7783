"""How a CSV file is written, told by looking at its head: nobody who exports a report knows (README rule 7).

Only the first column is of use, and ids are ASCII, so UTF-8 and Windows-1252 need not be told apart: what is not UTF-8
is kept byte by byte as a lone surrogate, and one bad byte does not change how the rest of the file is read.
"""

from __future__ import annotations

import re
from codecs import BOM_UTF8, BOM_UTF16_BE, BOM_UTF16_LE, getincrementaldecoder
from collections import Counter
from dataclasses import dataclass
from io import IncrementalNewlineDecoder

HEAD_BYTES = 16_384  # enough for some hundred rows
SEPARATORS = ",;\t"

_BOMS = ((BOM_UTF8, "utf-8"), (BOM_UTF16_LE, "utf-16-le"), (BOM_UTF16_BE, "utf-16-be"))
_ON_BAD_BYTES = {"utf-8": "surrogateescape", "utf-16-le": "replace", "utf-16-be": "replace"}
_NOTE = re.compile(r'"?sep=.?"?', re.IGNORECASE)
_AFTER_AN_ID = re.compile(f"(?:^|[\r\n])[=\"' ]*003[0-9A-Za-z]{{12,15}}[\"' \xa0\udca0]*([{SEPARATORS}])")


@dataclass(frozen=True, slots=True)
class Dialect:
    """``codec``: a name that Python knows; ``bom``: bytes to leave out at the start."""

    codec: str
    bom: int
    separator: str

    def decoder(self) -> IncrementalNewlineDecoder:
        """Bytes to text, piece by piece; each CRLF, CR and LF comes out as a line feed."""
        return IncrementalNewlineDecoder(getincrementaldecoder(self.codec)(_ON_BAD_BYTES[self.codec]), translate=True)


def _codec(head: bytes) -> str:
    """Without a BOM: every other byte of UTF-16 is zero where its text is ASCII, as ids and separators are."""
    even, odd = head[0::2].count(0), head[1::2].count(0)
    if max(even, odd) * 8 < len(head) or max(even, odd) <= min(even, odd) * 8:
        return "utf-8"
    return "utf-16-le" if odd > even else "utf-16-be"


def is_separator_note(line: str) -> bool:
    """Of a first line: what Excel is told the separator by (``sep=;``).  What the rows show is believed instead."""
    return _NOTE.fullmatch(line.strip(" ")) is not None


def _separator(text: str) -> str:
    """What most often follows an id at the start of a line, else the most frequent one."""
    votes = Counter(_AFTER_AN_ID.findall(text)).most_common(1)
    return votes[0][0] if votes else max(SEPARATORS, key=text.count)


def look(head: bytes) -> Dialect:
    """Judge by the first ``HEAD_BYTES`` of a file; any bytes will do."""
    bom, codec = next(((len(mark), codec) for mark, codec in _BOMS if head.startswith(mark)), (0, _codec(head)))
    text = head[bom:].decode(codec, _ON_BAD_BYTES[codec])
    return Dialect(codec, bom, _separator(text.replace("\0", "")))
