"""How the Bulk API 2.0 spells records in its results: cells of CSV, an empty one for a blank field.  Pure."""

from __future__ import annotations

import csv
import io
from typing import Any

from hintd.core.fields import ContactShape

_FLAGS = {"true": True, "false": False}


def read_records(text: str, shape: ContactShape) -> list[dict[str, Any]]:
    """The records of a page of results as REST would give them."""
    rows = csv.DictReader(io.StringIO(text, newline=""))
    flags = {name for name, field in shape.items() if field.type == "boolean"} | {"IsDeleted"}
    return [{name: _value(name in flags, cell) for name, cell in row.items()} for row in rows]


def _value(is_flag: bool, cell: str) -> Any:
    return _FLAGS.get(cell) if is_flag else cell or None
