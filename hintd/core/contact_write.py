"""Changes of a Contact, from Hint's spelling to the API values of a PATCH, checked against what describe says.

A value that the org cannot hold is neither cut nor guessed: it is held, with a sentence that names the field and
the limit but not the value, and the record's other fields are written (README rule 2).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from hintd.core.fields import Book, Field, FieldShape, Kind
from hintd.core.gender import to_org_word
from hintd.core.model import Side, Value, Values
from hintd.core.normalize import iso_day, same, spell_instant, utc_second
from hintd.core.phone import spell_for_salesforce
from hintd.core.place import country_code, state_code
from hintd.core.record import CannotHold, Rendered, trimmed, words
from hintd.core.street import fold_line, join_street
from hintd.core.text import fold_case

_STATE_CODE, _COUNTRY_CODE = "StateCode", "CountryCode"  # how the fields of the state and country picklists end


@dataclass(frozen=True, slots=True)
class _Write:
    """One Contact's changes, and the values it holds now."""

    changes: Values
    current: Values
    book: Book

    def after(self, name: str) -> Value:
        """The value that the field shall have; None also where it is not known."""
        return trimmed(self.changes.get(name, self.current.get(name)))

    def country(self) -> Value:
        """The country that the state shall stand under: one that stands is not cleared under a state."""
        return self.after("country") or trimmed(self.current.get("country"))


# --- spelling --------------------------------------------------------------------------------------------------------


def _choice(field: Field, text: str, shape: FieldShape, book: Book) -> str:
    """The picklist's spelling of the value; an unrestricted picklist takes any other text as well."""
    alike = (c for c in shape.choices if same(field, c, text, book.rules) or fold_case(c) == fold_case(text))
    found = text if text in shape.choices else next(alike, None)
    if found is None and shape.restricted:
        raise CannotHold(f"The restricted picklist {shape.name} has no value for this {words(field)}: add it there.")
    return found or text


def _spell_picklist(field: Field, text: str, write: _Write) -> str:
    return _choice(field, text, _shape(field, write), write.book)


def _spell_gender(field: Field, text: str, write: _Write) -> str:
    """By the map; a word that the map does not have only as an equally named one of the org."""
    shape = _shape(field, write)
    mapped = to_org_word(text, write.book.rules.genders)
    spelled = _choice(field, mapped or text, shape, write.book)
    if mapped is None and shape.choices and spelled not in shape.choices:
        raise CannotHold(f"{shape.name} has no value of this name, and the gender map gives none: add it to the map.")
    return spelled


def _spell_date(field: Field, text: str, _: _Write) -> str:
    day = iso_day(text)
    if day is None:
        raise CannotHold(f"Salesforce takes only a calendar date as {words(field)}.")
    return day


def _spell_instant(field: Field, text: str, _: _Write) -> str:
    instant = utc_second(text)
    if instant is None:
        raise CannotHold(f"Salesforce takes only a point in time as {words(field)}.")
    return spell_instant(instant)


def _spell_phone(_: Field, text: str, write: _Write) -> str:
    return spell_for_salesforce(text, write.book.rules.default_region)


def _spell_code(field: Field, code: str | None, write: _Write) -> str:
    shape = _shape(field, write)
    if code is None or (shape.choices and code not in shape.choices):
        raise CannotHold(f"{shape.name} has no code for this {words(field)}: correct it, or add it to the org's list.")
    return code


def _spell_country(field: Field, text: str, write: _Write) -> str:
    if not write.book.api_name(field).endswith(_COUNTRY_CODE):
        return _spell_picklist(field, text, write)
    return _spell_code(field, country_code(text), write)


def _spell_state(field: Field, text: str, write: _Write) -> str:
    if not write.book.api_name(field).endswith(_STATE_CODE):
        return _spell_picklist(field, text, write)
    country = write.country()
    code = country_code(str(country)) if country else write.book.rules.default_country
    return _spell_code(field, state_code(text, code) if code else None, write)


_SPELL: Mapping[Kind, Callable[[Field, str, _Write], str]] = {
    Kind.GENDER: _spell_gender,
    Kind.DATE: _spell_date,
    Kind.PHONE: _spell_phone,
    Kind.STATE: _spell_state,
    Kind.COUNTRY: _spell_country,
    Kind.INSTANT: _spell_instant,
}


# --- what the org can hold -------------------------------------------------------------------------------------------


def _shape(field: Field, write: _Write) -> FieldShape:
    return write.book.shape[write.book.api_name(field)]


def _checked_length(text: str, shape: FieldShape) -> str:
    """Salesforce counts UTF-16 units, so an emoji is two."""
    length = len(text.encode("utf-16-le", "surrogatepass")) // 2
    if shape.length and length > shape.length:
        raise CannotHold(f"{shape.name} holds {shape.length} characters, this value has {length}: shorten it in Hint.")
    return text


def _check_clearing(field: Field, write: _Write) -> None:
    shape = _shape(field, write)
    if Side.SALESFORCE in field.required_in or not shape.nillable:
        raise CannotHold(f"Salesforce requires {shape.name}: it is not cleared there.")
    if field.kind is Kind.COUNTRY and write.after("state") and write.country():
        raise CannotHold(f"{shape.name} is not cleared while the state stands: clear the state as well.")


def _missing_country(field: Field, write: _Write) -> dict[str, Any]:
    """Where codes are in use the org demands a country with every state: the default one, if none stands."""
    api = write.book.api_name(field)
    country_api = api.removesuffix(_STATE_CODE) + _COUNTRY_CODE
    demanded = api.endswith(_STATE_CODE) and country_api in write.book.shape and not write.country()
    return {country_api: write.book.rules.default_country} if demanded else {}


def _street(field: Field, value: str | None, write: _Write) -> str | None:
    """The whole street where its lines share an API name, so that a change of one line keeps the other."""
    api = write.book.api_name(field)
    sharing = [f.name for f in write.book.fields if f.kind is Kind.LINE and write.book.api_name(f) == api]
    if len(sharing) == 1:
        return fold_line(value) if value else None
    lines = (write.after(name) for name in sharing)
    return join_street(str(line) if line else None for line in lines)


def _render_one(field: Field, value: Value, write: _Write) -> dict[str, Any]:
    shape = _shape(field, write)
    if not shape.updateable:
        raise CannotHold(f"{shape.name} cannot be written by hintd's user: grant the permission to edit it.")
    if field.kind is Kind.FLAG:
        return {shape.name: value is True}
    text = None if value is None else str(value)
    if field.kind is Kind.LINE:
        text = _street(field, text, write)
    if text is None:
        _check_clearing(field, write)
        nothing_to_clear = field.kind is Kind.COUNTRY and write.after("state")  # else the state's country would go
        return {} if nothing_to_clear else {shape.name: None}
    if field.kind is Kind.LINE:
        return {shape.name: _checked_length(text, shape)}
    spelled = _checked_length(_SPELL.get(field.kind, _spell_picklist)(field, text, write), shape)
    return {shape.name: spelled} | (_missing_country(field, write) if field.kind is Kind.STATE else {})


def render_contact(changes: Values, current: Values, book: Book) -> Rendered:
    """The API values that write ``changes``, given in Hint's spelling.

    ``current`` is what the Contact holds now, for what depends on more than one field (street, state and country);
    empty for a Contact that is yet to be created.
    """
    write = _Write(changes, current, book)
    rendered = Rendered()
    for name, given in changes.items():
        try:
            rendered.fields.update(_render_one(book.field(name), trimmed(given), write))
        except CannotHold as why:
            rendered.held[name] = str(why)
    return rendered
