"""A Hint patient, from Hint's JSON to ``Patient`` and from changes to the attributes of a PATCH or POST.

Hint rewrites some of what it is given (state codes, phone types), and whatever reads back differently becomes Hint's
half of the base.  What Hint cannot hold is not written but said (README rule 2).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from hintd.core.fields import Book, Field, Kind
from hintd.core.gender import LEGACY, to_hint_word
from hintd.core.model import NOTHING, Patient, Phone, Side, Value, Values
from hintd.core.normalize import iso_day, spell_instant, utc_second
from hintd.core.phone import spell_for_hint
from hintd.core.place import country_name
from hintd.core.record import (
    BadRecord,
    CannotHold,
    Raw,
    Rendered,
    read_flag,
    read_instant,
    read_object,
    read_required,
    read_text,
    read_value,
    trimmed,
    words,
)
from hintd.core.rules import Rules

PHONE_PREFIX = "phones:"
GENDER, LEGACY_GENDER = "gender_identity", "gender"

_PHONE_TYPES: Mapping[str, str] = MappingProxyType(
    dict.fromkeys(("h", "home phone"), "home")
    | dict.fromkeys(("m", "mobile phone", "cell", "cellphone", "cell phone", "cellular"), "mobile")
    | dict.fromkeys(("w", "work phone", "business", "business phone", "company", "company phone"), "office")
    | {"work": "office"}
)
"""Hint's own canon of phone types; ``work`` is not in its list, but can mean nothing else."""


def phone_type(text: str) -> str:
    """The type as Hint stores it: lower-case, its synonyms folded into home, mobile and office."""
    lower = " ".join(text.lower().split())
    return _PHONE_TYPES.get(lower, lower)


# --- reading ---------------------------------------------------------------------------------------------------------


def _read_phone(raw: Any) -> Phone | None:
    """None for an entry without a number."""
    item = read_object(raw, "phones")
    number = read_text(item.get("number"), "phones.number")
    if number is None:
        return None
    formattable = read_flag(item.get("us_formattable"), "phones.us_formattable")
    return Phone(
        number=number,
        type=phone_type(read_text(item.get("type"), "phones.type") or ""),
        us_formattable=number.isdigit() and len(number) == 10 if formattable is None else formattable,
        id=read_text(item.get("id"), "phones.id"),
    )


def _read_phones(raw: Raw) -> tuple[Phone, ...]:
    entries = raw.get("phones") or ()
    if not isinstance(entries, Sequence) or isinstance(entries, str):
        raise BadRecord("phones", "a list")
    return tuple(phone for entry in entries if (phone := _read_phone(entry)) is not None)


def first_phone(phones: Sequence[Phone], type_: str) -> Phone | None:
    """The first of a type in Hint's order is "the" one (README rule 14)."""
    return next((phone for phone in phones if phone.type == type_), None)


def _read_gender(raw: Raw) -> Values:
    """``gender_identity``, else the older ``gender`` in the words of the newer."""
    if GENDER not in raw and LEGACY_GENDER not in raw:
        return {}
    identity = read_text(raw.get(GENDER), GENDER)
    legacy = read_text(raw.get(LEGACY_GENDER), LEGACY_GENDER)
    return {GENDER: identity or (LEGACY.get(legacy.strip().lower(), legacy) if legacy else None)}


def _read_path(raw: Raw, path: str, kind: Kind) -> Mapping[str, Value]:
    """The value under ``path``; empty where Hint does not show it.  An object that is null has blank attributes."""
    *parents, attribute = path.split(".")
    for parent in parents:
        if parent not in raw:
            return {}
        if raw[parent] is None:
            return {path: None}
        raw = read_object(raw[parent], parent)
    return {path: read_value(kind, raw[attribute], path)} if attribute in raw else {}


def _read_field(raw: Raw, field: Field, phones: Sequence[Phone]) -> Values:
    if field.hint.startswith(PHONE_PREFIX):
        first = first_phone(phones, field.hint.removeprefix(PHONE_PREFIX))
        return {field.name: first.number if first else None} if "phones" in raw else {}
    shown = _read_gender(raw) if field.hint == GENDER else _read_path(raw, field.hint, field.kind)
    return {field.name: shown[field.hint]} if shown else {}


def _street_lines(fields: Sequence[Field]) -> tuple[str, ...]:
    """The names of the lines that are one street in Salesforce, in order; none where each has a field to itself."""
    lines = [field for field in fields if field.kind is Kind.LINE]
    return tuple(line.name for line in lines if sum(line.salesforce == other.salesforce for other in lines) > 1)


def _with_first_line(values: Values, fields: Sequence[Field]) -> Values:
    """The first non-blank line is line 1 (README rule 14), because a street cannot begin with a blank one: else the
    other side would show a second line as the first, and the two would be taken for changes of each other."""
    match _street_lines(fields):
        case (first, second) if values.get(first, "unknown") is None and values.get(second):
            return {**values, first: values[second], second: None}
    return values


def read_patient(raw: Raw, fields: Sequence[Field]) -> Patient:
    """The patient that Hint's JSON shows.  Raises BadRecord, naming the attribute."""
    phones = _read_phones(raw)
    values: dict[str, Value] = {}
    for field in fields:
        values.update(_read_field(raw, field, phones))
    return Patient(
        id=read_required(raw, "id"),
        stamp=read_instant(raw, "updated_at"),
        created_at=read_instant(raw, "created_at"),
        values=_with_first_line(values, fields),
        suffix=read_text(raw.get("suffix"), "suffix"),
        archived=raw.get("membership_status") == "archived",
        merged_into=read_text(read_object(raw.get("merged_into"), "merged_into").get("id"), "merged_into.id"),
        contact_id=read_text(raw.get("integration_record_id"), "integration_record_id"),
        web_link=read_text(raw.get("integration_web_link"), "integration_web_link"),
        error_message=read_text(raw.get("integration_error_message"), "integration_error_message"),
        phones=phones,
    )


def patient_after(patient: Patient, attributes: Raw, fields: Sequence[Field]) -> Patient:
    """The patient as it should stand after a write of these attributes, for a write that is only rehearsed."""
    phones = _read_phones(attributes) if "phones" in attributes else patient.phones
    values = dict(patient.values)
    for field in fields:
        values.update(_read_field(attributes, field, phones))
    return replace(
        patient,
        values=_with_first_line(values, fields),
        phones=phones,
        contact_id=attributes.get("integration_record_id", patient.contact_id),
        error_message=attributes.get("integration_error_message", patient.error_message),
    )


# --- writing ---------------------------------------------------------------------------------------------------------


def _spell_gender(text: str, rules: Rules) -> str:
    word = to_hint_word(text, rules.genders)
    if word is None:
        raise CannotHold("Hint has no gender of this name, and the gender map gives none: add it to the map.")
    return word


def _spell_country(text: str, _: Rules) -> str:
    """Hint shows the country as free text: the name says more there than the code of Salesforce's picklist."""
    return country_name(text.upper()) or text if len(text) == 2 else text


def _spell_date(text: str, _: Rules) -> str:
    day = iso_day(text)
    if day is None:
        raise CannotHold("Hint takes only a calendar date here.")
    return day


def _spell_instant(text: str, _: Rules) -> str:
    instant = utc_second(text)
    if instant is None:
        raise CannotHold("Hint takes only a point in time here.")
    return spell_instant(instant)


def _spell_phone(text: str, rules: Rules) -> str:
    return spell_for_hint(text, rules.default_region)[0]


_SPELL: Mapping[Kind, Callable[[str, Rules], str]] = {
    Kind.GENDER: _spell_gender,
    Kind.COUNTRY: _spell_country,
    Kind.DATE: _spell_date,
    Kind.INSTANT: _spell_instant,
    Kind.PHONE: _spell_phone,
}


def _replace_phone(phones: tuple[Phone, ...], type_: str, text: str | None, rules: Rules) -> tuple[Phone, ...]:
    """Only the first of the type changes; every other entry stays, in its place."""
    first = first_phone(phones, type_)
    at = phones.index(first) if first is not None else len(phones)
    before, after = phones[:at], phones[at + 1 :]
    if text is None:
        return before + after
    number, formattable = spell_for_hint(text, rules.default_region)
    return (*before, Phone(number, type_, formattable, first.id if first else None), *after)


def _phone_json(phone: Phone) -> dict[str, Any]:
    """As Hint takes it; what Hint did not show is left out."""
    shown = {"id": phone.id, "number": phone.number, "type": phone.type or None}
    return {k: v for k, v in shown.items() if v is not None} | {"us_formattable": phone.us_formattable}


def _render_scalar(field: Field, value: Value, rules: Rules) -> dict[str, Any]:
    if "." in field.hint:
        raise CannotHold(f"Hint does not let the {words(field)} be written.")
    if field.kind is Kind.FLAG:
        return {field.hint: value is True}
    if value is None:
        if Side.HINT in field.required_in:
            raise CannotHold(f"Hint requires the {words(field)}: it is not cleared there.")
        return {GENDER: None, LEGACY_GENDER: None} if field.hint == GENDER else {field.hint: None}
    spell = _SPELL.get(field.kind)
    return {field.hint: spell(str(value), rules) if spell else value}


def _whole_street(changes: Values, current: Values, fields: Sequence[Field]) -> Values:
    """With one line of a street all are written, as what Hint holds may be read as line 1 and stand in line 2."""
    lines = _street_lines(fields)
    if not any(name in changes for name in lines):
        return changes
    return {name: current[name] for name in lines if name in current} | dict(changes)


def render_patient(changes: Values, phones: tuple[Phone, ...], book: Book, current: Values = NOTHING) -> Rendered:
    """The attributes that write ``changes``, given in Salesforce's spelling.

    ``phones`` is what Hint holds now: writing one phone replaces the whole array, so all others are carried along.
    ``current``: the patient's last known values, for the lines of a street.
    """
    rendered = Rendered()
    for name, given in _whole_street(changes, current, book.fields).items():
        field, value = book.field(name), trimmed(given)
        if field.hint.startswith(PHONE_PREFIX):
            text = None if value is None else str(value)
            phones = _replace_phone(phones, field.hint.removeprefix(PHONE_PREFIX), text, book.rules)
            rendered.fields["phones"] = [_phone_json(phone) for phone in phones]
            continue
        try:
            rendered.fields.update(_render_scalar(field, value, book.rules))
        except CannotHold as why:
            rendered.held[name] = str(why)
    return rendered
