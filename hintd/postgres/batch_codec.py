"""Between batches with their items and rows, and the columns that keep them; what may quote a patient is sealed."""

from __future__ import annotations

from collections.abc import Mapping

import asyncpg
import msgspec

from hintd.core.batch import (
    Batch,
    BatchItem,
    BatchKind,
    BatchOptions,
    BatchRow,
    BatchState,
    Command,
    Direction,
    RowOutcome,
    Stage,
)
from hintd.core.model import HistoryEntry
from hintd.ports import Claim, FenceLost
from hintd.postgres.codec import encode
from hintd.postgres.pool import Seal

_counts = msgspec.json.Decoder(dict[str, int])
_options = msgspec.json.Decoder(BatchOptions)
_details = msgspec.json.Decoder(tuple[str, tuple[HistoryEntry, ...]])


def counts_text(counts: Mapping[str, int]) -> str:
    return encode(counts).decode()


def read_held(claim: Claim, row: asyncpg.Record | None) -> Batch:
    """The batch of a row that a fenced statement answered.  Raises FenceLost where it answered none."""
    if row is None:
        raise FenceLost(f"the lease of batch {claim.batch.id} was lost")
    return read_batch(row)


def read_batch(row: asyncpg.Record) -> Batch:
    return Batch(
        id=row["id"],
        connection_id=row["connection_id"],
        kind=BatchKind(row["kind"]),
        direction=Direction(row["direction"]),
        state=BatchState(row["state"]),
        options=_options.decode(row["options"]),
        requested_by=row["requested_by"],
        created_at=row["created_at"],
        stage=Stage(row["stage"]) if row["stage"] else None,
        done=row["done"],
        total=row["total"],
        counts=_counts.decode(row["counts"]),
        calls=_counts.decode(row["calls"]),
        started_at=row["started_at"],
        finished_at=row["finished_at"],
        wanted=Command(row["wanted"]) if row["wanted"] else None,
        waiting_for=row["waiting_for"],
        waits_until=row["waits_until"],
        message=row["message"],
        read_until=row["read_until"],
        checkpoint=row["checkpoint"],
    )


def read_item(row: asyncpg.Record) -> BatchItem:
    return BatchItem(row["position"], row["record_id"], row["partner_id"], row["decision"], row["why"])


def row_columns(batch_id: str, row: BatchRow, seal: Seal) -> tuple[object, ...]:
    """In the order of the table's columns."""
    detail = seal(encode((row.message, row.fields))) if row.message or row.fields else None
    ids = (row.contact_id, row.patient_id)
    return (batch_id, row.position, *ids, row.outcome, row.reason, detail, row.replanned, row.stamped)


def read_row(row: asyncpg.Record, unseal: Seal) -> BatchRow:
    message, fields = ("", ()) if row["detail"] is None else _details.decode(unseal(row["detail"]))
    return BatchRow(
        position=row["position"],
        contact_id=row["contact_id"],
        patient_id=row["patient_id"],
        outcome=RowOutcome(row["outcome"]),
        reason=row["reason"],
        message=message,
        fields=fields,
        replanned=row["replanned"],
        stamped=row["stamped"],
    )
