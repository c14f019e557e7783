"""States and countries by ISO 3166: "California" is "CA", "USA" is "United States"."""

from __future__ import annotations

from functools import lru_cache

import pycountry

from hintd.core.text import fold_case, name_key

_ALSO_CALLED = {
    "uk": "GB",
    "great britain": "GB",
    "us of a": "US",
    "america": "US",
    "russia": "RU",
    "turkey": "TR",
    "palestine": "PS",
    "micronesia": "FM",
}
"""What people write and ISO 3166 does not list."""


@lru_cache(maxsize=1)
def _countries() -> dict[str, str]:
    """Look-up key of every code and name to the alpha-2 code."""
    known = dict(_ALSO_CALLED)
    for country in pycountry.countries:
        for attribute in ("name", "official_name", "common_name", "alpha_3", "alpha_2"):
            spelling = getattr(country, attribute, None)
            if spelling:
                known[name_key(spelling)] = country.alpha_2
    return known


@lru_cache(maxsize=512)
def _states(country: str) -> dict[str, str]:
    """Look-up key of every code and name to the code without the country; a name that two states share is left out."""
    by_name: dict[str, set[str]] = {}
    by_code: dict[str, str] = {}
    for state in (s for s in pycountry.subdivisions if s.country_code == country):
        code = state.code.partition("-")[2]
        by_name.setdefault(name_key(state.name), set()).add(code)
        by_code |= {name_key(code): code, name_key(state.code): code}
    return {name: codes.pop() for name, codes in by_name.items() if len(codes) == 1} | by_code


@lru_cache(maxsize=1)
def _names_of_codes() -> frozenset[tuple[str, str]]:
    """(code, name) of every state of every country, as look-up keys."""
    states = pycountry.subdivisions
    return frozenset((name_key(state.code.partition("-")[2]), name_key(state.name)) for state in states)


def country_code(text: str) -> str | None:
    """The alpha-2 code, None for a name that ISO 3166 does not know."""
    return _countries().get(name_key(text))


def country_name(code: str) -> str | None:
    """The everyday name of an alpha-2 code."""
    country = pycountry.countries.get(alpha_2=code)
    return str(getattr(country, "common_name", country.name)) if country else None


def state_code(text: str, country: str) -> str | None:
    """The code without the country's, None where the country (alpha-2) has no such state."""
    return _states(country).get(name_key(text))


def canonical_country(text: str) -> str:
    return country_code(text) or fold_case(text)


def canonical_state(text: str, default_country: str) -> str:
    """The code of a state of the default country; else the text, ignoring case.

    A state is compared without its country, which may be unknown or change at the same time.
    """
    return state_code(text, default_country) or fold_case(text)


def same_state_abroad(a: str, b: str, default_country: str) -> bool:
    """Whether one is the code and the other the name of one state of any country ("ON" = "Ontario").

    Never for a code of the default country: "CA" is California, not Cagliari.
    """
    if state_code(a, default_country) or state_code(b, default_country):
        return False
    one, other = name_key(a), name_key(b)
    return (one, other) in _names_of_codes() or (other, one) in _names_of_codes()
