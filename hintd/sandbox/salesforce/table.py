"""The org's Contacts as kept beside a crowd: those created here whole, those of the crowd by what changed of them."""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, MutableMapping, Sequence
from functools import lru_cache
from typing import overload

from hintd.sandbox.crowd import entered_at
from hintd.sandbox.salesforce.ids import make_id, number_of
from hintd.sandbox.salesforce.record import Row
from hintd.sandbox.salesforce.stamps import stamp

_FIRST = 62**6  # the crowd's ids begin here, far behind those that are given out one by one
_READY = 1024  # rows of the crowd that need not be made again for the next look at them
_POD = make_id("Contact", 0)[:5]


def crowd_id(number: int) -> str:
    return make_id("Contact", _FIRST + number)


def entered_stamp(number: int) -> str:
    return stamp(entered_at(number))


class Contacts(MutableMapping[str, Row]):
    """Rows by id: ``crowd`` of them by ``make``, which must make the same of the same number each time.  Inside, a row
    is known by its number, which is negative for one that was created here."""

    def __init__(self, crowd: int, make: Callable[[int], Row]) -> None:
        self.crowd = crowd
        self._make = lru_cache(_READY)(make)
        self._changed: dict[int, Row] = {}  # the fields of the crowd's rows that are not as made
        self._gone: set[int] = set()
        self._own: dict[int, Row] = {}

    def __getitem__(self, contact_id: str) -> Row:
        number = _number(contact_id)
        if number is None or not self._has(number):
            raise KeyError(contact_id)
        return self.row(number)

    def __setitem__(self, contact_id: str, row: Row) -> None:
        number = _number(contact_id)
        if number is None or number >= self.crowd:
            raise KeyError(contact_id)
        if number < 0:
            self._own[number] = row
            return
        made = self._make(number)
        self._gone.discard(number)
        self._changed[number] = {name: value for name, value in row.items() if made.get(name) != value}

    def __delitem__(self, contact_id: str) -> None:
        number = _number(contact_id)
        if number is None or not self._has(number):
            raise KeyError(contact_id)
        if number < 0:
            del self._own[number]
        else:
            self._gone.add(number)
            self._changed.pop(number, None)

    def __iter__(self) -> Iterator[str]:
        yield from (crowd_id(number) for number in range(self.crowd) if number not in self._gone)
        yield from map(crowd_id, self._own)

    def __len__(self) -> int:
        return self.crowd - len(self._gone) + len(self._own)

    def __contains__(self, contact_id: object) -> bool:
        number = _number(contact_id)
        return number is not None and self._has(number)

    def row(self, number: int) -> Row:
        if number < 0:
            return self._own[number]
        changed = self._changed.get(number)
        return self._make(number) if changed is None else {**self._make(number), **changed}

    def since(self, bound: str, *, inclusive: bool, deleted: bool) -> Rows:
        """The rows stamped since ``bound`` by stamp and id; each is made when it is looked at, as it is then."""
        bisect = bisect_left if inclusive else bisect_right
        untouched = range(bisect(range(self.crowd), bound, key=entered_stamp), self.crowd)
        # Whatever has changed is stamped later than all of the crowd that has not.
        changed = sorted(self._changed_since(bound, inclusive=inclusive, deleted=deleted))
        if not self._changed and not self._gone:
            return Rows(self, untouched, [number for _, number in changed])
        left = (number for number in untouched if number not in self._changed and number not in self._gone)
        return Rows(self, array("q", left), array("q", (number for _, number in changed)))

    def _changed_since(self, bound: str, *, inclusive: bool, deleted: bool) -> Iterable[tuple[str, int]]:
        for changed in (self._changed, self._own):
            for number, row in changed.items():
                at = row["SystemModstamp"]
                if (at > bound or (inclusive and at == bound)) and (deleted or not row.get("IsDeleted")):
                    yield at, number

    def _has(self, number: int) -> bool:
        return number in self._own if number < 0 else number < self.crowd and number not in self._gone


class Rows(Sequence[Row]):
    """Rows by number, made when they are looked at."""

    def __init__(self, contacts: Contacts, first: Sequence[int], then: Sequence[int]) -> None:
        self._contacts = contacts
        self._first = first
        self._then = then

    def __len__(self) -> int:
        return len(self._first) + len(self._then)

    @overload
    def __getitem__(self, place: int) -> Row: ...
    @overload
    def __getitem__(self, place: slice) -> list[Row]: ...
    def __getitem__(self, place: int | slice) -> Row | list[Row]:
        if isinstance(place, slice):
            return [self[each] for each in range(*place.indices(len(self)))]
        behind = place - len(self._first)
        return self._contacts.row(self._first[place] if behind < 0 else self._then[behind])


def _number(contact_id: object) -> int | None:
    if not isinstance(contact_id, str) or not contact_id.startswith(_POD) or len(contact_id) != 18:
        return None
    return number_of(contact_id) - _FIRST
