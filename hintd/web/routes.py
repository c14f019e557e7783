"""What a route is: an address and a function from what was asked to what is answered.

A route's query, body and answer are told by the function's types alone, so that reading, documentation and type check
cannot disagree.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, get_args, get_type_hints

from hintd.web.desk import Desk
from hintd.web.events import Pace

Q = TypeVar("Q")
B = TypeVar("B")

_PARAMETER = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True, slots=True)
class Asked(Generic[Q, B]):
    """One request, read and checked.  ``person``: who asks, for histories and logs."""

    path: Mapping[str, str]
    query: Q
    body: B
    person: str
    pace: Pace

    @property
    def name(self) -> str:
        """The connection's."""
        return self.path["name"]


File = AsyncIterator[bytes]
"""The type of a body that is a file: any bytes, as they come."""


@dataclass(frozen=True, slots=True)
class Streamed:
    """An answer that is sent piece by piece; ``file_name``: what a browser shall save it as."""

    media_type: str
    chunks: AsyncGenerator[bytes, None]
    file_name: str | None = None


@dataclass(frozen=True, slots=True)
class Route:
    """``path``: with its parameters in braces; ``media_type``: of the answer, JSON unless it is ``Streamed``."""

    method: str
    path: str
    act: Callable[[Desk, Asked[Any, Any]], Awaitable[Any]]
    status: int = 200
    media_type: str = "application/json"

    @property
    def query(self) -> Any:
        return self._asked()[0]

    @property
    def body(self) -> Any:
        return self._asked()[1]

    @property
    def answer(self) -> Any:
        return get_type_hints(self.act)["return"]

    @property
    def summary(self) -> str:
        return " ".join((self.act.__doc__ or "").split())

    @property
    def parameters(self) -> tuple[str, ...]:
        return tuple(_PARAMETER.findall(self.path))

    def _asked(self) -> tuple[Any, Any]:
        query, body = get_args(get_type_hints(self.act)["asked"])
        return query, body
