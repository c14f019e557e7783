"""One job of the Bulk API 2.0: what was asked, how far it is, and what it found."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from hintd.sandbox.salesforce.query import Found, value_of
from hintd.sandbox.salesforce.work import Work

UPLOADED, RUNNING, COMPLETE = "UploadComplete", "InProgress", "JobComplete"
ABORTED, FAILED = "Aborted", "Failed"
ENDED = (COMPLETE, ABORTED, FAILED)

_AT_ONCE = 500  # rows that are made before others are served


@dataclass(slots=True)
class Job:
    id: str
    operation: str
    created: str
    sobject: str
    query: str
    state: str = UPLOADED
    message: str = ""
    found: Found | None = None

    def shown(self, version: str) -> dict[str, Any]:
        """As creating and reading a job answer."""
        return {
            "id": self.id,
            "operation": self.operation,
            "object": self.sobject,
            "createdDate": self.created,
            "state": self.state,
            "concurrencyMode": "Parallel",
            "contentType": "CSV",
            "apiVersion": float(version),
            "lineEnding": "LF",
            "columnDelimiter": "COMMA",
            "errorMessage": self.message or None,
            "numberRecordsProcessed": 0 if self.found is None else len(self.found.rows),
        }


def to_csv(names: Sequence[str], rows: Iterable[Mapping[str, str]], *, header: bool = True) -> str:
    out = io.StringIO()
    writer = csv.DictWriter(out, names, lineterminator="\n", quoting=csv.QUOTE_ALL)
    if header:
        writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


def found_as_csv(work: Work, found: Found, start: int, end: int) -> Iterator[str]:
    """Rows of a query in pieces; each is made when it is asked for."""
    yield to_csv(found.names, ())
    places = iter(range(start, end))
    while some := list(islice(places, _AT_ONCE)):
        rows = found.rows[some[0] : some[-1] + 1]
        cells = ({name: cell(value_of(work.org, found.shape, name, row)) for name in found.names} for row in rows)
        yield to_csv(found.names, cells, header=False)


def cell(value: Any) -> str:
    """A value as a result spells it: times with Z here, unlike in JSON."""
    match value:
        case None:
            return ""
        case bool():
            return str(value).lower()
        case _:
            return str(value).replace("+0000", "Z") if str(value).endswith(".000+0000") else str(value)
