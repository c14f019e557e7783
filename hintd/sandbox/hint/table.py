"""The practice's patients as kept: those entered here whole, those of a crowd by what changed of them."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any

from hintd.sandbox.crowd import entered_at
from hintd.sandbox.hint.places import Places

_ARCHIVED = "archived"


@dataclass
class Stored:
    """One patient as stored; ``values`` is what reads show, before the computed fields."""

    id: str
    created: datetime
    updated: datetime
    values: dict[str, Any]

    @property
    def archived(self) -> bool:
        return bool(self.values["membership_status"] == _ARCHIVED)


@dataclass(frozen=True, slots=True)
class _Changed:
    updated: datetime
    values: dict[str, Any]


def crowd_id(number: int) -> str:
    return f"pat-{number:012d}"


class Table:
    """Patients by id, in the order of their creation: ``crowd`` of them by ``make``, which must make the same of the
    same number each time.  A patient that was got from here and changed must be put back."""

    def __init__(self, crowd: int, make: Callable[[int], Stored]) -> None:
        self.crowd = crowd
        self._make = make
        self._changed: dict[int, _Changed] = {}
        self._gone: set[int] = set()
        self._own: dict[str, Stored] = {}
        self.by_update = ByUpdate(crowd)

    def __len__(self) -> int:
        return self.crowd - len(self._gone) + len(self._own)

    def __iter__(self) -> Iterator[Stored]:
        yield from (self._one_of_crowd(number) for number in range(self.crowd) if number not in self._gone)
        yield from self._own.values()

    def get(self, patient_id: str) -> Stored | None:
        number = self._number(patient_id)
        if number is None:
            return self._own.get(patient_id)
        return None if number in self._gone else self._one_of_crowd(number)

    def put(self, stored: Stored) -> None:
        number = self._number(stored.id)
        if number is None:
            self._own[stored.id] = stored
        else:
            made = self._make(number).values
            values = {name: value for name, value in stored.values.items() if made.get(name) != value}
            self._changed[number] = _Changed(stored.updated, values)
        if self.crowd:
            self.by_update.touch(stored, number)

    def remove(self, stored: Stored) -> None:
        number = self._number(stored.id)
        if number is None:
            del self._own[stored.id]
        else:
            self._gone.add(number)
            self._changed.pop(number, None)
        if self.crowd:
            self.by_update.remove(stored, number)

    def page(self, span: Span, rows: slice) -> list[Stored]:
        """Some patients of a span in the order of their last change."""
        ids = self.by_update.ids(span, rows)
        return [stored for patient_id in ids if (stored := self.get(patient_id)) is not None]

    def _number(self, patient_id: str) -> int | None:
        digits = patient_id.removeprefix("pat-")
        if not (digits.isascii() and digits.isdigit()) or int(digits) >= self.crowd:
            return None
        return int(digits) if patient_id == crowd_id(int(digits)) else None

    def _one_of_crowd(self, number: int) -> Stored:
        stored = self._make(number)
        if changed := self._changed.get(number):
            stored.updated = changed.updated
            stored.values.update(changed.values)
        return stored


@dataclass(frozen=True, slots=True)
class Span:
    """Patients by the time of their last change; ``first`` and ``end`` are places.  Without archived ones, or all."""

    first: int
    end: int
    everyone: bool


class ByUpdate:
    """The order of last changes.  Each change takes a patient to a new place behind all others.

    Holds for patients whose stamps never go back: those of a crowd, and those entered while the sandbox runs.
    """

    def __init__(self, crowd: int) -> None:
        self._crowd = crowd
        self._everyone = Places(crowd)
        self._active = Places(crowd)
        self._moved: dict[str, int] = {}  # where those stand that have left the crowd's places
        self._ids: list[str] = []
        self._times: list[datetime] = []

    def touch(self, stored: Stored, number: int | None) -> None:
        self.remove(stored, number)
        self._moved[stored.id] = len(self._everyone)
        self._everyone.append(taken=True)
        self._active.append(taken=not stored.archived)
        self._ids.append(stored.id)
        self._times.append(stored.updated)

    def remove(self, stored: Stored, number: int | None) -> None:
        place = self._moved.pop(stored.id, number)
        if place is not None:
            self._everyone.leave(place)
            self._active.leave(place)

    def at_or_after(self, bound: datetime) -> int:
        """The first place with this stamp or a later one."""
        place = bisect_left(range(self._crowd), bound, key=entered_at)
        return place if place < self._crowd else self._crowd + bisect_left(self._times, bound)

    def after(self, bound: datetime) -> int:
        place = bisect_right(range(self._crowd), bound, key=entered_at)
        return place if place < self._crowd else self._crowd + bisect_right(self._times, bound)

    @property
    def end(self) -> int:
        return len(self._everyone)

    def count(self, span: Span) -> int:
        places = self._places(span)
        return max(places.before(span.end) - places.before(span.first), 0)

    def ids(self, span: Span, rows: slice) -> Iterator[str]:
        places = self._places(span)
        taken = places.taken_from(places.before(span.first) + rows.start)
        for place in islice(taken, rows.stop - rows.start):
            if place >= span.end:
                return
            yield crowd_id(place) if place < self._crowd else self._ids[place - self._crowd]

    def _places(self, span: Span) -> Places:
        return self._everyone if span.everyone else self._active
