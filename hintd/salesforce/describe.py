"""What an org says of its Contact object, through simple-salesforce."""

from __future__ import annotations

from typing import Any

import msgspec
import requests
from simple_salesforce.api import SFType

from hintd.core.fields import ContactShape, FieldShape
from hintd.ports import Call, CountCall
from hintd.salesforce.auth import Token, TokenSource
from hintd.salesforce.blocking import Blocking, host_of
from hintd.salesforce.wire import convert


class _Choice(msgspec.Struct, frozen=True):
    value: str
    active: bool = True


class _Described(msgspec.Struct, frozen=True, rename="camel"):
    name: str
    type: str = "string"
    length: int | None = 0
    nillable: bool = True
    createable: bool = True
    updateable: bool = True
    restricted_picklist: bool = False
    picklist_values: tuple[_Choice, ...] | None = ()
    external_id: bool = False
    unique: bool = False


class _Description(msgspec.Struct, frozen=True):
    fields: tuple[_Described, ...]


def read_shape(description: Any) -> ContactShape:
    """The fields of a describe answer by API name.  Raises Nonsense."""
    return {told.name: _field_shape(told) for told in convert(description, _Description).fields}


def _field_shape(told: _Described) -> FieldShape:
    return FieldShape(
        told.name,
        told.type,
        length=told.length or 0,
        nillable=told.nillable,
        createable=told.createable,
        updateable=told.updateable,
        restricted=told.restricted_picklist,
        choices=tuple(choice.value for choice in told.picklist_values or () if choice.active),
        external_id=told.external_id,
        unique=told.unique,
    )


class Describer:
    """Describes Contact, at most ``threads`` at a time, each within ``timeout_s``."""

    def __init__(
        self, tokens: TokenSource, *, api_version: str, count: CountCall, timeout_s: float = 30.0, threads: int = 2
    ) -> None:
        self._api_version = api_version
        self._blocking = Blocking(tokens, count=count, timeout_s=timeout_s, threads=threads, name="salesforce-describe")

    def close(self) -> None:
        """Takes no more; a request under way ends by its own timeout."""
        self._blocking.close()

    async def contact_shape(self, call: Call) -> ContactShape:
        """Per user: fields hidden from hintd's user are not in it.  Raises the errors of ``hintd.core.errors``."""
        return read_shape(await self._blocking.run(self._describe, call))

    def _describe(self, session: requests.Session, token: Token) -> Any:
        contact = SFType(
            "Contact",
            token.access_token,
            host_of(token),
            sf_version=self._api_version,
            session=session,
            object_pairs_hook=dict,
        )
        return contact.describe()
