"""The sObject Rows resources: one record by its id or by an external id."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any
from urllib.parse import unquote

from hintd.sandbox.salesforce.describe import Shape
from hintd.sandbox.salesforce.ids import full_id
from hintd.sandbox.salesforce.record import Row, shown
from hintd.sandbox.salesforce.refusal import Refusal, not_found
from hintd.sandbox.salesforce.stamps import read_datetime, read_http_date
from hintd.sandbox.salesforce.wire import Answer, Call
from hintd.sandbox.salesforce.work import Work


def render(shape: Shape, row: Row, names: Iterable[str], version: str) -> dict[str, Any]:
    """A record as reads give it, with its attributes first."""
    url = f"/services/data/v{version}/sobjects/{shape.sobject}/{row['Id']}"
    record: dict[str, Any] = {"attributes": {"type": shape.sobject, "url": url}}
    for name in names:
        record[name] = shown(shape, name, row)
    return record


def named(shape: Shape, fields: str | None) -> list[str]:
    """The fields of a ``fields`` parameter, or all.  Raises Refusal for an unknown one."""
    if fields is None:
        return list(shape.columns)
    return [shape.column(name.strip()).name for name in fields.split(",") if name.strip()]


def _outdated(call: Call, header: str, row: Row, *, changed: bool) -> bool:
    """Whether a conditional header stops the call.  It compares whole seconds: a change within one is not seen."""
    text = call.headers.get(header)
    if text is None:
        return False
    try:
        bound: datetime = read_http_date(text)
    except ValueError:
        raise Refusal("INVALID_HEADER", f"Invalid value for header {header}") from None
    return (read_datetime(row["LastModifiedDate"]) > bound) is changed


def create(work: Work, call: Call) -> Answer:
    with work.transaction(call.author) as transaction:
        created = transaction.create(call.params["sobject"], call.record())
    return Answer(201, {"id": created, "success": True, "errors": []})


def read(work: Work, call: Call) -> Answer:
    shape = work.org.shape_of(call.params["sobject"])
    return _read(work, call, shape, work.org.row(shape.sobject, call.params["id"]))


def _read(work: Work, call: Call, shape: Shape, row: Row) -> Answer:
    names = named(shape, call.query.get("fields"))
    if _outdated(call, "if-modified-since", row, changed=False):
        return Answer(304)
    if _outdated(call, "if-unmodified-since", row, changed=True):
        return Answer(412)
    return Answer(200, render(shape, row, names, call.version))


def update(work: Work, call: Call) -> Answer:
    shape = work.org.shape_of(call.params["sobject"])
    row = work.org.row(shape.sobject, call.params["id"])
    return _update(work, call, shape, row) or Answer(204)


def _update(work: Work, call: Call, shape: Shape, row: Row) -> Answer | None:
    """Save the body to a row; an answer only where a condition stopped it."""
    if _outdated(call, "if-unmodified-since", row, changed=True):
        return _precondition_failed()
    if _outdated(call, "if-modified-since", row, changed=False):
        return _precondition_failed()
    work.lock(row["Id"])
    with work.transaction(call.author) as transaction:
        transaction.update(shape.sobject, row["Id"], call.record())
    return None


def _precondition_failed() -> Answer:
    message = "One or more conditions given in the request header evaluated to false"
    return Answer(412, [{"message": message, "errorCode": "PRECONDITION_FAILED"}])


def delete(work: Work, call: Call) -> Answer:
    shape = work.org.shape_of(call.params["sobject"])
    row = work.org.row(shape.sobject, call.params["id"])
    work.lock(row["Id"])
    with work.transaction(call.author) as transaction:
        transaction.delete(shape.sobject, row["Id"])
    return Answer(204)


def _found(work: Work, call: Call, shape: Shape) -> list[Row]:
    """The rows that the external id in the path names."""
    column = shape.external_id(call.params["column"])
    value = unquote(call.params["value"])
    if column.type != "id":
        return work.org.by_external(column.name, value)
    row = work.org.find(shape.sobject, value)
    return [row] if row is not None and not row["IsDeleted"] else []


def _several(shape: Shape, rows: list[Row], version: str) -> Answer:
    return Answer(300, [f"/services/data/v{version}/sobjects/{shape.sobject}/{row['Id']}" for row in rows])


def read_external(work: Work, call: Call) -> Answer:
    shape = work.org.shape_of(call.params["sobject"])
    rows = _found(work, call, shape)
    if not rows:
        raise not_found()
    return _read(work, call, shape, rows[0]) if len(rows) == 1 else _several(shape, rows, call.version)


def delete_external(work: Work, call: Call) -> Answer:
    shape = work.org.shape_of(call.params["sobject"])
    rows = _found(work, call, shape)
    if not rows:
        raise not_found()
    if len(rows) > 1:
        return _several(shape, rows, call.version)
    with work.transaction(call.author) as transaction:
        transaction.delete(shape.sobject, rows[0]["Id"])
    return Answer(204)


def upsert(work: Work, call: Call) -> Answer:
    shape = work.org.shape_of(call.params["sobject"])
    column = shape.external_id(call.params["column"])
    sent = call.record()
    if {name.lower() for name in sent} & {column.name.lower(), "id"}:
        raise Refusal("INVALID_FIELD", f"The {column.name} field should not be specified in the sobject data.")
    rows = _found(work, call, shape)
    if len(rows) > 1:
        return _several(shape, rows, call.version)
    if rows:
        stopped = _update(work, call, shape, rows[0])
        return stopped or Answer(200, _upserted(rows[0]["Id"], created=False))
    if column.type == "id" or call.query.get("updateOnly") == "true":
        raise not_found()
    with work.transaction(call.author) as transaction:
        created = transaction.create(shape.sobject, {**sent, column.name: unquote(call.params["value"])})
    return Answer(201, _upserted(created, created=True))


def _upserted(record_id: str, *, created: bool) -> dict[str, Any]:
    return {"id": record_id, "success": True, "errors": [], "created": created}


def describe(work: Work, call: Call) -> Answer:
    return Answer(200, work.org.shape_of(call.params["sobject"]).described)


def checked_id(value: object) -> str:
    """The 18-character form of an id.  Raises Refusal for what is none."""
    whole = full_id(value)
    if whole is None:
        raise Refusal("MALFORMED_ID", f"bad id {value}", ["Id"])
    return whole
