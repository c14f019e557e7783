"""How the org says no: one exception with what Salesforce puts into an error, and its two shapes on the wire."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


class Refusal(Exception):
    """A request, or one record of it, is refused.  ``code`` is Salesforce's errorCode, ``status`` the HTTP status."""

    def __init__(
        self,
        code: str,
        message: str,
        fields: Sequence[str] = (),
        *,
        status: int = 400,
        more: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.fields = list(fields)
        self.status = status
        self.more = more or {}

    def as_error(self) -> dict[str, Any]:
        """One item of the array that a refused REST request answers."""
        return {"message": self.message, "errorCode": self.code, "fields": self.fields, **self.more}

    def as_item(self) -> dict[str, Any]:
        """One error of one record in a collection, where the code is called ``statusCode``."""
        return {"statusCode": self.code, "message": self.message, "fields": self.fields, **self.more}


def not_found() -> Refusal:
    return Refusal("NOT_FOUND", "The requested resource does not exist", status=404)


def no_such_column(name: str, sobject: str) -> Refusal:
    return Refusal("INVALID_FIELD", f"No such column '{name}' on sobject of type {sobject}")
