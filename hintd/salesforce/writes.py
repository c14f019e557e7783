"""Writing one Contact in one request: the composite bodies, and what their answers mean.  Pure but for ``read``.

The reads around the write are part of the same request, so that the answer brings the values as Salesforce stored
them (triggers and flows included) and the new stamp, for the price of one call.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from hintd.core.contact import PATIENT_ID
from hintd.core.errors import Refusal, RemoteError, Retryable
from hintd.core.model import Contact, Owner
from hintd.ports import ContactWrite, WriteResult
from hintd.salesforce.classify import Gone, Verdict, classify, refuse
from hintd.salesforce.wire import SubAnswer, convert, http_date, path_segment, read_composite, read_errors

Read = Callable[[Any], Contact]
"""A raw record to a Contact."""

_BEFORE, _WRITE, _AFTER = "before", "write", "after"


class _Upserted(msgspec.Struct, frozen=True):
    id: str


def update_body(
    root: str, contact_id: str, changes: Mapping[str, Any], shown: Sequence[str], unmodified_since: datetime | None
) -> dict[str, Any]:
    """GET, PATCH (conditional when ``unmodified_since`` is given), GET.  ``root``: /services/data/vNN.0."""
    row = f"{root}/sobjects/Contact/{path_segment(contact_id)}"
    conditions = {"If-Unmodified-Since": http_date(unmodified_since)} if unmodified_since else {}
    return compose(
        _get(row, shown, _BEFORE),
        {"method": "PATCH", "url": row, "referenceId": _WRITE, "httpHeaders": conditions, "body": dict(changes)},
        _get(row, shown, _AFTER),
    )


def upsert_body(root: str, patient_id: str, values: Mapping[str, Any], shown: Sequence[str]) -> dict[str, Any]:
    """PATCH by external id, GET by external id.  Salesforce refuses a body that names the record a second time."""
    row = f"{root}/sobjects/Contact/{PATIENT_ID}/{path_segment(patient_id)}"
    body = {name: value for name, value in values.items() if name not in (PATIENT_ID, "Id")}
    return compose({"method": "PATCH", "url": row, "referenceId": _WRITE, "body": body}, _get(row, shown, _AFTER))


def compose(*parts: Mapping[str, Any]) -> dict[str, Any]:
    """The body of a composite request: one call, whose parts succeed or fail each by itself."""
    # without collating the parts run one after the other, in their order
    return {"allOrNone": False, "collateSubrequests": False, "compositeRequest": list(parts)}


def _get(row: str, shown: Sequence[str], reference: str) -> dict[str, Any]:
    return {"method": "GET", "url": f"{row}?fields={','.join(shown)}", "referenceId": reference}


def read_update(body: Any, contact_id: str, read: Read) -> ContactWrite:
    """What became of an update.  Raises what stops it; a repetition then finds out by itself what was written."""
    parts = read_composite(body, (_BEFORE, _WRITE, _AFTER))
    before, after = _state(parts[_BEFORE], read), _state(parts[_AFTER], read)
    write = parts[_WRITE]
    if write.status == 412:
        return _with_after(WriteResult.STALE, contact_id, None, after)
    if write.status < 300:
        return _with_after(WriteResult.WRITTEN, contact_id, before, after)
    match _verdict(write):
        case RemoteError() as error:
            raise error
        case Gone():
            return ContactWrite(WriteResult.GONE, contact_id)
        case Refusal() as refusal:
            return ContactWrite(WriteResult.REFUSED, contact_id, before, after, refusal)


def read_upsert(body: Any, read: Read) -> ContactWrite:
    """What became of an upsert.  Raises what stops it; repeating it is safe."""
    parts = read_composite(body, (_WRITE, _AFTER))
    write = parts[_WRITE]
    if write.status >= 300:
        return ContactWrite(WriteResult.REFUSED, None, refusal=_upsert_refusal(write))
    after = _state(parts[_AFTER], read)
    if after is None:
        raise Retryable("The Contact that was just written cannot be read back")
    contact_id = convert(write.body, _Upserted).id if write.body else after.id
    return ContactWrite(WriteResult.WRITTEN, contact_id, after=after)


def _with_after(result: WriteResult, contact_id: str, before: Contact | None, after: Contact | None) -> ContactWrite:
    if after is None:  # deleted or merged away within the same request
        return ContactWrite(WriteResult.GONE, contact_id)
    return ContactWrite(result, contact_id, before, after)


def _state(part: SubAnswer, read: Read) -> Contact | None:
    """What a GET showed; None: the record is gone."""
    if part.status == 200:
        return read(part.body)
    match _verdict(part):
        case Gone():
            return None
        case RemoteError() as error:
            raise error
        case Refusal() as refusal:
            raise Retryable(f"Salesforce did not let a Contact be read: {refusal.code}")


def _upsert_refusal(write: SubAnswer) -> Refusal:
    if write.status == 300:
        return Refusal(
            "DUPLICATE_EXTERNAL_ID",
            f"Several Contacts hold this {PATIENT_ID}: clear it on all but one, and make the field unique",
            Owner.SALESFORCE_ADMIN,
            (PATIENT_ID,),
        )
    match _verdict(write):
        case RemoteError() as error:
            raise error
        case Gone(error=missing):  # what is gone is something the new Contact refers to, such as the default account
            return refuse([missing])
        case Refusal() as refusal:
            return refusal


def _verdict(part: SubAnswer) -> Verdict:
    return classify(part.status, read_errors(part.body))
