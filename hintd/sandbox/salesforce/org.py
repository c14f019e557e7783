"""The records of the org and the transactions that change them.

Rows are never changed in place: a save puts a new mapping, so a query's cursor and an event keep what they saw.
Every look-up on the way of a call is by index: this org also serves the benchmarks.
"""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from hintd.sandbox.salesforce import columns
from hintd.sandbox.salesforce.automation import automate, check_duplicates
from hintd.sandbox.salesforce.describe import Shape
from hintd.sandbox.salesforce.ids import full_id, make_id
from hintd.sandbox.salesforce.record import Row, clean
from hintd.sandbox.salesforce.refusal import Refusal
from hintd.sandbox.salesforce.stamps import stamp
from hintd.sandbox.salesforce.switches import Rules

EXTERNAL_IDS = tuple(column.name for column in columns.CONTACT if column.external_id)
_BLANK = {
    "Contact": {column.name: False if column.type == "boolean" else None for column in columns.CONTACT},
    "Account": {column.name: False if column.type == "boolean" else None for column in columns.ACCOUNT},
}


@dataclass(frozen=True, slots=True)
class Author:
    """Who saves: the user, the client as change events name it, and whether alerting duplicate rules are passed."""

    user_id: str
    origin: str
    allow_duplicates: bool = False


@dataclass(frozen=True, slots=True)
class Saved:
    """One record's change in a transaction; ``kind`` as change events call it."""

    kind: str
    sobject: str
    id: str
    before: Row | None
    after: Row


@dataclass(frozen=True)
class Committed:
    """A transaction that stands."""

    key: str
    number: int
    at: datetime
    author: Author
    saves: tuple[Saved, ...]
    merged_into: Mapping[str, str] = field(default_factory=dict)


class Org:
    """Tables, indexes, and the commit log's numbers.  ``on_commit`` is told of every transaction that stands."""

    def __init__(
        self, shape_of: Callable[[str], Shape], rules: Callable[[], Rules], on_commit: Callable[[Committed], None]
    ) -> None:
        self.shape_of = shape_of
        self.rules = rules
        self.on_commit = on_commit
        self.tables: dict[str, MutableMapping[str, Row]] = {"Contact": {}, "Account": {}, "Organization": {}}
        # Ids in the order of their last commit; a row's stamp is never later than its commit.
        self.committed_at: dict[str, dict[str, datetime]] = {name: {} for name in self.tables}
        self._by_external: dict[str, dict[str, tuple[str, ...]]] = {name: {} for name in EXTERNAL_IDS}
        self._numbers = itertools.count(10_832_042_834_831, 3)
        self._ids = itertools.count(1)

    def new_id(self, sobject: str) -> str:
        return make_id(sobject, next(self._ids))

    def row(self, sobject: str, record_id: str) -> Row:
        """A row that is not deleted, by an id of either length.  Raises Refusal."""
        whole = full_id(record_id)
        row = self.tables[sobject].get(whole) if whole else None
        if row is None:
            raise Refusal("NOT_FOUND", "The requested resource does not exist", status=404)
        if row["IsDeleted"]:
            raise Refusal("ENTITY_IS_DELETED", "entity is deleted", status=404)
        return row

    def find(self, sobject: str, record_id: object) -> Row | None:
        """A row by an id of either length, deleted or not."""
        whole = full_id(record_id)
        return self.tables[sobject].get(whole) if whole else None

    def by_external(self, column: str, value: str) -> list[Row]:
        """The rows not deleted that carry an external id."""
        table = self.tables["Contact"]
        return [table[found] for found in sorted(self._by_external[column].get(value, ()))]

    def live(self, sobject: str) -> Iterator[Row]:
        return (row for row in self.tables[sobject].values() if not row.get("IsDeleted"))

    def put(self, sobject: str, record_id: str, row: Row | None) -> None:
        """Replace a row, or with None take it away; keeps the indexes."""
        table = self.tables[sobject]
        if sobject == "Contact":
            for name, index in self._by_external.items():
                _reindex(index, record_id, _indexed(table.get(record_id), name), _indexed(row, name))
        if row is None:
            table.pop(record_id, None)
        else:
            table[record_id] = row

    def commit(self, transaction: Transaction, at: datetime) -> None:
        if not transaction.saves:
            return
        for save in transaction.saves:
            recent = self.committed_at[save.sobject]
            recent.pop(save.id, None)
            recent[save.id] = at
        key, number = str(uuid.uuid4()), next(self._numbers)
        self.on_commit(
            Committed(key, number, at, transaction.author, tuple(transaction.saves), dict(transaction.merged_into))
        )


def _indexed(row: Row | None, name: str) -> str | None:
    return None if row is None or row["IsDeleted"] else row.get(name)


def _reindex(index: dict[str, tuple[str, ...]], record_id: str, old: str | None, new: str | None) -> None:
    if old == new:
        return
    if old is not None:
        index[old] = tuple(other for other in index[old] if other != record_id)
        if not index[old]:
            del index[old]
    if new is not None:
        index[new] = (*index.get(new, ()), record_id)


def fresh_row(shape: Shape, values: Row, record_id: str, author_id: str, at: str) -> dict[str, Any]:
    """A row as it is right after its creation; ``at`` is a stamp."""
    created = {"CreatedDate": at, "CreatedById": author_id}
    if shape.sobject == "Contact":
        created["OwnerId"] = author_id
    return {**_BLANK[shape.sobject], **created, **values, **_touched(author_id, at), "Id": record_id}


def _touched(author_id: str, at: str) -> dict[str, Any]:
    return {"LastModifiedDate": at, "LastModifiedById": author_id, "SystemModstamp": at}


class Transaction:
    """Saves that are committed together, or undone.  A refused save leaves no trace; earlier ones stand."""

    def __init__(self, org: Org, author: Author, at: datetime) -> None:
        self.org = org
        self.author = author
        self.saves: list[Saved] = []
        self.merged_into: dict[str, str] = {}
        self._stamp = stamp(at)

    def create(self, sobject: str, sent: Mapping[str, Any], record_id: str | None = None) -> str:
        shape = self.org.shape_of(sobject)
        values = clean(shape, sent, None)
        new_id = record_id or self.org.new_id(shape.sobject)
        row = fresh_row(shape, values, new_id, self.author.user_id, self._stamp)
        self._save("CREATE", shape, None, row)
        return new_id

    def update(self, sobject: str, record_id: str, sent: Mapping[str, Any]) -> None:
        shape = self.org.shape_of(sobject)
        before = self.org.row(shape.sobject, record_id)
        self._save("UPDATE", shape, before, {**before, **clean(shape, sent, before), **self._touch()})

    def delete(self, sobject: str, record_id: str, winner: str | None = None) -> None:
        """Into the recycle bin; ``winner``: by a merge into that record."""
        shape = self.org.shape_of(sobject)
        before = self.org.row(shape.sobject, record_id)
        if before.get("IsPersonAccount"):
            raise Refusal(
                "DELETE_FAILED", "Your attempt to delete this contact failed: it belongs to a person account."
            )
        after = {**before, **self._touch(), "IsDeleted": True, "MasterRecordId": winner}
        if winner is not None:
            self.merged_into[before["Id"]] = winner
        self._put("DELETE", shape.sobject, before, after)

    def undelete(self, record_id: str) -> None:
        before = self.org.find("Contact", record_id)
        if before is None or not before["IsDeleted"]:
            raise Refusal("UNDELETE_FAILED", "Entity is not in the recycle bin")
        after = {**before, **self._touch(), "IsDeleted": False, "MasterRecordId": None}
        self._check_unique(self.org.shape_of("Contact"), after)
        self._put("UNDELETE", "Contact", before, after)

    def undo(self) -> None:
        for save in reversed(self.saves):
            self.org.put(save.sobject, save.id, save.before)
        self.saves.clear()
        self.merged_into.clear()

    def commit(self, at: datetime) -> None:
        self.org.commit(self, at)

    def _touch(self) -> dict[str, Any]:
        return _touched(self.author.user_id, self._stamp)

    def _save(self, kind: str, shape: Shape, before: Row | None, row: dict[str, Any]) -> None:
        if shape.sobject == "Contact":
            rules = self.org.rules()
            row = automate(rules, before, row)
            self._check_unique(shape, row)
            self._check_references(row)
            if rules.duplicate_field is not None:
                check_duplicates(rules, row, self.org.live("Contact"), self.author.allow_duplicates)
        self._put(kind, shape.sobject, before, row)

    def _put(self, kind: str, sobject: str, before: Row | None, after: Row) -> None:
        self.org.put(sobject, after["Id"], after)
        self.saves.append(Saved(kind, sobject, after["Id"], before, after))

    def _check_unique(self, shape: Shape, row: Row) -> None:
        if not shape.unique:
            return
        for name in EXTERNAL_IDS:
            value = row.get(name)
            others: Iterable[Row] = self.org.by_external(name, value) if value is not None else ()
            for other in others:
                if other["Id"] != row["Id"]:
                    # The message names the other record by the id's 15-character form.
                    raise Refusal(
                        "DUPLICATE_VALUE",
                        f"duplicate value found: {name} duplicates value on record with id: {other['Id'][:15]}",
                    )

    def _check_references(self, row: Row) -> None:
        account = row.get("AccountId")
        if account is not None and (self.org.find("Account", account) or {"IsDeleted": True})["IsDeleted"]:
            raise Refusal("INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id", ["AccountId"])
