"""The field table with the configuration's changes: renames, ways, winners and added pairs of scalar fields.

A map that cannot work is refused at start: ``BadFieldMap`` names the field, the reason and what to do.  What only
the org can tell (a field that is not there, or cannot be written) is said by ``check_against_shape``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from enum import StrEnum
from typing import Any, TypeVar

from hintd.core.contact import OWN_FIELDS
from hintd.core.fields import FIELDS, BadFieldMap, Book, Field, Kind, Way, Winner
from hintd.core.model import Side

_Word = TypeVar("_Word", bound=StrEnum)

_CUSTOM_KINDS = (Kind.TEXT, Kind.DATE, Kind.FLAG, Kind.EMAIL, Kind.PHONE, Kind.INSTANT)
_RENAME_KEYS = ("salesforce", "way", "winner")
_CUSTOM_KEYS = ("hint", "salesforce", "kind", "way", "winner")

_NAME = re.compile(r"[a-z][a-z0-9_]*")
_HINT_PATH = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)*")
_API_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")

_HINT_READ_ONLY = frozenset({
    "id", "name", "age", "created_at", "updated_at", "membership_status", "provider_web_link",
    "hipaa_authorization_accepted", "hipaa_authorization_accepted_at", "patient_agreement_accepted_at",
})  # fmt: skip
_HINT_STRUCTURES = frozenset({
    "phones", "ssn", "account", "company", "emergency_contact", "external_records", "known_practice", "lead_source",
    "location", "location_group", "membership_members", "memberships", "merged_into", "practitioner",
    "practitioner_group", "sponsorships",
})  # fmt: skip

_KIND_TYPES: Mapping[Kind, frozenset[str]] = {
    Kind.DATE: frozenset({"date"}),
    Kind.FLAG: frozenset({"boolean"}),
    Kind.INSTANT: frozenset({"datetime"}),
}
_TEXT_TYPES = frozenset({"string", "textarea", "email", "phone", "picklist", "combobox", "url", "encryptedstring"})

_WAY_WINNER = {Way.TO_SALESFORCE: Winner.HINT, Way.TO_HINT: Winner.SALESFORCE}


def _bad(name: str, reason: str) -> BadFieldMap:
    return BadFieldMap(f"[sync.fields.{name}]: {reason}")


# --- one entry -------------------------------------------------------------------------------------------------------


def _table(name: str, entry: object, keys: Sequence[str]) -> Mapping[str, str]:
    if not isinstance(entry, Mapping):
        raise _bad(name, f"is not a table: give it as {{ {keys[0]} = … }}")
    for key, value in entry.items():
        if key not in keys:
            raise _bad(name, f"has no setting {key!r}: the settings here are {', '.join(keys)}")
        if not isinstance(value, str) or not value.strip():
            raise _bad(name, f"{key} is not text: give it in quotes")
    return {key: value.strip() for key, value in entry.items()}


def _word(name: str, key: str, text: str, allowed: Sequence[_Word]) -> _Word:
    found = next((word for word in allowed if word.value == text), None)
    if found is None:
        raise _bad(name, f"{key} is none of {', '.join(allowed)}: choose one of them")
    return found


def _api_name(name: str, text: str) -> str:
    if _API_NAME.fullmatch(text) is None:
        raise _bad(name, "salesforce is not the API name of a Contact field: give one such as Fax_Number__c")
    if text.casefold() in {own.casefold() for own in OWN_FIELDS}:
        raise _bad(name, f"{text} is kept by hintd itself: choose another Contact field")
    return text


def _with_way(field: Field, table: Mapping[str, str]) -> Field:
    """The entry's way and winner; on a one-way field the giving side wins."""
    way = _word(field.name, "way", table["way"], tuple(Way)) if "way" in table else field.way
    giver = _WAY_WINNER.get(way)
    winner = giver or (field.winner if way is field.way else Winner.LATER)
    if "winner" in table:
        winner = _word(field.name, "winner", table["winner"], tuple(Winner))
    if giver is not None and winner is not giver:
        raise _bad(field.name, f"flows one way, so no other winner than {giver} makes sense: leave winner out")
    return replace(field, way=way, winner=winner)


def _hint_path(name: str, path: str) -> str:
    if path.startswith("phones:"):
        raise _bad(name, "phones of a type cannot be added: map an attribute that holds one value")
    if _HINT_PATH.fullmatch(path) is None:
        raise _bad(name, "hint is not an attribute of a Hint patient: give one such as pronouns")
    if path in _HINT_STRUCTURES:
        raise _bad(name, f"{path} holds more than one value: name one inside it, such as {path}.name, or another")
    if path.startswith("integration_"):
        raise _bad(name, f"{path} is kept by hintd itself: choose another attribute")
    return path


def _added(name: str, table: Mapping[str, str]) -> Field:
    if _NAME.fullmatch(name) is None:
        raise BadFieldMap(f"[sync.fields]: {name!r} is not a field name: use small letters, digits and underscores")
    for key in ("hint", "salesforce"):
        if key not in table:
            raise _bad(name, f"is a new field and lacks {key}: give both hint and salesforce")
    kind = _word(name, "kind", table.get("kind", Kind.TEXT), _CUSTOM_KINDS)
    field = Field(name, kind, _hint_path(name, table["hint"]), (_api_name(name, table["salesforce"]),))
    return _with_way(field, table)


def _changed(field: Field, table: Mapping[str, str]) -> Field:
    if "salesforce" in table:
        field = replace(field, salesforce=(_api_name(field.name, table["salesforce"]),))
    return _with_way(field, table)


# --- the whole table -------------------------------------------------------------------------------------------------


def _check_hint(fields: Sequence[Field]) -> None:
    """What is read-only at Hint is not written, and no attribute is written from two fields."""
    writers: dict[str, str] = {}
    for field in (f for f in fields if f.flows_to(Side.HINT)):
        if "." in field.hint or field.hint in _HINT_READ_ONLY:
            raise _bad(field.name, f'Hint does not let {field.hint} be written: set way = "{Way.TO_SALESFORCE}"')
        other = writers.setdefault(field.hint, field.name)
        if other != field.name:
            raise _bad(
                field.name, f'{other} writes {field.hint} already: set way = "{Way.TO_SALESFORCE}" on one of them'
            )


def _check_salesforce(fields: Sequence[Field]) -> None:
    """No two fields on one Contact field, except the lines of a street."""
    users: dict[str, Field] = {}
    for field in fields:
        for api in field.salesforce:
            other = users.setdefault(api.casefold(), field)
            if other is not field and not (field.kind is Kind.LINE and other.kind is Kind.LINE):
                raise _bad(
                    field.name, f"{api} is the Contact field of {other.name} already: map one of them to another"
                )


def apply_field_settings(settings: Mapping[str, Any]) -> tuple[Field, ...]:
    """The field table under the ``[sync.fields]`` of the configuration.  Raises BadFieldMap."""
    known = {field.name: field for field in FIELDS}
    fields = dict(known)
    for name, entry in settings.items():
        if name in known:
            fields[name] = _changed(known[name], _table(name, entry, _RENAME_KEYS))
        else:
            fields[name] = _added(name, _table(name, entry, _CUSTOM_KEYS))
    table = tuple(fields.values())
    _check_hint(table)
    _check_salesforce(table)
    return table


# --- against the org -------------------------------------------------------------------------------------------------


def _complaints(field: Field, book: Book) -> Iterator[str]:
    there = next((book.shape[api] for api in field.salesforce if api in book.shape), None)
    if there is None:
        names = " or ".join(field.salesforce)
        yield f"{field.name}: the org has no Contact field {names}: create it, or correct [sync.fields.{field.name}]."
        return
    types = _KIND_TYPES.get(field.kind, _TEXT_TYPES)
    if there.type not in types:
        wanted = " or ".join(sorted(types))
        yield f"{field.name}: {there.name} is of type {there.type}, but the kind {field.kind} needs {wanted}."
    if field.flows_to(Side.SALESFORCE) and not there.updateable:
        yield f"{field.name}: hintd's user may not edit {there.name}: grant it, or choose a field that can be written."


def check_against_shape(book: Book, fields: Sequence[Field] | None = None) -> list[str]:
    """Sentences about renamed and added fields that the org lacks, cannot hold or does not let hintd write.

    ``fields`` is the table that the book was made from; without it, a rename to a field that the org lacks cannot
    be told from a default that it lacks, and only added fields are reported as missing.
    """
    defaults = {field.name: set(field.salesforce) for field in FIELDS}
    table = book.fields if fields is None else fields
    mapped = [f for f in table if not set(f.salesforce) <= defaults.get(f.name, set())]
    lost = [name for name in book.missing if fields is None and name not in defaults]
    missing = [f"{name}: the org does not have its Contact field: create it, or correct the map." for name in lost]
    return missing + [sentence for field in mapped for sentence in _complaints(field, book)]
