"""Metrics and logs.  Neither carries a patient's value: labels are closed words, and the log renderer lets only the
keys of an allow-list through (README chapter "Privacy")."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Mapping, MutableMapping
from functools import cache
from typing import Any

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from hintd.core.model import Notice, Outcome, Source
from hintd.ports import Call

ALLOWED_KEYS = frozenset(
    {
        "event", "level", "timestamp", "logger", "exception", "role", "connection", "connection_id",
        "practice_id", "organization_id", "installation_id", "source", "side", "record_id", "contact_id",
        "patient_id", "batch_id", "notice_id", "outcome", "reason", "attempt", "wait_s", "error", "rule",
        "field", "fields", "count", "counts", "total", "address", "port", "path", "method", "status_code",
        "duration_s", "mode", "gap", "stage", "signal", "pid", "version", "url_host", "part", "remote",
        "purpose", "schema_id", "replay_id", "missing", "kind", "owner", "state", "worker", "queue",
        "waiting", "users", "data_dir", "what", "message",
    }
)  # fmt: skip


def only_allowed(_: Any, __: str, entry: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """A key that nobody thought about is dropped and named, never printed."""
    dropped = sorted(key for key in entry if key not in ALLOWED_KEYS)
    for key in dropped:
        del entry[key]
    if dropped:
        entry["fields"] = f"dropped: {', '.join(dropped)}"
    return entry


def set_up_logs(level: str = "info") -> None:
    """JSON lines on stderr.  Tracebacks show code lines and the exception's type, not local variables."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_LibraryLines())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _render_exception,
            only_allowed,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )


def _render_exception(_: Any, __: str, entry: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    exc_info = entry.pop("exc_info", None)
    if exc_info:
        entry["exception"] = _frames_only(exc_info if isinstance(exc_info, tuple) else sys.exc_info())
    return entry


class _LibraryLines(logging.Formatter):
    """Lines of the libraries: level, logger and where.  Their messages are left out: aiohttp quotes what it could not
    parse, which may be a patient's."""

    def format(self, record: logging.LogRecord) -> str:
        line = {"level": record.levelname.lower(), "logger": record.name, "event": "library_message"}
        if record.exc_info:
            line["exception"] = _frames_only(record.exc_info)
        return json.dumps(line)


def _frames_only(exc_info: Any) -> str:
    """The type and the places, without the message: a library may quote a patient's value in it."""
    kind, _, traceback = exc_info
    places = []
    while traceback is not None:
        code = traceback.tb_frame.f_code
        places.append(f"{code.co_filename.rsplit('/', 1)[-1]}:{traceback.tb_lineno} {code.co_name}")
        traceback = traceback.tb_next
    return f"{kind.__name__} at " + " < ".join(reversed(places[-8:]))


class Metrics:
    """The process's counters, in a registry of its own."""

    content_type = CONTENT_TYPE_LATEST

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.accepted = self._counter("hintd_events_accepted_total", "Events accepted durably", "source")
        self.events = self._counter("hintd_events_total", "Events by their one outcome", "source", "outcome")
        self.webhooks = self._counter("hintd_webhooks_total", "Webhook requests by answer", "result")
        self.calls = self._counter(
            "hintd_remote_calls_total", "Remote calls made", "connection", "remote", "class", "purpose", "result"
        )
        self.lag = Histogram(
            "hintd_lag_seconds",
            "From accepting an event to its outcome",
            ["source"],
            registry=self.registry,
            buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60, 600),
        )
        self.waiting = Gauge("hintd_waiting", "Messages that wait or are in hand", ["queue"], registry=self.registry)
        self.parked = Gauge("hintd_parked", "Open parked items", ["kind"], registry=self.registry)

        self._accepted = cache(self.accepted.labels)  # once per event: ``labels`` takes longer than counting
        self._webhooks = cache(self.webhooks.labels)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(name, text, labels, registry=self.registry)

    def event_accepted(self, source: str) -> None:
        self._accepted(source).inc()

    def webhook_answered(self, result: str) -> None:
        self._webhooks(result).inc()

    def event_settled(self, notice: Notice, outcome: Outcome, lag_s: float) -> None:
        self.events.labels(notice.source.value, outcome.kind.value).inc()
        self.lag.labels(notice.source.value).observe(max(0.0, lag_s))

    def control_settled(self, outcome: Outcome) -> None:
        """Without a lag: nobody knows when its sender published it."""
        self.events.labels(Source.CONTROL.value, outcome.kind.value).inc()

    def call_made(self, connection: str, remote: str, call: Call, result: str) -> None:
        self.calls.labels(connection, remote, call.call_class.value, call.purpose, result).inc()

    def show_waiting(self, waiting: Mapping[Any, int]) -> None:
        for queue, count in waiting.items():
            self.waiting.labels(str(queue)).set(count)

    def show_parked(self, kinds: Mapping[str, int]) -> None:
        self.parked.clear()
        for kind, count in kinds.items():
            self.parked.labels(kind).set(count)

    def render(self) -> bytes:
        return generate_latest(self.registry)
