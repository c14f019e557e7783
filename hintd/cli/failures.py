"""From an exception to a sentence, a kind and an exit code: the one place where errors become words for people."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import structlog

from hintd.config import BadConfig
from hintd.core.errors import CredentialsRefused, Misconfigured, Refused, Retryable
from hintd.embedded.binaries import EmbeddedPostgresError
from hintd.ports import AlreadyLinked, BusDown, FenceLost, NameTaken, StoreDown
from hintd.postgres.migrate import MigrationRefused
from hintd.sealing import CannotUnseal
from hintd.service.connecting import ConnectingRefused
from hintd.service.exchange import RecordGone
from hintd.service.linking import LinkingRefused

log = structlog.get_logger()

DONE, FAILED, USAGE, REFUSED, NOT_THERE = 0, 1, 2, 3, 4


class CommandFailed(Exception):
    """What a command itself finds wrong; ``ids`` name the records it is about."""

    def __init__(self, sentence: str, *, kind: str = "failed", code: int = FAILED, **ids: str | None) -> None:
        super().__init__(sentence)
        self.kind, self.code = kind, code
        self.ids = {name: value for name, value in ids.items() if value is not None}


@dataclass(frozen=True)
class Failure:
    kind: str
    sentence: str
    code: int
    ids: Mapping[str, str] = field(default_factory=dict)


# The first that fits: derived classes stand before those they derive from.
_FORESEEN: tuple[tuple[type[BaseException], str, int, str], ...] = (
    (BadConfig, "bad_config", USAGE, ""),
    (LinkingRefused, "refused", REFUSED, ""),
    (ConnectingRefused, "refused", REFUSED, ""),
    (NameTaken, "name_taken", REFUSED, " Choose another name."),
    (AlreadyLinked, "linked_already", REFUSED, " Unlink it first, or leave it."),
    (EmbeddedPostgresError, "embedded_postgres", NOT_THERE, ""),
    (MigrationRefused, "migration_refused", FAILED, ""),
    (StoreDown, "postgres_down", NOT_THERE, ". Check [postgres] dsn, and that the server runs."),
    (BusDown, "bus_down", NOT_THERE, ". Check [bus] url, and that RabbitMQ runs."),
    (CredentialsRefused, "credentials_refused", FAILED, ""),
    (Misconfigured, "misconfigured", FAILED, ""),
    (Refused, "refused_by_remote", FAILED, ": the remote does not take it, and nothing was written."),
    (Retryable, "remote_down", NOT_THERE, " Try again later."),
    (FenceLost, "in_hand", FAILED, ". Another worker took the pair over meanwhile: try again."),
    (RecordGone, "record_gone", FAILED, ". It was deleted or merged, or hintd's user may not see it."),
    (CannotUnseal, "cannot_unseal", FAILED, ". Check [security] encryption_keys: an older key may be missing."),
)


def failure_of(error: BaseException) -> Failure:
    """What to tell about ``error``; what nobody foresaw is logged with its place."""
    error = _innermost(error)
    if isinstance(error, CommandFailed):
        return Failure(error.kind, str(error), error.code, error.ids)
    for kind, name, code, more in _FORESEEN:
        if isinstance(error, kind):
            return Failure(name, f"{error}{more}", code)
    if isinstance(error, OSError) and error.strerror:
        place = f"{error.filename}: " if error.filename else ""
        return Failure("system", f"{place}{error.strerror}. Check the path, the port and the permissions.", FAILED)
    log.error("command_failed", exc_info=(type(error), error, error.__traceback__))
    return Failure(
        "bug", f"This failed in a way that nobody foresaw ({type(error).__name__}); see the log above.", FAILED
    )


def _innermost(error: BaseException) -> BaseException:
    """The first leaf of a task group's errors."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
