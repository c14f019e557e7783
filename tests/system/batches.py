"""Words for batches beside a running hintd: asked for by command line, and their rows by the record they are about."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hintd.core.batch import Batch
from hintd.service.batch_answers import RowJson, row_json
from tests.system.world import PRACTICE, World, eventually

TO_CONTACTS, TO_PATIENTS = "patients-to-contacts", "contacts-to-patients"


@dataclass(frozen=True)
class Ended:
    """A batch that has ended: what ``--wait`` told last, and its rows."""

    status: Mapping[str, Any]
    rows: list[RowJson]

    @property
    def id(self) -> str:
        return str(self.status["batch_id"])

    def about(self, record_id: str) -> list[RowJson]:
        """The rows that name this record."""
        return [row for row in self.rows if record_id in (row["contact_id"], row["patient_id"])]

    def ends(self) -> dict[str, str]:
        """Outcomes by the record of the batch's own side; of a file, of its ids only."""
        own = "patient_id" if self.status["direction"] == TO_CONTACTS else "contact_id"
        told = (dict(row) | {"end": counted_as(row)} for row in self.rows if row["outcome"] != "ignored_line")
        return {str(row[own]): str(row["end"]) for row in told}


def counted_as(row: RowJson) -> str:
    """As the counts name it."""
    return f"skipped:{row['reason']}" if row["outcome"] == "skipped" else str(row["outcome"])


async def run_batch(world: World, direction: str, *more: str, kind: str = "start") -> Ended:
    """To its end."""
    done = await world.hintd("batch", kind, PRACTICE, direction, *more, "--wait")
    assert done.code == 0, done.err
    return Ended(done.document, await rows_of(world, done.document["batch_id"]))


async def rows_of(world: World, batch_id: str) -> list[RowJson]:
    """As the results tell them."""
    rows = await world.house.stores.batch_work.rows(batch_id, limit=1000)
    return [row_json(row) for row in rows]


async def reaches(world: World, batch_id: str, *states: str, done: int = 0) -> Batch:
    """The batch, once it is in one of these states with so many records done."""

    async def look() -> Batch | None:
        batch = await world.house.stores.batches.get(batch_id)
        return batch if batch.state in states and batch.done >= done else None

    return await eventually(look, f"batch {batch_id} is {' or '.join(states)}", deadline_s=30.0)  # type: ignore[return-value]


def report(directory: Path, *ids: str, encoding: str = "utf-8", separator: str = ",") -> str:
    """A file as Salesforce's reports are exported: quoted cells, CRLF, and a footer; its name."""
    lines = [("Contact ID", "Full Name"), *((each, "Somebody") for each in ids)]
    cells = [separator.join(f'"{cell}"' for cell in line) for line in lines]
    footer = ["", "", '"Contacts with patients"', '"Copyright (c) 2000-2026 salesforce.com, inc."']
    file = directory / "report.csv"
    file.write_bytes("\r\n".join([*cells, *footer]).encode(encoding))
    return str(file)
