"""Every way to go wrong has a status, a word and a sentence; what nobody foresaw has an id."""

from __future__ import annotations

from typing import Any

import pytest
from structlog.testing import capture_logs

from hintd.core.batch import BatchState, CommandRefused
from hintd.core.contact_list import UnreadableFile
from hintd.core.errors import CredentialsRefused, Misconfigured, Refusal, Refused, RemoteDown, Retryable
from hintd.core.model import Link, LinkState, Owner, Side
from hintd.ports import AlreadyLinked, BatchRunning, BusDown, FenceLost, NameTaken, NoSuchBatch, StoreDown
from hintd.sealing import CannotUnseal
from hintd.service.batches import BatchRefused, BatchUnclear
from hintd.service.exchange import RecordGone
from hintd.service.linking import LinkingRefused
from hintd.web.desk import AgainstRule, TooLarge, Unknown, Unusable
from tests.fakes.desk import CONTACT, NOON, World, a_batch
from tests.web.conftest import Caller

LINKS = "/connections/north/links"
BATCHES = "/connections/north/batches"

FORESEEN: list[tuple[Exception, int, str]] = [
    (Unusable("That makes no sense.", "usage"), 400, "usage"),
    (UnreadableFile("The file has no id."), 400, "unreadable_file"),
    (Unknown("There is no such link.", "not_linked"), 404, "not_linked"),
    (NoSuchBatch("There is no batch bat-9."), 404, "unknown_batch"),
    (AgainstRule("It is closed.", "closed"), 409, "closed"),
    (LinkingRefused("The patient is linked."), 409, "refused"),
    (CommandRefused("The batch is done."), 409, "refused"),
    (BatchRefused("A batch from the Contacts needs a file."), 409, "refused"),
    (BatchUnclear("A batch of the Contacts needs a file."), 400, "usage"),
    (NameTaken("another connection is named north"), 409, "name_taken"),
    (AlreadyLinked(Link(1, 1, CONTACT, "pat-1", LinkState.LINKED, NOON, "match")), 409, "linked_already"),
    (BatchRunning("bat-1"), 409, "batch_running"),
    (FenceLost(), 409, "in_hand"),
    (RecordGone(Side.HINT), 409, "record_gone"),
    (Refused(Refusal("REQUIRED_FIELD_MISSING", "a value", Owner.CLINIC)), 409, "refused_by_remote"),
    (TooLarge("The file is too large.", "too_large"), 413, "too_large"),
    (CredentialsRefused("Hint refuses the token."), 502, "credentials_refused"),
    (Misconfigured("A field is missing."), 502, "misconfigured"),
    (Retryable("Hint did not answer."), 503, "remote_down"),
    (RemoteDown("Hint throttles."), 503, "remote_down"),
    (StoreDown(), 503, "postgres_down"),
    (BusDown(), 503, "bus_down"),
    (CannotUnseal("A stored body cannot be unsealed"), 500, "cannot_unseal"),
    (ExceptionGroup("a task group's", [StoreDown()]), 503, "postgres_down"),
]


@pytest.mark.parametrize(("error", "status", "code"), FORESEEN, ids=[type(row[0]).__name__ for row in FORESEEN])
async def test_foreseen_error_is_a_sentence(
    api: Caller, world: World, error: Exception, status: int, code: str
) -> None:
    world.trouble = error
    with capture_logs() as lines:
        reply = await api.get("/connections")
    assert reply.error == (status, code)
    assert reply.json["error"]["message"].endswith(".")
    assert "a value" not in reply.body.decode()
    assert lines == []


async def test_ids_stand_beside_the_message(api: Caller, world: World) -> None:
    world.trouble = Unknown("There is no such link.", "not_linked", contact_id=CONTACT, patient_id=None)
    error = (await api.get("/connections")).json["error"]
    assert error == {"code": "not_linked", "message": "There is no such link.", "contact_id": CONTACT}


async def test_unforeseen_error_tells_an_id_and_no_value(api: Caller, world: World) -> None:
    world.trouble = KeyError("Secretname")
    with capture_logs() as lines:
        reply = await api.get("/connections/north/patients", text="Secretname")
    assert reply.error == (500, "bug")
    assert "Secretname" not in reply.body.decode()
    (line,) = lines
    assert line["error"] in reply.json["error"]["message"]
    assert line["path"] == "/api/v1/connections/{name}/patients"


UNKNOWN = [
    ("GET", "/connections/south", "unknown_connection"),
    ("GET", "/connections/south/patients?text=a", "unknown_connection"),
    ("GET", "/parked?connection=south", "unknown_connection"),
    ("GET", "/log?connection=south", "unknown_connection"),
    ("GET", "/connections/south/batches", "unknown_connection"),
    ("GET", f"{LINKS}?patient_id=pat-9", "not_linked"),
    ("GET", "/batches/bat-9", "unknown_batch"),
    ("POST", "/batches/bat-9/abort", "unknown_batch"),
    ("GET", "/batches/bat-9/results", "unknown_batch"),
    ("GET", "/batches/bat-9/results.csv", "unknown_batch"),
    ("GET", "/batches/bat-9/events", "unknown_batch"),
    ("GET", "/parked/8", "unknown_item"),
    ("GET", "/nothing/here", "unknown_path"),
]


@pytest.mark.parametrize(("method", "path", "code"), UNKNOWN)
async def test_what_is_not_there_is_404(api: Caller, method: str, path: str, code: str) -> None:
    assert (await api.ask(method, path)).error == (404, code)


@pytest.mark.parametrize("item_id", ["eight", "-7", "\u0667", "9" * 19], ids=["word", "negative", "arabic", "long"])
async def test_item_that_is_no_number_is_not_even_looked_for(api: Caller, world: World, item_id: str) -> None:
    world.trouble = StoreDown()
    assert (await api.get(f"/parked/{item_id}")).error == (404, "unknown_item")


async def test_wrong_method_is_told_as_such(api: Caller) -> None:
    assert (await api.ask("PUT", "/connections")).error == (405, "unknown_method")


async def test_command_that_does_not_fit_is_refused(api: Caller, world: World) -> None:
    world.batches["bat-1"] = a_batch("bat-1", state=BatchState.DONE)
    reply = await api.post("/batches/bat-1/pause")
    assert reply.error == (409, "refused")
    assert "bat-1" in reply.json["error"]["message"]


BAD_QUERIES = {
    "unknown": (f"{BATCHES}?colour=red", "colour"),
    "on a route without any": ("/connections?colour=red", "colour"),
    "missing": ("/connections/north/patients", "text"),
    "no number": (f"{BATCHES}?limit=many", "limit"),
    "too small": (f"{BATCHES}?limit=0", "limit"),
    "too large": (f"{BATCHES}?limit=1001", "limit"),
    "not of the list": ("/log?level=loud", "level"),
    "time without a zone": ("/log?since=2026-11-22T12:00:00", "since"),
    "beyond all numbers": ("/log?after=99999999999999999999", "after"),
    "neither record": (LINKS, "either"),
    "both records": (f"{LINKS}?contact_id={CONTACT}&patient_id=pat-1", "either"),
    "no Contact id": (f"{LINKS}?contact_id=001000000000001AAA", "Contact id"),
    "wrong check letters": (f"{LINKS}?contact_id=003000000000001BBB", "Contact id"),
}


@pytest.mark.parametrize(("path", "named"), BAD_QUERIES.values(), ids=BAD_QUERIES.keys())
async def test_bad_query_is_refused_by_name(api: Caller, path: str, named: str) -> None:
    reply = await api.get(path)
    assert reply.error == (400, "usage")
    assert named in reply.json["error"]["message"]


BAD_BODIES = {
    "unknown field": (BATCHES, {"direction": "patients-to-contacts", "colour": "red"}, "colour"),
    "missing field": (BATCHES, {}, "direction"),
    "wrong word": (BATCHES, {"direction": "sideways"}, "direction"),
    "wrong kind": (BATCHES, {"direction": "patients-to-contacts", "include_archived": "yes"}, "include_archived"),
    "no object": (BATCHES, [1], "object"),
    "neither patient nor new": (LINKS, {"contact_id": CONTACT}, "either"),
    "both patient and new": (LINKS, {"contact_id": CONTACT, "patient_id": "pat-1", "new_patient": True}, "either"),
    "no Contact id": (LINKS, {"contact_id": "x", "patient_id": "pat-1"}, "Contact id"),
    "empty id": (LINKS, {"contact_id": CONTACT, "patient_id": ""}, "patient_id"),
    "nothing chosen": ("/parked/7/resolve", {}, "either"),
    "chosen and dismissed": ("/parked/7/resolve", {"contact_id": CONTACT, "dismiss": True}, "either"),
    "no Contact chosen": ("/parked/7/resolve", {"contact_id": "x"}, "Contact id"),
    "time without a zone": (f"{LINKS}/{CONTACT}/restore", {"field": "email", "at": "2026-11-22T12:00:00"}, "at"),
}


@pytest.mark.parametrize(("path", "body", "named"), BAD_BODIES.values(), ids=BAD_BODIES.keys())
async def test_bad_body_is_refused_by_name(api: Caller, world: World, path: str, body: Any, named: str) -> None:
    reply = await api.post(path, body)
    assert reply.error == (400, "usage")
    assert named in reply.json["error"]["message"]
    assert world.done == []


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b'{"direction": "\xff"}'], ids=["empty", "cut", "bytes", "text"])
async def test_body_that_is_no_json_is_refused(api: Caller, body: bytes) -> None:
    reply = await api.ask("POST", BATCHES, data=body, headers={"Content-Type": "application/json"})
    assert reply.error == (400, "usage")


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "text/json"])
async def test_body_of_another_type_is_refused(api: Caller, world: World, kind: str) -> None:
    body = b'{"direction": "patients-to-contacts"}'
    reply = await api.ask("POST", BATCHES, data=body, headers={"Content-Type": kind})
    assert reply.error == (400, "not_json")
    assert world.done == []


async def test_json_beyond_the_limit_is_refused(api: Caller) -> None:
    body = b'{"direction": "patients-to-contacts"}'
    headers = {"Content-Type": "application/json"}
    assert (await api.ask("POST", BATCHES, data=body.ljust(2_000), headers=headers)).status == 202
    assert (await api.ask("POST", BATCHES, data=body.ljust(2_001), headers=headers)).error == (413, "too_large")
