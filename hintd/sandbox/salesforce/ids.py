"""Salesforce record ids: 15 case-sensitive characters, with 3 more that make them safe where case is lost."""

from __future__ import annotations

import string

_DIGITS = string.digits + string.ascii_uppercase + string.ascii_lowercase
_SUFFIX = string.ascii_uppercase + "012345"

PREFIX = {"Account": "001", "Contact": "003", "User": "005", "Organization": "00D"}


def id18(id15: str) -> str:
    """Append the three letters that say which of the 15 are capitals."""
    return id15 + "".join(_suffix(id15[start : start + 5]) for start in (0, 5, 10))


def _suffix(group: str) -> str:
    return _SUFFIX[sum(1 << place for place, char in enumerate(group) if "A" <= char <= "Z")]


def make_id(sobject: str, number: int) -> str:
    """The 18-character id of the numbered record of a kind."""
    digits = ""
    while number:
        number, rest = divmod(number, 62)
        digits = _DIGITS[rest] + digits
    return id18(f"{PREFIX[sobject]}Kd{digits.rjust(10, '0')}")


def full_id(text: object) -> str | None:
    """The 18-character form of an id of either length, or None for what is no id."""
    if not isinstance(text, str) or len(text) not in (15, 18) or not text.isascii() or not text.isalnum():
        return None
    whole = id18(text[:15])
    return whole if len(text) == 15 or whole == text else None


def number_of(whole: str) -> int:
    """The number that ``make_id`` made this id of."""
    number = 0
    for digit in whole[5:15]:
        number = number * 62 + _DIGITS.index(digit)
    return number
