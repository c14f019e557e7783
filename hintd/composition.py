"""The composition root: the one place where adapters, stores and services are put together from the configuration.

``open_house`` serves the daemon and every command alike, so that a command run beside the daemon sees the same world.
"""

from __future__ import annotations

import asyncio
import os
import random
import secrets
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import aiohttp
from cryptography.fernet import Fernet

from hintd.config import BadConfig, Config, secret
from hintd.core.budget import Limits
from hintd.core.model import Notice, Outcome
from hintd.embedded.postgres import EmbeddedPostgres
from hintd.hint.budget import SharedBudget
from hintd.hint.client import HintClient
from hintd.hint.partner import HintPartner
from hintd.ports import Budget, Bus, BusDown, Call, CallClass, Connection, CountCall
from hintd.postgres.batch_work import PostgresBatchWork
from hintd.postgres.batches import PostgresBatches
from hintd.postgres.budget import PostgresTally
from hintd.postgres.bus import PostgresBus, open_bus
from hintd.postgres.connections import PostgresConnections
from hintd.postgres.cursors import PostgresCursors
from hintd.postgres.inbox import Inbox
from hintd.postgres.index import PostgresIndex
from hintd.postgres.leases import PostgresLeases
from hintd.postgres.links import PostgresLinks
from hintd.postgres.log import PostgresLog
from hintd.postgres.migrate import migrate
from hintd.postgres.parking import PostgresParking
from hintd.postgres.pool import Database, open_database
from hintd.postgres.uploads import PostgresUploads
from hintd.rabbit.bus import RabbitBus
from hintd.salesforce.auth import Auth, Credentials, TokenSource
from hintd.salesforce.contacts import SalesforceClient
from hintd.sealing import Keys
from hintd.service.hands import Hands
from hintd.service.ingest import Ingest
from hintd.service.react import react
from hintd.service.work import Remotes, Stores, Work
from hintd.telemetry import Metrics

_BUS_WAIT_S = 5.0


def utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Reach:
    """The remotes of one connection with what only the composition uses of them."""

    remotes: Remotes
    salesforce: SalesforceClient
    tokens: TokenSource


class Remote:
    """Makes and keeps the clients of each connection; they are made anew when its secrets or settings change."""

    def __init__(self, config: Config, session: aiohttp.ClientSession, metrics: Metrics, budget: Budget) -> None:
        self._config, self._session, self._metrics, self.budget = config, session, metrics, budget
        self._fields, self._rules = config.field_map(), config.rules()
        self._kept: dict[int, tuple[Connection, Reach]] = {}

    def reach(self, connection: Connection) -> Reach:
        kept = self._kept.get(connection.id)
        if kept is not None and kept[0] == connection:
            return kept[1]
        if kept is not None and kept[0].secrets == connection.secrets:
            reach = replace(kept[1], remotes=replace(kept[1].remotes, connection=connection))
        else:
            self.forget(connection.id)
            reach = self._make(connection)
        self._kept[connection.id] = (connection, reach)
        return reach

    def forget(self, connection_id: int) -> None:
        kept = self._kept.pop(connection_id, None)
        if kept is not None:
            kept[1].salesforce.close()

    def close(self) -> None:
        for connection_id in list(self._kept):
            self.forget(connection_id)

    def _make(self, connection: Connection) -> Reach:
        tokens = TokenSource(self._session, salesforce_credentials(self._config, connection.secrets), utc_now)
        salesforce = self.salesforce(tokens, connection.name)
        hint = HintClient(
            self._session,
            api_url=self._config.hint.api_url,
            token=connection.secrets.get("hint_token", ""),
            fields=self._fields,
            budget=self.budget,
            count=self.counting(connection.name),
            timeout_s=self._config.hint.timeout_s,
        )
        return Reach(Remotes(connection, hint, salesforce), salesforce, tokens)

    def salesforce(self, tokens: TokenSource, connection_name: str) -> SalesforceClient:
        return SalesforceClient(
            self._session,
            tokens,
            api_version=self._config.salesforce.api_version,
            fields=self._fields,
            rules=self._rules,
            count=self.counting(connection_name),
            timeout_s=self._config.salesforce.timeout_s,
            bulk_from=self._config.limits.bulk_from,
        )

    def tokens(self, overrides: Mapping[str, str]) -> TokenSource:
        return TokenSource(self._session, salesforce_credentials(self._config, overrides), utc_now)

    def partner(self) -> HintPartner:
        hint = self._config.hint
        return HintPartner(
            self._session,
            api_url=hint.api_url,
            partner_key=secret(hint.partner_key, hint.partner_key_file, "hint.partner_key"),
            budget=self.budget,
            count=self.counting("-"),
            timeout_s=hint.timeout_s,
        )

    def counting(self, connection_name: str) -> CountCall:
        def count(remote: str, call: Call, result: str) -> None:
            self._metrics.call_made(connection_name, remote, call, result)

        return count


def salesforce_credentials(config: Config, overrides: Mapping[str, str]) -> Credentials:
    """The ``[salesforce]`` section, with what a connection has of its own.  Raises BadConfig."""
    own = {k.removeprefix("salesforce_"): v for k, v in overrides.items() if k.startswith("salesforce_")}
    section = config.salesforce
    file = own.get("private_key_file", section.private_key_file)
    try:
        return Credentials(
            auth=Auth(own.get("auth", section.auth)),
            login_url=own.get("login_url", section.login_url).rstrip("/"),
            client_id=own.get("client_id", section.client_id),
            username=own.get("username", section.username),
            private_key=secret("", file, "salesforce.private_key") if file else "",
            client_secret=own.get("client_secret")
            or secret(section.client_secret, section.client_secret_file, "salesforce.client_secret"),
            audience=own.get("audience", section.audience),
        )
    except ValueError as error:
        raise BadConfig(f"[salesforce] {error}") from error


@dataclass(slots=True)
class House:
    """Everything that a role or a command works with."""

    config: Config
    keys: Keys
    database: Database
    stores: Stores
    bus: Bus
    inbox_bus: PostgresBus
    ingest: Ingest
    remote: Remote
    metrics: Metrics
    owner: str
    now: Callable[[], datetime] = utc_now
    chance: Callable[[], float] = random.random
    hands: Hands = field(default_factory=Hands)

    @property
    def has_relay(self) -> bool:
        return self.bus is not self.inbox_bus

    async def calls_left(self) -> int:
        """To Hint, for batches, today."""
        return await self.remote.budget.left_today(urgent=False)

    async def work(self, connection: Connection, call_class: CallClass = CallClass.REAL_TIME) -> Work:
        """Raises what describing the org raises."""
        reach = self.remote.reach(connection)
        book = await reach.salesforce.book()
        lease_s = self.config.limits.lease_s
        return Work(self.stores, reach.remotes, book, self.owner, self.now, call_class, lease_s, self.hands)

    async def react(self, connection: Connection, notice: Notice) -> Outcome:
        """Reach and settle the outcome of a notice of this connection."""
        return await react(await self.work(connection), notice)

    def observe(self, notice: Notice, outcome: Outcome) -> None:
        lag_s = (self.now() - notice.accepted_at).total_seconds()
        self.metrics.event_settled(notice, outcome, lag_s)


async def wait_for_bus(house: House) -> None:
    """A moment for RabbitMQ to be connected; without it, what is published waits in Postgres."""
    if isinstance(house.bus, RabbitBus):
        try:
            await house.bus.wait_connected(_BUS_WAIT_S)
        except BusDown:
            pass


def new_owner() -> str:
    """Names this process in leases: readable for people, and never the same twice."""
    return f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"


@asynccontextmanager
async def open_dsn(config: Config) -> AsyncIterator[tuple[str, EmbeddedPostgres | None]]:
    """The database to use: the configured one, or the embedded one, started or joined."""
    if config.postgres.dsn:
        yield config.postgres.dsn, None
        return
    async with EmbeddedPostgres(config.data_dir) as embedded:
        yield embedded.dsn, embedded


@asynccontextmanager
async def open_house(config: Config, metrics: Metrics | None = None) -> AsyncIterator[House]:
    """Open database, stores, bus and remotes; closes them in the reverse order.

    Missing migrations are applied: they run under a lock, so replicas may start together.
    """
    metrics = metrics or Metrics()
    async with AsyncExitStack() as stack:
        dsn, embedded = await stack.enter_async_context(open_dsn(config))
        await migrate(dsn)
        if embedded is not None:
            keeping = asyncio.create_task(embedded.keep_running(), name="embedded postgres")
            stack.callback(keeping.cancel)
        keys = load_keys(config)
        database = await stack.enter_async_context(
            open_database(dsn, size=config.postgres.pool_size, timeout_s=config.postgres.timeout_s)
        )
        inbox = Inbox(database, delivery_limit=config.bus.delivery_limit)
        inbox_bus = await stack.enter_async_context(open_bus(database, inbox, lease_s=2 * config.limits.lease_s))
        bus: Bus = inbox_bus
        if config.bus.url:
            bus = await stack.enter_async_context(_rabbit(config))
        session = await stack.enter_async_context(_session())
        remote = Remote(config, session, metrics, hint_budget(config, database))
        stack.callback(remote.close)
        ingest = Ingest(bus, None if bus is inbox_bus else inbox_bus, keys.seal, metrics.event_accepted)
        stores = make_stores(database, keys)
        yield House(config, keys, database, stores, bus, inbox_bus, ingest, remote, metrics, new_owner())


def _rabbit(config: Config) -> RabbitBus:
    url = config.bus.url
    if config.bus.prefix != "hintd":
        url += f"{'&' if '?' in url else '?'}prefix={config.bus.prefix}"
    return RabbitBus(url, publish_timeout_s=config.bus.publish_timeout_s, delivery_limit=config.bus.delivery_limit)


def hint_budget(config: Config, database: Database) -> SharedBudget:
    """Of the partner, over all practices and processes."""
    limits = Limits(max(1, int(config.hint.requests_per_second)), config.hint.requests_per_day)
    return SharedBudget(PostgresTally(database), limits)


def _session() -> aiohttp.ClientSession:
    """One session for both remotes.  Cookies are not kept: the tokens say who we are."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=100, limit_per_host=32), cookie_jar=aiohttp.DummyCookieJar()
    )


def make_stores(database: Database, keys: Keys) -> Stores:
    bodies = {"seal": keys.seal, "unseal": keys.unseal}
    return Stores(
        links=PostgresLinks(database, **bodies),
        index=PostgresIndex(database, **bodies),
        parking=PostgresParking(database, **bodies),
        log=PostgresLog(database),
        cursors=PostgresCursors(database),
        leases=PostgresLeases(database),
        connections=PostgresConnections(database, seal_secret=keys.seal_secret, unseal_secret=keys.unseal_secret),
        batches=PostgresBatches(database),
        batch_work=PostgresBatchWork(database, **bodies),
        uploads=PostgresUploads(database),
    )


def load_keys(config: Config) -> Keys:
    """The encryption keys, newest first.  In embedded mode a key is made in the data directory when there is none."""
    listed = config.security.encryption_keys
    if config.security.encryption_keys_file:
        listed = secret("", config.security.encryption_keys_file, "security.encryption_keys").split()
    if not listed and config.is_embedded:
        listed = [_own_secret(config.data_dir / "encryption.key", lambda: Fernet.generate_key().decode())]
    if not listed:
        raise BadConfig(
            "[security.encryption_keys] is empty. Set it, or encryption_keys_file, to a key made with: "
            'python3 -c "import os, base64; print(base64.urlsafe_b64encode(os.urandom(32)).decode())"'
        )
    try:
        return Keys(listed)
    except ValueError as error:
        raise BadConfig(f"[security.encryption_keys] {error}.") from error


def api_token(config: Config) -> str:
    """The operator's token; empty where none is configured, which closes the API.  In embedded mode one is made in the
    data directory when there is none."""
    service = config.service
    token = secret(service.api_token, service.api_token_file, "service.api_token")
    if not token and config.is_embedded:
        token = _own_secret(own_api_token(config.data_dir), lambda: secrets.token_urlsafe(32))
    return token


def own_api_token(data_dir: Path) -> Path:
    """The file of the token that embedded mode makes."""
    return data_dir / "api.token"


def _own_secret(path: Path, make: Callable[[], str]) -> str:
    """Made once; two processes that start together end with the same one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return path.read_text().strip()
    with os.fdopen(descriptor, "w") as file:
        file.write(make())
    return path.read_text().strip()
