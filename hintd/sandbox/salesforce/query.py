"""Queries: SOQL run on the org's rows, given out in pages."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from hintd.sandbox.crowd import entered_at
from hintd.sandbox.salesforce.describe import Shape
from hintd.sandbox.salesforce.ids import full_id
from hintd.sandbox.salesforce.org import EXTERNAL_IDS, Org
from hintd.sandbox.salesforce.record import Row, shown
from hintd.sandbox.salesforce.refusal import Refusal
from hintd.sandbox.salesforce.soql import Comparison, Condition, Query, parse
from hintd.sandbox.salesforce.stamps import read_datetime
from hintd.sandbox.salesforce.table import Contacts

_MOST_CURSORS = 100
_STAMPS = ("SystemModstamp", "LastModifiedDate")


@dataclass(frozen=True)
class Found:
    """What a query found: rows as they were when it ran, of a crowd's walk as they are when the page is made."""

    shape: Shape
    names: tuple[str, ...]
    rows: Sequence[Row]
    counts_only: bool = False


class Cursors:
    """Where the pages of open queries go on; the oldest are dropped.  ``batch`` is at least 200."""

    def __init__(self, seed: int) -> None:
        self._open: dict[str, Found] = {}
        self._random = random.Random(seed)
        self._number = 0

    def open(self, found: Found) -> str:
        self._number += 1
        cursor = f"01gKd{self._number:013d}"
        self._open[cursor] = found
        if len(self._open) > _MOST_CURSORS:
            del self._open[next(iter(self._open))]
        return cursor

    def found(self, cursor: str) -> Found:
        """Raises Refusal for a cursor that is not open."""
        try:
            return self._open[cursor]
        except KeyError:
            raise Refusal("INVALID_QUERY_LOCATOR", "invalid query locator") from None

    def page_length(self, batch: int, *, short: bool) -> int:
        """A page may hold fewer rows than the batch size: it is a hint."""
        return self._random.randint(max(1, batch // 2), batch) if short else batch


def run(org: Org, text: str, *, deleted: bool) -> Found:
    """Run a query; ``deleted``: on the recycle bin too.  Raises Refusal."""
    query = parse(text)
    shape = org.shape_of(query.sobject)
    names = tuple(_selectable(org, shape, name) for name in query.names)
    if (walk := _walk(org, shape, query, deleted=deleted)) is not None:
        return Found(shape, names, walk, query.counts_only)
    test = _test(org, shape, query.where)
    rows = [
        row
        for row in _candidates(org, shape, query, deleted=deleted)
        if (deleted or not row.get("IsDeleted")) and test(row)
    ]
    for name, descending in reversed(query.order):
        column = shape.column(name).name
        rows.sort(key=lambda row: _sort_key(shown(shape, column, row)), reverse=descending)
    end = None if query.limit is None else query.offset + query.limit
    return Found(shape, names, list(islice(rows, query.offset, end)), query.counts_only)


def _walk(org: Org, shape: Shape, query: Query, *, deleted: bool) -> Sequence[Row] | None:
    """The rows of a query over all Contacts of a crowd by their last change; None for any other query."""
    table = org.tables[shape.sobject]
    if not isinstance(table, Contacts) or query.limit is not None or query.offset:
        return None
    if query.order not in ((), (("SystemModstamp", False),), (("SystemModstamp", False), ("Id", False))):
        return None
    match query.where:
        case None:
            return table.since("", inclusive=True, deleted=deleted)
        case Comparison("SystemModstamp", ">" | ">=" as sign, (bound,)):
            return table.since(str(bound), inclusive=sign == ">=", deleted=deleted)
        case _:
            return None


def value_of(org: Org, shape: Shape, name: str, row: Row) -> Any:
    """A selected field's value; ``Account.Name`` is read from the parent."""
    _parent, dot, rest = name.partition(".")
    if not dot:
        return shown(shape, name, row)
    account = org.tables["Account"].get(row.get("AccountId") or "")
    return None if account is None else account.get(rest)


def _selectable(org: Org, shape: Shape, name: str) -> str:
    parent, dot, rest = name.partition(".")
    if not dot:
        return shape.column(name).name
    if shape.sobject != "Contact" or parent.lower() != "account":
        raise Refusal("INVALID_FIELD", f"Didn't understand relationship '{parent}' in field path.")
    return f"Account.{org.shape_of('Account').column(rest).name}"


def _sort_key(value: Any) -> tuple[bool, Any]:
    return (value is not None, value if value is not None else "")


def _candidates(org: Org, shape: Shape, query: Query, *, deleted: bool) -> Iterable[Row]:
    """The fewest rows that an index gives for the conditions that all must hold."""
    table = org.tables[shape.sobject]
    for comparison in query.required:
        name = shape.column(comparison.name).name if "." not in comparison.name else comparison.name
        values = comparison.values
        if comparison.operator in ("=", "IN") and name == "Id":
            ids = dict.fromkeys(full_id(value) for value in values)
            return [table[found] for found in ids if found is not None and found in table]
        if comparison.operator in ("=", "IN") and name in EXTERNAL_IDS and not deleted:
            return [row for value in dict.fromkeys(values) if value for row in org.by_external(name, str(value))]
        if comparison.operator in (">", ">=") and name in _STAMPS:
            return _committed_since(org, shape.sobject, str(values[0]))
    return table.values()


def _committed_since(org: Org, sobject: str, bound: str) -> Iterable[Row]:
    """Rows committed since a stamp: no stamp is later than its commit, so none is missed."""
    since = read_datetime(bound)
    recent, table = org.committed_at[sobject], org.tables[sobject]
    if isinstance(table, Contacts) and since <= entered_at(table.crowd):
        return table.values()
    rows = []
    for record_id in reversed(recent):
        if recent[record_id] < since:
            break
        rows.append(table[record_id])
    rows.reverse()
    return rows


def _test(org: Org, shape: Shape, condition: Condition | None) -> Callable[[Row], bool]:
    match condition:
        case None:
            return lambda row: True
        case Comparison():
            return _compare(org, shape, condition)
    parts = [_test(org, shape, part) for part in condition.parts]
    if condition.word == "NOT":
        return lambda row: not parts[0](row)
    holds = all if condition.word == "AND" else any
    return lambda row: holds(part(row) for part in parts)


def _compare(org: Org, shape: Shape, comparison: Comparison) -> Callable[[Row], bool]:
    name = _selectable(org, shape, comparison.name)
    fold = _fold(shape, name)
    wanted = [fold(value) for value in comparison.values]
    compare = comparison.compare

    def test(row: Row) -> bool:
        return compare(fold(value_of(org, shape, name, row)), wanted)

    return test


def _fold(shape: Shape, name: str) -> Callable[[Any], Any]:
    """How a field's values are compared: text without case, ids by the long form, birthdates without the year."""
    column = shape.columns.get(name)
    kind = column.type if column else "string"
    if name == "Birthdate":
        return lambda value: value[5:] if isinstance(value, str) else value
    if kind in ("id", "reference"):
        return lambda value: full_id(value) or value
    if kind in ("datetime", "boolean", "double") or (column is not None and column.external_id):
        return lambda value: value
    return lambda value: value.lower() if isinstance(value, str) else value
