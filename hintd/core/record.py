"""What reading and writing a Hint patient and a Salesforce Contact have in common.

Both remotes answer in JSON, decoded permissively: unknown attributes are ignored, an attribute that is not there is
*unknown*, null or blank text is *blank*.  Only a JSON type that cannot be meant is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from hintd.core.fields import Field, Kind
from hintd.core.model import Value

Raw = Mapping[str, Any]


class BadRecord(ValueError):
    """A record that makes no sense; ``str()`` names the attribute, never its value."""

    def __init__(self, attribute: str, expected: str) -> None:
        super().__init__(f"{attribute} is not {expected}")
        self.attribute = attribute


class CannotHold(ValueError):
    """The other side cannot hold a value; ``str()`` is a sentence for people, without the value."""


@dataclass(frozen=True, slots=True)
class Rendered:
    """Changes as the remote's API takes them, and the sentences of those that it cannot hold, by field name."""

    fields: dict[str, Any] = field(default_factory=dict)
    held: dict[str, str] = field(default_factory=dict)


def words(row: Field) -> str:
    """The field's name in a sentence."""
    return row.name.replace("_", " ")


def read_text(raw: Any, attribute: str) -> str | None:
    """Text as spelled, None when blank.  Whole numbers are taken as text: Hint publishes some attributes as either."""
    if isinstance(raw, int) and not isinstance(raw, bool):
        return str(raw)
    if raw is not None and not isinstance(raw, str):
        raise BadRecord(attribute, "text")
    return raw if raw and not raw.isspace() else None


def read_flag(raw: Any, attribute: str) -> bool | None:
    if raw is not None and not isinstance(raw, bool):
        raise BadRecord(attribute, "true or false")
    return raw


def read_value(kind: Kind, raw: Any, attribute: str) -> Value:
    return read_flag(raw, attribute) if kind is Kind.FLAG else read_text(raw, attribute)


def read_required(raw: Raw, attribute: str) -> str:
    text = read_text(raw.get(attribute), attribute)
    if text is None:
        raise BadRecord(attribute, "there")
    return text


def read_instant(raw: Raw, attribute: str) -> datetime:
    """An aware time in UTC, in the precision given; a time without offset is UTC."""
    return parse_instant(read_required(raw, attribute), attribute)


def parse_instant(text: str, attribute: str) -> datetime:
    """As ``read_instant``, of a text in hand."""
    try:
        instant = datetime.fromisoformat(text)
        return (instant if instant.tzinfo else instant.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):  # unchained: the cause quotes the text
        raise BadRecord(attribute, "a time") from None


def read_object(raw: Any, attribute: str) -> Raw:
    """A nested object; null is an empty one."""
    if raw is not None and not isinstance(raw, Mapping):
        raise BadRecord(attribute, "an object")
    return raw or {}


def trimmed(value: Value) -> Value:
    """As both remotes store text: without outer white space, None when nothing is left."""
    return value.strip() or None if isinstance(value, str) else value
