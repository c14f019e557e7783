"""What may be done to a connection that stands: looked at, set, moved to another URL, and disconnected."""

from __future__ import annotations

from dataclasses import replace

import click

from hintd.cli.common import Answer, Caller, answering, read_on_off
from hintd.cli.failures import CommandFailed
from hintd.desk import make_desk
from hintd.desk.finding import find_connected, find_connection
from hintd.service.connecting import find_or_create_account, point_webhook
from hintd.service.disconnecting import abort_batches
from hintd.service.disconnecting import disconnect as disconnect_practice


def spelt(value: object) -> str:
    return {True: "on", False: "off"}.get(value, str(value)) if isinstance(value, bool) else str(value)


@click.command("set")
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
        document = await make_desk(house).connections.one(name)
    settings_now = (f"{key} = {spelt(value)}" for key, value in document["settings"].items())
    return Answer(document, "\n".join(settings_now))


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


@click.command()
@click.argument("name")
@click.option("--set", "url", help="Move the webhook to this URL.")
@answering
async def webhook(caller: Caller, name: str, url: str | None) -> Answer:
    """Show where Hint sends the events of the connection NAME, or change it."""
    async with caller.house() as house:
        found = await find_connection(house, name)
        partner = house.remote.partner()
        if url is not None:
            found = await find_connected(house, name)
            if not url.startswith(("https://", "http://")):
                raise CommandFailed(f"{url!r} is no address like https://host/hint/webhooks.", kind="usage", code=2)
            found = await point_webhook(partner, house.stores.connections, found, url)
        registered = [hook.url for hook in await partner.list_webhooks(found.installation_id)]
    ours = found.webhook.get("url")
    document = {"name": name, "webhook_url": ours, "registered": ours in registered, "all_registered": registered}
    state = "registered" if ours in registered else "NOT registered at Hint; set it again with --set"
    return Answer(document, f"{ours}: {state}")


@click.command()
@click.argument("name")
@answering
async def disconnect(caller: Caller, name: str) -> Answer:
    """Leave the practice of the connection NAME.

    A batch that runs is aborted; the installation in Hint is deactivated, the webhook removed, and the stored tokens
    are forgotten.  Contacts, patients, links and their history stay as they are: `hintd connection add` with a new
    code connects the practice again.  Safe to repeat.
    """
    async with caller.house() as house:
        found = await find_connection(house, name)
        aborted = await abort_batches(house.stores.batches, found.id, at=house.now())
        left = await disconnect_practice(house.remote.partner(), house.stores.connections, found)
        document = await make_desk(house).connections.one(name)
    lines = [f"Batch {batch_id} was aborted." for batch_id in aborted]
    lines.append(f"{left.practice_name} is no longer connected. Contacts, patients and links stay as they are.")
    return Answer({**document, "aborted_batches": aborted}, "\n".join(lines))
