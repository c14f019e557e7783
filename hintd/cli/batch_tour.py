"""The tour's batches: one in each direction, a preview, and an abort."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hintd.cli.stage import NAME, Stage, StepFailed

_CONTACTS = 6
_SLOW_MS = 2000
"""Hint is slowed down so far, that a batch of a few dozen records is still at work when it is aborted."""

_FROM_PATIENTS, _FROM_CONTACTS = "patients-to-contacts", "contacts-to-patients"


async def from_contacts(stage: Stage) -> tuple[str, None]:
    """A file as a Salesforce report exports it: a header, ids of 15 characters, a footer."""
    await stage.until("nothing to wait", stage.is_at_rest)
    contacts = [c for c in (await stage.control("GET", "/records"))["salesforce"] if not c["Synced_to_Hint__c"]]
    lines = ["Contact ID,Name", *(f"{c['Id'][:15]},…" for c in contacts[:_CONTACTS]), "", "Copyright the clinic"]
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "report.csv"
        file.write_text("\n".join(lines))
        ended = await stage.run("batch", "start", NAME, _FROM_CONTACTS, "--csv", str(file), "--wait")
    _expect(ended, total=_CONTACTS + 1)
    return f"Batch from {_CONTACTS} Contacts of a CSV report to their patients: {_counted(ended)}.", None


async def preview(stage: Stage) -> tuple[str, None]:
    await stage.until("nothing to wait", stage.is_at_rest)
    before = await stage.control("GET", "/records")
    ended = await stage.run("batch", "preview", NAME, _FROM_PATIENTS, "--create-unmatched", "--wait")
    _expect(ended, total=len(before["hint"]))
    if await stage.control("GET", "/records") != before:
        raise StepFailed("expected a preview to change nothing, seen that a record changed")
    calls = ended["calls"]
    needed = calls.get("hint_write", 0) + calls.get("salesforce_write", 0)
    return f"Preview of a batch from all patients: {_counted(ended)}; nothing was written, {needed} calls needed.", None


async def abort(stage: Stage) -> tuple[str, float]:
    """In the midst of its writing, which a slow Hint makes last."""
    await stage.control("POST", "/settings", {"hint_latency_ms": _SLOW_MS})
    try:
        started = await stage.run("batch", "start", NAME, _FROM_PATIENTS, "--create-unmatched")
        await _until(stage, started["batch_id"], "it to write", lambda seen: seen["stage"] == "writing")
        clock = asyncio.get_running_loop().time
        begun = clock()
        await stage.run("batch", "abort", started["batch_id"])
        ended = await _until(stage, started["batch_id"], "it to be aborted", lambda seen: seen["state"] == "aborted")
        ms = (clock() - begun) * 1000
    finally:
        await stage.control("POST", "/settings", {"hint_latency_ms": 0})
    if ended["done"] >= ended["total"]:
        raise StepFailed(f"expected the abort to come before the end, seen {ended['done']} of {ended['total']} done")
    return f"The same batch, aborted after {ended['done']} of {ended['total']} records: it stopped in {ms:.0f} ms.", ms


async def from_patients(stage: Stage) -> tuple[str, None]:
    """What the aborted one had done is found linked."""
    ended = await stage.run("batch", "start", NAME, _FROM_PATIENTS, "--create-unmatched", "--wait")
    _expect(ended, total=ended["total"])
    return f"Batch from all patients to their Contacts: {_counted(ended)}.", None


async def _until(stage: Stage, batch_id: str, expected: str, fits: Any) -> Mapping[str, Any]:
    async def look() -> Mapping[str, Any]:
        return await stage.run("batch", "status", batch_id)  # type: ignore[no-any-return]

    return await stage.until(expected, look, fits, within_s=30)


def _expect(ended: Mapping[str, Any], *, total: int) -> None:
    """It came to its end, and every record has one row."""
    if ended["state"] != "done" or ended["done"] != total or sum(ended["counts"].values()) != total:
        raise StepFailed(f"expected {total} records to be done, seen {dict(ended)}")
    if ended["counts"].get("failed"):
        raise StepFailed(f"expected no record to fail, seen {_counted(ended)}")


def _counted(ended: Mapping[str, Any]) -> str:
    return ", ".join(f"{count} {word.replace('_', ' ').replace(':', ': ')}" for word, count in ended["counts"].items())
