"""Gender by the configured map of Hint's words to the org's (README rule 14)."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType

from hintd.core.text import fold_case

Genders = tuple[tuple[str, str], ...]

HINT_WORDS = ("man", "woman", "trans man", "trans woman", "nonbinary", "not listed")
"""What Hint takes as ``gender_identity``."""

LEGACY: Mapping[str, str] = MappingProxyType({"male": "man", "female": "woman"})
"""Hint's older attribute ``gender``, read where ``gender_identity`` is blank."""


@lru_cache(maxsize=64)
def _classes(genders: Genders) -> dict[str, str]:
    """Each word of the map, folded, to one word that stands for all that mean the same.

    Words that share a partner are one class: where two of Hint's words are written as one word of the org, what
    comes back must count as either of them, or the two sides would write at each other.
    """
    meaning: dict[str, str] = {}
    for hint, org in genders:
        ours, theirs = fold_case(hint), fold_case(org)
        kept, dropped = meaning.setdefault(theirs, theirs), meaning.get(ours)
        meaning[ours] = kept
        if dropped is not None and dropped != kept:
            meaning = {word: kept if stands_for == dropped else stands_for for word, stands_for in meaning.items()}
    return meaning


def canonical_gender(text: str, genders: Genders) -> str:
    """Words that the map holds equal come out equal; any other word is itself, ignoring case."""
    folded = fold_case(text)
    return _classes(genders).get(folded, folded)


def to_org_word(text: str, genders: Genders) -> str | None:
    """The org's word for Hint's, None where the map has none."""
    return next((org for hint, org in genders if fold_case(hint) == fold_case(text)), None)


def to_hint_word(text: str, genders: Genders) -> str | None:
    """Hint's word for the org's: by the map, else the equally named one, None where Hint has none."""
    folded = fold_case(text)
    mapped = next((hint for hint, org in genders if fold_case(org) == folded), None)
    return mapped or next((word for word in HINT_WORDS if word == folded), None)
