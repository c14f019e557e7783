"""A Salesforce org in memory: Contacts as the API's values, checked and rewritten as the platform does, with the
change events that it would publish.

What bites (Salesforce reference): stamps of whole seconds, ``If-Unmodified-Since`` blind within its own second,
triggers inside the transaction of the writer, restricted picklists, trimmed text, states that need a country.
A composite request is taken as one moment here; everything around it is interleaved by the caller.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from hintd.core.contact import PATIENT_ID, query_fields, read_contact
from hintd.core.errors import Refusal
from hintd.core.fields import FIELDS, Book, Field, FieldShape, make_book
from hintd.core.model import Contact, Owner
from hintd.core.rules import Rules
from hintd.ports import Call, ContactChange, ContactPage, ContactWrite, Saved, WriteResult

Row = dict[str, Any]
Trigger = Callable[[Row, Row], Mapping[str, Any]]
"""(before, after) to what a trigger changes inside the same transaction."""

_SHAPES = (
    FieldShape("Salutation", "picklist", 40, choices=("Mr.", "Ms.", "Mrs.", "Dr.", "Prof.")),
    FieldShape("FirstName", "string", 40),
    FieldShape("MiddleName", "string", 40),
    FieldShape("LastName", "string", 80, nillable=False),
    FieldShape("Suffix", "string", 40),
    FieldShape("Birthdate", "date"),
    FieldShape(
        "GenderIdentity", "picklist", 255, restricted=True, choices=("Male", "Female", "Nonbinary", "Not Listed")
    ),
    FieldShape("Email", "email", 80),
    FieldShape("MobilePhone", "phone", 40),
    FieldShape("HomePhone", "phone", 40),
    FieldShape("Phone", "phone", 40),
    FieldShape("MailingStreet", "textarea", 255),
    FieldShape("MailingCity", "string", 40),
    FieldShape("MailingState", "string", 80),
    FieldShape("MailingPostalCode", "string", 20),
    FieldShape("MailingCountry", "string", 80),
    FieldShape("Hint_Practitioner__c", "string", 255),
    FieldShape("Hint_Insurance_Payer__c", "string", 255),
    FieldShape("Hint_Insurance_Group_Id__c", "string", 255),
    FieldShape("Hint_Insurance_Member_Id__c", "string", 255),
    FieldShape("Hint_Member_Contract_Accepted__c", "boolean", nillable=False),
    FieldShape("Hint_Member_Contract_Accepted_At__c", "datetime"),
    FieldShape("Hint_HIPAA_Authorization_Accepted__c", "boolean", nillable=False),
    FieldShape("Hint_HIPAA_Authorization_Accepted_At__c", "datetime"),
    FieldShape("Synced_to_Hint__c", "boolean", nillable=False),
    FieldShape("Hint_Patient_Id__c", "string", 255, external_id=True, unique=True),
    FieldShape("Hint_Last_Synced_At__c", "datetime"),
    FieldShape("Hint_Sync_Error__c", "string", 255),
    FieldShape("Last_Batch_Sync_Id__c", "string", 40),
    FieldShape("Last_Batch_Sync_Result__c", "string", 255),
    FieldShape("IsPersonAccount", "boolean", nillable=False),
)
_CODES = (
    FieldShape("MailingStateCode", "picklist", 10, restricted=True, choices=("CA", "NY", "TX", "ON")),
    FieldShape("MailingCountryCode", "picklist", 10, restricted=True, choices=("US", "CA", "GB")),
)
_UNTRACKED = ("Id", "IsDeleted", "MasterRecordId", "SystemModstamp", "saved_at")


def org_book(*, codes: bool = False, fields: Sequence[Field] = FIELDS, rules: Rules | None = None) -> Book:
    """The field table of the memory org, with state and country picklists where ``codes``."""
    shapes = _SHAPES + _CODES if codes else _SHAPES
    return make_book(fields, {shape.name: shape for shape in shapes}, rules or Rules())


@dataclass(frozen=True, slots=True)
class ChangeEvent:
    """One committed change of one Contact, before it is flattened; ``fields`` are the changed ones, or all."""

    kind: str  # CREATE, UPDATE, DELETE
    contact_id: str
    fields: Mapping[str, Any]
    at: datetime


@dataclass(frozen=True, slots=True)
class ContactSaved:
    """One save, for whoever keeps an account of it; ``before`` is None for a new Contact."""

    contact_id: str
    by_person: bool
    before: Contact | None
    after: Contact
    sent: tuple[str, ...]


class _Refused(Exception):
    def __init__(self, code: str, *fields: str) -> None:
        super().__init__(code)
        self.refusal = Refusal(code, f"{code}: {', '.join(fields)}", Owner.CLINIC, fields)


class MemoryOrg:
    """``refuses``: a validation rule; True refuses the row that would be saved."""

    def __init__(self, book: Book, now: Callable[[], datetime]) -> None:
        self._book, self._now = book, now
        self._columns = (*query_fields(book), "IsDeleted", "MasterRecordId")
        self.contacts: dict[str, Row] = {}
        self.triggers: list[Trigger] = []
        self.refuses: Callable[[Row], bool] = lambda _: False
        self.on_event: Callable[[ChangeEvent], None] = lambda _: None
        self.on_save: Callable[[ContactSaved], None] = lambda _: None

    # --- the port ---

    async def book(self, *, fresh: bool = False) -> Book:
        return self._book

    async def get_contacts(self, contact_ids: Sequence[str], call: Call) -> Mapping[str, Contact]:
        found = {each: self.contacts[each] for each in contact_ids if each in self.contacts}
        return {each: self._read(row) for each, row in found.items() if not row["IsDeleted"]}

    async def find_fate(self, contact_id: str, call: Call) -> Contact | None:
        row = self.contacts.get(contact_id)
        return None if row is None else self._read(row)

    async def write_contact(
        self, contact_id: str, fields: Mapping[str, Any], unmodified_since: datetime | None, call: Call
    ) -> ContactWrite:
        row = self.contacts.get(contact_id)
        if row is None or row["IsDeleted"]:
            return ContactWrite(WriteResult.GONE, contact_id)
        before = self._read(row)
        if unmodified_since is not None and before.stamp > unmodified_since.replace(microsecond=0):
            return ContactWrite(WriteResult.STALE, contact_id, None, before)
        try:
            after = self._save(contact_id, fields, by_person=False)
        except _Refused as refused:
            return ContactWrite(WriteResult.REFUSED, contact_id, before, before, refused.refusal)
        return ContactWrite(WriteResult.WRITTEN, contact_id, before, after)

    async def upsert_contact(self, patient_id: str, fields: Mapping[str, Any], call: Call) -> ContactWrite:
        live = (row for row in self.contacts.values() if not row["IsDeleted"])
        holder = next((row for row in live if row[PATIENT_ID] == patient_id), None)
        try:
            if holder is None:
                after = self._insert({**fields, PATIENT_ID: patient_id}, by_person=False)
            else:
                after = self._save(holder["Id"], fields, by_person=False)
        except _Refused as refused:
            return ContactWrite(WriteResult.REFUSED, None, refusal=refused.refusal)
        return ContactWrite(WriteResult.WRITTEN, after.id, after=after)

    async def save_contacts(
        self, updates: Sequence[ContactChange], creations: Sequence[ContactChange], call: Call
    ) -> tuple[Sequence[Saved], Sequence[Saved]]:
        for some in (updates, creations):
            assert len({each for each, _ in some}) == len(some), "Salesforce refuses an id that comes twice"
        updated = [await self.write_contact(contact_id, fields, None, call) for contact_id, fields in updates]
        created = [await self.upsert_contact(patient_id, fields, call) for patient_id, fields in creations]
        return _unread(updated), _unread(created)

    async def calls_left(self, call: Call) -> int | None:
        return None

    async def changed_contacts(self, call: Call, *, since: datetime | None, next: str | None = None) -> ContactPage:
        rows = sorted(self.contacts.values(), key=lambda row: (row["saved_at"], row["Id"]))
        found = [row for row in rows if since is None or row["saved_at"].replace(microsecond=0) > since]
        return ContactPage(tuple(self._read(row) for row in found), None)

    # --- people ---

    def create(self, fields: Mapping[str, Any]) -> str:
        return self._insert(fields, by_person=True).id

    def edit(self, contact_id: str, fields: Mapping[str, Any]) -> bool:
        """False when the org refuses it."""
        try:
            self._save(contact_id, fields, by_person=True)
        except _Refused:
            return False
        return True

    def delete(self, contact_id: str, *, winner_id: str | None = None) -> None:
        row = self.contacts[contact_id]
        self.contacts[contact_id] = {**row, "IsDeleted": True, "MasterRecordId": winner_id, "saved_at": self._now()}
        self.on_event(ChangeEvent("DELETE", contact_id, {}, self._now()))

    def merge(self, loser_id: str, winner_id: str, taken_over: Mapping[str, Any]) -> None:
        """The loser is deleted, the winner keeps its id and takes over what was chosen of the loser."""
        self.delete(loser_id, winner_id=winner_id)
        self.edit(winner_id, taken_over)

    def look(self, contact_id: str) -> Contact | None:
        row = self.contacts.get(contact_id)
        return None if row is None or row["IsDeleted"] else self._read(row)

    # --- saving ---

    def _insert(self, fields: Mapping[str, Any], *, by_person: bool) -> Contact:
        contact_id = f"003{len(self.contacts) + 1:012d}AAA"
        blank = {name: False if shape.type == "boolean" else None for name, shape in self._book.shape.items()}
        row = {**blank, "Id": contact_id, "AccountId": None, "IsDeleted": False, "MasterRecordId": None}
        return self._commit(contact_id, None, {**row, **self._cleaned(fields)}, by_person, tuple(fields))

    def _save(self, contact_id: str, fields: Mapping[str, Any], *, by_person: bool) -> Contact:
        row = self.contacts[contact_id]
        return self._commit(contact_id, row, {**row, **self._cleaned(fields)}, by_person, tuple(fields))

    def _commit(self, contact_id: str, former: Row | None, row: Row, by_person: bool, sent: tuple[str, ...]) -> Contact:
        for trigger in self.triggers:
            row.update(trigger(former or {}, row))
        self._check(contact_id, row)
        row["saved_at"] = self._now()
        self.contacts[contact_id] = row
        changed = {k: v for k, v in row.items() if k not in _UNTRACKED and (former is None or former.get(k) != v)}
        stamp = {"LastModifiedDate": _spelled(row["saved_at"])}
        before = None if former is None else self._read(former)
        after = self._read(row)
        self.on_save(ContactSaved(contact_id, by_person, before, after, sent))
        self.on_event(
            ChangeEvent("CREATE" if former is None else "UPDATE", contact_id, {**changed, **stamp}, row["saved_at"])
        )
        return after

    def _cleaned(self, fields: Mapping[str, Any]) -> Row:
        return {name: self._clean(name, value) for name, value in fields.items()}

    def _clean(self, name: str, value: Any) -> Any:
        shape = self._book.shape.get(name)
        if not isinstance(value, str) or shape is None:
            return False if value is None and shape is not None and shape.type == "boolean" else value
        text = value.strip()
        if not text:
            return None
        if shape.type == "datetime":
            return _spelled(datetime.fromisoformat(text))
        if shape.length and len(text) > shape.length:
            raise _Refused("STRING_TOO_LONG", name)
        if shape.type == "email" and "." not in text.partition("@")[2]:
            raise _Refused("INVALID_EMAIL_ADDRESS", name)
        if not shape.restricted:
            return text
        spelled = next((choice for choice in shape.choices if choice.lower() == text.lower()), None)
        if spelled is None:
            raise _Refused("INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", name)
        return spelled

    def _check(self, contact_id: str, row: Row) -> None:
        if not row["LastName"]:
            raise _Refused("REQUIRED_FIELD_MISSING", "LastName")
        if row.get("MailingStateCode") and not row.get("MailingCountryCode"):
            raise _Refused("FIELD_INTEGRITY_EXCEPTION", "MailingStateCode")
        others = (each for key, each in self.contacts.items() if key != contact_id and not each["IsDeleted"])
        if row[PATIENT_ID] and any(each[PATIENT_ID] == row[PATIENT_ID] for each in others):
            raise _Refused("DUPLICATE_VALUE", PATIENT_ID)
        if self.refuses(row):
            raise _Refused("FIELD_CUSTOM_VALIDATION_EXCEPTION")

    def _read(self, row: Row) -> Contact:
        stamp = _spelled(row["saved_at"])
        shown = {**row, "LastModifiedDate": stamp, "SystemModstamp": stamp}
        return read_contact({name: shown.get(name) for name in self._columns}, self._book)


def _unread(written: Sequence[ContactWrite]) -> Sequence[Saved]:
    """A write of many reads nothing back."""
    return [replace(each, before=None, after=None) for each in written]


def _spelled(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
