"""The generated parts of the README: ``python -m tests.readme`` writes them, ``test_readme`` holds them to the code."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from hintd.core.fields import FIELDS, Field, Kind, Way, Winner
from hintd.core.merge import Decision, merge_field
from hintd.core.model import Half, Link, LinkState, Seen, Side, Value
from hintd.core.rules import Rules

README = Path(__file__).parents[1] / "README.md"
_EARLY = datetime(2026, 1, 1, tzinfo=UTC)
_WAYS = {Way.BOTH: "both ways", Way.TO_SALESFORCE: "to Salesforce", Way.TO_HINT: "to Hint"}


def field_table() -> str:
    rows = ["| field | Hint | Salesforce Contact | compared as | way |", "|---|---|---|---|---|"]
    for field in FIELDS:
        names = ", else ".join(f"`{name}`" for name in field.salesforce)
        rows.append(f"| {field.name} | `{field.hint}` | {names} | {field.kind} | {_WAYS[field.way]} |")
    return "\n".join(rows)


_FIELD = Field("email", Kind.TEXT, "email", ("Email",))
_READ_ONLY = replace(_FIELD, way=Way.TO_SALESFORCE, winner=Winner.HINT)


def _half(base: Value | None, seen: Value | None, at: datetime, *, has_base: bool) -> Half:
    values = {"email": base} if has_base else {}
    return Half(values=values, seen={} if seen == base and has_base else {"email": Seen(seen, at)})


def _link(hint: Half, salesforce: Half) -> Link:
    return Link(1, 1, "003", "pat", LinkState.LINKED, _EARLY, "match", hint, salesforce)


def _cases() -> Iterator[tuple[str, str, Field, Link, Side | None]]:
    """(what Hint shows, what Salesforce shows, the field, the link, the preferred side)."""

    def linked(hint: Value, salesforce: Value, salesforce_later_s: float = 60) -> Link:
        later = _EARLY + timedelta(seconds=salesforce_later_s)
        return _link(_half("a", hint, _EARLY, has_base=True), _half("a", salesforce, later, has_base=True))

    def meeting(hint: Value, salesforce: Value) -> Link:
        return _link(_half(None, hint, _EARLY, has_base=False), _half(None, salesforce, _EARLY, has_base=False))

    yield "unchanged", "unchanged", _FIELD, linked("a", "a"), None
    yield "changed", "unchanged", _FIELD, linked("b", "a"), None
    yield "unchanged", "changed", _FIELD, linked("a", "b"), None
    yield "cleared", "unchanged", _FIELD, linked(None, "a"), None
    yield "unchanged", "cleared", _FIELD, linked("a", None), None
    yield "changed", "changed to the same", _FIELD, linked("b", "b"), None
    yield "changed", "changed otherwise, a minute later", _FIELD, linked("b", "c"), None
    yield "changed", "changed otherwise, within a second", _FIELD, linked("b", "c", 1), None
    yield "changed", "changed otherwise, a minute earlier", _FIELD, linked("b", "c", -60), None
    yield (
        "changed",
        "changed otherwise; the field's winner is Salesforce",
        replace(_FIELD, winner=Winner.SALESFORCE),
        linked("b", "c", -60),
        None,
    )
    yield "unchanged", "changed; the field flows to Salesforce only", _READ_ONLY, linked("a", "b"), None
    yield "changed", "changed; the field flows to Salesforce only", _READ_ONLY, linked("b", "c"), None
    yield "first meeting: equal", "", _FIELD, meeting("a", "a"), Side.HINT
    yield "first meeting: filled", "blank", _FIELD, meeting("a", None), Side.SALESFORCE
    yield "first meeting: blank", "filled", _FIELD, meeting(None, "b"), Side.HINT
    yield "first meeting by match", "different", _FIELD, meeting("a", "b"), Side.HINT
    yield "first meeting by a person", "different", _FIELD, meeting("a", "b"), Side.SALESFORCE


def _words(decision: Decision | None) -> tuple[str, str]:
    if decision is None:
        return "nothing", ""
    step = {"agreed": "nothing; it becomes the base", "left": "nothing; reported"}
    lost = "; the other value stays in the history" if decision.was_conflict else ""
    return step.get(decision.step, f"write {decision.target.capitalize()}{lost}"), f"`{decision.cause}`"


def decision_table() -> str:
    rows = ["| Hint | Salesforce | what is done | cause |", "|---|---|---|---|"]
    for hint, salesforce, field, link, prefer in _cases():
        done, cause = _words(merge_field(field, link, Rules(), prefer))
        rows.append(f"| {hint} | {salesforce} | {done} | {cause} |")
    return "\n".join(rows)


PARTS = {"field table": field_table, "decision table": decision_table}


def with_generated_parts(text: str) -> str:
    for name, make in PARTS.items():
        marker = f"<!-- {name}: python -m tests.readme -->"
        pattern = re.compile(re.escape(marker) + r"\n.*?<!-- end -->", re.DOTALL)
        text = pattern.sub(lambda _: f"{marker}\n{make()}\n<!-- end -->", text, count=1)  # noqa: B023
    return text


if __name__ == "__main__":
    README.write_text(with_generated_parts(README.read_text("utf-8")), "utf-8")
