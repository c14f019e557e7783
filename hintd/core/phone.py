"""Telephone numbers: one number, many spellings.

Both sides keep what was typed, and Salesforce's pages reformat a number on their own, so numbers are compared as
E.164 with extension and written in the spelling that each side expects (README rule 14).
"""

from __future__ import annotations

import unicodedata
from functools import lru_cache

from phonenumbers import (
    NumberParseException,
    PhoneNumber,
    PhoneNumberFormat,
    ValidationResult,
    country_code_for_region,
    format_number,
    is_possible_number_with_reason,
    parse,
)

_NORTH_AMERICA = 1  # Hint's "US formattable" numbers: ten digits, of which it cannot tell the country
_US_DIGITS = 10


def _in_ascii_digits(text: str) -> str:
    return "".join(str(unicodedata.decimal(c)) if c.isdecimal() else c for c in text)


def _digits(text: str) -> str:
    return "".join(c for c in text if c in "0123456789")


def _spell(number: PhoneNumber) -> str:
    extension = f";ext={number.extension}" if number.extension else ""
    return format_number(number, PhoneNumberFormat.E164) + extension


def _parse_strictly(text: str, region: str) -> PhoneNumber | None:
    try:
        number = parse(text, region)
    except NumberParseException:
        return None
    possible = is_possible_number_with_reason(number) == ValidationResult.IS_POSSIBLE
    return number if possible else None


@lru_cache(maxsize=16_384)
def _number(text: str, region: str) -> PhoneNumber | None:
    """The number, None where the text is none that could be dialled from anywhere (a local one without area code).

    Text that cannot be read as it stands is tried by its digits.  A number whose E.164 spelling does not read back
    as itself counts as unreadable, so that the canonical form of a canonical form is itself.
    """
    ascii_text = _in_ascii_digits(text)
    number = _parse_strictly(ascii_text, region) or _parse_strictly(_digits(ascii_text), region)
    if number is None:
        return None
    again = _parse_strictly(_spell(number), region)
    return number if again is not None and _spell(again) == _spell(number) else None


def canonical_phone(text: str, region: str) -> str | None:
    """``+14155550101;ext=123``; else the digits; None where there are none."""
    digits = _digits(_in_ascii_digits(text))
    if not digits:
        return None
    number = _number(text, region)
    return _spell(number) if number is not None else digits


def _first_equal(spellings: tuple[str, ...], text: str, region: str) -> str:
    """The first spelling that reads back as the same number, else the text as given."""
    wanted = canonical_phone(text, region)
    return next((s for s in spellings if canonical_phone(s, region) == wanted), text)


def _with_extension(base: str, number: PhoneNumber) -> str:
    return f"{base} x{number.extension}" if number.extension else base


def _without_extension(number: PhoneNumber) -> PhoneNumber:
    bare = PhoneNumber()
    bare.merge_from(number)
    bare.extension = None
    return bare


def spell_for_hint(text: str, region: str) -> tuple[str, bool]:
    """The number as Hint expects it, and ``us_formattable``: true for exactly ten digits."""
    number = _number(text, region)
    if number is None:
        return text, False
    bare = format_number(_without_extension(number), PhoneNumberFormat.E164)
    spellings = [_with_extension(bare, number)]
    if number.country_code == _NORTH_AMERICA:
        spellings.insert(0, _with_extension(bare.removeprefix("+1"), number))
    spelled = _first_equal(tuple(spellings), text, region)
    return spelled, spelled.isascii() and spelled.isdigit() and len(spelled) == _US_DIGITS


def spell_for_salesforce(text: str, region: str) -> str:
    """National format for the default region, else international; text that is no number as given."""
    number = _number(text, region)
    if number is None:
        return text
    bare = _without_extension(number)
    formats = [PhoneNumberFormat.INTERNATIONAL, PhoneNumberFormat.E164]
    if number.country_code == country_code_for_region(region):
        formats.insert(0, PhoneNumberFormat.NATIONAL)
    return _first_equal(tuple(_with_extension(format_number(bare, f), number) for f in formats), text, region)
