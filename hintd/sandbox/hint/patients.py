"""The practice's patients: what Hint stores, who wrote it, and the events that follow each committed change."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

from hintd.sandbox.changes import CLINIC, HINTD, Change, Changes
from hintd.sandbox.clock import Clock
from hintd.sandbox.crowd import Crowd, entered_at
from hintd.sandbox.hint.answers import Declined
from hintd.sandbox.hint.spelling import DATES, FLAGS, TEXTS, human, respell, respell_phone
from hintd.sandbox.hint.table import Stored, Table, crowd_id
from hintd.sandbox.options import Settings

_ZONE = timezone(timedelta(hours=-8))  # Hint shows stamps with the practice's offset, as its published samples do
_ID_LETTERS = "abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789"
_BY_ANYONE = TEXTS | DATES | FLAGS
_BY_STAFF = frozenset({"hipaa_authorization_accepted", "membership_status", "created_at"})
_STAMPED = ("patient_agreement_accepted", "hipaa_authorization_accepted")
_BLANK: dict[str, Any] = dict.fromkeys(sorted(TEXTS | DATES)) | {
    "electronic_communication_consent_accepted": False,
    "hipaa_authorization_accepted": False,
    "hipaa_authorization_accepted_at": None,
    "integration_last_synced_at": None,
    "membership_status": "active",
    "merged_into": None,
    "patient_agreement_accepted": False,
    "patient_agreement_accepted_at": None,
    "phones": [],
    "practitioner": None,
    "uses_tobacco": False,
}
_COMPUTED = frozenset({"updated_at", "integration_last_synced_at", "name", "age", "integration_sync_status"})

Event = Callable[[str, dict[str, Any]], None]  # (type, the patient as its GET shows it)


def stamp(at: datetime) -> str:
    """As Hint prints time: microseconds and an offset."""
    return at.astimezone(_ZONE).isoformat(timespec="microseconds")


class Patients:
    """All patients, by id, in the order of their creation."""

    def __init__(self, settings: Settings, clock: Clock, changes: Changes, crowd: Crowd) -> None:
        self._settings = settings
        self._clock = clock
        self._changes = changes
        self._random = random.Random(settings.now.seed)
        self._crowd = crowd
        self.table = Table(crowd.patients, self._one_of_crowd)
        self._destroyed: dict[str, Stored] = {}
        self._by_integration_id: dict[str, str] = {}
        self.version = 0  # grows with each committed change
        self.send_event: Event = lambda kind, patient: None

    def __iter__(self) -> Iterator[Stored]:
        return iter(self.table)

    def __len__(self) -> int:
        return len(self.table)

    def find(self, key: str) -> Stored | None:
        """By Hint's id or by this partner's ``integration_record_id``."""
        found = self.table.get(key) or self.table.get(self._by_integration_id.get(key, ""))
        if found is None and self._settings.now.deleted_readable:
            found = self._destroyed.get(key)
        return found

    def get(self, key: str) -> Stored:
        found = self.find(key)
        if found is None:
            raise Declined(404, "Couldn't find Patient")
        return found

    def linked(self) -> Iterator[Stored]:
        """Those that carry an ``integration_record_id`` and were not merged away."""
        found = (self.table.get(patient_id) for patient_id in self._by_integration_id.values())
        return (stored for stored in found if stored is not None and stored.values["merged_into"] is None)

    def seed(self, bodies: Iterable[Mapping[str, Any]]) -> None:
        """Put patients in as they are, without events: the clinic had them before anyone was connected."""
        for body in bodies:
            at = _instant(body.get("created_at")) or self._clock.now() - timedelta(days=self._random.randint(30, 900))
            values = _BLANK | self._rewritten(body, CLINIC, {})
            kept = {
                name: value for name, value in body.items() if name not in _BY_ANYONE | _COMPUTED | {"phones", "id"}
            }
            self._put(Stored(str(body.get("id") or self._new_id()), at, at, values | kept))

    def _one_of_crowd(self, number: int) -> Stored:
        at = entered_at(number)
        values = _BLANK | self._rewritten(self._crowd.patient(number), CLINIC, {})
        for flag in _STAMPED:
            if values[flag]:
                values[f"{flag}_at"] = stamp(at)
        return Stored(crowd_id(number), at, at, values)

    def create(self, body: Mapping[str, Any], origin: str) -> Stored:
        """Create a patient.  Declines with 422 without first and last name or with a taken integration id."""
        values = _BLANK | self._rewritten(body, origin, {})
        self._validate(values, None)
        now = self._clock.now()
        created = _instant(body.get("created_at")) if origin == CLINIC else None
        stored = self._put(Stored(self._new_id(), created or now, now, values))
        self._note_sync(stored, body, origin, now)
        self._commit(stored, "created", tuple(sorted(body)), origin)
        self.send_event("patient.created", self.shown(stored))
        return stored

    def update(self, stored: Stored, body: Mapping[str, Any], origin: str) -> Stored:
        """Write the fields that are given; what changes nothing leaves the stamp alone and sends nothing."""
        if self._settings.now.patch_requires_names and origin == HINTD:
            self._validate({"first_name": None, "last_name": None} | dict(body), stored)
        written = self._rewritten(body, origin, stored.values)
        self._validate(stored.values | written, stored)
        changed = tuple(sorted(name for name, value in written.items() if stored.values.get(name) != value))
        if not changed:
            return stored
        was_archived = stored.archived
        self._forget_integration_id(stored)
        stored.values.update(written)
        self._note_integration_id(stored)
        self._touch(stored, body, changed, origin)
        if stored.archived and not was_archived:
            self.send_event("patient.inactive", self.shown(stored))
        return stored

    def destroy(self, stored: Stored, origin: str) -> None:
        self.table.remove(stored)
        self._destroyed[stored.id] = stored
        self._forget_integration_id(stored)
        self._commit(stored, "deleted", (), origin)
        self.send_event("patient.destroyed", self.shown(stored))

    def merge(self, loser: Stored, winner: Stored) -> None:
        """Merge ``loser`` away: it stays readable, archived, and says into whom; blanks of the winner are filled."""
        if loser.id == winner.id or loser.values["merged_into"] is not None:
            raise Declined(422, "Validation failed: Patient can't be merged")
        filled = {
            name: value
            for name, value in loser.values.items()
            if value and not winner.values.get(name) and name in TEXTS | DATES and not name.startswith("integration_")
        }
        loser.values["merged_into"] = {"id": winner.id, "name": self.shown(winner)["name"]}
        loser.values["membership_status"] = "archived"
        self._touch(loser, {}, ("merged_into",), CLINIC, kind="merged")
        winner.values.update(filled)
        self._touch(winner, {}, tuple(sorted(filled)), CLINIC, kind="merged")

    def shown(self, stored: Stored) -> dict[str, Any]:
        """The patient as a read or an event shows it."""
        values = stored.values
        names = (values["first_name"], values["middle_name"], values["last_name"])
        shown = values | {
            "id": stored.id,
            "name": " ".join(name for name in names if name),
            "age": _age(values["dob"], self._clock.now().date()),
            "created_at": stamp(stored.created),
            "updated_at": stamp(stored.updated),
            "provider_web_link": f"https://app.hint.com/patients/{stored.id}",
            "integration_sync_status": _sync_status(values),
        }
        if not self._settings.now.title_on_reads:
            del shown["title"]
        return shown

    def _rewritten(self, body: Mapping[str, Any], origin: str, now: Mapping[str, Any]) -> dict[str, Any]:
        """What Hint makes of a write; what it does not know, or does not let a partner write, it ignores."""
        out = {name: respell(name, value) for name, value in body.items() if name in _BY_ANYONE}
        if "phones" in body:
            out["phones"] = self._phones(body["phones"] or (), now.get("phones", ()))
        if isinstance(body.get("practitioner"), Mapping):
            out["practitioner"] = dict(body["practitioner"])
        if origin == CLINIC:
            out |= {name: body[name] for name in _BY_STAFF - {"created_at"} if name in body}
        for flag in _STAMPED:
            if flag in out and bool(out[flag]) != bool(now.get(flag)):
                out[f"{flag}_at"] = stamp(self._clock.now()) if out[flag] else None
        return out

    def _phones(self, given: Any, now: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
        if not isinstance(given, (list, tuple)):
            raise Declined(422, "Validation failed: Phones is invalid")
        ids = {(phone["number"], phone["type"]): phone["id"] for phone in now}
        out: dict[str, dict[str, Any]] = {}
        if not self._settings.now.phones_replace:
            out = {phone["id"]: phone for phone in now}
        for item in given:
            phone = respell_phone(item)
            key = item.get("id") or ids.get((phone["number"], phone["type"])) or self._random_id("phn")
            out[key] = {"id": key, **phone}
        return list(out.values())

    def _validate(self, values: Mapping[str, Any], own: Stored | None) -> None:
        missing = [human(name) for name in ("first_name", "last_name") if not values.get(name)]
        if missing:
            raise Declined(422, "Validation failed: " + ", ".join(f"{name} can't be blank" for name in missing))
        taken = self._by_integration_id.get(values.get("integration_record_id") or "")
        if taken is not None and (own is None or taken != own.id):
            raise Declined(422, "Validation failed: Integration record has already been taken")

    def _put(self, stored: Stored) -> Stored:
        self.table.put(stored)
        self._note_integration_id(stored)
        self.version += 1
        return stored

    def _touch(
        self, stored: Stored, body: Mapping[str, Any], fields: tuple[str, ...], origin: str, kind: str = "updated"
    ) -> None:
        stored.updated = self._clock.now()
        self._note_sync(stored, body, origin, stored.updated)
        self.table.put(stored)
        self._commit(stored, kind, fields, origin)
        self.send_event("patient.updated", self.shown(stored))

    def _note_sync(self, stored: Stored, body: Mapping[str, Any], origin: str, now: datetime) -> None:
        if origin == HINTD and any(name.startswith("integration_") for name in body):
            stored.values["integration_last_synced_at"] = stamp(now)

    def _commit(self, stored: Stored, kind: str, fields: tuple[str, ...], origin: str) -> None:
        self.version += 1
        self._changes.tell(Change("hint", stored.id, kind, fields, origin, self._clock.now()))

    def _note_integration_id(self, stored: Stored) -> None:
        if key := stored.values["integration_record_id"]:
            self._by_integration_id[key] = stored.id

    def _forget_integration_id(self, stored: Stored) -> None:
        self._by_integration_id.pop(stored.values["integration_record_id"] or "", None)

    def _new_id(self) -> str:
        return self._random_id("pat")

    def _random_id(self, kind: str) -> str:
        return f"{kind}-" + "".join(self._random.choices(_ID_LETTERS, k=12))


def _instant(text: Any) -> datetime | None:
    if not text:
        return None
    at = datetime.fromisoformat(str(text))
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def _age(dob: str | None, today: date) -> int | None:
    if dob is None:
        return None
    born = date.fromisoformat(dob)
    return today.year - born.year - ((today.month, today.day) < (born.month, born.day))


def _sync_status(values: Mapping[str, Any]) -> str:
    if values["integration_error_message"]:
        return "errored"
    return "synced" if values["integration_record_id"] else "enabled"
