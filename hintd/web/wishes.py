"""What the API is asked: the queries and JSON bodies of its routes, and their reading.

A field that is unknown, missing or of the wrong kind is refused by its name.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from datetime import datetime
from typing import Annotated, TypeVar

import msgspec
from aiohttp import web
from msgspec import Meta

from hintd.core.batch import Direction, RowOutcome
from hintd.core.model import Side
from hintd.core.salesforce_id import contact_id
from hintd.ports import Level
from hintd.web.desk import TooLarge, Unusable

Limit = Annotated[int, Meta(ge=1, le=1000)]
Position = Annotated[int, Meta(ge=0, le=2**63 - 1)]
Moment = Annotated[datetime, Meta(tz=True)]
Id = Annotated[str, Meta(min_length=1, max_length=200)]

S = TypeVar("S", bound="Wish")


class Wish(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A query or a body."""


class Nothing(Wish, frozen=True):
    """No query and no body."""


class OneRecord(Wish, frozen=True):
    """Either a Contact or a patient."""

    contact_id: Id | None = None
    patient_id: Id | None = None

    @property
    def record(self) -> tuple[Side, str]:
        """Raises Unusable."""
        match self.contact_id, self.patient_id:
            case str(given), None:
                return Side.SALESFORCE, full_contact_id(given)
            case None, str(given):
                return Side.HINT, given
        raise Unusable("Give either contact_id or patient_id.", "usage")


class Search(Wish, frozen=True):
    """``text``: a name, or its beginning."""

    text: Annotated[str, Meta(max_length=200)]
    limit: Annotated[int, Meta(ge=1, le=100)] = 20


class UpTo(Wish, frozen=True):
    """At most so many."""

    limit: Limit = 200


class LinkWish(Wish, frozen=True):
    """Link a Contact with a patient, or with a new one.  ``take_over``: also when the patient is linked with another
    Contact, which is then unlinked."""

    contact_id: Id
    patient_id: Id | None = None
    new_patient: bool = False
    take_over: bool = False

    @property
    def pair(self) -> tuple[str, str | None]:
        """The patient is None where a new one is wanted.  Raises Unusable."""
        if (self.patient_id is None) is not self.new_patient:
            raise Unusable("Give either patient_id or new_patient.", "usage")
        return full_contact_id(self.contact_id), self.patient_id


class Unfreeze(Wish, frozen=True):
    """``field``: only this one; null: all that are frozen."""

    field: Id | None = None


class Restore(Wish, frozen=True):
    """The field, and when the pair's history says that it lost its value; ``side`` tells two entries of one moment
    apart."""

    field: Id
    at: Moment
    side: Side | None = None


class BatchWish(Wish, frozen=True):
    """``create_unmatched`` null: the connection's check box for patients to Contacts, off for Contacts to patients.
    ``from_preview``: one that is done; its Contacts are taken.  ``upload_id``: else, the file of a batch of Contacts.
    The same ``request_id`` again finds the batch that the first request made."""

    direction: Direction
    create_unmatched: bool | None = None
    include_archived: bool = False
    upload_id: Id | None = None
    from_preview: Id | None = None
    request_id: Id | None = None


class Results(Wish, frozen=True):
    """``after``: the ``next`` of the page before; ``outcome``: only these rows."""

    after: Position = 0
    limit: Limit = 200
    outcome: RowOutcome | None = None


class Outcomes(Wish, frozen=True):
    """``outcome``: only these rows."""

    outcome: RowOutcome | None = None


class ParkedOf(Wish, frozen=True):
    """``connection``: only of this one."""

    connection: Id | None = None
    limit: Limit = 200


class Resolve(Wish, frozen=True):
    """The record that the item's own shall be linked with, or ``dismiss``: automation leaves the item's record alone.
    ``take_over``: also when the Contact is linked with another patient, which is then unlinked."""

    contact_id: Id | None = None
    patient_id: Id | None = None
    take_over: bool = False
    dismiss: bool = False

    @property
    def chosen(self) -> tuple[str | None, str | None] | None:
        """The ids of a Contact and of a patient, one of them at least; None to dismiss.  Raises Unusable."""
        named = self.contact_id is not None or self.patient_id is not None
        if named is self.dismiss:
            raise Unusable("Give either contact_id, patient_id or both, or dismiss.", "usage")
        contact = None if self.contact_id is None else full_contact_id(self.contact_id)
        return (contact, self.patient_id) if named else None


class LogOf(Wish, frozen=True):
    """``record``: a Contact or a patient.  ``after``: entries behind this id."""

    connection: Id | None = None
    level: Level | None = None
    record: Id | None = None
    batch: Id | None = None
    since: Moment | None = None
    after: Position = 0
    limit: Limit = 200


def full_contact_id(text: str) -> str:
    """In 18 characters.  Raises Unusable."""
    found = contact_id(text)
    if found is None:
        raise Unusable("That is no Contact id: it has 15 or 18 characters and begins with 003.", "usage")
    return found


def read_query(query: Mapping[str, str], kind: type[S]) -> S:
    """Raises Unusable."""
    try:
        return msgspec.convert(dict(query), kind, strict=False)
    except msgspec.ValidationError as error:
        raise Unusable(_readable(error, "query"), "usage") from None


async def read_body(request: web.Request, kind: type[S], max_bytes: int) -> S:
    """Raises Unusable and TooLarge."""
    if request.content_type != "application/json":
        raise Unusable("The body must be JSON, with Content-Type: application/json.", "not_json")
    body = b"".join([chunk async for chunk in bounded(request.content.iter_any(), max_bytes)])
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError as error:
        raise Unusable(_readable(error, "body"), "usage") from None
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise Unusable("The body is no valid JSON.", "usage") from None


async def bounded(chunks: AsyncIterator[bytes], max_bytes: int) -> AsyncIterator[bytes]:
    """The chunks, as long as they are no more than that together.  Raises TooLarge."""
    total = 0
    async for chunk in chunks:
        total += len(chunk)
        if total > max_bytes:
            raise TooLarge(f"The body is larger than hintd accepts ({max_bytes} bytes).", "too_large")
        yield chunk


def _readable(error: msgspec.ValidationError, part: str) -> str:
    """msgspec's "… - at `$.limit`" as "query.limit: …"."""
    what, _, place = str(error).partition(" - at ")
    return f"{part}{place.strip('`').removeprefix('$')}: {what}."
