"""``hintd connection``: connecting practices with orgs, and what is set about them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import click

from hintd.cli.common import Answer, Caller, answering, find_connection, read_on_off, table
from hintd.cli.failures import CommandFailed
from hintd.composition import House
from hintd.core.model import Side
from hintd.ports import Connection
from hintd.service.connecting import (
    Adoption,
    FoundOrg,
    Request,
    find_or_create_account,
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
    return Answer(*_summary(made, org, counts, adoption))


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


def _summary(
    made: Connection, org: FoundOrg, counts: Mapping[Side, int], adoption: Adoption | None
) -> tuple[dict[str, Any], str]:
    document = {
        **_shown(made),
        "default_account_id": org.account_id,
        "missing_fields": org.missing,
        "records": {side.value: counts[side] for side in Side},
        "adopted": adoption,
    }
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
    return document, "\n".join(lines)


def _shown(found: Connection) -> dict[str, Any]:
    """What this command cannot know, because only the daemon does, is null."""
    return {
        "name": found.name,
        "practice": {"id": found.practice_id, "name": found.practice_name},
        "organization": {"id": found.organization_id, "name": found.organization_name},
        "hint": {"status": found.state, "webhook_url": found.webhook.get("url"), "last_event_at": None},
        "salesforce": {"status": found.state, "mode": None, "lag_s": None},
        "settings": {**found.settings, "default_account": found.default_account_id},
        "paused_why": found.paused_why,
    }


@connection.command("list")
@answering
async def list_all(caller: Caller) -> Answer:
    """All connections."""
    async with caller.house() as house:
        found = [_shown(c) for c in await house.stores.connections.all()]
    rows = [[c["name"], c["practice"]["name"], c["organization"]["name"], c["hint"]["status"]] for c in found]
    return Answer({"connections": found}, table(rows, ("name", "practice", "organization", "status")))


@connection.command()
@click.argument("name")
@answering
async def show(caller: Caller, name: str) -> Answer:
    """One connection: both sides, webhook and settings."""
    async with caller.house() as house:
        found = _shown(await find_connection(house, name))
    lines = [
        f"{found['name']}: {found['hint']['status']}",
        f"practice      {found['practice']['name']} ({found['practice']['id']})",
        f"organization  {found['organization']['name']} ({found['organization']['id']})",
        f"webhook       {found['hint']['webhook_url']}",
        *(f"{key} = {_spelt(value)}" for key, value in found["settings"].items()),
    ]
    if found["paused_why"]:
        lines.insert(1, f"paused because: {found['paused_why']}")
    return Answer(found, "\n".join(lines))


def _spelt(value: object) -> str:
    return {True: "on", False: "off"}.get(value, str(value)) if isinstance(value, bool) else str(value)


@connection.command("set")
@click.argument("name")
@click.argument("settings", metavar="KEY=VALUE...", nargs=-1, required=True)
@answering
async def change(caller: Caller, name: str, settings: tuple[str, ...]) -> Answer:
    """Change settings of the connection NAME.

    \b
    create_unmatched_contacts=on|off   create a Contact for a new patient that no Contact matches (default off)
    sync_new_patients=on|off|auto      link new patients by themselves; auto follows the one above (default auto)
    default_account=NAME_OR_ID         the Account of new Contacts
    """
    wanted = dict(_pair(text) for text in settings)
    async with caller.house() as house:
        found = await find_connection(house, name)
        if "default_account" in wanted:
            org = house.remote.reach(found).salesforce
            account_id = await find_or_create_account(org, str(wanted.pop("default_account")))
            found = replace(found, default_account_id=account_id)
        found = replace(found, settings={**found.settings, **wanted})
        await house.stores.connections.change(found)
    shown = _shown(found)
    return Answer(shown, "\n".join(f"{key} = {_spelt(value)}" for key, value in shown["settings"].items()))


def _pair(text: str) -> tuple[str, bool | str]:
    key, equals, value = text.partition("=")
    on_off = read_on_off(value)
    if not equals or not value:
        raise CommandFailed(f"{text!r} is no KEY=VALUE.", kind="usage", code=2)
    if key == "default_account":
        return key, value
    if key == "create_unmatched_contacts" and on_off is not None:
        return key, on_off
    if key == "sync_new_patients" and (on_off is not None or value == "auto"):
        return key, {True: "on", False: "off"}[on_off] if on_off is not None else "auto"
    raise CommandFailed(
        f"{text!r} cannot be set: create_unmatched_contacts is on or off, sync_new_patients on, off or auto, and "
        "default_account a name or an id.",
        kind="usage",
        code=2,
    )


@connection.command()
@click.argument("name")
@click.option("--set", "url", help="Move the webhook to this URL.")
@answering
async def webhook(caller: Caller, name: str, url: str | None) -> Answer:
    """Show where Hint sends the events of the connection NAME, or change it."""
    async with caller.house() as house:
        found = await find_connection(house, name)
        partner = house.remote.partner()
        if url is not None:
            if not url.startswith(("https://", "http://")):
                raise CommandFailed(f"{url!r} is no address like https://host/hint/webhooks.", kind="usage", code=2)
            found = await point_webhook(partner, house.stores.connections, found, url)
        registered = [hook.url for hook in await partner.list_webhooks(found.installation_id)]
    ours = found.webhook.get("url")
    document = {"name": name, "webhook_url": ours, "registered": ours in registered, "all_registered": registered}
    state = "registered" if ours in registered else "NOT registered at Hint; set it again with --set"
    return Answer(document, f"{ours}: {state}")
