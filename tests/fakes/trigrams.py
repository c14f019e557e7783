"""Similarity of names as PostgreSQL's pg_trgm computes it."""

from __future__ import annotations


def similarity(one: str, other: str) -> float:
    return _share(set(_trigrams(one)), set(_trigrams(other)))


def word_similarity(words: str, text: str) -> float:
    """The greatest similarity of ``words`` with any run of the trigrams of ``text``."""
    wanted, there = set(_trigrams(words)), _trigrams(text)
    runs = (set(there[start:end]) for start in range(len(there)) for end in range(start + 1, len(there) + 1))
    return max((_share(wanted, run) for run in runs), default=0.0)


def _trigrams(text: str) -> list[str]:
    padded = [f"  {word} " for word in text.split()]
    return [word[start : start + 3] for word in padded for start in range(len(word) - 2)]


def _share(one: set[str], other: set[str]) -> float:
    return len(one & other) / len(one | other) if one | other else 0.0
