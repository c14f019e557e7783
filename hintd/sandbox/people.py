"""Seeded synthetic people: the same seed makes the same people, with the names and spellings that break matching.

Nobody here exists.  Phone numbers are from the ranges reserved for fiction, addresses and e-mail are invented.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from hintd.sandbox.samples import sample_patients

_FIRST = {
    "female": ("Ada", "Beatrice", "Chloe", "Dolores", "Elif", "Fatima", "Grace", "Hannah", "Ingrid", "Zoë", "Renée"),
    "male": ("Aaron", "Boris", "Carlos", "Dmitri", "Elijah", "Felix", "George", "Hamza", "Ivan", "José", "Sören"),
}
_MIDDLE = (None, None, None, "Lee", "Marie", "James", "de Jesús", "Q.")
_LAST = (
    "Abbott", "Brooks", "Castillo", "Dunn", "Ellison", "Fischer", "Greene", "Hoffman", "Iverson", "Jansen",
    "Kaya", "Lindqvist", "Moreau", "Núñez", "Okafor", "Peña", "Quintero", "Rossi", "Schmidt", "Tanaka",
    "Varga",
)  # fmt: skip
_STREETS = ("Maple Avenue", "Oak Street", "Cedar Lane", "Mission Street", "Riverside Drive", "Old Mill Road")
_UNITS = (None, None, "Apt 4B", "Suite 200", "Unit 12", "c/o Front Desk")
_PLACES = (
    ("San Francisco", "CA", "California", "94110", "415"),
    ("Denver", "CO", "Colorado", "80203", "303"),
    ("Austin", "TX", "Texas", "78701", "512"),
    ("Portland", "OR", "Oregon", "97205", "503"),
    ("Brooklyn", "NY", "New York", "11215", "718"),
    ("Washington", "DC", "District of Columbia", "20009", "202"),
)
_PRACTITIONERS = (
    {"id": "pct-sandbox00001", "name": "Miriam Osei, MD"},
    {"id": "pct-sandbox00002", "name": "Tomás Rivera, DO"},
)
_PAYERS = (None, "Blue Harbor Health", "Summit Mutual")
_US = "United States"

Fields = dict[str, Any]


@dataclass(frozen=True)
class Person:
    """One invented person, as each side would write it down.

    ``patient`` is the body of a Hint patient, ``contact`` the fields of a Salesforce Contact; ``None`` where the
    person is known on the other side only.
    """

    patient: Fields | None
    contact: Fields | None


@dataclass(frozen=True)
class _Name:
    first: str
    last: str
    sex: str
    suffix: str | None = None
    middle: str | None = None
    contact_last: str | None = None  # where Salesforce spells it in another way


# One row for each spelling or likeness that has ever linked the wrong people or failed to link the right ones.
# Rows of one family share the date of birth, and so must be told apart by name alone.
_PECULIAR: tuple[tuple[_Name, ...], ...] = (
    (_Name("Olivia", "Hart", "female"), _Name("Oliver", "Hart", "male")),  # twins
    (_Name("William", "Carter", "male", "Sr"), _Name("William", "Carter", "male", "Jr")),
    (_Name("José", "García", "male", contact_last="Garcia"),),
    (_Name("Zoë", "Brontë", "female", contact_last="Bronte"),),
    (_Name("Maeve", "O'Brien", "female", contact_last="O Brien"),),
    (_Name("Lucía", "De La Cruz", "female", contact_last="Delacruz"),),
    (_Name("Anne-Marie", "Smith-Jones", "female", contact_last="Smith Jones"),),
    (_Name("Henry", "Whitfield III", "male", contact_last="Whitfield"),),
)


def make_people(count: int, seed: int, samples: Path | None = None) -> tuple[Person, ...]:
    """``count`` people, the peculiar ones first, after those of the samples.  Deterministic by ``seed``."""
    chance = random.Random(seed)
    invented = _invented(chance)
    own = [next(invented) for _ in range(count)]
    return (*(_of_sample(body) for body in (sample_patients(samples) if samples else ())), *own)


def _invented(chance: random.Random) -> Iterator[Person]:
    for family in _PECULIAR:
        born = _birthday(chance)
        for name in family:
            yield _known_to_both(_patient(chance, name, born), name)
    for number in range(10**9):
        yield _ordinary(chance, number)


def _ordinary(chance: random.Random, number: int) -> Person:
    patient = invent(chance, number)
    match number % 10:
        case 7:
            return Person(patient, None)
        case 8:
            return Person(None, contact_of(patient))
        case _:
            return Person(patient, contact_of(patient))


def invent(chance: random.Random, number: int) -> Fields:
    """The body of a Hint patient.  Another number is another last name, whatever the chance."""
    sex = chance.choice(("female", "male"))
    # A number in the name keeps a million people apart without a million names.
    last = chance.choice(_LAST) + ("" if number < len(_LAST) else f"-{_letters(number)}")
    name = _Name(chance.choice(_FIRST[sex]), last, sex, middle=chance.choice(_MIDDLE))
    return _patient(chance, name, _birthday(chance))


def _letters(number: int) -> str:
    """1 is B, 27 is Bb …: digits do not belong into names."""
    head, last = divmod(number, 26)
    letter = chr(ord("a") + last)
    return (_letters(head) + letter).capitalize() if head else letter.upper()


def _birthday(chance: random.Random) -> date:
    return date(1935, 1, 1) + timedelta(days=chance.randrange(29_000))


def _patient(chance: random.Random, name: _Name, born: date) -> Fields:
    city, code, _, zip_code, area = chance.choice(_PLACES)
    accepted = chance.random() < 0.6
    payer = chance.choice(_PAYERS)
    return {
        "title": "Dr." if chance.random() < 0.1 else ("Ms." if name.sex == "female" else "Mr."),
        "first_name": name.first,
        "middle_name": name.middle,
        "last_name": name.last,
        "suffix": name.suffix,
        "dob": born.isoformat(),
        "sex": name.sex,
        "gender": name.sex,
        "gender_identity": "woman" if name.sex == "female" else "man",
        "email": _email(chance, name),
        "phones": _phones(chance, area),
        "address_line1": f"{chance.randrange(1, 2400)} {chance.choice(_STREETS)}",
        "address_line2": chance.choice(_UNITS),
        "address_city": city,
        "address_state": code,
        "address_zip": zip_code,
        "address_country": _US,
        "practitioner": chance.choice(_PRACTITIONERS),
        "health_insurance_payer_name": payer,
        "health_insurance_group_id": payer and f"G{chance.randrange(10_000, 99_999)}",
        "health_insurance_member_id": payer and f"M{chance.randrange(10**8, 10**9)}",
        "hipaa_authorization_accepted": accepted,
        "patient_agreement_accepted": accepted and chance.random() < 0.8,
    }


def _email(chance: random.Random, name: _Name) -> str | None:
    if chance.random() < 0.1:
        return None
    letters = "".join(c for c in f"{name.first}.{name.last}".lower() if c.isascii() and (c.isalnum() or c == "."))
    return f"{letters}{chance.randrange(100)}@mail.example"


def _phones(chance: random.Random, area: str) -> list[Fields]:
    types = chance.sample(("mobile", "home", "office", "fax"), k=chance.randrange(1, 4))
    return [{"number": f"{area}55501{chance.randrange(100):02}", "type": kind} for kind in types]


def _known_to_both(patient: Fields, name: _Name) -> Person:
    return Person(patient, contact_of(patient) | {"LastName": name.contact_last or name.last})


def _of_sample(patient: Fields) -> Person:
    return Person(patient, contact_of(patient))


def contact_of(patient: Fields) -> Fields:
    """The Contact that a Salesforce user would have typed for this patient, with habits of his own.

    About one in three leaves the street blank, and phones are spelt in the ways that people spell them.
    """
    odd = random.Random(f"{patient['last_name']} {patient.get('dob')} {patient['first_name']}")
    phones = {phone["type"]: _typed(odd, phone["number"]) for phone in reversed(patient.get("phones") or ())}
    lines = [line for line in (patient.get("address_line1"), patient.get("address_line2")) if line]
    states = {code: text for _, code, text, _, _ in _PLACES}
    state, email = patient.get("address_state"), patient.get("email")
    return {
        "Salutation": patient.get("title"),
        "FirstName": patient["first_name"],
        "MiddleName": patient.get("middle_name"),
        "LastName": patient["last_name"],
        "Suffix": patient.get("suffix"),
        "Birthdate": patient.get("dob"),
        "Email": email and odd.choice((email, email.capitalize())),
        "MobilePhone": phones.get("mobile"),
        "HomePhone": phones.get("home"),
        "Phone": phones.get("office"),
        "MailingStreet": odd.choice(("\n".join(lines), "\n".join(lines), "")) or None,
        "MailingCity": patient.get("address_city"),
        "MailingState": states.get(state or "", state),
        "MailingPostalCode": patient.get("address_zip"),
        "MailingCountry": patient.get("address_country"),
    }


def _typed(odd: random.Random, number: str) -> str:
    area, exchange, line = number[:3], number[3:6], number[6:]
    spellings: Sequence[str] = (
        f"({area}) {exchange}-{line}",
        f"{area}.{exchange}.{line}",
        f"+1 {area} {exchange} {line}",
        f"1-{area}-{exchange}-{line}",
        number,
    )
    return odd.choice(spellings)
