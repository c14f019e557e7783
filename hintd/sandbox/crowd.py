"""A practice of up to a million people, whose records are made when they are asked for, from their number alone.

The same seed makes the same people.  Nothing of them is kept here: both sides keep what changed of a record, and make
the rest again at each read, so that a big practice starts at once and costs memory for what is done to it only.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum, auto

from hintd.sandbox.people import Fields, contact_of, invent

_FIRST_ENTERED = datetime(2024, 1, 1, tzinfo=UTC)
_BETWEEN = timedelta(seconds=30)  # the millionth is entered within a year
_STRANGERS = 10**8  # from which number on people are known in Salesforce only


class _Kind(Enum):
    """How the patients of an even number and the next are known in Salesforce, decided for both at once."""

    MATCHED = auto()  # one Contact for each, of the same name and date of birth
    UNMATCHED = auto()  # the Contacts of these numbers are other people
    DOUBLE = auto()  # both Contacts are of the first patient; the second has none
    UNDATED = auto()  # the patients have no date of birth


_OTHERS = (_Kind.UNMATCHED,) * 6 + (_Kind.DOUBLE, _Kind.UNDATED)


@dataclass(frozen=True)
class Crowd:
    """Patients and Contacts by number from 0.  ``match_share`` of the patients have exactly one Contact that matches,
    where there are as many Contacts as patients."""

    patients: int
    contacts: int
    match_share: float
    seed: int

    @property
    def big(self) -> bool:
        return self.patients + self.contacts > 0

    def patient(self, number: int) -> Fields:
        """The body of a Hint patient, with ids for its phones: they must be the same each time."""
        body = self._person(number)
        for place, phone in enumerate(body["phones"]):
            phone["id"] = f"phn-{number:011d}{place}"
        return body | {"dob": None} if self._kind(number) is _Kind.UNDATED else body

    def contact(self, number: int) -> Fields:
        match self._kind(number):
            case _Kind.UNMATCHED:
                return contact_of(self._person(_STRANGERS + number))
            case _Kind.DOUBLE:
                return contact_of(self._person(number - number % 2))
            case _Kind.MATCHED | _Kind.UNDATED:
                return contact_of(self._person(number))

    def _person(self, number: int) -> Fields:
        return invent(random.Random(f"{self.seed}/{number}"), number)

    def _kind(self, number: int) -> _Kind:
        chance = random.Random(f"{self.seed}/kind/{number // 2}")
        return _Kind.MATCHED if chance.random() < self.match_share else chance.choice(_OTHERS)


NOBODY = Crowd(0, 0, 0.0, 0)


def entered_at(number: int) -> datetime:
    """When the record of this number was entered, and last changed before the sandbox began."""
    return _FIRST_ENTERED + number * _BETWEEN
