"""The Avro schema of ContactChangeEvent and the bytes of an event written with it, bitmaps included.

A bitmap lists fields by their index in the schema, ChangeEventHeader being 0: one number for the top level, and one
with the parent's index before it for the members of each compound field.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import fastavro

from hintd.sandbox.salesforce.columns import HIDDEN, Column
from hintd.sandbox.salesforce.describe import Shape
from hintd.sandbox.salesforce.stamps import date_ms, stamp_ms

NAMESPACE = "com.sforce.eventbus"
CHANGE_TYPES = (
    *("CREATE", "UPDATE", "DELETE", "UNDELETE"),
    *("GAP_CREATE", "GAP_UPDATE", "GAP_DELETE", "GAP_UNDELETE", "GAP_OVERFLOW", "SNAPSHOT"),
)
# The order that was seen in a real developer org; custom fields came after these.
CAPTURED = (
    *("AccountId", "IsPersonAccount", "Name", "OtherAddress", "MailingAddress", "Phone", "Fax", "MobilePhone"),
    *("HomePhone", "OtherPhone", "AssistantPhone", "ReportsToId", "Email", "Title", "Department", "AssistantName"),
    *("LeadSource", "Birthdate", "Description", "OwnerId", "HasOptedOutOfEmail", "HasOptedOutOfFax", "DoNotCall"),
    *("CreatedDate", "CreatedById", "LastModifiedDate", "LastModifiedById", "LastCURequestDate", "LastCUUpdateDate"),
    *("EmailBouncedReason", "EmailBouncedDate", "Jigsaw", "JigsawContactId", "CleanStatus", "IndividualId"),
    *("Pronouns", "GenderIdentity", "ContactSource", "BuyerAttributes", "Level__c", "Languages__c", "GUID__c"),
)
_NAME_MEMBERS = ("Salutation", "FirstName", "LastName", "MiddleName", "Suffix")
_ADDRESS_MEMBERS = (
    *("Street", "City", "State", "PostalCode", "Country", "StateCode", "CountryCode", "Latitude", "Longitude"),
    *("Xyz", "GeocodeAccuracy"),  # Xyz: seen in one org, meaning unknown; here to catch readers that count positions
)
_ADDRESS = ("Address", _ADDRESS_MEMBERS)
_COMPOUNDS = {"Name": ("PersonName", _NAME_MEMBERS), "OtherAddress": _ADDRESS, "MailingAddress": _ADDRESS}
_STRINGS = {"type": "array", "items": "string"}


@dataclass(frozen=True)
class Header:
    """ChangeEventHeader without its bitmaps.  ``commit_ms``: milliseconds since 1970, of whole seconds."""

    record_ids: tuple[str, ...]
    change_type: str
    origin: str
    transaction_key: str
    sequence: int
    commit_ms: int
    commit_number: int
    user_id: str


@dataclass(frozen=True)
class Body:
    """The values that an event carries by field name; which fields an update changed, emptied, or sent as a diff."""

    values: Mapping[str, Any]
    changed: tuple[str, ...] = ()
    nulled: tuple[str, ...] = ()
    diffed: tuple[str, ...] = ()


class Schema:
    """The schema of one moment: where each field of the Contact stands in it, and its writer."""

    def __init__(self, shape: Shape, *, seed: int, captured_order: bool) -> None:
        self.names = ("ChangeEventHeader", *_order(shape, seed, captured_order))
        self.json = json.dumps(_schema(self.names, shape))
        digest = hashlib.md5(self.json.encode(), usedforsecurity=False).digest()
        self.id = base64.urlsafe_b64encode(digest).decode().rstrip("=")
        self._columns = shape.columns
        self._place = self._places(shape)
        self._parsed = fastavro.parse_schema(json.loads(self.json))

    def _places(self, shape: Shape) -> dict[str, tuple[int, int | None]]:
        index = {name: place for place, name in enumerate(self.names)}
        places: dict[str, tuple[int, int | None]] = {}
        for column in shape.columns.values():
            if column.compound:
                members = _members(column.compound, shape)
                places[column.name] = (index[column.compound], members.index(column.member))
            elif column.name in index and column.doc:
                places[column.name] = (index[column.name], None)
        return places

    def carries(self, name: str) -> bool:
        return name in self._place

    def bitmaps(self, names: Iterable[str]) -> list[str]:
        """``["0x80", "2-0x02"]`` for fields by name; names that are not in the schema are left out."""
        top, nested = 0, dict[int, int]()
        for name in names:
            if (place := self._place.get(name)) is None:
                continue
            parent, member = place
            if member is None:
                top |= 1 << parent
            else:
                nested[parent] = nested.get(parent, 0) | 1 << member
        listed = [f"0x{top:02X}"] if top else []
        return listed + [f"{parent}-0x{bits:02X}" for parent, bits in sorted(nested.items())]

    def encode(self, header: Header, body: Body) -> bytes:
        """The payload of an event: Avro binary with nothing around it."""
        record: dict[str, Any] = {"ChangeEventHeader": self._header(header, body)}
        for name, value in body.values.items():
            if (column := self._columns.get(name)) is None or not self.carries(name):
                continue
            if column.compound:
                record.setdefault(column.compound, {})[column.member] = _avro_value(column, value)
            else:
                record[name] = _avro_value(column, value)
        out = io.BytesIO()
        fastavro.schemaless_writer(out, self._parsed, record)
        return out.getvalue()

    def _header(self, header: Header, body: Body) -> dict[str, Any]:
        return {
            "entityName": "Contact",
            "recordIds": list(header.record_ids),
            "changeType": header.change_type,
            "changeOrigin": header.origin,
            "transactionKey": header.transaction_key,
            "sequenceNumber": header.sequence,
            "commitTimestamp": header.commit_ms,
            "commitNumber": header.commit_number,
            "commitUser": header.user_id,
            "nulledFields": self.bitmaps(body.nulled),
            "diffFields": self.bitmaps(body.diffed),
            "changedFields": self.bitmaps(body.changed),
        }


def _order(shape: Shape, seed: int, captured_order: bool) -> list[str]:
    plain = [column.name for column in shape.columns.values() if column.doc and not column.compound]
    there = [*_COMPOUNDS, *plain, *(column.name for column in HIDDEN)]
    if captured_order:
        known = [name for name in CAPTURED if name in there]
        return known + [name for name in reversed(there) if name not in known]
    random.Random(seed).shuffle(there)
    return there


def _members(compound: str, shape: Shape) -> tuple[str, ...]:
    members = _COMPOUNDS[compound][1]
    there = {column.member for column in shape.columns.values() if column.compound == compound} | {"Xyz"}
    return tuple(member for member in members if member in there)


def _schema(names: tuple[str, ...], shape: Shape) -> dict[str, Any]:
    columns = {column.name: column for column in (*HIDDEN, *shape.columns.values())}
    defined: set[str] = set()
    fields = [_header_field()]
    for place, name in enumerate(names[1:]):
        if name in _COMPOUNDS:
            fields.append(_compound_field(name, shape, defined))
        else:
            fields.append(_field(columns[name], place))
    return {"type": "record", "name": "ContactChangeEvent", "namespace": NAMESPACE, "fields": fields}


def _field(column: Column, place: int) -> dict[str, Any]:
    doc = f"{column.doc}:00NKd00000{place:05d}" if column.custom else column.doc
    return {"name": column.name, "type": ["null", _avro_type(column.doc)], "doc": doc, "default": None}


def _compound_field(name: str, shape: Shape, defined: set[str]) -> dict[str, Any]:
    record, _ = _COMPOUNDS[name]
    kind: Any = record
    if record not in defined:  # defined where it is used first, named from then on
        defined.add(record)
        kind = {"type": "record", "name": record, "fields": [_member(m) for m in _members(name, shape)]}
    doc = "Data:PersonName" if name == "Name" else "Data:Address"
    return {"name": name, "type": ["null", kind], "doc": doc, "default": None}


def _member(name: str) -> dict[str, Any]:
    kind = "double" if name in ("Latitude", "Longitude") else "string"
    return {"name": name, "type": ["null", kind], "default": None}


def _avro_type(doc: str) -> str:
    match doc.split(":")[1]:
        case "Boolean":
            return "boolean"
        case "Double":
            return "double"
        case "DateOnly" | "DateTime":
            return "long"
        case _:
            return "string"


def _avro_value(column: Column, value: Any) -> Any:
    if value is None:
        return None
    if column.type == "date":
        return date_ms(value)
    return stamp_ms(value) if column.type == "datetime" else value


def _header_field() -> dict[str, Any]:
    change_type = {"type": "enum", "name": "ChangeType", "symbols": list(CHANGE_TYPES)}
    kinds: dict[str, Any] = {
        "entityName": "string",
        "recordIds": _STRINGS,
        "changeType": change_type,
        "changeOrigin": "string",
        "transactionKey": "string",
        "sequenceNumber": "int",
        "commitTimestamp": "long",
        "commitNumber": "long",
        "commitUser": "string",
        "nulledFields": _STRINGS,
        "diffFields": _STRINGS,
        "changedFields": _STRINGS,
    }
    fields = [{"name": name, "type": kind} for name, kind in kinds.items()]
    header = {"type": "record", "name": "ChangeEventHeader", "fields": fields}
    return {"name": "ChangeEventHeader", "doc": "Data:ComplexValueType", "type": header}
