"""What each route asks of the desk, and what it answers."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime
from typing import Any

import pytest

from hintd.core.batch import BatchKind, BatchRow, Command, Direction, RowOutcome
from hintd.core.model import Side
from hintd.ports import Level, LogFilter
from hintd.service.batches import BatchRequest
from hintd.service.restoring import Wanted
from tests.fakes.desk import CHANGE, CONTACT, ITEM_ID, NOON, PATIENT, World, a_batch
from tests.web.conftest import Caller

LINKS = "/connections/north/links"
BATCHES = "/connections/north/batches"
SHORT_ID = CONTACT[:15]


async def test_connections_are_listed_and_shown(api: Caller) -> None:
    listed = await api.get("/connections")
    shown = await api.get("/connections/north")
    assert (listed.status, shown.status) == (200, 200)
    assert listed.json["connections"] == [shown.json]
    assert shown.json["practice"] == {"id": "pra-1", "name": "North Clinic"}


async def test_answers_are_kept_by_nobody(api: Caller) -> None:
    headers = (await api.get("/connections")).headers
    assert headers["Cache-Control"] == "no-store"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert "Access-Control-Allow-Origin" not in headers


async def test_patients_are_searched_by_name(api: Caller, world: World) -> None:
    found = await api.get("/connections/north/patients", text="Ada By", limit=5)
    assert [patient["patient_id"] for patient in found.json["patients"]] == [PATIENT]
    assert world.done == [("search", "Ada By", 5)]


@pytest.mark.parametrize("named", [{"contact_id": SHORT_ID}, {"patient_id": PATIENT}], ids=["Contact", "patient"])
async def test_link_is_shown_and_explained_by_either_record(api: Caller, named: dict[str, str]) -> None:
    assert (await api.get(LINKS, **named)).json["fields"][0]["state"] == "equal"
    assert (await api.get(f"{LINKS}/explanation", **named)).json["decision"] == "match"


async def test_history_is_told_with_values_and_causes(api: Caller) -> None:
    (change,) = (await api.get(f"{LINKS}/{CONTACT}/history")).json["changes"]
    assert (change["field"], change["old"], change["cause"]) == (CHANGE.field, CHANGE.old, CHANGE.cause)


@pytest.mark.parametrize(
    ("more", "patient_id", "take_over"),
    [
        ({"patient_id": "pat-2"}, "pat-2", False),
        ({"patient_id": "pat-2", "take_over": True}, "pat-2", True),
        ({"new_patient": True}, None, False),
    ],
    ids=["with a patient", "taken over", "with a new one"],
)
async def test_contact_is_linked(
    api: Caller, world: World, more: dict[str, Any], patient_id: str | None, take_over: bool
) -> None:
    reply = await api.post(LINKS, {"contact_id": SHORT_ID, **more})
    assert (reply.status, reply.json["outcome"]) == (200, "applied")
    assert world.done == [("link", CONTACT, patient_id, take_over, "api")]


async def test_preview_of_a_link_links_nothing(api: Caller, world: World) -> None:
    wish = {"contact_id": CONTACT, "patient_id": "pat-2", "take_over": True}
    told = (await api.post(f"{LINKS}/preview", wish)).json
    assert told["fields"] == [{"name": "email", "side": "hint", "old": CHANGE.old, "new": CHANGE.new}]
    assert told["unlinks"] == [{"contact_id": CONTACT, "patient_id": PATIENT}]
    assert world.done == []


async def test_contact_is_unlinked(api: Caller, world: World) -> None:
    reply = await api.ask("DELETE", f"{LINKS}/{SHORT_ID}")
    assert (reply.status, reply.json["state"]) == (200, "unlinked")
    assert world.done == [("unlink", CONTACT, "api")]


@pytest.mark.parametrize(("body", "released"), [({}, ["email"]), ({"field": "city"}, ["city"])], ids=["all", "one"])
async def test_frozen_fields_are_released(api: Caller, body: dict[str, str], released: list[str]) -> None:
    assert (await api.post(f"{LINKS}/{CONTACT}/unfreeze", body)).json["released"] == released


async def test_value_is_restored_from_its_place_in_the_history(api: Caller, world: World) -> None:
    body = {"field": "email", "at": "2026-11-22T12:00:00Z", "side": "hint"}
    assert (await api.post(f"{LINKS}/{CONTACT}/restore", body)).json["reason"] == "restored"
    assert world.done == [("restore", Wanted("email", NOON, Side.HINT), "api")]


async def test_parked_items_are_listed_and_shown(api: Caller) -> None:
    listed = await api.get("/parked", connection="north")
    assert listed.json["items"] == [(await api.get(f"/parked/{ITEM_ID}")).json]


@pytest.mark.parametrize(
    ("act", "body", "done"),
    [
        ("retry", ..., ("retry", "api")),
        ("discard", ..., ("discard", "api")),
        ("resolve", {"contact_id": SHORT_ID}, ("choose", CONTACT, None, False, "api")),
        ("resolve", {"patient_id": "pat-2", "take_over": True}, ("choose", None, "pat-2", True, "api")),
        ("resolve", {"dismiss": True}, ("dismiss", "api")),
    ],
)
async def test_parked_item_is_settled_once(
    api: Caller, world: World, act: str, body: Any, done: tuple[object, ...]
) -> None:
    path = f"/parked/{ITEM_ID}/{act}"
    assert (await api.post(path, body)).status == 200
    assert (await api.post(path, body)).error == (409, "closed")
    assert world.done == [done]


async def test_log_is_read_by_what_is_asked_for(api: Caller, world: World) -> None:
    query: dict[str, str | int] = {
        "connection": "north",
        "level": "error",
        "record": PATIENT,
        "batch": "bat-1",
        "limit": 3,
        "after": 8,
    }
    reply = await api.get("/log", since="2026-11-22T12:00:00+02:00", **query)
    assert reply.json["entries"][0]["what"] == "linked"
    since = datetime(2026, 11, 22, 10, 0, tzinfo=UTC)
    assert world.done == [("log", "north", LogFilter(Level.ERROR, PATIENT, "bat-1", since, 8, 3))]


@pytest.mark.parametrize(
    ("path", "kind"), [(BATCHES, BatchKind.RUN), (f"{BATCHES}/preview", BatchKind.PREVIEW)], ids=["run", "preview"]
)
async def test_batch_is_started_as_asked(api: Caller, world: World, path: str, kind: BatchKind) -> None:
    body = {"direction": "contacts-to-patients", "create_unmatched": True, "upload_id": "upl-1", "request_id": "req-1"}
    reply = await api.post(path, body)
    assert reply.status == 202
    assert list(world.batches) == [reply.json["batch_id"]]
    request = BatchRequest(
        kind, Direction.CONTACTS_TO_PATIENTS, "api", "req-1", create_unmatched=True, upload_id="upl-1"
    )
    assert world.done == [("batch", request)]


async def test_requests_without_an_id_are_told_apart(api: Caller, world: World) -> None:
    for _ in range(2):
        await api.post(f"{BATCHES}/preview", {"direction": "patients-to-contacts"})
    first, second = (request.request_id for _, request in world.done)
    assert first != second


async def test_second_batch_is_refused_with_the_id_of_the_first(api: Caller) -> None:
    body = {"direction": "patients-to-contacts"}
    first = (await api.post(BATCHES, body)).json["batch_id"]
    second = await api.post(BATCHES, body)
    assert second.error == (409, "batch_running")
    assert second.json["error"]["batch_id"] == first
    assert (await api.post(f"{BATCHES}/preview", body)).status == 202


async def test_batches_are_listed_the_newest_first(api: Caller, world: World) -> None:
    world.batches = {"bat-1": a_batch("bat-1"), "bat-2": a_batch("bat-2", BatchKind.PREVIEW)}
    listed = (await api.get(BATCHES)).json["batches"]
    assert [(batch["batch_id"], batch["kind"]) for batch in listed] == [("bat-2", "preview"), ("bat-1", "run")]
    assert listed[0] == (await api.get("/batches/bat-2")).json


@pytest.mark.parametrize(
    ("word", "state"), [(Command.PAUSE, "paused"), (Command.RESUME, "queued"), (Command.ABORT, "aborted")]
)
async def test_batch_obeys(api: Caller, world: World, word: Command, state: str) -> None:
    world.batches["bat-1"] = a_batch("bat-1")
    reply = await api.post(f"/batches/bat-1/{word}")
    assert (reply.status, reply.json["state"]) == (200, state)
    assert world.done == [(word, "bat-1")]


def rows(count: int) -> list[BatchRow]:
    return [BatchRow(n, CONTACT, f"pat-{n}", RowOutcome.UNCHANGED) for n in range(1, count + 1)]


async def test_results_are_paged(api: Caller, world: World) -> None:
    world.batches["bat-1"] = a_batch("bat-1")
    world.rows["bat-1"] = rows(3)
    first = (await api.get("/batches/bat-1/results", limit=2)).json
    assert ([row["patient_id"] for row in first["rows"]], first["next"]) == (["pat-1", "pat-2"], 2)
    last = (await api.get("/batches/bat-1/results", limit=2, after=first["next"])).json
    assert ([row["patient_id"] for row in last["rows"]], last["next"]) == (["pat-3"], None)


async def test_results_of_one_outcome(api: Caller, world: World) -> None:
    world.batches["bat-1"] = a_batch("bat-1")
    world.rows["bat-1"] = [*rows(1), BatchRow(2, None, None, RowOutcome.IGNORED_LINE)]
    told = (await api.get("/batches/bat-1/results", outcome="ignored_line")).json
    assert [row["position"] for row in told["rows"]] == [2]
    file = await api.get("/batches/bat-1/results.csv", outcome="ignored_line")
    assert len(file.body.splitlines()) == 2


@pytest.mark.parametrize("count", [0, 1, 1000, 1001, 2500])
async def test_csv_has_every_row_below_one_header(api: Caller, world: World, count: int) -> None:
    world.batches["bat-1"] = a_batch("bat-1")
    world.rows["bat-1"] = rows(count)
    reply = await api.get("/batches/bat-1/results.csv")
    assert reply.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert reply.headers["Content-Disposition"] == 'attachment; filename="bat-1.csv"'
    read = list(csv.DictReader(io.StringIO(reply.body.decode())))
    assert [row["patient_id"] for row in read] == [f"pat-{n}" for n in range(1, count + 1)]
