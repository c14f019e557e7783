"""How Salesforce spells things on the wire: ids, dates, SOQL, and the JSON shapes of its answers.

Pure.  Answers are decoded permissively: unknown members are passed over, a shape that cannot be right raises
``Nonsense``, which is retried like a lost answer.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any, TypeVar
from urllib.parse import quote, urlsplit

import msgspec

from hintd.core.errors import Retryable
from hintd.core.salesforce_id import to_18

T = TypeVar("T")

_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


class Nonsense(Retryable):
    """Salesforce, or something on the way to it, answered what no Salesforce answers."""


class WireError(msgspec.Struct, frozen=True):
    """One error of Salesforce's; ``message`` may quote a patient's values."""

    code: str
    message: str = ""
    fields: tuple[str, ...] = ()
    duplicate_ids: tuple[str, ...] = ()  # the records that a duplicate rule found


class SubAnswer(msgspec.Struct, frozen=True):
    """The answer to one part of a composite request."""

    status: int = msgspec.field(name="httpStatusCode")
    reference: str = msgspec.field(name="referenceId")
    body: Any = None


class _CompositeAnswer(msgspec.Struct, frozen=True):
    parts: tuple[SubAnswer, ...] = msgspec.field(name="compositeResponse")


class QueryPage(msgspec.Struct, frozen=True):
    """``next`` is the path of the page that follows; short pages are normal, only its absence means the end.
    ``total``: what the query found in all."""

    records: tuple[dict[str, Any], ...]
    next: str | None = msgspec.field(name="nextRecordsUrl", default=None)
    total: int = msgspec.field(name="totalSize", default=0)


def convert(body: Any, shape: type[T]) -> T:
    """``body`` as ``shape``.  Raises Nonsense, without quoting the body."""
    try:
        return msgspec.convert(body, shape, strict=False)
    except msgspec.ValidationError:
        raise Nonsense("Salesforce answered in a shape that hintd does not know") from None


def read_composite(body: Any, references: Iterable[str]) -> Mapping[str, SubAnswer]:
    """The parts by reference id, all of ``references`` among them."""
    parts = {part.reference: part for part in convert(body, _CompositeAnswer).parts}
    if not set(references) <= parts.keys():
        raise Nonsense("Salesforce answered a composite request without some of its parts")
    return parts


def read_errors(body: Any) -> tuple[WireError, ...]:
    """The errors of an answer: a list, a bare object, or a collections item with ``errors``; none if it is neither."""
    if isinstance(body, Mapping) and isinstance(body.get("errors"), Sequence):
        body = body["errors"]
    items = body if isinstance(body, list) else [body]
    return tuple(_read_error(item) for item in items if isinstance(item, Mapping))


def _read_error(item: Mapping[str, Any]) -> WireError:
    # rows and composite say errorCode, collections say statusCode
    code = item.get("errorCode") or item.get("statusCode") or ""
    fields = item.get("fields")
    return WireError(
        str(code),
        str(item.get("message") or ""),
        tuple(str(name) for name in fields) if isinstance(fields, list) else (),
        tuple(_duplicate_ids(item)),
    )


def _duplicate_ids(item: Mapping[str, Any]) -> Iterable[str]:
    """``duplicateResult.matchResults[].matchRecords[].record.Id``, as far as it is there."""
    for result in _members(item.get("duplicateResult"), "matchResults"):
        for match in _members(result, "matchRecords"):
            record = match.get("record")
            found = to_18(str(record.get("Id") or record.get("id"))) if isinstance(record, Mapping) else None
            if found:
                yield found


def _members(holder: Any, name: str) -> Iterable[Mapping[str, Any]]:
    members = holder.get(name) if isinstance(holder, Mapping) else None
    return [m for m in members if isinstance(m, Mapping)] if isinstance(members, list) else []


def http_date(moment: datetime) -> str:
    """As conditional headers take it: whole seconds, the fraction cut off."""
    return format_datetime(moment.astimezone(UTC), usegmt=True)


def soql_instant(moment: datetime) -> str:
    """A SOQL date-time literal, unquoted, in milliseconds (cut off, so that a comparison with ``>`` misses nothing)."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def soql_text(text: str) -> str:
    """A quoted SOQL string literal."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n").replace("\r", "\\r")
    return f"'{escaped}'"


def soql_select(fields: Iterable[str], record_type: str, *clauses: str) -> str:
    """SELECT; ``clauses`` are SOQL already, their literals made by ``soql_text`` and ``soql_instant``."""
    return " ".join(("SELECT", ", ".join(fields), "FROM", record_type, *clauses))


def path_segment(text: str) -> str:
    """``text`` as one segment of a path, with everything escaped that could end it."""
    return quote(text, safe="")


def check_address(url: str, what: str) -> str:
    """``url`` without a final slash.  Raises ValueError unless it is https, or http to a loopback address."""
    parts = urlsplit(url)
    if not parts.hostname or parts.scheme not in ("http", "https"):
        raise ValueError(f"{what} is no http(s) address: give one like https://example.my.salesforce.com")
    if parts.scheme == "http" and parts.hostname not in _LOOPBACK:
        raise ValueError(f"{what} is plain http: that is allowed to loopback addresses only, use https")
    return url.rstrip("/")
