"""Writing many Contacts in one request, each accepted or refused by itself: a collection of up to 200 of one kind
directly, up to five collections as the parts of one composite request, which is one call as well.

Unconditional and without reading back: for work whose rules make that safe (a side that always wins, blanks only);
the change events show what Salesforce made of it.  A lost answer leaves open which records were written: both kinds of
request may be sent again as they are.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hintd.core.contact import PATIENT_ID
from hintd.core.errors import RemoteError, Retryable
from hintd.core.salesforce_id import to_18
from hintd.ports import ContactChange, ContactWrite, Saved, WriteResult
from hintd.salesforce.classify import Gone, Verdict, classify, failure, refuse
from hintd.salesforce.transport import Request
from hintd.salesforce.wire import Nonsense, SubAnswer, convert, read_composite, read_errors
from hintd.salesforce.writes import compose

MOST_RECORDS = 200  # of one collection
MOST_PARTS = 5  # collections of one composite request

UPDATE_PATH = "/composite/sobjects"
UPSERT_PATH = f"{UPDATE_PATH}/Contact/{PATIENT_ID}"


@dataclass(frozen=True, slots=True)
class Collection:
    """Records of one kind that go together: ``creates`` by patient id, else updates by Contact id."""

    creates: bool
    changes: Sequence[ContactChange]

    def request(self, root: str) -> Request:
        """As a request of its own.  ``root``: /services/data/vNN.0."""
        path = UPSERT_PATH if self.creates else UPDATE_PATH
        body = upsert_collection_body(self.changes) if self.creates else collection_body(self.changes)
        return Request("PATCH", f"{root}{path}", body=body)

    def read(self, body: Any) -> list[Saved]:
        """What became of each record.  Raises Nonsense."""
        return read_upserts(body, self.changes) if self.creates else read_results(body, self.changes)

    def read_part(self, part: SubAnswer) -> list[Saved]:
        """The same of a part; one that failed as a whole, or that cannot be read, is an error for each of its records,
        because the other parts were written."""
        try:
            if part.status >= 300:
                raise failure(classify(part.status, read_errors(part.body)))
            return self.read(part.body)
        except RemoteError as error:
            return [error for _ in self.changes]


def collections_of(changes: Sequence[ContactChange], *, creates: bool) -> list[Collection]:
    """``changes`` cut to what one collection takes, in their order."""
    starts = range(0, len(changes), MOST_RECORDS)
    return [Collection(creates, changes[start : start + MOST_RECORDS]) for start in starts]


def together(collections: Sequence[Collection]) -> Iterator[Sequence[Collection]]:
    """The collections of each call."""
    return (collections[start : start + MOST_PARTS] for start in range(0, len(collections), MOST_PARTS))


def composite_request(root: str, collections: Sequence[Collection]) -> Request:
    """Several collections as one call; they are written one after the other."""
    requests = [collection.request(root) for collection in collections]
    parts = [
        {"method": request.method, "url": request.path, "referenceId": _reference(number), "body": request.body}
        for number, request in enumerate(requests)
    ]
    return Request("POST", f"{root}/composite", body=compose(*parts))


def read_together(body: Any, collections: Sequence[Collection]) -> list[list[Saved]]:
    """What became of each collection.  Raises Nonsense when a part is missing."""
    parts = read_composite(body, map(_reference, range(len(collections))))
    return [collection.read_part(parts[_reference(number)]) for number, collection in enumerate(collections)]


def _reference(number: int) -> str:
    return f"part{number}"


def collection_body(changes: Sequence[ContactChange]) -> dict[str, Any]:
    """An update by Contact id.  ``allOrNone`` false: one bad record never fails the others."""
    records = [{"attributes": {"type": "Contact"}, "id": contact_id, **fields} for contact_id, fields in changes]
    return {"allOrNone": False, "records": records}


def upsert_collection_body(changes: Sequence[ContactChange]) -> dict[str, Any]:
    """An upsert by patient id; a Contact id among the fields would name the record a second time, and is left out."""
    records = [
        {"attributes": {"type": "Contact"}, **_without_id(fields), PATIENT_ID: patient_id}
        for patient_id, fields in changes
    ]
    return {"allOrNone": False, "records": records}


def _without_id(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if name != "Id"}


def read_results(body: Any, changes: Sequence[ContactChange]) -> list[Saved]:
    """What became of an update, in the order of ``changes``.

    Raises Nonsense when the answer does not have one result for each record.
    """
    pairs = zip(_items(body, len(changes)), changes, strict=True)
    return [_read(item, contact_id) for item, (contact_id, _) in pairs]


def read_upserts(body: Any, changes: Sequence[ContactChange]) -> list[Saved]:
    """What became of an upsert, likewise; each success gives the Contact's id and whether it was created."""
    pairs = zip(_items(body, len(changes)), changes, strict=True)
    return [_read_upsert(item, patient_id) for item, (patient_id, _) in pairs]


def _items(body: Any, expected: int) -> list[dict[str, Any]]:
    items = convert(body, list[dict[str, Any]])
    if len(items) != expected:
        raise Nonsense("Salesforce answered for another number of Contacts than it was sent")
    return items


def _read(item: Mapping[str, Any], contact_id: str) -> Saved:
    if item.get("success") is True:
        return ContactWrite(WriteResult.WRITTEN, contact_id)
    match verdict(item, f"Contact {contact_id}"):
        case RemoteError() as error:
            return error
        case Gone():
            return ContactWrite(WriteResult.GONE, contact_id)
        case refusal:
            return ContactWrite(WriteResult.REFUSED, contact_id, refusal=refusal)


def _read_upsert(item: Mapping[str, Any], patient_id: str) -> Saved:
    if item.get("success") is True:
        contact_id = to_18(str(item.get("id")))
        if contact_id is None:
            return Nonsense(f"Salesforce wrote the Contact of patient {patient_id} without saying which it is")
        return ContactWrite(WriteResult.WRITTEN, contact_id, created=item.get("created") is True)
    match verdict(item, f"the Contact of patient {patient_id}"):
        case RemoteError() as error:
            return error
        case Gone(error=missing):  # what is gone is something the Contact refers to, such as the default account
            return ContactWrite(WriteResult.REFUSED, None, refusal=refuse([missing]))
        case refusal:
            return ContactWrite(WriteResult.REFUSED, None, refusal=refusal)


def verdict(item: Mapping[str, Any], which: str) -> Verdict:
    """Why one record was not written; ``which`` names it by its id."""
    errors = read_errors(item)
    return classify(400, errors) if errors else Retryable(f"Salesforce neither wrote {which} nor said why")
