"""``hintd batch`` by command line, beside no daemon: what is asked for is queued, steered and told."""

from __future__ import annotations

import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.postgres_server import Databases
from tests.system.command_line import World, clean_environment, open_clinic

pytestmark = pytest.mark.system

TO_CONTACTS, TO_PATIENTS = "patients-to-contacts", "contacts-to-patients"


@pytest.fixture(scope="module")
def connected(databases: Databases, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with open_clinic(databases, tmp_path_factory.mktemp("cli")) as clinic:
        added = clinic.hintd("connection", "add", "clinic", "--default-account", "P", "--hint-code", "sbx-code")
        assert added.code == 0
        yield clinic


@pytest.fixture
def clinic(connected: World) -> Iterator[World]:
    """With no batch that has not ended, before and after."""
    yield connected
    for batch in connected.hintd("batch", "list", "clinic").document["batches"]:
        if batch["state"] not in ("aborted", "done", "failed"):
            connected.hintd("batch", "abort", batch["batch_id"])


def start(clinic: World, *more: str) -> str:
    started = clinic.hintd("batch", "start", "clinic", *more)
    assert started.code == 0, started.err
    return str(started.document["batch_id"])


def file_of(clinic: World, directory: Path, *lines: str) -> str:
    """A report's file of all Contacts, and these lines."""
    ids = [contact["Id"] for contact in clinic.control("GET", "/records")["salesforce"]]
    file = directory / "report.csv"
    file.write_text("\n".join(('"Contact ID","Full Name"', *(f'"{each}","Somebody"' for each in ids), *lines)))
    return str(file)


def test_a_batch_has_its_id_at_once_and_waits_for_a_worker(clinic: World) -> None:
    batch_id = start(clinic, TO_CONTACTS)
    assert batch_id.startswith("bat-")
    shown = clinic.hintd("batch", "status", batch_id).document
    assert (shown["state"], shown["kind"], shown["direction"]) == ("queued", "run", TO_CONTACTS)
    assert (shown["connection"], shown["done"], shown["total"], shown["counts"]) == ("clinic", 0, None, {})
    assert batch_id in [each["batch_id"] for each in clinic.hintd("batch", "list", "clinic").document["batches"]]


def test_a_second_batch_is_refused_with_the_id_of_the_first_and_a_preview_is_not(clinic: World) -> None:
    batch_id = start(clinic, TO_CONTACTS)
    refused = clinic.hintd("batch", "start", "clinic", TO_CONTACTS)
    assert (refused.code, refused.document["error"]["kind"]) == (3, "batch_running")
    assert refused.document["error"]["batch_id"] == batch_id
    assert clinic.hintd("batch", "preview", "clinic", TO_CONTACTS).code == 0


def test_a_batch_is_paused_resumed_and_aborted(clinic: World) -> None:
    batch_id = start(clinic, TO_CONTACTS)
    states = [clinic.hintd("batch", what, batch_id).document["state"] for what in ("pause", "resume", "abort")]
    assert states == ["paused", "queued", "aborted"]
    refused = clinic.hintd("batch", "resume", batch_id)
    assert refused.code == 3
    assert "aborted already" in refused.document["error"]["message"]


def test_the_file_of_contacts_is_stored_and_its_other_lines_are_no_error(clinic: World, tmp_path: Path) -> None:
    file = file_of(clinic, tmp_path, '"Confidential Information"')
    assert start(clinic, TO_PATIENTS, "--csv", file)


def test_a_file_without_a_contact_id_is_refused_with_a_sentence_and_nothing_is_queued(
    clinic: World, tmp_path: Path
) -> None:
    file = tmp_path / "empty.csv"
    file.write_text("Name\nJane Doe\n")
    refused = clinic.hintd("batch", "start", "clinic", TO_PATIENTS, "--csv", str(file))
    assert (refused.code, refused.document["error"]["kind"]) == (2, "unreadable_file")
    assert "Jane" not in refused.document["error"]["message"]
    assert clinic.hintd("batch", "start", "clinic", TO_CONTACTS).code == 0


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        pytest.param(("start", "clinic", TO_PATIENTS), 2, "--csv FILE", id="no file"),
        pytest.param(("start", "clinic", TO_CONTACTS, "--csv", __file__), 2, TO_PATIENTS, id="file of no use"),
        pytest.param(
            ("start", "clinic", TO_PATIENTS, "--csv", __file__, "--include-archived"), 2, TO_CONTACTS, id="archived"
        ),
        pytest.param(("start", "clinic", TO_CONTACTS, "--from-preview", "bat-0"), 4, "bat-0", id="unknown preview"),
        pytest.param(("status", "bat-0"), 4, "bat-0", id="unknown batch"),
        pytest.param(("results", "bat-0"), 4, "bat-0", id="results of an unknown batch"),
    ],
)
def test_what_cannot_be_done_is_a_sentence_with_a_code(
    clinic: World, arguments: tuple[str, ...], code: int, told: str
) -> None:
    failed = clinic.hintd("batch", *arguments)
    assert failed.code == code
    assert told in failed.document["error"]["message"]


def test_a_batch_follows_only_a_preview_of_its_own_direction_that_is_done(clinic: World, tmp_path: Path) -> None:
    file = file_of(clinic, tmp_path)
    preview = clinic.hintd("batch", "preview", "clinic", TO_PATIENTS, "--csv", file).document["batch_id"]
    refused = clinic.hintd("batch", "start", "clinic", TO_CONTACTS, "--from-preview", preview)
    assert refused.code == 3
    assert TO_CONTACTS in refused.document["error"]["message"]
    early = clinic.hintd("batch", "start", "clinic", TO_PATIENTS, "--from-preview", preview)
    assert early.code == 3
    assert f"{preview} is queued" in early.document["error"]["message"]


def test_results_are_a_page_on_the_screen_and_a_csv_file_that_only_its_owner_reads(
    clinic: World, tmp_path: Path
) -> None:
    batch_id = start(clinic, TO_CONTACTS)
    page = clinic.hintd("batch", "results", batch_id, "--outcome", "failed").document
    assert page == {"batch_id": batch_id, "rows": [], "next": None}
    file = tmp_path / "results.csv"
    assert clinic.hintd("batch", "results", batch_id, "--csv", str(file)).document["rows"] == 0
    assert file.read_text().startswith("position,contact_id,patient_id,outcome")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


@contextmanager
def waiting(clinic: World) -> Iterator[subprocess.Popen[str]]:
    """A batch that is waited for; its first line was told."""
    command = [sys.executable, "-m", "hintd", "batch", "start", "clinic", TO_CONTACTS, "--wait"]
    with subprocess.Popen(
        [*command, "--config", str(clinic.config)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=clean_environment(),
    ) as process:
        assert process.stderr is not None
        assert "queued" in process.stderr.readline()
        yield process
        process.kill()


def newest(clinic: World) -> tuple[str, str]:
    shown = clinic.hintd("batch", "list", "clinic").document["batches"][0]
    return shown["batch_id"], shown["state"]


def test_ctrl_c_stops_waiting_and_not_the_batch_and_says_so(clinic: World) -> None:
    with waiting(clinic) as process:
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=20)
    batch_id, state = newest(clinic)
    assert (process.returncode, state) == (130, "queued")
    assert f"batch {batch_id} goes on" in told


def test_waiting_ends_with_the_batch_and_one_that_was_aborted_is_not_done(clinic: World) -> None:
    with waiting(clinic) as process:
        batch_id, _ = newest(clinic)
        clinic.hintd("batch", "abort", batch_id)
        shown, told = process.communicate(timeout=20)
    assert process.returncode == 1
    assert f"{batch_id} aborted" in shown
    assert "aborted" in told
