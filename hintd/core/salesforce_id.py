"""Salesforce record ids: 15 case-sensitive characters, or 18 with three check letters that make up for lost case.

The API answers with 18; reports, formulas and duplicate messages show 15.  hintd keeps 18 only.
"""

from __future__ import annotations

import re
from itertools import product

CONTACT_PREFIX = "003"

_ID = re.compile(r"([0-9A-Za-z]{15})([A-Z0-5]{3})?", re.ASCII)
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"
_CAPITALS = str.maketrans({chr(code): str(int(chr(code).isupper())) for code in range(128)})
# What five characters are checked by: bit k of the letter's index is set when the k-th of them is a capital.
_CHECK = {bits: _LETTERS[int(bits[::-1], 2)] for bits in map("".join, product("01", repeat=5))}


def to_18(text: str) -> str | None:
    """The id in 18 characters; None when it is no record id, or its check letters are wrong."""
    found = _ID.fullmatch(text.strip())
    if found is None:
        return None
    bare, given = found[1], found[2]
    capitals = bare.translate(_CAPITALS)
    check = _CHECK[capitals[:5]] + _CHECK[capitals[5:10]] + _CHECK[capitals[10:]]
    return bare + check if given in (None, check) else None


def contact_id(text: str) -> str | None:
    """``to_18`` for Contacts only: None for the id of another object."""
    full = to_18(text)
    return full if full is not None and full.startswith(CONTACT_PREFIX) else None
