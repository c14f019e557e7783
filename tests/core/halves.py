"""Links made in one line, for the tests of the pure rules."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hintd.core.model import Contact, Half, Link, LinkState, Patient, Seen, Value, Values
from tests.fakes.salesforce import org_book

BOOK = org_book()
T0 = datetime(2026, 11, 22, 10, 0, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return T0 + timedelta(seconds=seconds)


def half(base: Values, changed: dict[str, tuple[Value, float]] | None = None, stamp: float = 0) -> Half:
    """``changed``: field to its new value and the seconds of the stamp it was first seen with."""
    seen = {name: Seen(value, at(s)) for name, (value, s) in (changed or {}).items()}
    return Half(values=base, seen=seen, stamp=at(stamp), whole_stamp=at(stamp))


def link(hint: Half, salesforce: Half, state: LinkState = LinkState.LINKED, by: str = "match") -> Link:
    return Link(1, 1, "003A", "pat-1", state, T0, by, hint, salesforce)


def patient(seconds: float, **values: Value) -> Patient:
    return Patient("pat-1", at(seconds), values, T0)


def contact(seconds: float, *, whole: bool = True, **values: Value) -> Contact:
    return Contact("003A", at(seconds), values, whole=whole, synced=True, patient_id="pat-1")
