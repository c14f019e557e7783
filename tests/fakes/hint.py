"""A Hint practice in memory: patients as Hint's JSON, rewritten as Hint rewrites them, with the webhooks it would send.

People and hintd write through the same door, so that both meet the same rewriting.  Every method of the port decides
and changes without awaiting: one request is one transaction.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from hintd.core.errors import Refusal, Refused
from hintd.core.fields import Field
from hintd.core.model import Owner, Patient
from hintd.core.patient import read_patient
from hintd.core.place import state_code
from hintd.ports import Call, PatientPage

Raw = dict[str, Any]

_PHONE_TYPES = {"cell": "mobile", "m": "mobile", "h": "home", "home phone": "home", "w": "office", "business": "office"}
_REQUIRED = ("first_name", "last_name")
_BLANK: Mapping[str, Any] = {
    **dict.fromkeys(("title", "first_name", "middle_name", "last_name", "suffix", "dob", "gender", "gender_identity")),
    **dict.fromkeys(("email", "address_line1", "address_line2", "address_city", "address_state", "address_zip")),
    **dict.fromkeys(("address_country", "practitioner", "patient_agreement_accepted_at", "merged_into")),
    **dict.fromkeys(("health_insurance_payer_name", "health_insurance_group_id", "health_insurance_member_id")),
    **dict.fromkeys(("hipaa_authorization_accepted_at", "integration_record_id", "integration_web_link")),
    "integration_error_message": None,
    "patient_agreement_accepted": False,
    "hipaa_authorization_accepted": False,
    "membership_status": "active",
    "phones": [],
}


@dataclass(frozen=True, slots=True)
class Webhook:
    """What Hint tells: the event's type and the whole patient as it was then."""

    type: str
    patient: Raw
    at: datetime


@dataclass(frozen=True, slots=True)
class PatientSaved:
    """One save, for whoever keeps an account of it; ``before`` is None for a new patient."""

    patient_id: str
    by_person: bool
    before: Patient | None
    after: Patient
    sent: tuple[str, ...]


class MemoryPractice:
    """``hides_title``: reads do not show ``title``.  ``stamps_no_ops``: a PATCH that changes nothing is a change."""

    def __init__(
        self,
        fields: Sequence[Field],
        now: Callable[[], datetime],
        *,
        hides_title: bool = False,
        stamps_no_ops: bool = False,
    ) -> None:
        self._fields, self._now = fields, now
        self._hides_title, self._stamps_no_ops = hides_title, stamps_no_ops
        self._latest: datetime | None = None
        self.patients: dict[str, Raw] = {}
        self.destroyed: set[str] = set()
        self.on_webhook: Callable[[Webhook], None] = lambda _: None
        self.on_save: Callable[[PatientSaved], None] = lambda _: None

    # --- the port ---

    async def get_patient(self, patient_id: str, call: Call) -> Patient | None:
        found = self.patients.get(patient_id)
        return None if found is None else self._read(found)

    async def find_by_contact(self, contact_id: str, call: Call) -> Patient | None:
        found = self._holder_of(contact_id)
        return None if found is None else self._read(found)

    async def list_patients(
        self,
        call: Call,
        *,
        offset: int,
        limit: int = 100,
        updated_since: datetime | None = None,
        everyone: bool = False,
    ) -> PatientPage:
        all_read = [self._read(raw) for raw in self.patients.values()]
        listed = [p for p in all_read if everyone or not p.archived]
        changed = [p for p in listed if updated_since is None or p.stamp >= updated_since]
        ordered = sorted(changed, key=lambda p: p.stamp)
        return PatientPage(tuple(ordered[offset : offset + limit]), len(ordered))

    async def update_patient(self, patient_id: str, attributes: Mapping[str, Any], call: Call) -> Patient | None:
        return self._update(patient_id, attributes, by_person=False) if patient_id in self.patients else None

    async def create_patient(self, attributes: Mapping[str, Any], call: Call) -> Patient:
        return self._create(attributes, by_person=False)

    # --- people ---

    def create(self, attributes: Mapping[str, Any]) -> str:
        return self._create(attributes, by_person=True).id

    def edit(self, patient_id: str, attributes: Mapping[str, Any]) -> None:
        self._update(patient_id, attributes, by_person=True)

    def destroy(self, patient_id: str) -> None:
        gone = self.patients.pop(patient_id)
        self.destroyed.add(patient_id)
        self._tell("patient.destroyed", gone)

    def merge(self, loser_id: str, winner_id: str) -> None:
        """The loser names its winner and is archived, the winner is touched."""
        winner = self.patients[winner_id]
        named = {"id": winner_id, "name": winner["last_name"]}
        self._put(loser_id, {"merged_into": named, "membership_status": "archived"}, by_person=True)
        self._put(winner_id, {}, by_person=True, touch=True)

    def look(self, patient_id: str) -> Patient | None:
        """The patient with everything shown, as a person sees it."""
        found = self.patients.get(patient_id)
        return None if found is None else read_patient(found, self._fields)

    # --- saving ---

    def _create(self, attributes: Mapping[str, Any], *, by_person: bool) -> Patient:
        mark = attributes.get("integration_record_id")
        if mark is not None and self._holder_of(mark) is not None:
            raise _refused("Validation failed: Integration record has already been taken")
        patient_id = f"pat-{len(self.patients) + len(self.destroyed) + 1}"
        stored = _stored(attributes)
        if any(not stored.get(name) for name in _REQUIRED):
            raise _refused("Validation failed: First name can't be blank")
        at = self._stamp()
        self.patients[patient_id] = {**copy.deepcopy(dict(_BLANK)), "id": patient_id, "created_at": at, **stored}
        self.patients[patient_id]["updated_at"] = at
        return self._saved(patient_id, None, by_person, tuple(attributes), "patient.created")

    def _update(self, patient_id: str, attributes: Mapping[str, Any], *, by_person: bool) -> Patient:
        stored = _stored(attributes)
        if any(name in stored and not stored[name] for name in _REQUIRED):
            raise _refused("Validation failed: Last name can't be blank")
        mark = stored.get("integration_record_id")
        holder = self._holder_of(mark) if mark else None
        if holder is not None and holder["id"] != patient_id:
            raise _refused("Validation failed: Integration record has already been taken")
        return self._put(patient_id, stored, by_person=by_person, touch=self._stamps_no_ops)

    def _put(self, patient_id: str, stored: Mapping[str, Any], *, by_person: bool, touch: bool = False) -> Patient:
        former = self.patients[patient_id]
        if not touch and all(former.get(name) == value for name, value in stored.items()):
            return self._read(former)
        self.patients[patient_id] = {**former, **stored, "updated_at": self._stamp()}
        return self._saved(patient_id, former, by_person, tuple(stored), "patient.updated")

    def _saved(self, patient_id: str, former: Raw | None, by_person: bool, sent: tuple[str, ...], what: str) -> Patient:
        before = None if former is None else read_patient(former, self._fields)
        raw = self.patients[patient_id]
        self.on_save(PatientSaved(patient_id, by_person, before, read_patient(raw, self._fields), sent))
        self._tell(what, raw)
        return self._read(raw)

    def _tell(self, what: str, raw: Raw) -> None:
        self.on_webhook(Webhook(what, self._shown(raw), self._now()))

    def _holder_of(self, contact_id: str) -> Raw | None:
        holders = (raw for raw in self.patients.values() if raw["integration_record_id"] == contact_id)
        return next(holders, None)

    def _stamp(self) -> str:
        """Microseconds, and never the same twice."""
        now = self._now()
        if self._latest is not None and now <= self._latest:
            now = self._latest + timedelta(microseconds=1)
        self._latest = now
        return now.isoformat(timespec="microseconds")

    def _shown(self, raw: Raw) -> Raw:
        shown = copy.deepcopy(raw)
        if self._hides_title:
            del shown["title"]
        return shown

    def _read(self, raw: Raw) -> Patient:
        return read_patient(self._shown(raw), self._fields)


def _refused(message: str) -> Refused:
    return Refused(Refusal("422", message, Owner.HINT_ADMIN))


def _stored(attributes: Mapping[str, Any]) -> Raw:
    """What Hint makes of what it is given: trimmed text, state codes, canonical phone types."""
    return {name: _respelled(name, value) for name, value in attributes.items()}


def _respelled(name: str, value: Any) -> Any:
    if name == "phones":
        return [_phone(given, at) for at, given in enumerate(value)]
    if not isinstance(value, str):
        return value
    text = value.strip() or None
    if text is None:
        return None
    if name == "dob":
        return date.fromisoformat(text).isoformat()
    if name == "address_state":
        return state_code(text, "US") or text
    return text.lower() if name in ("gender", "gender_identity") else text


def _phone(given: Mapping[str, Any], at: int) -> Raw:
    type_ = " ".join(str(given.get("type") or "").lower().split())
    formattable = given.get("us_formattable", True)
    return {
        "id": given.get("id") or f"pho-{at + 1}",
        "number": str(given["number"]).strip(),
        "type": _PHONE_TYPES.get(type_, type_),
        "us_formattable": formattable,
    }
