"""How Hint rewrites what it is given before it stores it: trimmed text, state codes, canonical phone types."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date
from typing import Any

import pycountry

from hintd.sandbox.hint.answers import Declined

_SUBDIVISIONS: Any = pycountry.subdivisions
_STATES: dict[str, str] = {s.name.casefold(): s.code[3:] for s in _SUBDIVISIONS.get(country_code="US")}
_STATES |= {code.casefold(): code for code in _STATES.values()}
_PHONE_TYPES = {
    spelling: canonical
    for canonical, spellings in {
        "home": ("h", "home phone"),
        "mobile": ("m", "mobile phone", "cell", "cellphone", "cell phone", "cellular"),
        "office": ("w", "work phone", "business", "business phone", "company", "company phone"),
    }.items()
    for spelling in spellings
}

TEXTS = frozenset(
    {
        "first_name",
        "middle_name",
        "last_name",
        "title",
        "suffix",
        "chosen_first_name",
        "chosen_middle_name",
        "chosen_last_name",
        "chosen_title",
        "chosen_suffix",
        "pronouns",
        "email",
        "sex",
        "gender",
        "gender_identity",
        "gender_other",
        "preferred_language",
        "health_insurance_payer_name",
        "health_insurance_payer_id",
        "health_insurance_group_id",
        "health_insurance_member_id",
        "address_line1",
        "address_line2",
        "address_city",
        "address_state",
        "address_zip",
        "address_country",
        "import_id",
        "import_source",
        "external_link_id",
        "integration_record_id",
        "integration_web_link",
        "integration_error_message",
    }
)
DATES = frozenset({"dob", "last_engagement_date"})
FLAGS = frozenset({"patient_agreement_accepted", "electronic_communication_consent_accepted"})
_LOWER = frozenset({"sex", "gender", "gender_identity"})


def respell(field: str, value: Any) -> Any:
    """What Hint stores of one written scalar.  Declines with 422 what it cannot store at all."""
    if field in FLAGS:
        return value in (True, "true", 1, "1")
    if isinstance(value, (dict, list)):
        raise Declined(422, f"Validation failed: {human(field)} is invalid")
    text = None if value is None else str(value).strip() or None
    if text is None:
        return None
    if field in DATES:
        return _date(field, text)
    if field == "address_state":
        return _STATES.get(text.casefold(), text)
    if field == "email" and "@" not in text:
        raise Declined(422, "Validation failed: Email is invalid")
    return text.lower() if field in _LOWER else text


def _date(field: str, text: str) -> str:
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError:
        raise Declined(422, f"Validation failed: {human(field)} is invalid") from None


def respell_phone(given: Any) -> dict[str, Any]:
    """One entry of ``phones`` as Hint stores it, without its id."""
    if not isinstance(given, Mapping) or not str(given.get("number") or "").strip():
        raise Declined(422, "Validation failed: Phones number can't be blank")
    number = str(given["number"]).strip()
    kind = " ".join(str(given.get("type") or "").lower().split())
    digits = re.sub(r"\D", "", number)
    formattable = bool(given.get("us_formattable", len(digits) == 10)) and len(digits) == 10
    return {
        "number": digits if formattable else number,
        "type": _PHONE_TYPES.get(kind, kind) or None,
        "us_formattable": formattable,
    }


def human(field: str) -> str:
    """A field's name as Hint's error messages spell it: "First name"."""
    return field.removesuffix("_id").replace("_", " ").capitalize()
