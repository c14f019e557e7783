"""When two values are equal (README rule 1): compare canonical forms, write original forms.

Each side stores what it is given in its own way, so a value is never compared as it stands.  What each kind ignores
is said at its function; what is not said there counts as a difference worth syncing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime

from hintd.core.fields import Field, Kind
from hintd.core.gender import canonical_gender
from hintd.core.model import Value
from hintd.core.phone import canonical_phone
from hintd.core.place import canonical_country, canonical_state, same_state_abroad
from hintd.core.rules import Rules
from hintd.core.street import fold_line
from hintd.core.text import fold_case, fold_space

_DAY = re.compile(r"(\d{4}-\d{2}-\d{2})(?:[T ].*)?", re.ASCII | re.DOTALL)
_ZIP5 = re.compile(r"\d{5}", re.ASCII)
_ZIP9 = re.compile(r"(\d{5})-?\d{4}", re.ASCII)


def iso_day(text: str) -> str | None:
    """The calendar date as written, never through a time zone; None where there is none."""
    found = _DAY.fullmatch(text.strip())
    if found is None:
        return None
    try:
        return date.fromisoformat(found[1]).isoformat()
    except ValueError:
        return None


def utc_second(text: str) -> datetime | None:
    """The instant in UTC, cut to the second; a time without offset is UTC; None where there is none."""
    try:
        instant = datetime.fromisoformat(text.strip())
        aware = instant if instant.tzinfo is not None else instant.replace(tzinfo=UTC)
        return aware.astimezone(UTC).replace(microsecond=0)
    except (ValueError, OverflowError):  # OverflowError: an offset that leaves the years 1 to 9999
        return None


def spell_instant(instant: datetime) -> str:
    """``2026-11-22T10:15:00Z``, what both sides take."""
    return instant.astimezone(UTC).replace(tzinfo=None, microsecond=0).isoformat() + "Z"


def _text(text: str, _: Rules) -> str:
    return fold_space(text)


def _prefix(text: str, _: Rules) -> str:
    """Case and a final dot do not count: both sides have their own list of prefixes."""
    return fold_case(text).rstrip(". ")


def _date(text: str, _: Rules) -> str:
    return iso_day(text) or fold_space(text)


def _gender(text: str, rules: Rules) -> str:
    return canonical_gender(text, rules.genders)


def _email(text: str, _: Rules) -> str:
    return fold_case(text)


def _phone(text: str, rules: Rules) -> str:
    """Spelling of the number; text without a digit compares as text."""
    return canonical_phone(text, rules.default_region) or fold_space(text)


def _line(text: str, _: Rules) -> str:
    return fold_line(text)


def _state(text: str, rules: Rules) -> str:
    return canonical_state(text, rules.default_country)


def _country(text: str, _: Rules) -> str:
    return canonical_country(text)


def _instant(text: str, _: Rules) -> str:
    instant = utc_second(text)
    return spell_instant(instant) if instant is not None else fold_space(text)


_CANONICAL: Mapping[Kind, Callable[[str, Rules], str]] = {
    Kind.TEXT: _text,
    Kind.PREFIX: _prefix,
    Kind.DATE: _date,
    Kind.GENDER: _gender,
    Kind.EMAIL: _email,
    Kind.PHONE: _phone,
    Kind.LINE: _line,
    Kind.ZIP: _text,
    Kind.STATE: _state,
    Kind.COUNTRY: _country,
    Kind.INSTANT: _instant,
}


def canonical(field: Field, value: Value, rules: Rules) -> Value:
    """The form that values are compared in; blank is None, and for a flag False.

    Not the whole truth: equality of ZIP codes and of states abroad is not transitive, so ask ``same``.
    """
    if field.kind is Kind.FLAG:
        return value is True
    if value is None or isinstance(value, bool):
        return value
    return _CANONICAL[field.kind](value, rules) or None


def _same_zip(a: str, b: str) -> bool:
    """US: the first five digits, when one side has no more than these."""
    short, long = sorted((a, b), key=len)
    found = _ZIP9.fullmatch(long)
    return _ZIP5.fullmatch(short) is not None and found is not None and found[1] == short


def same(field: Field, a: Value, b: Value, rules: Rules) -> bool:
    """Whether two values of a field are equal by README rule 1."""
    if a == b:
        return True
    one, other = canonical(field, a, rules), canonical(field, b, rules)
    if one == other:
        return True
    if not isinstance(one, str) or not isinstance(other, str):
        return False
    if field.kind is Kind.ZIP:
        return _same_zip(one, other)
    return field.kind is Kind.STATE and same_state_abroad(one, other, rules.default_country)
