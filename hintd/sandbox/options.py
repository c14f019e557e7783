"""What a sandbox is started with, and what of it can be changed while it runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Options:
    """The settings of one sandbox.  Times in ``_ms`` are milliseconds, in ``_s`` seconds; a limit of 0 is no limit."""

    host: str = "127.0.0.1"
    port: int = 8600  # 0: any free port
    grpc_port: int = 8601  # 0: any free port
    people: int = 40
    patients: int = 0  # with these two, a big practice in place of the people: their records are made on demand
    contacts: int = 0
    match_share: float = 0.8  # of the big practice's patients that exactly one Contact matches
    seed: int = 1
    samples: Path | None = None  # a directory of Hint's published example answers, to seed from as well

    partner_key: str = field(default="sbx-partner-key", repr=False)
    webhook_secret: str = field(default="sbx-webhook-secret", repr=False)
    connect_code: str = field(default="sbx-code", repr=False)
    practice_token: str = field(default="sbx-practice-token", repr=False)

    client_id: str = "sbx-client"
    client_secret: str = field(default="sbx-secret", repr=False)
    username: str = "sync@sandbox.example"
    jwt_public_key: Path | None = None

    hint_latency_ms: float = 0
    salesforce_latency_ms: float = 0
    hint_requests_per_second: int = 20
    hint_requests_per_day: int = 500_000
    hint_detail_per_second: int = 0  # Hint may throttle /patients/{id} earlier than the rest
    salesforce_daily_calls: int = 100_000

    webhook_retry_s: float = 3600
    webhook_give_up_s: float = 72 * 3600
    webhook_mute_after: int = 100  # refused deliveries in a row
    webhook_mute_s: float = 3600
    webhook_timeout_s: float = 10

    # What the published contract leaves open, to act either way.
    hint_sliding_second: bool = False  # the rate holds over the last second instead of each full one
    title_on_reads: bool = True
    phones_replace: bool = True
    patch_requires_names: bool = False
    deleted_readable: bool = False

    state_country_picklists: bool = True
    middle_names: bool = True


# Who the sandbox is, and where it listens, stays as it was started.
_FIXED = frozenset(
    {"host", "port", "grpc_port", "people", "patients", "contacts", "match_share", "seed", "samples"}
    | {"partner_key", "practice_token", "connect_code"}
)


class Settings:
    """The options as they stand now: ``settings.now`` is the frozen current value, read it at each use."""

    def __init__(self, options: Options) -> None:
        self.now = options

    def change(self, changes: Mapping[str, Any]) -> Options:
        """Replace some options while the sandbox runs.  Raises ValueError for a name or a type that cannot be."""
        known = {f.name for f in fields(Options)} - _FIXED
        for name, value in changes.items():
            if name not in known:
                raise ValueError(f"no such setting: {name}; there are {', '.join(sorted(known))}")
            _check_type(name, getattr(self.now, name), value)
        self.now = replace(self.now, **changes)
        return self.now


def _check_type(name: str, old: object, new: object) -> None:
    numbers = (int, float)
    if isinstance(old, bool) or isinstance(new, bool):
        fits = isinstance(old, bool) and isinstance(new, bool)
    elif isinstance(old, numbers):
        fits = isinstance(new, numbers) and new >= 0
    else:
        fits = isinstance(new, str)
    if not fits:
        raise ValueError(f"{name} cannot be a {type(new).__name__} like that; it is {old!r} now")
