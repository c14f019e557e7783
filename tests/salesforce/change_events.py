"""Change events as Salesforce sends them, encoded with the schema captured from a real org."""

from __future__ import annotations

import json
from io import BytesIO
from pathlib import Path
from typing import Any

import fastavro

SCHEMA_TEXT = (Path(__file__).parent / "samples" / "ContactChangeEvent.avsc").read_text()
SCHEMA: dict[str, Any] = json.loads(SCHEMA_TEXT)
PARSED = fastavro.parse_schema(json.loads(SCHEMA_TEXT))
INDEX = {field["name"]: i for i, field in enumerate(SCHEMA["fields"])}

ADA = "0035g00000AbCdEAAV"
BOB = "0035g00000FgHiJAAV"
COMMITTED_MS = 1_795_342_500_000  # 2026-11-22T10:15:00Z


def header(change: str, ids: list[str], **other: Any) -> dict[str, Any]:
    return {
        "entityName": "Contact",
        "recordIds": ids,
        "changeType": change,
        "changeOrigin": "com/salesforce/api/rest/67.0;client=hintd",
        "transactionKey": "0001a2b3-0000-1111-2222-333344445555",
        "sequenceNumber": 1,
        "commitTimestamp": COMMITTED_MS,
        "commitNumber": 10_000_000_000_000_001,
        "commitUser": "0055g00000AAAAAAAA",
        "nulledFields": [],
        "diffFields": [],
        "changedFields": [],
        **other,
    }


def event(change: str, ids: list[str], *, fields: dict[str, Any] | None = None, **other: Any) -> dict[str, Any]:
    return {"ChangeEventHeader": header(change, ids, **other), **(fields or {})}


def encode(record: dict[str, Any]) -> bytes:
    out = BytesIO()
    fastavro.schemaless_writer(out, PARSED, record)
    return out.getvalue()


def bitmap(*names: str) -> str:
    """The top-level bitmap that marks these fields of the captured schema."""
    return hex(sum(1 << INDEX[name] for name in names))
