"""The field table (README chapter 1) as data, and what a configuration may change of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

from hintd.core.model import Side
from hintd.core.rules import Rules


class Kind(StrEnum):
    """How a field's values are compared (``hintd.core.normalize``) and written."""

    TEXT = "text"
    PREFIX = "prefix"
    DATE = "date"
    GENDER = "gender"
    EMAIL = "email"
    PHONE = "phone"
    LINE = "line"  # one line of a street
    ZIP = "zip"
    STATE = "state"
    COUNTRY = "country"
    FLAG = "flag"
    INSTANT = "instant"


class Way(StrEnum):
    BOTH = "both"
    TO_SALESFORCE = "to_salesforce"
    TO_HINT = "to_hint"


class Winner(StrEnum):
    """Who wins when both sides changed a field to different values."""

    LATER = "later"
    HINT = "hint"
    SALESFORCE = "salesforce"


@dataclass(frozen=True, slots=True)
class Field:
    """One row of the table.  ``hint`` is the patient's attribute (``phones:mobile`` for a phone type, a dot for a
    nested one); ``salesforce`` the Contact's API names in order of preference: the first that the org has is used."""

    name: str
    kind: Kind
    hint: str
    salesforce: tuple[str, ...]
    way: Way = Way.BOTH
    winner: Winner = Winner.LATER
    required_in: frozenset[Side] = frozenset()

    def flows_to(self, side: Side) -> bool:
        return self.way is Way.BOTH or self.way is (Way.TO_HINT if side is Side.HINT else Way.TO_SALESFORCE)


_BOTH_REQUIRE = frozenset({Side.HINT, Side.SALESFORCE})


def _from_hint(name: str, kind: Kind, hint: str, salesforce: str) -> Field:
    """A field that flows from Hint only, to ``Hint_<salesforce>__c``."""
    return Field(name, kind, hint, (f"Hint_{salesforce}__c",), Way.TO_SALESFORCE, Winner.HINT)


FIELDS: tuple[Field, ...] = (
    Field("prefix", Kind.PREFIX, "title", ("Salutation",)),
    Field("first_name", Kind.TEXT, "first_name", ("FirstName",), required_in=frozenset({Side.HINT})),
    Field("middle_name", Kind.TEXT, "middle_name", ("MiddleName",)),
    Field("last_name", Kind.TEXT, "last_name", ("LastName",), required_in=_BOTH_REQUIRE),
    Field("date_of_birth", Kind.DATE, "dob", ("Birthdate",)),
    Field("gender", Kind.GENDER, "gender_identity", ("GenderIdentity", "Hint_Gender__c")),
    Field("email", Kind.EMAIL, "email", ("Email",)),
    Field("mobile_phone", Kind.PHONE, "phones:mobile", ("MobilePhone",)),
    Field("home_phone", Kind.PHONE, "phones:home", ("HomePhone",)),
    Field("office_phone", Kind.PHONE, "phones:office", ("Phone",)),
    Field("address_line1", Kind.LINE, "address_line1", ("MailingStreet",)),
    Field("address_line2", Kind.LINE, "address_line2", ("MailingStreet",)),
    Field("city", Kind.TEXT, "address_city", ("MailingCity",)),
    Field("state", Kind.STATE, "address_state", ("MailingStateCode", "MailingState")),
    Field("zip", Kind.ZIP, "address_zip", ("MailingPostalCode",)),
    Field("country", Kind.COUNTRY, "address_country", ("MailingCountryCode", "MailingCountry")),
    _from_hint("practitioner", Kind.TEXT, "practitioner.name", "Practitioner"),
    _from_hint("insurance_payer", Kind.TEXT, "health_insurance_payer_name", "Insurance_Payer"),
    _from_hint("insurance_group_id", Kind.TEXT, "health_insurance_group_id", "Insurance_Group_Id"),
    _from_hint("insurance_member_id", Kind.TEXT, "health_insurance_member_id", "Insurance_Member_Id"),
    _from_hint("contract_accepted", Kind.FLAG, "patient_agreement_accepted", "Member_Contract_Accepted"),
    _from_hint("contract_accepted_at", Kind.INSTANT, "patient_agreement_accepted_at", "Member_Contract_Accepted_At"),
    _from_hint("hipaa_accepted", Kind.FLAG, "hipaa_authorization_accepted", "HIPAA_Authorization_Accepted"),
    _from_hint("hipaa_accepted_at", Kind.INSTANT, "hipaa_authorization_accepted_at", "HIPAA_Authorization_Accepted_At"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class FieldShape:
    """What ``describe`` says of one Contact field.  ``choices`` are the active picklist values, in order."""

    name: str
    type: str  # string, textarea, email, phone, picklist, date, datetime, boolean, …
    length: int = 0  # 0: no limit known
    nillable: bool = True
    createable: bool = True
    updateable: bool = True
    restricted: bool = False
    choices: tuple[str, ...] = ()
    external_id: bool = False
    unique: bool = False


ContactShape = Mapping[str, FieldShape]


class BadFieldMap(ValueError):
    """A field map that cannot work; ``str()`` names the field and says what to do."""


@dataclass(frozen=True, slots=True)
class Book:
    """The field table as it holds for one connection: with the configuration's changes, each field bound to the one
    API name that the org has.  ``missing`` names the fields left out because the org has none of their names."""

    fields: tuple[Field, ...]
    shape: ContactShape
    rules: Rules = field(default_factory=Rules)
    missing: tuple[str, ...] = ()

    def field(self, name: str) -> Field:
        return next(f for f in self.fields if f.name == name)

    def api_name(self, field: Field) -> str:
        return field.salesforce[0]


def make_book(fields: Sequence[Field], shape: ContactShape, rules: Rules) -> Book:
    """Bind each field to the first of its API names that the org's describe shows."""
    bound, missing = [], []
    for f in fields:
        there = next((name for name in f.salesforce if name in shape), None)
        if there is None:
            missing.append(f.name)
        else:
            bound.append(replace(f, salesforce=(there,)))
    return Book(tuple(bound), shape, rules, tuple(missing))
