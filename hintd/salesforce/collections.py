"""Writing many Contacts in one request (sObject Collections): up to 200 records, each accepted or refused by itself.

Unconditional and without reading back: for work whose rules make that safe (a side that always wins, blanks only);
the change events show what Salesforce made of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hintd.core.errors import RemoteError, Retryable
from hintd.ports import ContactWrite, WriteResult
from hintd.salesforce.classify import Gone, classify
from hintd.salesforce.wire import Nonsense, convert, read_errors

MOST_RECORDS = 200

Change = tuple[str, Mapping[str, Any]]
"""A Contact id and its new values by API name."""


def collection_body(changes: Sequence[Change]) -> dict[str, Any]:
    """``allOrNone`` false: one bad record never fails the others."""
    records = [{"attributes": {"type": "Contact"}, "id": contact_id, **fields} for contact_id, fields in changes]
    return {"allOrNone": False, "records": records}


def read_results(body: Any, changes: Sequence[Change]) -> list[ContactWrite | RemoteError]:
    """In the order of ``changes``.  A ``RemoteError`` stands for a record that may be tried again (a locked row).

    Raises Nonsense when the answer does not have one result for each record.
    """
    results = convert(body, list[dict[str, Any]])
    if len(results) != len(changes):
        raise Nonsense("Salesforce answered for another number of Contacts than it was sent")
    return [_read(result, contact_id) for result, (contact_id, _) in zip(results, changes, strict=True)]


def _read(result: Mapping[str, Any], contact_id: str) -> ContactWrite | RemoteError:
    if result.get("success") is True:
        return ContactWrite(WriteResult.WRITTEN, contact_id)
    errors = read_errors(result)
    if not errors:
        return Retryable(f"Salesforce neither wrote Contact {contact_id} nor said why")
    verdict = classify(400, errors)
    if isinstance(verdict, RemoteError):
        return verdict
    if isinstance(verdict, Gone):
        return ContactWrite(WriteResult.GONE, contact_id)
    return ContactWrite(WriteResult.REFUSED, contact_id, refusal=verdict)
