"""The example answers that Hint publishes, read as patients to seed from."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

PUBLISHED = Path(__file__).with_name("published")
"""Copies of the example answers for Show Patient and List All Patients in Hint's public API reference, as of 2026."""

_READ_ONLY_OF_PARTNER = ("integration_sync_status", "integration_last_synced_at")


def sample_patients(directory: Path) -> list[dict[str, Any]]:
    """Every patient in the directory's JSON files, in the order of the file names.

    The published examples use one id for all; a repeated one gets a letter of its own, for they differ otherwise.
    """
    found: dict[str, dict[str, Any]] = {}
    for file in sorted(directory.rglob("*.json")):
        for patient in _patients_in(msgspec.json.decode(file.read_bytes())):
            patient_id = patient["id"]
            while patient_id in found:
                patient_id = patient_id[:-1] + chr(ord(patient_id[-1]) + 1)
            found[patient_id] = patient | {"id": patient_id}
    return list(found.values())


def _patients_in(document: Any) -> Iterator[dict[str, Any]]:
    for each in document if isinstance(document, list) else [document]:
        if isinstance(each, dict) and str(each.get("id", "")).startswith("pat-"):
            yield {name: value for name, value in each.items() if name not in _READ_ONLY_OF_PARTNER}
