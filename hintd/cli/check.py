"""``hintd check``: configuration, servers and every connection, each with what to do about it."""

from __future__ import annotations

from collections.abc import Sequence

import click

from hintd.cli.common import Answer, Caller, answering
from hintd.cli.failures import DONE, FAILED, failure_of
from hintd.composition import House
from hintd.config import BadConfig, Config, secret
from hintd.ports import BusDown, Connection
from hintd.rabbit.bus import RabbitBus
from hintd.salesforce.stream import PubSub
from hintd.salesforce.topic_check import find_stream_trouble
from hintd.service.checking import Check, Ways, check_connection, summary
from hintd.service.connecting import webhook_url

_BUS_WAIT_S = 5.0


@click.command()
@answering
async def check(caller: Caller) -> Answer:
    """Check the configuration, Postgres, the bus, and everything that each connection needs.

    Writes nothing.  Exits with 1 when something is not as it should be.
    """
    checks = [_configuration(caller)]
    if checks[0].ok:
        checks += await _servers_and_connections(caller)
    found = summary(checks)
    return Answer(found, "\n".join(_lines(checks)), DONE if found["ok"] else FAILED)


def _lines(checks: Sequence[Check]) -> list[str]:
    lines = []
    for each in checks:
        lines.append(f"{'ok  ' if each.ok else 'FAIL'}  {each.name}: {each.message}")
        if each.remedy:
            lines.append(f"      {each.remedy}")
    return lines


def _configuration(caller: Caller) -> Check:
    try:
        wanting = _wanting(caller.config)
    except BadConfig as error:
        return Check("configuration", False, str(error), "Compare it with config.example.toml.")
    where = str(caller.config_file or "defaults and the environment")
    if wanting:
        return Check("configuration", False, f"{where}: {', '.join(wanting)} not set", "Set what is missing.")
    return Check("configuration", True, where)


def _wanting(config: Config) -> list[str]:
    """Settings without a default that nothing works without.  Raises BadConfig."""
    hint = config.hint
    needed = {
        "[hint] partner_key": secret(hint.partner_key, hint.partner_key_file, "hint.partner_key"),
        "[hint] webhook_secret": secret(hint.webhook_secret, hint.webhook_secret_file, "hint.webhook_secret"),
    }
    return [name for name, value in needed.items() if not value]


async def _servers_and_connections(caller: Caller) -> list[Check]:
    try:
        async with caller.house() as house:
            checks = [_postgres(caller.config), await _bus(house)]
            for connection in await house.stores.connections.all():
                if connection.state != "disconnected":
                    checks += await _connection(house, connection)
    except Exception as error:  # whatever keeps the house from opening is what this command is asked to tell
        failure = failure_of(error)
        return [Check("Postgres", False, failure.sentence, "Start the server, or correct [postgres] dsn.")]
    return checks


def _postgres(config: Config) -> Check:
    where = f"embedded, in {config.data_dir}" if config.is_embedded else "answers at [postgres] dsn"
    return Check("Postgres", True, f"{where}; the schema is up to date")


async def _bus(house: House) -> Check:
    try:
        if isinstance(house.bus, RabbitBus):
            await house.bus.wait_connected(_BUS_WAIT_S)
        waiting = sum((await house.bus.waiting()).values())
    except BusDown as error:
        return Check(
            "bus", False, str(error), "Start RabbitMQ, or correct [bus] url; meanwhile events wait in Postgres."
        )
    kind = "RabbitMQ" if isinstance(house.bus, RabbitBus) else "embedded"
    return Check("bus", True, f"{kind}; {waiting} messages wait")


async def _connection(house: House, connection: Connection) -> list[Check]:
    try:
        reach = house.remote.reach(connection)
        partner = house.remote.partner()
    except BadConfig as error:
        return [Check(f"{connection.name}: configuration", False, str(error), "Correct [salesforce] or [hint].")]
    section = house.config.salesforce
    address = connection.secrets.get("salesforce_pubsub_address", section.pubsub_address)
    pubsub = PubSub(address, section.pubsub_tls, reach.tokens.token, reach.tokens.refresh)
    return await check_connection(
        Ways(
            connection=connection,
            partner=partner,
            hint=reach.remotes.hint,
            org=reach.salesforce,
            log_in=reach.tokens.token,
            stream_trouble=lambda: find_stream_trouble(pubsub),
            fields=house.config.field_map(),
            api_version=section.api_version,
            webhook_url=webhook_url(house.config.service.public_url),
        )
    )
