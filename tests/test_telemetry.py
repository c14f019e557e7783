"""Logs and metrics: what nobody allowed is never printed, and the counts add up."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from io import StringIO
from typing import Any

import pytest
import structlog

from hintd.core.model import Change, Notice, Outcome, OutcomeKind, Side, Source
from hintd.ports import Call, CallClass, Queue
from hintd.telemetry import Metrics, only_allowed, set_up_logs

Lines = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def logs(monkeypatch: pytest.MonkeyPatch) -> Iterator[Lines]:
    """Everything that is logged in the test, as JSON."""
    root, stderr = logging.getLogger(), StringIO()
    before = structlog.get_config(), root.handlers[:], root.level
    monkeypatch.setattr(sys, "stderr", stderr)
    root.handlers[:] = []  # those of pytest must not be closed by the set-up
    set_up_logs("info")
    yield lambda: [json.loads(line) for line in stderr.getvalue().splitlines()]
    structlog.configure(**before[0])
    root.handlers[:] = before[1]
    root.setLevel(before[2])


def test_a_key_that_nobody_allowed_is_dropped_and_named() -> None:
    entry = only_allowed(None, "info", {"event": "change", "record_id": "pat-1", "last_name": "Sumner"})
    assert entry == {"event": "change", "record_id": "pat-1", "fields": "dropped: last_name"}


def test_a_line_is_json_without_values(logs: Lines) -> None:
    structlog.get_logger("test").info("change", record_id="pat-1", email="ann@x.org")
    (line,) = logs()
    assert (line["event"], line["record_id"], line["level"]) == ("change", "pat-1", "info")
    assert "ann@x.org" not in str(line)


def test_a_traceback_shows_places_and_no_text(logs: Lines) -> None:
    try:
        raise ValueError("Sumner is no date")
    except ValueError:
        structlog.get_logger("test").exception("change_failed")
    (line,) = logs()
    assert "ValueError at test_telemetry.py" in line["exception"] and "Sumner" not in str(line)


def test_a_librarys_message_is_left_out(logs: Lines) -> None:
    logging.getLogger("aiohttp").warning("cannot parse %s", "Sumner")
    (line,) = logs()
    assert line["logger"] == "aiohttp" and "Sumner" not in str(line)


NOTICE = Notice("n1", Source.WEBHOOK, "pra-1", Side.HINT, "pat-1", Change.CHANGED, None, datetime.now(UTC))


def test_metrics_count_under_their_published_names() -> None:
    metrics = Metrics()
    metrics.event_accepted("webhook")
    metrics.event_settled(NOTICE, Outcome(OutcomeKind.APPLIED, "wrote_salesforce"), -0.5)
    metrics.call_made("clinic", "hint", Call(CallClass.REAL_TIME, "write_patient"), "ok")
    metrics.show_waiting({Queue.CHANGES: 3})
    read = metrics.registry.get_sample_value
    assert read("hintd_events_accepted_total", {"source": "webhook"}) == 1
    assert read("hintd_events_total", {"source": "webhook", "outcome": "applied"}) == 1
    assert read("hintd_lag_seconds_sum", {"source": "webhook"}) == 0
    assert read("hintd_waiting", {"queue": "changes"}) == 3
    labels = {
        "connection": "clinic",
        "remote": "hint",
        "class": "real_time",
        "purpose": "write_patient",
        "result": "ok",
    }
    assert read("hintd_remote_calls_total", labels) == 1


def test_a_kind_that_is_no_longer_parked_is_no_longer_shown() -> None:
    metrics = Metrics()
    metrics.show_parked({"ambiguous": 2})
    metrics.show_parked({"held_field": 1})
    assert metrics.registry.get_sample_value("hintd_parked", {"kind": "ambiguous"}) is None
    assert metrics.registry.get_sample_value("hintd_parked", {"kind": "held_field"}) == 1
