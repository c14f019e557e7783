"""Two address lines at Hint are one street of several lines in Salesforce (README rule 14)."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable


def _lines(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip()]


def fold_line(text: str) -> str:
    """One line as it is compared: trimmed; line breaks inside it count as ", ", which is how they come back."""
    return ", ".join(_lines(unicodedata.normalize("NFC", text)))


def split_street(street: str | None) -> tuple[str | None, str | None]:
    """The first non-blank line, and the others joined with ", "."""
    lines = _lines(street or "")
    return (lines[0] if lines else None, ", ".join(lines[1:]) or None)


def join_street(lines: Iterable[str | None]) -> str | None:
    """The non-blank lines, one below the other; None when there is none."""
    folded = (", ".join(_lines(line)) for line in lines if line)
    return "\n".join(line for line in folded if line) or None
