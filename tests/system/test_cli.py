"""The command line as people and scripts use it: real processes, a real Postgres, the sandbox over the wire."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hintd.composition import open_house
from hintd.config import load_config
from hintd.core.model import Change, Notice, Owner, Side, Source
from hintd.ports import Queue, ToPark
from hintd.service.envelope import pack_notice
from tests.postgres_server import Databases
from tests.private_rabbit import free_port
from tests.system.command_line import KEY, Result, World, clean_environment, hintd, open_clinic

pytestmark = pytest.mark.system

NOWHERE = "postgresql://nobody@127.0.0.1:1/none"


@pytest.fixture(scope="module")
def bare(databases: Databases, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Nothing is connected yet; an earlier integration has left links and contradictions behind."""
    with open_clinic(databases, tmp_path_factory.mktemp("cli")) as clinic:
        leave_links(clinic)
        yield clinic


def leave_links(clinic: World) -> None:
    """Zoë agrees, Anne-Marie's patient names another record, Lucía's patient is nowhere."""
    zoe, anne = clinic.patient("Zoë", "Brontë"), clinic.patient("Anne-Marie", "Smith-Jones")
    clinic.control("PATCH", f"/patients/{anne['id']}", {"integration_record_id": "something else"})
    for contact, patient_id in (
        (clinic.contact("Zoë", "Bronte"), zoe["id"]),
        (clinic.contact("Anne-Marie", "Smith Jones"), anne["id"]),
        (clinic.contact("Lucía", "Delacruz"), "pat-nowhere"),
    ):
        claim = {"Synced_to_Hint__c": True, "Hint_Patient_Id__c": patient_id}
        clinic.control("PATCH", f"/contacts/{contact['Id']}", claim)


ADD = ("connection", "add", "clinic", "--default-account", "The practice's patients", "--hint-code")


@pytest.fixture(scope="module")
def added(bare: World) -> Result:
    return bare.hintd(*ADD, "sbx-code")


@pytest.fixture(scope="module")
def clinic(bare: World, added: Result) -> World:
    assert added.code == 0, added.err
    return bare


# --- connecting ---


def test_adding_a_connection_tells_both_sides_and_what_was_read(clinic: World, added: Result) -> None:
    document = added.document
    assert document["name"] == "clinic"
    assert document["practice"]["name"] == "Sandbox Family Medicine"
    assert document["organization"]["id"].startswith("00D")
    assert document["hint"] == {
        "status": "active",
        "webhook_url": "http://127.0.0.1:8080/hint/webhooks",
        "last_event_at": None,
    }
    assert document["records"] == {"hint": 37, "salesforce": 37}
    assert document["settings"]["create_unmatched_contacts"] is False
    assert document["settings"]["sync_new_patients"] == "auto"
    assert document["missing_fields"] == []


def test_links_of_an_earlier_integration_are_taken_over_and_contradictions_parked(clinic: World, added: Result) -> None:
    adoption = added.document["adopted"]
    assert adoption["adopted"] == 1
    assert {c["cause"] for c in adoption["contradictions"]} == {"patient_names_another", "patient_not_found"}
    shown = clinic.hintd("link", "show", "clinic", "--contact", clinic.contact("Zoë", "Bronte")["Id"]).document
    assert (shown["state"], shown["linked_by"]) == ("linked", "adopted")
    states = {field["name"]: field["state"] for field in shown["fields"]}
    assert (states["first_name"], states["last_name"]) == ("equal", "accepted")


def test_adopting_writes_nothing(clinic: World) -> None:
    assert clinic.contact("Zoë", "Bronte")["LastName"] == "Bronte"
    assert clinic.patient("Zoë", "Brontë")["last_name"] == "Brontë"


def test_adding_again_keeps_the_settings_and_adopts_nothing_twice(clinic: World) -> None:
    clinic.hintd("connection", "set", "clinic", "sync_new_patients=on")
    again = clinic.hintd(*ADD, "sbx-code")
    assert again.code == 0
    assert again.document["settings"]["sync_new_patients"] == "on"
    assert again.document["adopted"] is None


def test_a_code_that_was_used_up_goes_on_with_the_stored_token(clinic: World) -> None:
    assert clinic.hintd(*ADD, "used-up").code == 0


def test_a_wrong_code_of_a_new_connection_is_refused_with_what_to_do(clinic: World) -> None:
    refused = clinic.hintd("connection", "add", "other", "--default-account", "x", "--hint-code", "wrong")
    assert refused.code == 3
    assert "Admin → Integrations" in refused.document["error"]["message"]


def test_an_org_without_the_link_fields_is_refused_before_the_code_is_used(clinic: World) -> None:
    clinic.control("POST", "/salesforce/switches", {"missing_fields": ["Hint_Patient_Id__c"]})
    clinic.control("POST", "/calls/reset")
    refused = clinic.hintd("connection", "add", "other", "--default-account", "x", "--hint-code", "sbx-code")
    clinic.control("POST", "/salesforce/switches", {"missing_fields": []})
    assert refused.code == 3
    assert "Hint_Patient_Id__c" in refused.document["error"]["message"]
    assert clinic.control("GET", "/calls")["hint"]["total"] == 0


def test_settings_are_on_and_off_on_the_command_line_and_booleans_in_json(clinic: World) -> None:
    clinic.hintd("connection", "set", "clinic", "create_unmatched_contacts=on", "sync_new_patients=false")
    settings = clinic.hintd("connection", "show", "clinic").document["settings"]
    assert (settings["create_unmatched_contacts"], settings["sync_new_patients"]) == (True, "off")
    clinic.hintd("connection", "set", "clinic", "create_unmatched_contacts=off", "sync_new_patients=auto")


def test_the_webhook_can_be_moved_and_is_shown(clinic: World) -> None:
    moved = clinic.hintd("connection", "webhook", "clinic", "--set", "http://127.0.0.1:9/elsewhere").document
    assert (moved["webhook_url"], moved["registered"]) == ("http://127.0.0.1:9/elsewhere", True)
    back = clinic.hintd("connection", "webhook", "clinic", "--set", "http://127.0.0.1:8080/hint/webhooks").document
    assert back["all_registered"] == ["http://127.0.0.1:8080/hint/webhooks"]


def test_check_finds_nothing_wrong_with_what_was_just_connected(clinic: World) -> None:
    checked = clinic.hintd("check")
    assert [check for check in checked.document["checks"] if not check["ok"]] == []
    assert (checked.code, checked.document["ok"]) == (0, True)
    assert "clinic: change stream" in [check["name"] for check in checked.document["checks"]]


def test_check_tells_a_webhook_that_is_not_below_public_url(clinic: World) -> None:
    clinic.hintd("connection", "webhook", "clinic", "--set", "http://127.0.0.1:9/elsewhere")
    checks = clinic.hintd("check").document["checks"]
    clinic.hintd("connection", "webhook", "clinic", "--set", "http://127.0.0.1:8080/hint/webhooks")
    found = next(check for check in checks if check["name"] == "clinic: webhook")
    assert "elsewhere" in found["message"]
    assert "public_url" in found["remedy"]


# --- links ---


def test_a_link_is_found_made_shown_and_undone(clinic: World) -> None:
    patient, contact = clinic.patient("Maeve", "O'Brien"), clinic.contact("Maeve", "O Brien")
    ids = ("--contact", contact["Id"])
    found = clinic.hintd("link", "search", "clinic", "obrien").document["patients"]
    assert [p["patient_id"] for p in found] == [patient["id"]]
    explained = clinic.hintd("link", "explain", "clinic", "--patient", patient["id"]).document
    assert (explained["decision"], explained["candidates"][0]["id"]) == ("match", contact["Id"])
    assert {gate["name"]: gate["passed"] for gate in explained["gates"]}["newer_than_connection"] is False
    made = clinic.hintd("link", "create", "clinic", *ids, "--patient", patient["id"])
    assert (made.code, made.document["state"]) == (0, "linked")
    assert clinic.patient("Maeve", "O Brien")["integration_record_id"] == contact["Id"]
    changes = clinic.hintd("link", "history", "clinic", *ids).document["changes"]
    assert {"field": "last_name", "side": "hint", "old": "O'Brien", "new": "O Brien"}.items() <= next(
        c for c in changes if c["field"] == "last_name" and c["cause"] == "linked"
    ).items()
    assert clinic.hintd("link", "remove", "clinic", *ids).document["state"] == "unlinked"
    assert clinic.hintd("link", "show", "clinic", *ids).code == 1
    gates = clinic.hintd("link", "explain", "clinic", "--patient", patient["id"]).document["gates"]
    assert {gate["name"]: gate["passed"] for gate in gates}["not_unlinked_by_person"] is False


def test_a_patient_linked_elsewhere_is_refused_until_it_is_taken_over(clinic: World) -> None:
    patient = clinic.patient("Zoë", "Brontë")
    other = clinic.control("POST", "/contacts", {"FirstName": "Zoë", "LastName": "Brontë"})["Id"]
    wanted = ("link", "create", "clinic", "--contact", other, "--patient", patient["id"])
    refused = clinic.hintd(*wanted)
    assert refused.code == 3
    assert clinic.contact("Zoë", "Bronte")["Id"] in refused.document["error"]["message"]
    assert clinic.hintd(*wanted, "--take-over").document["state"] == "linked"
    mine = clinic.contact("Zoë", "Bronte")["Id"]
    clinic.hintd("link", "create", "clinic", "--contact", mine, "--patient", patient["id"], "--take-over")


def test_a_new_patient_is_made_once(clinic: World) -> None:
    contact = clinic.control("POST", "/contacts", {"FirstName": "Nora", "LastName": "Fresh", "Birthdate": "1990-01-02"})
    wanted = ("link", "create", "clinic", "--contact", contact["Id"], "--new-patient")
    made = clinic.hintd(*wanted)
    assert made.document["patient_id"] == clinic.patient("Nora", "Fresh")["id"]
    again = clinic.hintd(*wanted)
    assert again.code == 3
    assert made.document["patient_id"] in again.document["error"]["message"]


def test_verify_counts_every_pair_once(clinic: World) -> None:
    seen = clinic.hintd("verify", "clinic").document
    assert seen["pairs"] == seen["equal"] + seen["accepted"] + seen["different"]
    assert (seen["different"], seen["missing_in_hint"], seen["missing_in_salesforce"]) == (0, [], [])


def test_sweep_tells_what_it_looked_at_by_side(clinic: World) -> None:
    swept = clinic.hintd("sweep", "clinic").document["swept"]
    assert [one["side"] for one in swept] == ["hint", "salesforce"]


# --- parked and log ---


def test_parked_items_are_shown_and_closed(clinic: World) -> None:
    items = clinic.hintd("parked", "list", "--connection", "clinic").document["items"]
    item = next(i for i in items if i["cause"] == "patient_not_found")
    assert (item["kind"], item["owner"], item["patient_id"]) == ("adoption", "clinic", "pat-nowhere")
    assert clinic.hintd("parked", "retry", str(item["id"])).document["state"] == "resolved"
    closed = clinic.hintd("parked", "discard", str(item["id"]))
    assert (closed.code, closed.document["error"]["kind"]) == (3, "closed")
    assert clinic.hintd("parked", "show", str(item["id"])).document["state"] == "resolved"


async def park_messages(config: Path) -> dict[str, int]:
    """A notice that failed for good, settled under its id, and a message that is none: their waiting count before."""
    async with open_house(load_config(config, {})) as house:
        patient = Notice(
            "n1", Source.WEBHOOK, "pra-sandbox00001", Side.HINT, "pat-x", Change.CHANGED, None, house.now()
        )
        body, parking = pack_notice(patient, house.keys.seal), house.stores.parking
        failed = ToPark("failed", "exception", Owner.ON_CALL, "failed", None, "pat-x", body)
        await parking.park_message(None, failed, "n1", house.now())
        unreadable = ToPark("unreadable_message", "bad_envelope", Owner.ON_CALL, "unreadable", body=b"no notice")
        await parking.park_message(None, unreadable, None, house.now())
        return {item.kind: item.id for item in await parking.items()}


async def waiting_bodies(config: Path) -> list[bytes]:
    async with (
        open_house(load_config(config, {})) as house,
        house.bus.consume(Queue.CHANGES, prefetch=50) as deliveries,
    ):
        bodies = []
        for _ in range((await house.bus.waiting())[Queue.CHANGES]):
            delivery = await anext(deliveries)
            bodies.append(delivery.body)
            await delivery.ack()
        return bodies


def test_a_parked_message_is_retried_under_a_new_id_so_that_it_is_settled_again(clinic: World) -> None:
    asyncio.run(waiting_bodies(clinic.config))
    ids = asyncio.run(park_messages(clinic.config))
    for kind in ("failed", "unreadable_message"):
        assert clinic.hintd("parked", "retry", str(ids[kind])).code == 0
    notice, other = asyncio.run(waiting_bodies(clinic.config))
    assert b'"pat-x"' in notice
    assert b'"n1"' not in notice
    assert other == b"no notice"


def test_the_log_is_filtered_by_record(clinic: World) -> None:
    contact_id = clinic.contact("Maeve", "O Brien")["Id"]
    entries = clinic.hintd("log", "--record", contact_id, "--since", "1h").document["entries"]
    assert {entry["contact_id"] for entry in entries} <= {contact_id}
    assert clinic.hintd("log", "--since", "tomorrow-ish").code == 2


def test_unfreezing_what_is_not_frozen_does_nothing(clinic: World) -> None:
    contact_id = clinic.contact("Zoë", "Bronte")["Id"]
    assert clinic.hintd("link", "unfreeze", "clinic", "--contact", contact_id).document["released"] == []


# --- errors ---


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        pytest.param(("link", "show", "nobody", "--patient", "p"), 1, "clinic", id="unknown connection"),
        pytest.param(("link", "show", "clinic", "--contact", "12"), 2, "no Contact id", id="no Contact id"),
        pytest.param(("link", "show", "clinic"), 2, "--contact ID or --patient ID", id="no record"),
        pytest.param(("link", "explain", "clinic", "--patient", "pat-none"), 1, "pat-none", id="unknown record"),
        pytest.param(("connection", "set", "clinic", "create=yes"), 2, "create_unmatched_contacts", id="setting"),
        pytest.param(("parked", "show", "999999"), 1, "999999", id="unknown item"),
        pytest.param(("batches",), 2, "batches", id="unknown command"),
    ],
)
def test_errors_are_sentences_with_a_code(clinic: World, arguments: tuple[str, ...], code: int, told: str) -> None:
    failed = clinic.hintd(*arguments)
    assert failed.code == code
    assert told in failed.document["error"]["message"]
    assert told in failed.err


@pytest.mark.parametrize(
    ("text", "code", "kind", "told"),
    [
        pytest.param("[hint]\nurl = ''", 2, "bad_config", "[hint]", id="bad configuration"),
        pytest.param(f"[postgres]\ndsn = '{NOWHERE}'\n{KEY}", 4, "postgres_down", "[postgres] dsn", id="no Postgres"),
        pytest.param("[service]\ndata_dir = '/dev/null/below'", 1, "system", "/dev/null", id="no place for the server"),
    ],
)
def test_what_is_missing_is_told_without_a_traceback(
    tmp_path: Path, text: str, code: int, kind: str, told: str
) -> None:
    config = tmp_path / "hintd.toml"
    config.write_text(text)
    failed = hintd("connection", "list", config=config)
    assert (failed.code, failed.document["error"]["kind"]) == (code, kind)
    assert told in failed.document["error"]["message"]


def test_a_remote_that_is_down_is_code_4(clinic: World, tmp_path: Path) -> None:
    config = tmp_path / "hintd.toml"
    config.write_text(clinic.config.read_text().replace(clinic.url, f"http://127.0.0.1:{free_port()}"))
    failed = hintd("verify", "clinic", config=config)
    assert (failed.code, failed.document["error"]["kind"]) == (4, "remote_down")


def test_check_with_postgres_down_still_answers_with_its_list(tmp_path: Path) -> None:
    config = tmp_path / "hintd.toml"
    config.write_text(f"[postgres]\ndsn = '{NOWHERE}'\n[hint]\npartner_key = 'k'\nwebhook_secret = 's'\n")
    checked = hintd("check", config=config)
    assert checked.code == 1
    assert [(c["name"], c["ok"]) for c in checked.document["checks"]] == [("configuration", True), ("Postgres", False)]


def test_every_command_explains_itself() -> None:
    shown = subprocess.run([sys.executable, "-m", "hintd", "link", "show", "--help"], capture_output=True, text=True)
    assert shown.returncode == 0
    assert "--config" in shown.stdout
    assert "accepted" in shown.stdout


# --- the daemon and the demo ---


def test_run_stops_with_0_on_sigterm(clinic: World) -> None:
    command = [sys.executable, "-m", "hintd", "run", "--config", str(clinic.config)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=clean_environment()) as process:
        assert process.stderr is not None
        next(line for line in process.stderr if json.loads(line)["event"] == "started")
        process.send_signal(signal.SIGTERM)
        assert process.wait(40) == 0


def test_the_demo_goes_well() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "hintd", "demo", "--once", "--json"],
        capture_output=True,
        text=True,
        env=clean_environment(),
        timeout=110,
    )
    steps = json.loads(done.stdout)["steps"]
    assert [step["sentence"] for step in steps if not step["ok"]] == []
    assert done.returncode == 0
