"""Configuration: a TOML file, overridden by the environment (``HINTD_SECTION__KEY``).

Every setting stands in ``config.example.toml`` with its unit, default and reason; a test keeps the two in step.  A
wrong file is refused at start with a sentence that names the path of the setting and what to do.  Secrets come from
the file, from a file it names (``…_file``), or from the environment; they are never printed.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, get_type_hints
from urllib.parse import urlsplit

import msgspec

from hintd.core.fieldmap import apply_field_settings
from hintd.core.fields import BadFieldMap, Field, Winner
from hintd.core.rules import GENDERS, Rules


class BadConfig(Exception):
    """``str()`` names the setting, what is wrong with it, and what to do."""


class _Section(msgspec.Struct, forbid_unknown_fields=True, frozen=True, omit_defaults=False):
    def __repr__(self) -> str:  # a section may hold secrets
        return f"<{type(self).__name__}>"


class Service(_Section, frozen=True):
    public_url: str = "http://127.0.0.1:8080"
    public_listen: str = "127.0.0.1:8080"
    operator_listen: str = "127.0.0.1:8081"
    data_dir: str = ""
    metrics_token: str = ""
    api_token: str = ""
    api_token_file: str = ""
    stop_timeout_s: float = 25.0
    workers_prefetch: int = 32


class Postgres(_Section, frozen=True):
    dsn: str = ""
    pool_size: int = 10
    timeout_s: float = 30.0


class BusSettings(_Section, frozen=True):
    url: str = ""
    prefix: str = "hintd"
    publish_timeout_s: float = 5.0
    delivery_limit: int = 20


class Hint(_Section, frozen=True):
    api_url: str = "https://api.hint.com"
    partner_key: str = ""
    partner_key_file: str = ""
    webhook_secret: str = ""
    webhook_secret_file: str = ""
    requests_per_second: float = 20.0
    requests_per_day: int = 500_000
    timeout_s: float = 30.0


class Salesforce(_Section, frozen=True):
    login_url: str = "https://login.salesforce.com"
    audience: str = ""
    api_version: str = "67.0"
    pubsub_address: str = "api.pubsub.salesforce.com:7443"
    pubsub_tls: bool = True
    auth: str = "jwt"
    client_id: str = ""
    username: str = ""
    private_key_file: str = ""
    client_secret: str = ""
    client_secret_file: str = ""
    timeout_s: float = 30.0


class Sync(_Section, frozen=True):
    winner: str = "later"
    default_region: str = "US"
    default_country: str = "US"
    genders: dict[str, str] = msgspec.field(default_factory=lambda: dict(GENDERS))
    sweep_interval_s: float = 300.0
    sweep_overlap_s: float = 300.0
    stream_watchdog_s: float = 300.0
    polling_interval_s: float = 30.0
    freeze_changes: int = 6
    freeze_window_s: float = 600.0
    absence_share: float = 0.2
    absence_min: int = 5
    read_only_edits: str = "revert"
    stamp: str = "all"
    fields: dict[str, dict[str, Any]] = {}


class Limits(_Section, frozen=True):
    lease_s: float = 30.0
    max_body_bytes: int = 1_048_576
    max_csv_rows: int = 200_000
    max_upload_bytes: int = 268_435_456
    page_size: int = 200
    batch_lanes: int = 4
    bulk_from: int = 50_000


class LogSettings(_Section, frozen=True):
    level: str = "info"
    keep_days: int = 90


class Security(_Section, frozen=True):
    encryption_keys: list[str] = []
    encryption_keys_file: str = ""


class Config(_Section, frozen=True):
    """The whole configuration; ``field_map`` and ``rules`` give its ``[sync]`` section as the core takes it."""

    service: Service = Service()
    postgres: Postgres = Postgres()
    bus: BusSettings = BusSettings()
    hint: Hint = Hint()
    salesforce: Salesforce = Salesforce()
    sync: Sync = Sync()
    limits: Limits = Limits()
    log: LogSettings = LogSettings()
    security: Security = Security()

    @property
    def is_embedded(self) -> bool:
        return not self.postgres.dsn

    @property
    def data_dir(self) -> Path:
        return Path(self.service.data_dir) if self.service.data_dir else default_data_dir()

    def field_map(self) -> tuple[Field, ...]:
        """The field table with this configuration's changes; ``[sync] winner`` where a field says nothing else."""
        fields = apply_field_settings(self.sync.fields)
        winner = Winner(self.sync.winner)
        return tuple(replace(f, winner=winner) if f.winner is Winner.LATER else f for f in fields)

    def rules(self) -> Rules:
        sync = self.sync
        return Rules(
            default_region=sync.default_region,
            default_country=sync.default_country,
            genders=tuple(sync.genders.items()),
            revert_read_only=sync.read_only_edits == "revert",
            freeze_changes=sync.freeze_changes,
            freeze_window_s=sync.freeze_window_s,
            absence_share=sync.absence_share,
            absence_min=sync.absence_min,
        )


def default_data_dir() -> Path:
    """``/var/lib/hintd`` for root, else below the user's data directory."""
    if os.geteuid() == 0:
        return Path("/var/lib/hintd")
    base = os.environ.get("XDG_DATA_HOME") or str(Path.home() / ".local" / "share")
    return Path(base) / "hintd"


def load_config(path: Path | None, environ: Mapping[str, str]) -> Config:
    """Read, override, check.  Raises BadConfig."""
    raw = _read_toml(path) if path is not None else {}
    _override(raw, environ)
    try:
        config = msgspec.convert(raw, Config)
    except msgspec.ValidationError as error:
        raise BadConfig(f"{_where(path)}: {_readable(str(error))}") from error
    _check(config, _where(path))
    return config


def _where(path: Path | None) -> str:
    return str(path) if path is not None else "the environment"


def _readable(text: str) -> str:
    """msgspec's "… - at `$.hint.api_url`" as "hint.api_url: …"."""
    what, _, place = text.partition(" - at ")
    setting = place.strip("`").removeprefix("$.")
    what = what.replace("Object contains unknown field", "there is no setting").replace("Expected", "expected")
    return f"[{setting}] {what}. See config.example.toml." if setting else f"{what}. See config.example.toml."


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text())
    except OSError as error:
        raise BadConfig(f"{path}: the configuration cannot be read ({error.strerror}). Check --config.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadConfig(f"{path}: this is no valid TOML: {error}") from error


def _override(raw: dict[str, Any], environ: Mapping[str, str]) -> None:
    """``HINTD_HINT__PARTNER_KEY=x`` sets ``[hint] partner_key``; lists are separated by commas."""
    for name, text in environ.items():
        if not name.startswith("HINTD_") or "__" not in name:
            continue
        section, _, key = name.removeprefix("HINTD_").lower().partition("__")
        raw.setdefault(section, {})[key] = _typed(section, key, text, name)


def _typed(section: str, key: str, text: str, name: str) -> Any:
    kinds = {field.name: field.type for field in msgspec.structs.fields(Config)}
    kind = get_type_hints(kinds[section]).get(key) if section in kinds else None
    if kind is None:
        raise BadConfig(f"{name}: there is no setting [{section}] {key}. See config.example.toml.")
    if kind == list[str]:
        return [part.strip() for part in text.split(",") if part.strip()]
    try:
        return msgspec.convert(text, kind, strict=False)
    except msgspec.ValidationError as error:
        raise BadConfig(f"{name}: {error}. See [{section}] {key} in config.example.toml.") from error


def _check(config: Config, where: str) -> None:
    _one_of(where, "salesforce.auth", config.salesforce.auth, ("jwt", "client_credentials"))
    _one_of(where, "sync.winner", config.sync.winner, ("later", "hint", "salesforce"))
    _one_of(where, "sync.read_only_edits", config.sync.read_only_edits, ("revert", "report"))
    _one_of(where, "sync.stamp", config.sync.stamp, ("all", "changed"))
    _one_of(where, "log.level", config.log.level, ("debug", "info", "warning", "error"))
    for setting in ("service.public_listen", "service.operator_listen"):
        split_listen(getattr(config.service, setting.split(".")[1]), f"{where}: [{setting}]")
    for setting, url in (("hint.api_url", config.hint.api_url), ("salesforce.login_url", config.salesforce.login_url)):
        _https_or_loopback(where, setting, url)
    if not config.salesforce.pubsub_tls and not is_loopback(config.salesforce.pubsub_address.rpartition(":")[0]):
        raise BadConfig(f"{where}: [salesforce.pubsub_tls] gRPC without TLS is allowed to loopback addresses only.")
    if config.bus.url and config.is_embedded:
        raise BadConfig(f"{where}: [bus.url] RabbitMQ needs a Postgres of its own too: set [postgres] dsn.")
    try:
        config.field_map()
    except BadFieldMap as error:
        raise BadConfig(f"{where}: [sync.fields] {error}") from error


def _one_of(where: str, setting: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise BadConfig(f"{where}: [{setting}] must be one of {', '.join(allowed)}.")


def is_loopback(host: str) -> bool:
    return host in ("localhost", "::1", "[::1]") or host.startswith("127.")


def _https_or_loopback(where: str, setting: str, url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise BadConfig(f"{where}: [{setting}] must be an address like https://host.")
    if parts.scheme == "http" and not is_loopback(parts.hostname):
        raise BadConfig(f"{where}: [{setting}] plain http is allowed to loopback addresses only; use https.")


def split_listen(listen: str, setting: str) -> tuple[str, int]:
    """``host:port`` as a pair.  Raises BadConfig."""
    host, _, port = listen.rpartition(":")
    if not host or not port.isdigit() or int(port) > 65535:
        raise BadConfig(f'{setting} must be "host:port", such as "127.0.0.1:8080".')
    return host.strip("[]"), int(port)


def secret(value: str, file: str, setting: str) -> str:
    """A secret from its setting or from the file that is named beside it; empty when neither is set.

    Raises BadConfig when the file cannot be read.
    """
    if not file:
        return value
    try:
        return Path(file).read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise BadConfig(f"[{setting}_file] {file} cannot be read. Check the path and its permissions.") from error
