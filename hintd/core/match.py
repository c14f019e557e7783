"""Demographic matching (README rule 4): first name, last name and date of birth, nothing else.

The stores look candidates up by ``match_name`` and date of birth; ``decide_match`` judges what they found.  Every
decision carries what agreed and what did not, so that it can be explained afterwards.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from hintd.core.model import Side

_SUFFIXES = {"jr": "jr", "junior": "jr", "sr": "sr", "senior": "sr", "ii": "ii", "iii": "iii", "iv": "iv"}
_LAST_WORD = re.compile(r"[\s,]+([A-Za-z]+)\.?\s*$")


@dataclass(frozen=True, slots=True)
class IndexRow:
    """What matching and searching need of one record.  ``match_name`` is ``match_name(first, last)``."""

    side: Side
    record_id: str
    stamp: datetime
    match_name: str
    first_name: str | None
    last_name: str | None
    suffix: str | None
    date_of_birth: str | None
    email: str | None = None
    phone: str | None = None
    gone: bool = False  # archived, merged away, deleted, a person account: no candidate
    created_at: datetime | None = None
    claimed: bool = False  # a Contact whose Synced_to_Hint__c is checked


@dataclass(frozen=True, slots=True)
class Candidate:
    row: IndexRow
    linked_with: str | None  # the id of the record it is linked with


class Match(StrEnum):
    NONE = "no_match"
    ONE = "match"
    AMBIGUOUS = "ambiguous"
    LINKED_ELSEWHERE = "match_linked_elsewhere"
    NO_DATE_OF_BIRTH = "no_date_of_birth"


@dataclass(frozen=True, slots=True)
class Considered:
    """One candidate and why it counted or did not: names of fields, never their values."""

    record_id: str
    agreed: tuple[str, ...]
    differed: tuple[str, ...]
    linked_with: str | None


@dataclass(frozen=True, slots=True)
class Decision:
    match: Match
    record_id: str | None = None  # the one match
    considered: tuple[Considered, ...] = ()


def fold_name(text: str | None) -> str:
    """Case, accents, punctuation and white space removed: "De La Cruz" and "Delacruz" fold alike."""
    decomposed = unicodedata.normalize("NFKD", (text or "").casefold())
    return "".join(c for c in decomposed if c.isalnum())


def split_suffix(last_name: str | None, suffix: str | None = None) -> tuple[str, str | None]:
    """The last name without a suffix at its end, and the suffix (``jr`` to ``iv``) from its own field or that end."""
    name = (last_name or "").strip()
    own = _SUFFIXES.get(fold_name(suffix))
    end = _LAST_WORD.search(name)
    if end is None or (found := _SUFFIXES.get(end.group(1).casefold())) is None:
        return name, own
    return name[: end.start()], own or found


def match_name(first_name: str | None, last_name: str | None) -> str:
    """The key candidates are looked up by; empty when a name is missing, which matches nobody."""
    first, last = fold_name(first_name), fold_name(split_suffix(last_name)[0])
    return f"{first}|{last}" if first and last else ""


def suffixes_contradict(one: str | None, other: str | None) -> bool:
    """A suffix on one side only does not contradict."""
    return one is not None and other is not None and one != other


def row_suffix(row: IndexRow) -> str | None:
    return split_suffix(row.last_name, row.suffix)[1]


def decide_match(own: IndexRow, candidates: Sequence[Candidate], rivals: Sequence[Candidate]) -> Decision:
    """Judge one record of our side.  ``candidates``: records of the other side with its name and date of birth;
    ``rivals``: records of our own side with them, ``own`` itself may be among them."""
    if not own.date_of_birth:
        return Decision(Match.NO_DATE_OF_BIRTH)
    own_suffix = row_suffix(own)
    considered = tuple(_consider(own_suffix, c) for c in candidates)
    fitting = [c for c, seen in zip(candidates, considered, strict=True) if not seen.differed]
    if not own.match_name or not fitting:
        return Decision(Match.NONE, considered=considered)
    if len(fitting) > 1:
        return Decision(Match.AMBIGUOUS, considered=considered)
    only = fitting[0]
    if only.linked_with is not None or only.row.claimed:
        return Decision(Match.LINKED_ELSEWHERE, only.row.record_id, considered)
    if _has_rival(own, row_suffix(only.row), rivals):
        return Decision(Match.AMBIGUOUS, considered=considered)
    return Decision(Match.ONE, only.row.record_id, considered)


def _has_rival(own: IndexRow, match_suffix: str | None, rivals: Sequence[Candidate]) -> bool:
    return any(
        rival.row.record_id != own.record_id
        and rival.linked_with is None
        and not suffixes_contradict(row_suffix(rival.row), match_suffix)
        for rival in rivals
    )


def _consider(own_suffix: str | None, candidate: Candidate) -> Considered:
    demographics = ("first_name", "last_name", "date_of_birth")
    contradict = suffixes_contradict(own_suffix, row_suffix(candidate.row))
    agreed, differed = (demographics, ("suffix",)) if contradict else ((*demographics, "suffix"), ())
    return Considered(candidate.row.record_id, agreed, differed, candidate.linked_with)
