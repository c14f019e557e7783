"""The bitmaps of a change event's header: which fields were changed, cleared, or sent as a difference.  Pure.

A list holds at most one ``0x…`` for the top-level fields and any number of ``P-0x…`` for the members of the compound
field at index P.  Bit 0 is the lowest; the header itself counts as index 0.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain

from hintd.salesforce.layout import FieldLayout, Layout

MOST_DIGITS = 1_000  # 4,000 fields, several times what an object can have; longer ones would take minutes to read


def marked_paths(layout: Layout, bitmaps: Sequence[str]) -> frozenset[str]:
    """The paths that the bitmaps mark, such as ``Email`` and ``Name.FirstName``.

    A compound marked without any bitmap of its own is marked with all its members.  Bits beyond the schema's fields
    are ignored.  Raises ValueError for text that is no bitmap.
    """
    top, nested = read_bitmaps(bitmaps)
    whole = (layout[i].paths() for i in top if i < len(layout) and i not in nested)
    parts = (_member_paths(layout[i], bits) for i, bits in nested.items() if i < len(layout))
    return frozenset(chain.from_iterable(chain(whole, parts)))


def read_bitmaps(bitmaps: Sequence[str]) -> tuple[frozenset[int], dict[int, frozenset[int]]]:
    """The bits set for the top-level fields, and by the index of a compound field those set for its members."""
    top: frozenset[int] = frozenset()
    nested: dict[int, frozenset[int]] = {}
    for text in bitmaps:
        parent, dash, digits = text.partition("-")
        if dash:
            nested[int(parent)] = nested.get(int(parent), frozenset()) | _bits(digits)
        else:
            top |= _bits(text)
    return top, nested


def _bits(text: str) -> frozenset[int]:
    if not text.startswith(("0x", "0X")):
        raise ValueError("a bitmap of the event's header does not begin with 0x")
    if len(text) > MOST_DIGITS:
        raise ValueError("a bitmap of the event's header is too long")
    number = int(text, 16)
    return frozenset(i for i in range(number.bit_length()) if number >> i & 1)


def _member_paths(field: FieldLayout, bits: frozenset[int]) -> Iterator[str]:
    return (path for i, path in enumerate(field.paths()) if i in bits)
