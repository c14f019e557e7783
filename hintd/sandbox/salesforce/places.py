"""The org's State and Country/Territory Picklists: the ISO 3166 lists, narrowed to the countries with states.

With the picklists on, a state's or country's text and code are two views of one choice, and only listed ones are saved.
"""

from __future__ import annotations

from functools import cache, lru_cache

import pycountry

from hintd.sandbox.salesforce.refusal import Refusal

# The countries for which a new org comes with states; elsewhere every state is refused.
_WITH_STATES = ("US", "CA", "AU", "BR", "CN", "IN", "IE", "IT", "MX")

_PROBLEM = (
    "There's a problem with this {kind}, even though it may appear correct. "
    "Please select a {kind} from the list of valid {listed}."
)

Fields = dict[str, object]


@cache
def countries() -> dict[str, str]:
    """Code to text."""
    return {country.alpha_2: country.name for country in pycountry.countries}


@cache
def states(country: str) -> dict[str, str]:
    """Code to text of one country's states; empty for a country that has none in the org."""
    if country not in _WITH_STATES:
        return {}
    found = pycountry.subdivisions.get(country_code=country) or ()  # type: ignore[no-untyped-call]
    return {place.code.partition("-")[2]: place.name for place in found}


def state_codes() -> tuple[str, ...]:
    return tuple(sorted({code for country in _WITH_STATES for code in states(country)}))


def keep_in_step(prefix: str, sent: Fields, current: Fields) -> Fields:
    """What an address's state and country become on save, text and code agreeing.  Raises Refusal."""
    country = _choice(prefix, "Country", sent, current, countries())
    known = states(country) if country else {}
    state = _choice(prefix, "State", sent, current, known, country)
    if state is not None and country is None:
        raise _no_country(prefix)
    if state is not None and state not in known:
        raise _not_listed(prefix, "State")
    return {
        f"{prefix}CountryCode": country,
        f"{prefix}Country": countries()[country] if country else None,
        f"{prefix}StateCode": state,
        f"{prefix}State": known[state] if state else None,
    }


def _choice(
    prefix: str, part: str, sent: Fields, current: Fields, known: dict[str, str], country: str | None = "US"
) -> str | None:
    text, code = f"{prefix}{part}", f"{prefix}{part}Code"
    if sent.get(code) is not None:
        chosen = str(sent[code]).upper()
        wanted = sent.get(text)
        if wanted is not None and known.get(chosen, "").lower() != str(wanted).lower():
            raise _not_listed(prefix, part)
    elif sent.get(text) is not None:
        chosen = _by_text(str(sent[text]).lower(), None if part == "Country" else country or "")
    elif code in sent or text in sent:
        return None
    else:
        stands = current.get(code)
        return None if stands is None else str(stands)
    if part == "State" and country is None:
        raise _no_country(prefix)
    if chosen not in known:
        raise _not_listed(prefix, part)
    return chosen


@lru_cache(maxsize=1024)
def _by_text(wanted: str, country: str | None) -> str:
    """The code of a state of this country, or without one of a country; empty for what is not listed."""
    known = countries() if country is None else states(country)
    return next((code for code, text in known.items() if text.lower() == wanted), "")


def _not_listed(prefix: str, part: str) -> Refusal:
    kind, label = ("state", "State/Province") if part == "State" else ("country", "Country")
    listed = "states" if part == "State" else "countries"
    return Refusal(
        "FIELD_INTEGRITY_EXCEPTION",
        _PROBLEM.format(kind=kind, listed=listed) + f": {prefix} {label}",
        [f"{prefix}{part}"],
    )


def _no_country(prefix: str) -> Refusal:
    return Refusal(
        "FIELD_INTEGRITY_EXCEPTION",
        f"A country/territory must be specified before specifying a state value for field: {prefix} State/Province",
        [f"{prefix}State"],
    )
