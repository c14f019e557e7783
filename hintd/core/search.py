"""The form of a name that a person's search text is compared with: words in order, folded as for matching."""

from __future__ import annotations

from hintd.core.match import fold_name


def search_name(*parts: str | None) -> str:
    """First and last name, or what was typed, as folded words: "José  O'Brien" is "jose obrien"."""
    words = (fold_name(word) for part in parts for word in (part or "").split())
    return " ".join(word for word in words if word)
