"""Seeded synthetic people: the same seed makes the same people, with the names and spellings that break matching."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Person:
    """One invented person, as each side would write it down.

    ``patient`` is the body of a Hint patient, ``contact`` the fields of a Salesforce Contact; ``None`` where the
    person is known on the other side only.
    """

    patient: dict[str, object] | None
    contact: dict[str, object] | None
