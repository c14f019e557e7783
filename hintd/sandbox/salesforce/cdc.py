"""Change Data Capture: what change events a committed transaction makes."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from hintd.sandbox.salesforce.avro import Body, Header, Schema
from hintd.sandbox.salesforce.describe import Shape
from hintd.sandbox.salesforce.org import Committed, Saved
from hintd.sandbox.salesforce.record import Row

_ALWAYS = "LastModifiedDate"


@dataclass(frozen=True)
class ChangeEvent:
    header: Header
    body: Body


def events_of(
    committed: Committed, shape: Shape, schema: Schema, *, merge: bool = True, diff_over: int = 1000
) -> list[ChangeEvent]:
    """The transaction's events on Contacts, in order.  ``merge``: one event where several records changed alike."""
    bodies = [
        (save.kind, (save.id,), _body(save, shape, schema, diff_over))
        for save in committed.saves
        if save.sobject == "Contact"
    ]
    merged = _merge(bodies) if merge else bodies
    return [
        ChangeEvent(_header(committed, kind, ids, sequence), body)
        for sequence, (kind, ids, body) in enumerate(merged, start=1)
    ]


_Part = tuple[str, tuple[str, ...], Body]


def _merge(parts: Iterable[_Part]) -> list[_Part]:
    found: dict[Any, _Part] = {}
    for number, (kind, ids, body) in enumerate(parts):
        key: Any = number
        if kind == "UPDATE":
            key = (body.changed, body.nulled, tuple(sorted(body.values.items())))
        if key in found and ids[0] not in found[key][1]:
            ids = found[key][1] + ids
        found[key] = (kind, ids, body)
    return list(found.values())


def _header(committed: Committed, kind: str, ids: tuple[str, ...], sequence: int) -> Header:
    return Header(
        record_ids=ids,
        change_type=kind,
        origin=committed.author.origin,
        transaction_key=committed.key,
        sequence=sequence,
        commit_ms=int(committed.at.timestamp()) * 1000,
        commit_number=committed.number,
        user_id=committed.author.user_id,
    )


def _body(save: Saved, shape: Shape, schema: Schema, diff_over: int) -> Body:
    match save.kind:
        case "UPDATE":
            return _update_body(save.before or {}, save.after, shape, schema, diff_over)
        case "DELETE":
            return Body({})
        case _:
            return Body({name: save.after.get(name) for name in shape.columns if schema.carries(name)})


def _update_body(before: Row, after: Row, shape: Shape, schema: Schema, diff_over: int) -> Body:
    changed = tuple(_changed(before, after, shape, schema))
    values: dict[str, Any] = {name: after[name] for name in changed if after.get(name) is not None}
    nulled = tuple(name for name in changed if name not in values)
    diffed = tuple(name for name in values if shape.columns[name].type == "textarea" and len(values[name]) > diff_over)
    values |= {name: _diff(before.get(name) or "", values[name]) for name in diffed}
    return Body(values, changed, nulled, diffed)


def _changed(before: Row, after: Row, shape: Shape, schema: Schema) -> Iterator[str]:
    for name in shape.columns:
        if schema.carries(name) and (name == _ALWAYS or before.get(name) != after.get(name)):
            yield name


def _diff(old: str, new: str) -> str:
    return "\n".join(difflib.unified_diff(old.splitlines(), new.splitlines(), lineterm=""))


def changed_names(save: Saved) -> tuple[str, ...]:
    """The fields that a save changed, for people to see."""
    before = save.before or {}
    audit = ("LastModifiedDate", "LastModifiedById", "SystemModstamp")
    return tuple(n for n, value in save.after.items() if n not in audit and before.get(n) != value)
