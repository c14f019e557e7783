"""How the Bulk API 2.0 spells records in its results: cells of CSV, an empty one for a blank field.  Pure."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from itertools import islice
from typing import Any

from hintd.core.fields import ContactShape

_FLAGS = {"true": True, "false": False}


def read_records(text: str, shape: ContactShape, most: int) -> Iterator[list[dict[str, Any]]]:
    """The records of a page of results as REST would give them, ``most`` at a time."""
    rows = csv.DictReader(io.StringIO(text, newline=""))
    flags = {name for name, field in shape.items() if field.type == "boolean"} | {"IsDeleted"}
    while some := list(islice(rows, most)):
        yield [{name: _value(name in flags, cell) for name, cell in row.items()} for row in some]


def _value(is_flag: bool, cell: str) -> Any:
    return _FLAGS.get(cell) if is_flag else cell or None
