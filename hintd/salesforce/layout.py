"""What a change event's Avro schema says of each field: its place, its Salesforce type and its API name.  Pure.

The order of the fields is the org's own and changes with its metadata, so everything is looked up in the schema that
the event names (README rule 13: an event that cannot be read is never guessed at).  The Avro type does not tell a date
from a number: the Salesforce type in ``doc`` does.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

HEADER = "ChangeEventHeader"


@dataclass(frozen=True, slots=True)
class FieldLayout:
    """One field in the schema's order.  ``kind`` is the Salesforce type, such as ``DateOnly``; ``members`` are those of
    a compound field such as ``Name``."""

    name: str
    kind: str
    members: tuple[FieldLayout, ...] = ()

    def paths(self) -> tuple[str, ...]:
        """The paths of the values under this field: its own name, or ``Name.FirstName`` and so on."""
        return tuple(f"{self.name}.{member.name}" for member in self.members) or (self.name,)


@dataclass(frozen=True, slots=True)
class Leaf:
    """One value of an event: where it stands in the schema, what the REST API calls it, and what it holds."""

    path: str
    api_name: str
    kind: str
    value: Any


Layout = tuple[FieldLayout, ...]


def read_layout(schema: Mapping[str, Any]) -> Layout:
    """The fields of a record schema as ``GetSchema`` sends it, parsed from JSON.  Raises KeyError or TypeError."""
    known: dict[str, Mapping[str, Any]] = {}
    return tuple(_read_field(raw, known) for raw in schema["fields"])


def _read_field(raw: Mapping[str, Any], known: dict[str, Mapping[str, Any]]) -> FieldLayout:
    record = _record_of(raw["type"], known)
    members = () if record is None else tuple(_read_field(member, known) for member in record["fields"])
    return FieldLayout(raw["name"], _kind_of(raw.get("doc") or ""), members)


def _kind_of(doc: str) -> str:
    """``Data:Text:00NDp00000BbvCi`` is of kind ``Text``."""
    parts = doc.split(":")
    return parts[1] if len(parts) > 1 else ""


def _record_of(avro_type: Any, known: dict[str, Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """The record branch of a type.  A record is defined where it is first used and named from then on (``Address``)."""
    branches: list[str | dict[str, Any]] = avro_type if isinstance(avro_type, list) else [avro_type]
    for branch in branches:
        if isinstance(branch, str):
            if (named := known.get(_short(branch))) is not None:
                return named
        elif branch.get("type") == "record":
            known[_short(branch["name"])] = branch
            return branch
    return None


def _short(name: str) -> str:
    return name.rpartition(".")[2]


def read_leaves(layout: Layout, record: Mapping[str, Any]) -> Iterator[Leaf]:
    """Every value of a decoded event, the header left out; a compound that is null has null members."""
    for field in layout:
        if field.name == HEADER:
            continue
        value = record.get(field.name)
        if not field.members:
            yield Leaf(field.name, field.name, field.kind, value)
            continue
        held = value if isinstance(value, Mapping) else {}
        for member in field.members:
            path = f"{field.name}.{member.name}"
            yield Leaf(path, api_name(field, member.name), member.kind, held.get(member.name))


def api_name(compound: FieldLayout, member: str) -> str:
    """The REST name of a compound's member: ``FirstName``, ``MailingCity``, ``Loc__Latitude__s``."""
    if compound.kind == "PersonName" or compound.name == "Name":
        return member
    if compound.name.endswith("__c"):
        return f"{compound.name.removesuffix('__c')}__{member}__s"
    if compound.name.endswith("Address"):
        return compound.name.removesuffix("Address") + member
    return f"{compound.name}.{member}"
