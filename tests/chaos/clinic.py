"""The sandbox in a process of its own, and the people who edit its records on both sides.

Each (pair, field) is edited on one side only, every time to another value: so the value that both sides must end with
is known exactly, and every edit can be told from every other one.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from tests.chaos.waiting import wait_until_nothing

Pair = tuple[str, str]
"""(patient id, Contact id)."""

_FIELDS: Mapping[str, tuple[str, str]] = {
    "first_name": ("first_name", "FirstName"),
    "middle_name": ("middle_name", "MiddleName"),
    "last_name": ("last_name", "LastName"),
    "email": ("email", "Email"),
    "city": ("address_city", "MailingCity"),
    "zip": ("address_zip", "MailingPostalCode"),
}
"""hintd's name of a field: its names in Hint and in Salesforce."""


@dataclass(frozen=True, slots=True)
class Edit:
    side: str
    pair: Pair
    field: str
    value: str


@dataclass(slots=True)
class Edits:
    """Seeded edits, and what they lead to."""

    pairs: Sequence[Pair]
    chance: random.Random
    made: list[Edit] = field(default_factory=list)
    _places: list[tuple[str, Pair, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._places = [
            (self.chance.choice(("hint", "salesforce")), pair, name) for pair in self.pairs for name in _FIELDS
        ]

    def plan(self, count: int) -> Iterator[Edit]:
        """``made`` grows as they are taken."""
        for _ in range(count):
            side, pair, name = self.chance.choice(self._places)
            self.made.append(Edit(side, pair, name, _value(name, len(self.made) + 1)))
            yield self.made[-1]

    def expected(self) -> dict[tuple[Pair, str], str]:
        return {(edit.pair, edit.field): edit.value for edit in self.made}


def _value(name: str, number: int) -> str:
    match name:
        case "email":
            return f"edit{number}@example.org"
        case "zip":
            return f"{10000 + number}"
        case _:
            letters = "".join(chr(ord("a") + int(digit)) for digit in str(number))
            return f"E{letters}"


class Clinic:
    """The sandbox's control port."""

    def __init__(self, session: aiohttp.ClientSession, url: str, grpc_address: str) -> None:
        self._session, self.url, self.grpc_address = session, url, grpc_address

    async def ask(self, method: str, path: str, body: object = None) -> Any:
        async with self._session.request(method, f"{self.url}/control/{path}", json=body) as got:
            assert got.status < 300, f"{method} {path}: {got.status} {await got.text()}"
            return await got.json() if got.status != 204 else None

    async def records(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Patients and Contacts by id."""
        records = await self.ask("GET", "records")
        return {p["id"]: p for p in records["hint"]}, {c["Id"]: c for c in records["salesforce"]}

    async def same_people(self) -> list[Pair]:
        """Pairs of records with equal names and date of birth that no third record shares."""
        patients, contacts = await self.records()
        by_person: dict[tuple[str, str, str], list[str]] = {}
        for p in patients.values():
            by_person.setdefault((p["first_name"], p["last_name"], p["dob"]), []).append(p["id"])
        for c in contacts.values():
            by_person.setdefault((c["FirstName"], c["LastName"], c["Birthdate"]), []).append(c["Id"])
        return [
            (a, b) for a, b in (ids for ids in by_person.values() if len(ids) == 2) if a in patients and b in contacts
        ]

    async def make(self, edit: Edit) -> None:
        in_hint, in_salesforce = _FIELDS[edit.field]
        patient_id, contact_id = edit.pair
        if edit.side == "hint":
            await self.ask("PATCH", f"patients/{patient_id}", {in_hint: edit.value})
        else:
            await self.ask("PATCH", f"contacts/{contact_id}", {in_salesforce: edit.value})

    async def not_arrived(self, expected: Mapping[tuple[Pair, str], str]) -> list[str]:
        """What does not hold the value yet that both sides must end with."""
        patients, contacts = await self.records()
        late = []
        for ((patient_id, contact_id), name), value in expected.items():
            in_hint, in_salesforce = _FIELDS[name]
            held = patients[patient_id][in_hint], contacts[contact_id][in_salesforce]
            if held != (value, value):
                late.append(f"{patient_id}/{contact_id} {name}: {held} instead of {value}")
        return late

    async def linked(self, first_names: Sequence[str]) -> None:
        """Waits until the patients of these names say which Contact is theirs."""

        async def unlinked() -> list[str]:
            patients, _ = await self.records()
            found = (p for p in patients.values() if p["first_name"] in first_names)
            return [p["first_name"] for p in found if not p["integration_record_id"]]

        await wait_until_nothing(unlinked, "the new patients are linked", within_s=60.0)

    async def undelivered(self) -> list[str]:
        """Webhooks that hintd has not accepted yet."""
        deliveries = (await self.ask("GET", "webhooks"))["deliveries"]
        return [d["event_id"] for d in deliveries if d["status"] != "delivered"]

    async def forget_calls(self) -> None:
        await self.ask("POST", "calls/reset")

    async def writes(self) -> dict[str, int]:
        """The calls since then that can change a record."""
        calls = await self.ask("GET", "calls")
        made = {**calls["hint"]["by"], **calls["salesforce"]["by"]}
        return {name: count for name, count in made.items() if not name.startswith("GET ") and "/oauth2/" not in name}

    async def arm(self, remote: str, kind: str, **more: object) -> None:
        await self.ask("POST", "faults", {"remote": remote, "kind": kind, **more})

    async def armed(self) -> list[dict[str, Any]]:
        faults: list[dict[str, Any]] = await self.ask("GET", "faults")
        return faults
