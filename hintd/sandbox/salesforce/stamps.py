"""Dates and times as the REST API writes them.  Stamps of one form sort as text, so rows keep them as text."""

from __future__ import annotations

from datetime import UTC, date, datetime
from email.utils import parsedate_to_datetime

_EPOCH_DAY = date(1970, 1, 1).toordinal()


def stamp(moment: datetime) -> str:
    """``2026-11-22T10:15:00.000+0000``: whole seconds, as Salesforce keeps them, and no colon in the offset."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.000+0000")


def read_datetime(text: str) -> datetime:
    """Any ISO 8601 time with an offset or Z, as aware UTC.  Raises ValueError."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("no offset")
    return moment.astimezone(UTC)


def read_http_date(text: str) -> datetime:
    """The whole-second time of a conditional header.  Raises ValueError."""
    moment = parsedate_to_datetime(text)
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def stamp_ms(text: str) -> int:
    """A stamp in milliseconds since 1970."""
    return int(read_datetime(text).timestamp()) * 1000


def date_ms(text: str) -> int:
    """A date in milliseconds from 1970 to its midnight UTC; negative before 1970."""
    return (date.fromisoformat(text).toordinal() - _EPOCH_DAY) * 86_400_000
