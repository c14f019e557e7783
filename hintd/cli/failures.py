"""From an exception to a sentence, a kind and an exit code: the one place where errors become words for people."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import structlog

from hintd.config import BadConfig
from hintd.embedded.binaries import EmbeddedPostgresError
from hintd.ports import BusDown, NoSuchBatch, StoreDown
from hintd.postgres.migrate import MigrationRefused
from hintd.service.connecting import ConnectingRefused
from hintd.service.failures import Meaning, foreseen
from hintd.web.desk import DeskError

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


_CODES: Mapping[Meaning, int] = {
    Meaning.UNUSABLE: USAGE,
    Meaning.TOO_LARGE: USAGE,
    Meaning.UNKNOWN: FAILED,
    Meaning.AGAINST_RULE: REFUSED,
    Meaning.PREVENTED: FAILED,
    Meaning.NOT_SET_UP: FAILED,
    Meaning.DOWN: NOT_THERE,
    Meaning.BROKEN: FAILED,
}

# What only a command can meet, and what it tells otherwise than the API does.
_OF_COMMANDS: tuple[tuple[type[BaseException], str, int, str], ...] = (
    (BadConfig, "bad_config", USAGE, ""),
    (ConnectingRefused, "refused", REFUSED, ""),
    (NoSuchBatch, "unknown_batch", NOT_THERE, ""),
    (EmbeddedPostgresError, "embedded_postgres", NOT_THERE, ""),
    (MigrationRefused, "migration_refused", FAILED, ""),
    (StoreDown, "postgres_down", NOT_THERE, ". Check [postgres] dsn, and that the server runs."),
    (BusDown, "bus_down", NOT_THERE, ". Check [bus] url, and that RabbitMQ runs."),
)


def failure_of(error: BaseException) -> Failure:
    """What to tell about ``error``; what nobody foresaw is logged with its place."""
    error = _innermost(error)
    match error:
        case CommandFailed():
            return Failure(error.kind, str(error), error.code, error.ids)
        case DeskError():
            return Failure(error.code, str(error), _CODES[error.meaning], error.ids)
    for kind, name, code, more in _OF_COMMANDS:
        if isinstance(error, kind):
            return Failure(name, f"{error}{more}", code)
    if (found := foreseen(error)) is not None:
        return Failure(found.word, found.sentence, _CODES[found.meaning], found.ids)
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
