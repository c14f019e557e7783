"""What people do in a simulated world: they edit, clear, reformat and add records on both sides."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from random import Random
from typing import Any

from hintd.core.contact import PATIENT_ID, SYNCED
from tests.fakes.hint import MemoryPractice
from tests.fakes.salesforce import MemoryOrg

NAMES = ("Ann", "Bo", "ANN", "Élan", "De La Cruz", "Delacruz", "O'Brien", " Cy ", "Mary  Ann", "Smith Jr.")
CITIES = ("Oslo", "Rome", "rome", "San José", "Y" * 50)  # the last one is too long for Salesforce
NUMBERS = ("4155550101", "(415) 555-0102", "+1 415 555 0103", "4155550104 x12", "+49 30 901820", "ask at desk")
STATES = ("CA", "California", "NY", "Texas", None)
COUNTRIES = ("US", "United States", "USA", None)
ZIPS = ("94107", "94107-1234", "10001", None)
DAYS = ("1980-01-02", "1990-03-04", None)
INSTANTS = ("2026-01-02T03:04:05.000000Z", "2026-02-03T04:05:06.000000Z", None)
HINT_GENDERS = ("man", "woman", "nonbinary", "not listed", "trans man", None)  # trans man: the org has no such word
EMAILS = ("ann@x.org", "Ann@X.org", "bo@y.org", "odd@nodot", None)  # the last one: Salesforce refuses it
LINES = ("1 Main St", "2 High St", "Suite 3", None)
CODES = (("CA", "US"), ("NY", "US"), ("ON", "CA"), (None, None), (None, "US"))


class Hint:
    """Edits as the staff of the practice make them."""

    def __init__(self, random: Random, practice: MemoryPractice) -> None:
        self._random, self._practice = random, practice
        self._kinds: tuple[Callable[[str], Mapping[str, Any]], ...] = (
            lambda _: {self._pick(("first_name", "last_name")): self._pick(NAMES)},
            lambda _: {"middle_name": self._pick((*NAMES, None))},
            lambda _: {"title": self._pick(("Mr", "Dr.", "ms", "Captain", None))},
            lambda _: {"dob": self._pick(DAYS)},
            lambda _: {"gender_identity": self._pick(HINT_GENDERS), "gender": None},
            lambda _: {"email": self._pick(EMAILS)},
            lambda _: {"address_city": self._pick((*CITIES, None))},
            lambda _: {"address_zip": self._pick(ZIPS)},
            lambda _: {"address_state": self._pick(STATES)},
            lambda _: {"address_country": self._pick(COUNTRIES)},
            lambda _: {self._pick(("address_line1", "address_line2")): self._pick(LINES)},
            lambda _: {"address_line1": self._pick(LINES), "address_line2": self._pick(LINES)},
            lambda _: {"practitioner": self._pick(({"name": "Dr. House"}, {"name": "Dr. Who"}, None))},
            lambda _: {"health_insurance_payer_name": self._pick(("Acme", "acme", "Best", None))},
            lambda _: {
                "hipaa_authorization_accepted": self._pick((True, False)),
                "hipaa_authorization_accepted_at": self._pick(INSTANTS),
            },
            self._phones,
            self._phones,
        )

    def edit(self, patient_id: str) -> None:
        attributes: dict[str, Any] = {}
        for _ in range(self._pick((1, 1, 1, 2))):
            attributes |= self._pick(self._kinds)(patient_id)
        self._practice.edit(patient_id, attributes)

    def _phones(self, patient_id: str) -> Mapping[str, Any]:
        phones = [dict(each) for each in self._practice.patients[patient_id]["phones"]]
        act = self._random.random()
        if phones and act < 0.2:
            phones.pop(self._random.randrange(len(phones)))
        elif phones and act < 0.5:
            self._pick(phones)["number"] = self._pick(NUMBERS)
        elif phones and act < 0.6:
            self._random.shuffle(phones)
        elif len(phones) < 5:
            kind = self._pick(("mobile", "Cell", "home", "office", "fax"))
            phones.append({"number": self._pick(NUMBERS), "type": kind, "id": f"pho-{self._random.randrange(10**6)}"})
        return {"phones": phones}

    def _pick(self, choices: Any) -> Any:
        return self._random.choice(choices)


class Salesforce:
    """Edits as the users of the org make them."""

    def __init__(self, random: Random, org: MemoryOrg, *, codes: bool) -> None:
        self._random, self._org = random, org
        self._kinds: tuple[Callable[[], Mapping[str, Any]], ...] = (
            lambda: {self._pick(("FirstName", "LastName")): self._pick((*NAMES, "Zoë"))},
            lambda: {self._pick(("FirstName", "MiddleName")): self._pick((*NAMES, None))},
            lambda: {"Salutation": self._pick(("Mr.", "Dr.", "Ms.", None))},
            lambda: {"Birthdate": self._pick(DAYS)},
            lambda: {"GenderIdentity": self._pick(("Male", "Female", "Not Listed", None))},
            lambda: {"Email": self._pick(EMAILS)},
            lambda: {"MailingCity": self._pick((*CITIES, None))},
            lambda: {"MailingPostalCode": self._pick(ZIPS)},
            self._place_codes if codes else self._place_texts,
            lambda: {"MailingStreet": self._pick(("1 Main St", "2 High St\r\nSuite 3", "5 Low\n\nRd", None))},
            lambda: {self._pick(("MobilePhone", "HomePhone", "Phone")): self._pick((*NUMBERS, None))},
            lambda: {self._pick(("MobilePhone", "HomePhone", "Phone")): self._pick((*NUMBERS, None))},
            lambda: {"Hint_Practitioner__c": self._pick(("Dr. Nobody", None))},
            lambda: {"Hint_HIPAA_Authorization_Accepted__c": self._pick((True, False))},
        )

    def edit(self, contact_id: str) -> None:
        fields: dict[str, Any] = {}
        for _ in range(self._pick((1, 1, 1, 2))):
            fields |= self._pick(self._kinds)()
        self._org.edit(contact_id, fields)

    def tamper(self, contact_id: str) -> None:
        """Edit by hand what is hintd's own."""
        self._org.edit(contact_id, self._pick(({SYNCED: False}, {PATIENT_ID: None}, {PATIENT_ID: "pat-unheard-of"})))

    def _place_codes(self) -> Mapping[str, Any]:
        state, country = self._pick(CODES)
        return {"MailingStateCode": state, "MailingCountryCode": country}

    def _place_texts(self) -> Mapping[str, Any]:
        return self._pick(
            ({"MailingState": self._pick(STATES)}, {"MailingCountry": self._pick((*COUNTRIES, "United Kingdom"))})
        )

    def _pick(self, choices: Any) -> Any:
        return self._random.choice(choices)


def new_person(random: Random) -> dict[str, Any]:
    """The attributes of a patient; what most people have is filled in."""
    return {
        "first_name": random.choice(("Ann", "Bo", "Cy")),
        "last_name": random.choice(("Lee", "O'Brien", "De La Cruz")),
        "dob": random.choice(("1970-01-01", "1980-01-02", "1990-03-04")),
        "email": random.choice(("ann@x.org", None)),
        "phones": [{"number": "4155550101", "type": "mobile", "id": "pho-0"}] * random.choice((0, 1)),
        "address_line1": random.choice(LINES),
        "address_city": random.choice(("Oslo", None)),
    }


def same_person_in_salesforce(person: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "FirstName": person["first_name"],
        "LastName": person["last_name"],
        "Birthdate": person["dob"],
        "Email": (person["email"] or "").upper() or None,
        "MobilePhone": "(415) 555-0101" if person["phones"] else None,
        "MailingStreet": person["address_line1"],
        "MailingCity": person["address_city"],
    }
