"""What is shown of a batch that is waited for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import pytest

from hintd.cli.progress import Lines, bar, one_line, wait_until_ended
from hintd.service.batch_answers import BatchJson
from tests.fakes.clock import run_virtual

SEEN: Mapping[str, Any] = {
    "batch_id": "bat-1", "kind": "run", "direction": "patients-to-contacts", "connection": "clinic",
    "state": "running", "stage": "writing", "done": 0, "total": None, "counts": {}, "calls": {}, "started_at": None,
    "finished_at": None, "eta_s": None, "wanted": None, "waiting_for": None, "message": None,
}  # fmt: skip


def seen(**more: Any) -> BatchJson:
    return BatchJson(**(SEEN | more))  # type: ignore[typeddict-item]


@pytest.mark.parametrize(
    ("more", "line"),
    [
        pytest.param({"state": "queued", "stage": None}, "queued: a worker takes it up (hintd run)", id="queued"),
        pytest.param({"stage": "reading"}, "running reading", id="total not known"),
        pytest.param({"stage": "reading", "done": 7}, "running reading  7 done", id="total not known, some done"),
        pytest.param(
            {"done": 50, "total": 200, "eta_s": 75.0, "counts": {"skipped:ambiguous": 1, "linked": 49, "failed": 0}},
            "running writing  [######..................] 50/200 25%  2.0/s  1 min 15 s left  "
            "linked 49, skipped:ambiguous 1",
            id="half-way",
        ),
        pytest.param(
            {"done": 1, "total": 9_001, "eta_s": 9_000.0},
            "running writing  [........................] 1/9001 0%  1.0/s  2 h 30 min left",
            id="hours left",
        ),
        pytest.param({"state": "waiting", "waiting_for": "Hint is down."}, "waiting: Hint is down.", id="waiting"),
        pytest.param(
            {"state": "done", "done": 3, "total": 3, "eta_s": 0.0, "counts": {"linked": 3}},
            "done  [########################] 3/3 100%  linked 3",
            id="done",
        ),
    ],
)
def test_one_line_tells_how_far_it_is(more: Mapping[str, Any], line: str) -> None:
    assert one_line(seen(**more)) == f"bat-1 {line}"


def test_the_bar_is_one_line_drawn_over_itself_and_left_standing_in_the_end(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "30")
    tell = bar()
    tell(seen(stage="reading", counts={"linked": 10, "skipped:ambiguous": 3}))
    tell(seen(state="done"))
    shown = capsys.readouterr()
    assert (shown.out, shown.err) == ("", "\rbat-1 running reading  linked\rbat-1 done\n")


def test_without_a_terminal_a_change_of_stage_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    tell = Lines(as_json=True)
    for done, stage in ((1, "reading"), (2, "reading"), (3, "writing")):
        tell(seen(done=done, stage=stage))
    lines = [msgspec.json.decode(line) for line in capsys.readouterr().err.splitlines()]
    assert [(line["stage"], line["done"]) for line in lines] == [("reading", 1), ("writing", 3)]


@pytest.mark.parametrize("ended", ["done", "failed", "aborted"])
def test_waiting_looks_until_the_batch_has_ended(ended: str) -> None:
    states = iter(("queued", "running", "paused", ended))
    told: list[str] = []

    async def look() -> BatchJson:
        return seen(state=next(states))

    async def story() -> None:
        assert (await wait_until_ended(look, lambda each: told.append(each["state"])))["state"] == ended

    run_virtual(story())
    assert told == ["queued", "running", "paused", ended]
