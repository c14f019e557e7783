"""A reader of the SOQL that a sync uses: SELECT … FROM … WHERE … ORDER BY … LIMIT … OFFSET …"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from hintd.sandbox.salesforce.refusal import Refusal
from hintd.sandbox.salesforce.stamps import read_datetime, stamp

_TOKEN = re.compile(
    r"""\s*(?:
      (?P<text>'(?:[^'\\]|\\.)*')
    | (?P<time>\d{4}-\d\d-\d\dT[\d:.]+(?:Z|[+-]\d\d:?\d\d))
    | (?P<date>\d{4}-\d\d-\d\d)
    | (?P<number>-?\d+(?:\.\d+)?)
    | (?P<name>[A-Za-z_][A-Za-z0-9_.]*)
    | (?P<sign><=|>=|!=|<>|[=<>(),])
    )""",
    re.VERBOSE,
)
_T = TypeVar("_T")
_ESCAPE = re.compile(r"\\(.)")
_ESCAPED = {"n": "\n", "r": "\r", "t": "\t"}
_ORDERING: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


@dataclass(frozen=True)
class Comparison:
    """One field against literals; ``operator`` is =, !=, <, <=, >, >=, IN, NOT IN or LIKE."""

    name: str
    operator: str
    values: tuple[Any, ...]

    def compare(self, value: Any, wanted: list[Any]) -> bool:
        match self.operator:
            case "=":
                return bool(value == wanted[0])
            case "!=":
                return bool(value != wanted[0])
            case "IN":
                return value in wanted
            case "NOT IN":
                return value not in wanted
            case "LIKE":
                return value is not None and _like(str(wanted[0])).fullmatch(str(value)) is not None
            case ordering:
                return value is not None and _ORDERING[ordering](value, wanted[0])


@dataclass(frozen=True)
class Junction:
    """Conditions under AND, OR or NOT."""

    word: str
    parts: tuple[Condition, ...]


Condition = Comparison | Junction


@dataclass(frozen=True)
class Query:
    names: tuple[str, ...]
    sobject: str
    where: Condition | None = None
    order: tuple[tuple[str, bool], ...] = ()
    limit: int | None = None
    offset: int = 0
    counts_only: bool = False

    @property
    def required(self) -> tuple[Comparison, ...]:
        """The comparisons that every row found passes."""
        match self.where:
            case Comparison():
                return (self.where,)
            case Junction("AND", parts):
                return tuple(part for part in parts if isinstance(part, Comparison))
            case _:
                return ()


def _like(pattern: str) -> re.Pattern[str]:
    return re.compile(re.escape(pattern).replace("%", ".*").replace("_", "."), re.DOTALL)


def malformed(message: str) -> Refusal:
    return Refusal("MALFORMED_QUERY", message)


def parse(text: str) -> Query:
    """Raises Refusal for what is no query, or one that this org does not understand."""
    return _Reader(_tokens(text)).query()


def _tokens(text: str) -> list[tuple[str, str]]:
    tokens, place, end = [], 0, len(text.rstrip())
    while place < end:
        found = _TOKEN.match(text, place)
        if found is None:
            raise malformed(f"unexpected token: '{text[place : place + 20].strip()}'")
        tokens.append((str(found.lastgroup), found[str(found.lastgroup)]))
        place = found.end()
    return tokens


class _Reader:
    """A recursive-descent reader over the tokens."""

    def __init__(self, tokens: list[tuple[str, str]]) -> None:
        self._tokens = tokens
        self._at = 0

    def query(self) -> Query:
        self._expect("SELECT")
        counts_only = self._take("COUNT")
        names = self._no_names() if counts_only else self._listed(self._name)
        self._expect("FROM")
        sobject = self._name()
        where = self._either() if self._take("WHERE") else None
        order = tuple(self._listed(self._ordered)) if self._take("ORDER") and self._expect("BY") else ()
        limit = int(self._next("number")) if self._take("LIMIT") else None
        offset = int(self._next("number")) if self._take("OFFSET") else 0
        if self._at < len(self._tokens):
            raise malformed(f"unexpected token: '{self._tokens[self._at][1]}'")
        return Query(tuple(names), sobject, where, order, limit, offset, counts_only)

    def _no_names(self) -> list[str]:
        self._expect("(")
        self._expect(")")
        return []

    def _listed(self, read: Callable[[], _T]) -> list[_T]:
        items = [read()]
        while self._take(","):
            items.append(read())
        return items

    def _ordered(self) -> tuple[str, bool]:
        name = self._name()
        descending = self._take("DESC")
        if not descending:
            self._take("ASC")
        if self._take("NULLS") and not self._take("FIRST"):
            self._expect("LAST")
        return name, descending

    def _either(self) -> Condition:
        return self._junction("OR", self._both)

    def _both(self) -> Condition:
        return self._junction("AND", self._one)

    def _junction(self, word: str, read: Callable[[], Condition]) -> Condition:
        parts = [read()]
        while self._take(word):
            parts.append(read())
        return parts[0] if len(parts) == 1 else Junction(word, tuple(parts))

    def _one(self) -> Condition:
        if self._take("("):
            inner = self._either()
            self._expect(")")
            return inner
        if self._take("NOT"):
            return Junction("NOT", (self._one(),))
        name = self._name()
        if self._take("IN"):
            return Comparison(name, "IN", self._values())
        if self._take("NOT"):
            self._expect("IN")
            return Comparison(name, "NOT IN", self._values())
        if self._take("LIKE"):
            return Comparison(name, "LIKE", (self._value(),))
        sign = self._next("sign")
        return Comparison(name, "!=" if sign == "<>" else sign, (self._value(),))

    def _values(self) -> tuple[Any, ...]:
        self._expect("(")
        values = self._listed(self._value)
        self._expect(")")
        return tuple(values)

    def _value(self) -> Any:
        kind, text = self._peek()
        self._at += 1
        match kind:
            case "text":
                return _ESCAPE.sub(lambda escape: _ESCAPED.get(escape[1], escape[1]), text[1:-1])
            case "number":
                return float(text)
            case "date":
                return text
            case "time":
                return stamp(read_datetime(text))
            case "name" if text.lower() in ("true", "false", "null"):
                return {"true": True, "false": False, "null": None}[text.lower()]
        raise malformed(f"unexpected token: '{text}'")

    def _name(self) -> str:
        return self._next("name")

    def _peek(self) -> tuple[str, str]:
        if self._at == len(self._tokens):
            raise malformed("unexpected token: '<EOF>'")
        return self._tokens[self._at]

    def _next(self, kind: str) -> str:
        found, text = self._peek()
        if found != kind:
            raise malformed(f"unexpected token: '{text}'")
        self._at += 1
        return text

    def _take(self, word: str) -> bool:
        there = self._at < len(self._tokens) and self._tokens[self._at][1].upper() == word
        self._at += there
        return there

    def _expect(self, word: str) -> bool:
        if not self._take(word):
            raise malformed(f"expecting '{word}', found '{self._peek()[1]}'")
        return True
