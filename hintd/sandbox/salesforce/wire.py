"""A REST request and its answer, apart from aiohttp: what the composite resources run through again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from hintd.sandbox.salesforce.org import Author
from hintd.sandbox.salesforce.refusal import Refusal


@dataclass(slots=True)
class Call:
    """A request below ``/services/data/vNN.0``.  ``headers`` by lower-case name; ``params`` from the path."""

    method: str
    path: str
    version: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: Any
    author: Author
    params: Mapping[str, str] = field(default_factory=dict)

    def record(self) -> dict[str, Any]:
        """The body as one record.  Raises Refusal."""
        if not isinstance(self.body, dict):
            raise Refusal("JSON_PARSER_ERROR", "Unexpected input; expected a JSON object")
        return self.body


@dataclass(slots=True)
class Answer:
    status: int
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)


def refused(refusal: Refusal) -> Answer:
    return Answer(refusal.status, [refusal.as_error()])
