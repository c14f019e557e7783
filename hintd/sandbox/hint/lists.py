"""Hint's lists: bare arrays cut by limit and offset, filtered and sorted by attributes of the query."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from hintd.sandbox.hint.answers import Declined
from hintd.sandbox.hint.patients import Patients
from hintd.sandbox.hint.table import ByUpdate, Span, Stored

_NOT_ATTRIBUTES = frozenset({"limit", "offset", "sort", "filter"})
_OPERATORS: Mapping[str, Callable[[Any, Any], bool]] = {
    "gt": operator.gt,
    "gte": operator.ge,
    "lt": operator.lt,
    "lte": operator.le,
    "eq": operator.eq,
}
_BRACKETS = re.compile(r"(?P<name>\w+)\[(?P<operator>\w+)\]")
_MOST = 100

Test = Callable[[Stored], bool]


def page_of(query: Mapping[str, str]) -> slice:
    """The rows asked for: 10 by default, at most 100 whatever is asked.  Declines what is not a count."""
    try:
        limit, offset = int(query.get("limit", 10)), int(query.get("offset", 0))
    except ValueError:
        raise Declined(400, "limit and offset must be integers") from None
    if limit < 1 or offset < 0:
        raise Declined(400, "limit must be positive and offset not negative")
    return slice(offset, offset + min(limit, _MOST))


def select(patients: Patients, query: Iterable[tuple[str, str]]) -> list[Stored]:
    """All patients that the query names, in its order."""
    pairs = list(query)
    plain = dict(pairs)
    tests = [_membership(plain.get("filter"))]
    for name, text in pairs:
        if name not in _NOT_ATTRIBUTES:
            tests += _attribute_tests(name, text)
    found = [stored for stored in patients if all(test(stored) for test in tests)]
    return _sorted(found, plain.get("sort"))


def span_of(patients: Patients, query: Iterable[tuple[str, str]]) -> Span | None:
    """What the query names of a crowd, where it can be found without looking at everyone: by update, oldest first."""
    pairs = list(query)
    plain = dict(pairs)
    order = patients.table.by_update
    if not patients.table.crowd or plain.get("sort") != "updated_at" or plain.get("filter", "all") != "all":
        return None
    bounds = [bound for name, text in pairs if name not in _NOT_ATTRIBUTES for bound in _bounds(name, text)]
    if any(name != "updated_at" or op == "eq" for name, op, _ in bounds):
        return None
    places = [(op, _place(order, op, text)) for _, op, text in bounds]
    first = max((place for op, place in places if op in ("gt", "gte")), default=0)
    end = min((place for op, place in places if op in ("lt", "lte")), default=order.end)
    return Span(first, end, everyone="filter" in plain)


def _bounds(name: str, text: str) -> Sequence[tuple[str, str, str]]:
    """Each comparison of one part of the query: attribute, operator, bound."""
    if bracketed := _BRACKETS.fullmatch(name):
        return [(bracketed["name"], bracketed["operator"], text)]
    if text.startswith("{"):
        return [(name, op, str(bound)) for op, bound in operators_in(text).items()]
    return [(name, "eq", text)]


def _place(order: ByUpdate, op: str, text: str) -> int:
    bound = instant(text)
    return order.at_or_after(bound) if op in ("gte", "lt") else order.after(bound)


def _membership(which: str | None) -> Test:
    match which:
        case None:
            return lambda stored: not stored.archived
        case "archived":
            return lambda stored: stored.archived
        case "all":
            return lambda stored: True
        case _:
            raise Declined(400, "filter must be archived or all")


def _attribute_tests(name: str, text: str) -> Sequence[Test]:
    if bracketed := _BRACKETS.fullmatch(name):
        return [_comparison(bracketed["name"], bracketed["operator"], text)]
    if text.startswith("{"):
        return [_comparison(name, op, str(bound)) for op, bound in operators_in(text).items()]
    wanted = text.strip().casefold()
    return [lambda stored: str(_attribute(stored, name) or "").casefold() == wanted]


def operators_in(text: str) -> Mapping[str, Any]:
    """``{"gte": …}`` as it stands in a query.  Declines what is not JSON."""
    try:
        return msgspec.json.decode(text, type=dict[str, Any])
    except msgspec.DecodeError:
        raise Declined(400, "A filter in JSON could not be read") from None


def _comparison(name: str, op: str, bound_text: str) -> Test:
    if op not in _OPERATORS:
        raise Declined(400, "The operators are gt, gte, lt, lte and eq")
    compare = _OPERATORS[op]
    if name in ("updated_at", "created_at"):
        bound = instant(bound_text)
        by_update = name == "updated_at"
        return lambda stored: compare(stored.updated if by_update else stored.created, bound)
    return lambda stored: (value := _attribute(stored, name)) is not None and compare(str(value), bound_text)


def instant(text: str) -> datetime:
    """A time in a query, which may have lost its plus sign to URL decoding.  Declines what is no time."""
    try:
        at = datetime.fromisoformat(text.strip().replace(" ", "+"))
    except ValueError:
        raise Declined(400, "A time could not be read") from None
    return at.astimezone() if at.tzinfo is None else at


def _attribute(stored: Stored, name: str) -> Any:
    return stored.id if name == "id" else stored.values.get(name)


def _sorted(found: list[Stored], sort: str | None) -> list[Stored]:
    if not sort:
        return found
    name = sort.removeprefix("-")

    def key(stored: Stored) -> tuple[Any, str]:
        if name == "updated_at":
            return stored.updated, stored.id
        if name == "created_at":
            return stored.created, stored.id
        return str(_attribute(stored, name) or "").casefold(), stored.id

    return sorted(found, key=key, reverse=sort.startswith("-"))
