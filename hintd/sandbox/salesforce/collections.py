"""sObject Collections: up to 200 records saved by one call in one transaction, each with its own result."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from hintd.sandbox.salesforce.org import Transaction
from hintd.sandbox.salesforce.refusal import Refusal
from hintd.sandbox.salesforce.rows import checked_id, named, render
from hintd.sandbox.salesforce.wire import Answer, Call
from hintd.sandbox.salesforce.work import Work

MOST_SAVED, MOST_READ = 200, 2000

_Save = Callable[[Transaction, Mapping[str, Any]], dict[str, Any]]


def create(work: Work, call: Call) -> Answer:
    def save(transaction: Transaction, record: Mapping[str, Any]) -> dict[str, Any]:
        return {"id": transaction.create(_sobject(record), _fields(record))}

    return _save_all(work, call, *_envelope(call), save)


def update(work: Work, call: Call) -> Answer:
    seen: set[str] = set()

    def save(transaction: Transaction, record: Mapping[str, Any]) -> dict[str, Any]:
        record_id = checked_id(record.get("id") or record.get("Id"))
        if record_id in seen:
            raise Refusal("DUPLICATE_VALUE", f"Duplicate id specified: {record_id}", ["Id"])
        seen.add(record_id)
        _update(work, transaction, _sobject(record), record_id, record)
        return {"id": record_id}

    return _save_all(work, call, *_envelope(call), save)


def _update(work: Work, transaction: Transaction, sobject: str, record_id: str, record: Mapping[str, Any]) -> None:
    work.lock(record_id)
    try:
        transaction.update(sobject, record_id, _fields(record))
    except Refusal as refusal:
        if refusal.code == "NOT_FOUND":  # what a row answers so, a collection calls a bad reference
            raise Refusal("INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id") from None
        raise


def upsert(work: Work, call: Call) -> Answer:
    sobject = call.params["sobject"]
    column = work.org.shape_of(sobject).external_id(call.params["column"])
    seen: set[str] = set()

    def save(transaction: Transaction, record: Mapping[str, Any]) -> dict[str, Any]:
        value = record.get(column.name)
        if not isinstance(value, str) or not value.strip():
            raise Refusal("MISSING_ARGUMENT", f"{column.name} not specified", [column.name])
        value = value.strip()
        if value in seen:
            raise Refusal("DUPLICATE_VALUE", f"Duplicate external id specified: {value}", [column.name])
        seen.add(value)
        rows = work.org.by_external(column.name, value)
        if len(rows) > 1:
            raise Refusal("DUPLICATE_EXTERNAL_ID", f"{column.name}: more than one record found for external id field")
        if not rows:
            return {"id": transaction.create(sobject, _fields(record)), "created": True}
        _update(work, transaction, sobject, rows[0]["Id"], {k: v for k, v in record.items() if k != column.name})
        return {"id": rows[0]["Id"], "created": False}

    return _save_all(work, call, *_envelope(call), save)


def delete(work: Work, call: Call) -> Answer:
    ids = [part for part in call.query.get("ids", "").split(",") if part]

    def save(transaction: Transaction, record: Mapping[str, Any]) -> dict[str, Any]:
        record_id = checked_id(record["id"])
        sobject = "Account" if record_id.startswith("001") else "Contact"
        work.lock(record_id)
        transaction.delete(sobject, record_id)
        return {"id": record_id}

    records = [{"id": record_id} for record_id in ids]
    return _save_all(work, call, records, call.query.get("allOrNone") == "true", save)


def retrieve(work: Work, call: Call) -> Answer:
    """By GET with ``ids`` and ``fields``, or by POST with a body of both; null stands where there is no such record."""
    shape = work.org.shape_of(call.params["sobject"])
    if call.method == "GET":
        ids: Any = call.query.get("ids", "").split(",")
        fields: Any = call.query.get("fields", "").split(",")
    else:
        ids, fields = call.record().get("ids"), call.record().get("fields")
    if not isinstance(ids, list) or not isinstance(fields, list) or not fields:
        raise Refusal("REQUIRED_FIELD_MISSING", "The ids and fields parameters are required")
    if len(ids) > MOST_READ:
        raise Refusal("EXCEEDED_ID_LIMIT", f"record limit reached. cannot submit more than {MOST_READ} records")
    names = named(shape, ",".join(fields))
    rows = (work.org.find(shape.sobject, record_id) for record_id in ids)
    return Answer(
        200, [None if row is None or row["IsDeleted"] else render(shape, row, names, call.version) for row in rows]
    )


def _envelope(call: Call) -> tuple[list[Mapping[str, Any]], bool]:
    body = call.record()
    records = body.get("records")
    if not isinstance(records, list) or not all(isinstance(record, dict) for record in records):
        raise Refusal("REQUIRED_FIELD_MISSING", "Required field is missing: records", ["records"])
    return records, body.get("allOrNone") is True


def _sobject(record: Mapping[str, Any]) -> str:
    try:
        return str(record["attributes"]["type"])
    except (KeyError, TypeError):
        raise Refusal("INVALID_TYPE", "Object type not specified: attributes.type") from None


def _fields(record: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in record.items() if name not in ("attributes", "id", "Id")}


def _save_all(work: Work, call: Call, records: Sequence[Mapping[str, Any]], all_or_none: bool, save: _Save) -> Answer:
    if len(records) > MOST_SAVED:
        raise Refusal("LIMIT_EXCEEDED", f"record limit reached. cannot submit more than {MOST_SAVED} records")
    with work.transaction(call.author) as transaction:
        results = [_result(transaction, record, save) for record in records]
        if all_or_none and not all(result["success"] for result in results):
            transaction.undo()
            results = [_rolled_back(result) for result in results]
    return Answer(200, results)


def _result(transaction: Transaction, record: Mapping[str, Any], save: _Save) -> dict[str, Any]:
    try:
        return {**save(transaction, record), "success": True, "errors": []}
    except Refusal as refusal:
        return {"success": False, "errors": [refusal.as_item()]}


def _rolled_back(result: dict[str, Any]) -> dict[str, Any]:
    if not result["success"]:
        return result
    refusal = Refusal(
        "ALL_OR_NONE_OPERATION_ROLLED_BACK",
        "Record rolled back because not all records were valid and the request was using AllOrNone header",
    )
    return {"success": False, "errors": [refusal.as_item()]}
