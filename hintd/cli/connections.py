"""``hintd connection``: connecting practices with orgs, and what is set about them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import click

from hintd.cli.common import Answer, Caller, answering, table
from hintd.cli.connected import change, disconnect, spelt, webhook
from hintd.composition import House
from hintd.core.model import Side
from hintd.desk import make_desk
from hintd.ports import Connection
from hintd.service.connecting import (
    Adoption,
    FoundOrg,
    Request,
    find_org,
    install,
    point_webhook,
    take_stock,
    webhook_url,
)

_OVERRIDES = (
    "login_url",
    "audience",
    "auth",
    "client_id",
    "username",
    "private_key_file",
    "client_secret",
    "pubsub_address",
)


@click.group()
def connection() -> None:
    """Connect Hint practices with Salesforce orgs."""


def _salesforce_options(function: Callable[..., Any]) -> Callable[..., Any]:
    for name in reversed(_OVERRIDES):
        option = f"--salesforce-{name.replace('_', '-')}"
        text = f"Instead of [salesforce] {name}, for this connection."
        function = click.option(option, f"salesforce_{name}", help=text)(function)
    return function


@connection.command()
@click.argument("name")
@click.option("--hint-code", required=True, help="The authorization code from Hint, Admin → Integrations.")
@click.option(
    "--default-account", required=True, help="The Account of new Contacts: the id of one, or a name to find or create."
)
@click.option("--adopt/--no-adopt", default=True, help="Take over links that an earlier integration left (once).")
@_salesforce_options
@answering
async def add(
    caller: Caller, name: str, hint_code: str, default_account: str, adopt: bool, **overrides: str | None
) -> Answer:
    """Connect a practice under the name NAME.

    Checks Salesforce, exchanges the code, registers the webhook for that practice only, and reads all records once
    into the local index.  Writes nothing to Contacts and patients.  Safe to repeat after a failure; with a new code it
    replaces the practice's token.
    """
    secrets = {key: value for key, value in overrides.items() if value is not None}
    url = webhook_url(caller.config.service.public_url)
    request = Request(name, hint_code, default_account, caller.config.service.public_url, secrets)
    async with caller.house() as house:
        org = await _look_at_org(house, request)
        partner, connections = house.remote.partner(), house.stores.connections
        made = await install(partner, connections, request, org, house.now())
        made = await point_webhook(partner, connections, made, url)
        counts, adoption = await take_stock(await house.work(made), _progress, adopt=adopt)
        shown = await make_desk(house).connections.one(name)
    document = {
        **shown,
        "default_account_id": org.account_id,
        "missing_fields": org.missing,
        "records": {side.value: counts[side] for side in Side},
        "adopted": adoption,
    }
    return Answer(document, _summary(made, org, counts, adoption))


async def _look_at_org(house: House, request: Request) -> FoundOrg:
    tokens = house.remote.tokens(request.secrets)
    salesforce = house.remote.salesforce(tokens, request.name)
    try:
        token = await tokens.token()
        return await find_org(salesforce, token.instance_url, request.default_account)
    finally:
        salesforce.close()


def _progress(side: Side, count: int) -> None:
    click.echo(f"read {count} records of {side.capitalize()}", err=True)


def _summary(made: Connection, org: FoundOrg, counts: Mapping[Side, int], adoption: Adoption | None) -> str:
    lines = [
        f"{made.practice_name} is connected with {made.organization_name} as {made.name}.",
        f"Hint sends its events to {made.webhook.get('url')}.",
        f"{counts[Side.HINT]} patients and {counts[Side.SALESFORCE]} Contacts are indexed.",
    ]
    if org.missing:
        lines.append(f"Left out, because the org has them not: {', '.join(org.missing)}.")
    if adoption is not None and (adoption.adopted or adoption.contradictions):
        lines.append(
            f"Taken over from an earlier integration: {adoption.adopted} links, {len(adoption.differing)} of them with "
            f"fields that differ; {len(adoption.contradictions)} contradictions are parked (hintd parked list)."
        )
    return "\n".join(lines)


@connection.command("list")
@answering
async def list_all(caller: Caller) -> Answer:
    """All connections."""
    async with caller.desk() as desk:
        found = await desk.connections.all()
    rows = [[c["name"], c["practice"]["name"], c["organization"]["name"], c["hint"]["status"]] for c in found]
    return Answer({"connections": found}, table(rows, ("name", "practice", "organization", "status")))


@connection.command()
@click.argument("name")
@answering
async def show(caller: Caller, name: str) -> Answer:
    """One connection: both sides, webhook and settings."""
    async with caller.desk() as desk:
        found = await desk.connections.one(name)
    lines = [
        f"{found['name']}: {found['hint']['status']}",
        f"practice      {found['practice']['name']} ({found['practice']['id']})",
        f"organization  {found['organization']['name']} ({found['organization']['id']})",
        f"webhook       {found['hint']['webhook_url']}",
        *(f"{key} = {spelt(value)}" for key, value in found["settings"].items()),
    ]
    if found["paused_why"]:
        lines.insert(1, f"paused because: {found['paused_why']}")
    return Answer(found, "\n".join(lines))


for _command in (change, webhook, disconnect):
    connection.add_command(_command)
