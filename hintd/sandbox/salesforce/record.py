"""What a save makes of the values sent: trimmed, checked against the field, or refused.  No storage here."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date
from typing import Any

from hintd.sandbox.salesforce import places
from hintd.sandbox.salesforce.columns import Column
from hintd.sandbox.salesforce.describe import Shape
from hintd.sandbox.salesforce.ids import full_id
from hintd.sandbox.salesforce.refusal import Refusal
from hintd.sandbox.salesforce.stamps import read_datetime, stamp

Row = Mapping[str, Any]

_EMAIL = re.compile(r"[^@\s,;<>()\[\]\\]+@[^@\s,;<>()\[\]\\]+\.[^@\s,;<>()\[\]\\.]{2,}", re.ASCII)
_DATE = re.compile(r"\d{4}-\d\d-\d\d")
_OF_THE_PERSON = frozenset({"Salutation", "FirstName", "MiddleName", "LastName", "Suffix", "Email", "Birthdate"})


def clean(shape: Shape, sent: Mapping[str, Any], current: Row | None) -> dict[str, Any]:
    """The values that a create (``current`` None) or an update saves, by API name.  Raises Refusal."""
    wanted = {shape.column(name): value for name, value in sent.items() if name != "attributes" and "." not in name}
    _check_writable(wanted, current)
    saved = {column.name: clean_value(column, value) for column, value in wanted.items()}
    _check_required(shape, saved, current)
    if shape.sobject == "Contact" and shape.picklists:
        for prefix in ("Mailing", "Other"):
            if saved.keys() & {prefix + part for part in ("State", "StateCode", "Country", "CountryCode")}:
                saved |= places.keep_in_step(prefix, saved, dict(current or {}))
    return saved


def _check_writable(wanted: Mapping[Column, Any], current: Row | None) -> None:
    refused = [column.name for column in wanted if not column.writable]
    if current is not None and current.get("IsPersonAccount"):
        refused += [column.name for column in wanted if _belongs_to_account(column)]
    if refused:
        raise Refusal(
            "INVALID_FIELD_FOR_INSERT_UPDATE",
            f"Unable to create/update fields: {', '.join(refused)}. Please check the security settings of this field "
            "and verify that it is read/write for your profile or permission set.",
            refused,
        )


def _belongs_to_account(column: Column) -> bool:
    """Of a person account's contact: written through the Account only."""
    return column.name in _OF_THE_PERSON or column.type == "phone" or column.compound == "MailingAddress"


def _check_required(shape: Shape, saved: Mapping[str, Any], current: Row | None) -> None:
    missing = [
        column.name
        for column in shape.columns.values()
        if column.required and (current is None or column.name in saved) and saved.get(column.name) is None
    ]
    if missing:
        raise Refusal("REQUIRED_FIELD_MISSING", f"Required fields are missing: [{', '.join(missing)}]", missing)


def clean_value(column: Column, value: Any) -> Any:
    """One value as it is kept.  Raises Refusal."""
    match column.type:
        case "boolean":
            return _boolean(column, value)
        case "double":
            return _number(column, value)
    if value is None:
        return None
    if not isinstance(value, str):
        raise _cannot_read(column, value)
    kept = value.strip()
    return _READ.get(column.type, _text)(column, kept) if kept else None


def _boolean(column: Column, value: Any) -> bool:
    if value is None:
        return False  # a checkbox is never null
    if isinstance(value, bool):
        return value
    if str(value).lower() in ("true", "false"):
        return str(value).lower() == "true"
    raise _cannot_read(column, value)


def _number(column: Column, value: Any) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _cannot_read(column, value)
    return float(value)


def _text(column: Column, value: str) -> str:
    # The platform counts UTF-16 units, so an emoji is two.
    if column.length and len(value.encode("utf-16-le")) // 2 > column.length:
        raise Refusal(
            "STRING_TOO_LONG",
            f"{column.label}: data value too large: {value} (max length={column.length})",
            [column.name],
        )
    return value


def _email(column: Column, value: str) -> str:
    if not _EMAIL.fullmatch(value):
        raise Refusal("INVALID_EMAIL_ADDRESS", f"{column.label}: invalid email address: {value}", [column.name])
    return _text(column, value)


def _picklist(column: Column, value: str) -> str:
    if not column.restricted:
        return _text(column, value)
    found = next((choice for choice in column.choices if choice.lower() == value.lower()), None)
    if found is None:
        raise Refusal(
            "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST",
            f"{column.label}: bad value for restricted picklist field: {value}",
            [column.name],
        )
    return found


def _date(column: Column, value: str) -> str:
    if not _DATE.fullmatch(value[:10]):
        raise _cannot_read(column, value)
    try:
        day = date.fromisoformat(value[:10])
    except ValueError:
        raise _cannot_read(column, value) from None
    if not 1700 <= day.year <= 4000:
        raise Refusal("NUMBER_OUTSIDE_VALID_RANGE", f"{column.label}: invalid date: {value}", [column.name])
    return day.isoformat()


def _datetime(column: Column, value: str) -> str:
    try:
        return stamp(read_datetime(value))
    except ValueError:
        raise _cannot_read(column, value) from None


def _reference(column: Column, value: str) -> str:
    whole = full_id(value)
    if whole is None:
        raise Refusal("MALFORMED_ID", f"{column.label}: id value of incorrect type: {value}", [column.name])
    return whole


_READ = {
    "email": _email,
    "picklist": _picklist,
    "date": _date,
    "datetime": _datetime,
    "reference": _reference,
}


def _cannot_read(column: Column, value: Any) -> Refusal:
    kind = "VALUE_STRING" if isinstance(value, str) else type(value).__name__.upper()
    return Refusal(
        "JSON_PARSER_ERROR", f"Cannot deserialize instance of {column.type} from {kind} value {value}", [column.name]
    )


def full_name(row: Row) -> str | None:
    parts = (row.get(name) for name in ("FirstName", "MiddleName", "LastName", "Suffix"))
    return " ".join(part for part in parts if part) or None


def compound_address(prefix: str, shape: Shape, row: Row) -> dict[str, Any] | None:
    """The read-only address object, or None where every part is blank."""
    parts = {
        column.member[0].lower() + column.member[1:]: row.get(column.name)
        for column in shape.columns.values()
        if column.compound == f"{prefix}Address"
    }
    return parts if any(value is not None for value in parts.values()) else None


def shown(shape: Shape, name: str, row: Row) -> Any:
    """What a read gives for a field."""
    match name:
        case "Name" if shape.sobject == "Contact":
            return full_name(row)
        case "MailingAddress":
            return compound_address("Mailing", shape, row)
        case "OtherAddress":
            return compound_address("Other", shape, row)
        case _:
            return row.get(name)
