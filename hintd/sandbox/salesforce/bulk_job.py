"""One job of the Bulk API 2.0: what was asked, how far it is, and what became of each row."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from hintd.sandbox.salesforce.org import Author
from hintd.sandbox.salesforce.query import Found, value_of
from hintd.sandbox.salesforce.work import Work

OPEN, UPLOADED, RUNNING, COMPLETE = "Open", "UploadComplete", "InProgress", "JobComplete"
ABORTED, FAILED = "Aborted", "Failed"
ENDED = (COMPLETE, ABORTED, FAILED)

_AT_ONCE = 500  # rows that are made before others are served


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one uploaded row; ``error`` as Salesforce spells it in a cell, empty for a success."""

    row: Mapping[str, str]
    record_id: str = ""
    created: bool = False
    error: str = ""


@dataclass(slots=True)
class Job:
    id: str
    operation: str
    created: str
    author: Author
    sobject: str = "Contact"
    external_id: str = "Id"
    query: str = ""
    state: str = OPEN
    message: str = ""
    upload: str = ""
    rows: list[dict[str, str]] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)
    found: Found | None = None

    def shown(self, version: str) -> dict[str, Any]:
        """As creating and reading a job answer."""
        shown = {
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
        }
        if self.query:
            return shown | {"numberRecordsProcessed": 0 if self.found is None else len(self.found.rows)}
        failed = sum(1 for outcome in self.outcomes if outcome.error)
        shown |= {"contentUrl": f"services/data/v{version}/jobs/ingest/{self.id}/batches"}
        shown |= {"externalIdFieldName": self.external_id, "errorMessage": self.message or None}
        return shown | {"numberRecordsProcessed": len(self.outcomes), "numberRecordsFailed": failed}

    def results(self, which: str) -> str:
        """One of the three lists of an ingest job, as CSV."""
        if which.lower() == "unprocessedrecords":
            return to_csv(list(self.rows[0]) if self.rows else [], self.rows[len(self.outcomes) :])
        failed = which == "failedResults"
        listed = [outcome for outcome in self.outcomes if bool(outcome.error) is failed]
        second = "sf__Error" if failed else "sf__Created"
        names = ["sf__Id", second, *(self.rows[0] if self.rows else ())]
        told = ({"sf__Id": o.record_id, second: o.error if failed else str(o.created).lower(), **o.row} for o in listed)
        return to_csv(names, told)


def read_csv(text: str) -> list[dict[str, str]]:
    """The rows of an upload; the cells of a row that are missing are empty."""
    return [dict(row) for row in csv.DictReader(io.StringIO(text), restval="")]


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
