"""What connecting to an org needs beyond Contacts: who it is, its Accounts, its API versions and limits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from hintd.core.errors import Misconfigured
from hintd.core.salesforce_id import to_18
from hintd.ports import Call
from hintd.salesforce.transport import Request, Transport
from hintd.salesforce.wire import QueryPage, convert, soql_select, soql_text

ACCOUNT_PREFIX = "001"


class _Named(msgspec.Struct, frozen=True, rename="pascal"):
    id: str
    name: str


class _Saved(msgspec.Struct, frozen=True):
    id: str


class _Version(msgspec.Struct, frozen=True):
    version: str


class _Limit(msgspec.Struct, frozen=True, rename="pascal"):
    max: int
    remaining: int


async def query(transport: Transport, root: str, soql: str, call: Call) -> tuple[dict[str, Any], ...]:
    """The first page of a query, which is all of it for the few rows that are asked for here."""
    answer = await transport.send(Request("GET", f"{root}/query", {"q": soql}), call)
    return convert(answer.expect(), QueryPage).records


async def read_organization(transport: Transport, root: str, call: Call) -> tuple[str, str]:
    """The org's 18-character id and its name."""
    rows = convert(await query(transport, root, soql_select(("Id", "Name"), "Organization"), call), list[_Named])
    if not rows:
        raise Misconfigured("Salesforce does not show hintd's user its Organization: give it read access")
    return to_18(rows[0].id) or rows[0].id, rows[0].name


async def find_account(transport: Transport, root: str, name_or_id: str, call: Call) -> str | None:
    """The Account with this id, or of this name where it is no Account id.  Misconfigured: several bear it."""
    account_id = to_18(name_or_id) if name_or_id.startswith(ACCOUNT_PREFIX) else None
    condition = f"Id = {soql_text(account_id)}" if account_id else f"Name = {soql_text(name_or_id)}"
    soql = soql_select(("Id", "Name"), "Account", "WHERE", condition, "LIMIT 2")
    found = convert(await query(transport, root, soql, call), list[_Named])
    if len(found) > 1:
        raise Misconfigured("Several Accounts bear this name: give the id of the one to use")
    return found[0].id if found else None


async def create_account(transport: Transport, root: str, name: str, call: Call) -> str:
    """Not idempotent: look for it first, also after a lost answer.  Raises Refused."""
    answer = await transport.send(Request("POST", f"{root}/sobjects/Account", body={"Name": name}), call)
    return convert(answer.expect(), _Saved).id


async def read_versions(transport: Transport, call: Call) -> list[str]:
    """The API versions that the org answers, such as ``68.0``."""
    answer = await transport.send(Request("GET", "/services/data/"), call)
    return [row.version for row in convert(answer.expect(), list[_Version])]


async def read_limits(transport: Transport, root: str, call: Call) -> Mapping[str, tuple[int, int]]:
    """Limits by name, as (used, allowed)."""
    answer = await transport.send(Request("GET", f"{root}/limits"), call)
    limits = convert(answer.expect(), dict[str, _Limit])
    return {name: (limit.max - limit.remaining, limit.max) for name, limit in limits.items()}
