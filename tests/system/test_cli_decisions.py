"""What a person decides, by command line: previewing a link, restoring a value, resolving a parked item, leaving;
and what is left of a command that is killed."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.postgres_server import Databases
from tests.system.command_line import World, clean_environment, open_clinic

pytestmark = pytest.mark.system

ADD = ("connection", "add", "clinic", "--default-account", "Patients", "--hint-code", "sbx-code")


@pytest.fixture(scope="module")
def clinic(databases: Databases, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with open_clinic(databases, tmp_path_factory.mktemp("cli")) as clinic:
        assert clinic.hintd(*ADD).code == 0
        yield clinic


def pair(clinic: World, last_name: str, **patient: str) -> tuple[str, str]:
    """A Contact and a patient of this name, not linked: their ids."""
    contact = {"FirstName": "Ada", "LastName": last_name, "Email": "contact@mail.example", "MailingCity": "Denver"}
    person = {"first_name": "Ada", "last_name": last_name, "dob": "1980-02-03", "email": "patient@mail.example"}
    contact_id = clinic.control("POST", "/contacts", contact)["Id"]
    return contact_id, clinic.control("POST", "/patients", person | patient)["id"]


def test_a_search_tells_who_it_is_and_with_whom_it_is_linked(clinic: World) -> None:
    contact_id, patient_id = pair(clinic, "Lovelace")
    clinic.hintd("link", "create", "clinic", "--contact", contact_id, "--patient", patient_id)
    clinic.control("PATCH", f"/patients/{patient_id}", {"phones": [{"number": "4155550101", "type": "mobile"}]})
    clinic.hintd("link", "create", "clinic", "--contact", contact_id, "--patient", patient_id)  # once more: reads both
    (found,) = clinic.hintd("link", "search", "clinic", "ada lovelase").document["patients"]
    assert found == {
        "patient_id": patient_id,
        "name": "Ada Lovelace",
        "date_of_birth": "1980-02-03",
        "email": "contact@mail.example",
        "phone": "4155550101",
        "linked_contact_id": contact_id,
    }


def test_a_preview_shows_what_linking_would_write_and_writes_nothing(clinic: World) -> None:
    contact_id, patient_id = pair(clinic, "Preview")
    before = clinic.control("GET", "/records")
    wanted = ("link", "create", "clinic", "--contact", contact_id, "--patient", patient_id)
    seen = clinic.hintd(*wanted, "--preview")
    fields = {(f["side"], f["name"]): (f["old"], f["new"]) for f in seen.document["fields"]}
    assert fields["hint", "email"] == ("patient@mail.example", "contact@mail.example")
    assert fields["hint", "city"] == (None, "Denver")
    assert fields["salesforce", "date_of_birth"] == (None, "1980-02-03")
    assert (seen.code, seen.document["hint_writes"], seen.document["salesforce_writes"]) == (0, 1, 1)
    assert clinic.control("GET", "/records") == before
    assert clinic.hintd("link", "show", "clinic", "--contact", contact_id).code == 1
    clinic.hintd(*wanted)
    written = clinic.hintd("link", "history", "clinic", "--contact", contact_id).document["changes"]
    assert {(c["side"], c["field"]) for c in written} == set(fields)


def test_a_value_that_was_given_up_at_linking_is_restored_on_both_sides(clinic: World) -> None:
    contact_id, patient_id = pair(clinic, "Restored")
    ids = ("--contact", contact_id)
    clinic.hintd("link", "create", "clinic", *ids, "--patient", patient_id)
    changes = clinic.hintd("link", "history", "clinic", *ids).document["changes"]
    lost = next(c for c in changes if c["cause"] == "conflict_lost")
    restored = clinic.hintd("link", "restore", "clinic", *ids, "--field", "email", "--at", lost["at"])
    assert (restored.code, restored.document["outcome"]) == (0, "applied")
    assert clinic.contact("Ada", "Restored")["Email"] == "patient@mail.example"
    assert clinic.patient("Ada", "Restored")["email"] == "patient@mail.example"
    newest = clinic.hintd("link", "history", "clinic", *ids).document["changes"][0]
    assert (newest["cause"], newest["old"]) == ("restored", "contact@mail.example")


def test_a_time_at_which_nothing_was_replaced_is_refused_with_the_times(clinic: World) -> None:
    ids = ("--contact", clinic.contact("Ada", "Restored")["Id"])
    refused = clinic.hintd("link", "restore", "clinic", *ids, "--field", "email", "--at", "2001-02-03T04:05:06Z")
    assert refused.code == 3
    assert "conflict_lost" in refused.document["error"]["message"]
    assert "mail.example" not in refused.document["error"]["message"]


# --- parked ---


def contradict(clinic: World, last_name: str) -> None:
    """A Contact that an earlier integration left saying it is a patient's, who names another record."""
    contact_id, patient_id = pair(clinic, last_name)
    clinic.control("PATCH", f"/patients/{patient_id}", {"integration_record_id": f"another {last_name}"})
    claim = {"Synced_to_Hint__c": True, "Hint_Patient_Id__c": patient_id}
    clinic.control("PATCH", f"/contacts/{contact_id}", claim)


@pytest.fixture(scope="module")
def parked(databases: Databases, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A clinic whose connecting has parked the contradictions of two pairs."""
    with open_clinic(databases, tmp_path_factory.mktemp("parked")) as clinic:
        contradict(clinic, "Resolved")
        contradict(clinic, "Dismissed")
        assert clinic.hintd(*ADD).code == 0
        yield clinic


def item_of(clinic: World, last_name: str) -> str:
    contact_id = clinic.contact("Ada", last_name)["Id"]
    items = clinic.hintd("parked", "list").document["items"]
    return str(next(item["id"] for item in items if item["contact_id"] == contact_id))


def test_a_parked_pair_is_linked_by_choice_and_the_patient_wins(parked: World) -> None:
    item, patient = item_of(parked, "Resolved"), parked.patient("Ada", "Resolved")
    chosen = parked.hintd("parked", "resolve", item, "--patient", patient["id"])
    assert (chosen.code, chosen.document["state"], chosen.document["patient_id"]) == (0, "linked", patient["id"])
    assert parked.contact("Ada", "Resolved")["Email"] == "patient@mail.example"
    assert parked.hintd("parked", "show", item).document["state"] == "resolved"
    assert parked.hintd("parked", "resolve", item, "--dismiss").code == 3


def test_a_parked_pair_is_dismissed_and_stays_as_it_is(parked: World) -> None:
    item, before = item_of(parked, "Dismissed"), parked.control("GET", "/records")
    assert parked.hintd("parked", "resolve", item, "--dismiss").document["state"] == "discarded"
    assert parked.control("GET", "/records") == before


@pytest.mark.parametrize(
    "choice",
    [
        pytest.param((), id="none"),
        pytest.param(("--dismiss", "--patient", "pat-1"), id="two"),
    ],
)
def test_resolving_takes_exactly_one_choice(parked: World, choice: tuple[str, ...]) -> None:
    assert parked.hintd("parked", "resolve", "1", *choice).code == 2


# --- leaving, and coming back ---


def test_leaving_keeps_the_records_and_the_links_and_coming_back_goes_on_with_them(clinic: World) -> None:
    contact_id, patient_id = pair(clinic, "Stays")
    clinic.hintd("link", "create", "clinic", "--contact", contact_id, "--patient", patient_id)
    before = clinic.control("GET", "/records")
    batch_id = clinic.hintd("batch", "start", "clinic", "patients-to-contacts").document["batch_id"]
    left = clinic.hintd("connection", "disconnect", "clinic")
    assert (left.code, left.document["hint"]["status"]) == (0, "disconnected")
    assert left.document["aborted_batches"] == [batch_id]
    assert clinic.control("GET", "/records") == before
    assert clinic.hintd("connection", "disconnect", "clinic").code == 0

    refused = clinic.hintd("link", "remove", "clinic", "--contact", contact_id)
    assert (refused.code, refused.document["error"]["kind"]) == (3, "disconnected")
    assert clinic.hintd("link", "show", "clinic", "--contact", contact_id).document["state"] == "linked"

    assert clinic.hintd(*ADD).document["hint"]["status"] == "active"
    assert clinic.hintd("connection", "webhook", "clinic").document["registered"] is True
    assert clinic.hintd("link", "remove", "clinic", "--contact", contact_id).code == 0


def test_coming_back_takes_a_new_code(clinic: World) -> None:
    clinic.hintd("connection", "disconnect", "clinic")
    refused = clinic.hintd(*ADD[:-1], "used-up")
    assert refused.code == 3
    assert "make a new one" in refused.document["error"]["message"]
    assert clinic.hintd(*ADD).code == 0


# --- a command that is killed ---


@pytest.fixture
def impatient(clinic: World, tmp_path: Path) -> World:
    """The same clinic; what a killed command had in hand is free after a second."""
    config = tmp_path / "hintd.toml"
    config.write_text(f"{clinic.config.read_text()}\n[limits]\nlease_s = 1.0\n")
    return World(clinic.url, config)


def until(look: Callable[[], Any], within_s: float = 20.0) -> Any:
    """The first true answer."""
    deadline = time.monotonic() + within_s
    while not (found := look()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return found


def named(clinic: World, last_name: str) -> list[Any]:
    """The patients of this name."""
    return [p for p in clinic.control("GET", "/records")["hint"] if p["last_name"] == last_name]


def slow(clinic: World, remote: str, path: str, delay_s: float) -> None:
    fault = {"remote": remote, "kind": "slow", "method": "POST", "path": path, "delay_s": delay_s}
    clinic.control("POST", "/faults", fault)


def test_a_command_killed_after_its_patient_was_made_makes_no_second_one_when_repeated(impatient: World) -> None:
    clinic = impatient
    contact = clinic.control("POST", "/contacts", {"FirstName": "Ada", "LastName": "Killed"})["Id"]
    wanted = ("link", "create", "clinic", "--contact", contact, "--new-patient")
    command = [sys.executable, "-m", "hintd", *wanted, "--config", str(clinic.config)]
    slow(clinic, "hint", "/patients$", 2)
    with subprocess.Popen(command, env=clean_environment()) as process:
        until(lambda: clinic.contact("Ada", "Killed")["Synced_to_Hint__c"])  # written before the patient is made
        slow(clinic, "salesforce", "composite", 60)
        (made,) = until(lambda: named(clinic, "Killed"))
        process.kill()
    clinic.control("DELETE", "/faults")
    assert clinic.contact("Ada", "Killed")["Hint_Patient_Id__c"] is None
    until(lambda: clinic.hintd(*wanted).code == 0)  # once the lease has ended
    assert [patient["id"] for patient in named(clinic, "Killed")] == [made["id"]]
    shown = clinic.hintd("link", "show", "clinic", "--contact", contact).document
    assert (shown["state"], shown["patient_id"]) == ("linked", made["id"])
    assert clinic.contact("Ada", "Killed")["Hint_Patient_Id__c"] == made["id"]
