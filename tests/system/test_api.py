"""The operator's API over the wire: hintd as it runs, asked for one thing of every kind."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from hintd.core.model import Owner
from hintd.ports import Settlement, ToPark
from tests.system.world import Pair, World, eventually

pytestmark = [pytest.mark.system, pytest.mark.asyncio(loop_scope="module")]

TOKEN = "a token for tests"
OPTIONS = {"config": {"HINTD_SERVICE__API_TOKEN": TOKEN, "HINTD_LIMITS__LEASE_S": "4"}}
MAIN = "/connections/main"


@dataclass(frozen=True)
class Api:
    """``world`` as who bears the token sees it."""

    world: World

    async def ask(self, method: str, path: str, body: Any = None, *, token: str = TOKEN) -> tuple[int, Any]:
        async with self._request(method, path, json=body, token=token) as got:
            return got.status, await got.json()

    async def get(self, path: str) -> Any:
        status, document = await self.ask("GET", path)
        assert status == 200, document
        return document

    async def post(self, path: str, body: Any = None) -> Any:
        status, document = await self.ask("POST", path, body)
        assert status < 300, document
        return document

    async def send(self, path: str, content: bytes) -> tuple[int, Any]:
        async with self._request("POST", path, data=content) as got:
            return got.status, await got.json()

    async def text(self, path: str) -> str:
        async with self._request("GET", path) as got:
            return str(await got.text())

    def _request(self, method: str, path: str, *, token: str = TOKEN, **more: Any) -> Any:
        headers = {"Authorization": f"Bearer {token}"}
        return self.world.remote.session.request(
            method, f"{self.world.operator_url}/api/v1{path}", headers=headers, **more
        )


@pytest.fixture
def api(world: World) -> Api:
    return Api(world)


async def park(world: World, pair: Pair) -> int:
    """A contradiction that an earlier integration left: the item's id."""
    item = ToPark("adoption", "patient_names_another", Owner.CLINIC, "They differ.", pair.contact_id, pair.patient_id)
    await world.house.stores.links.settle(Settlement(world.connection.id, world.house.now(), park=(item,)))
    return (await pair.is_parked("adoption")).id


# --- who may ask ---


@pytest.mark.parametrize("token", ["", "another"], ids=["none", "wrong"])
async def test_without_the_token_nothing_is_told(api: Api, token: str) -> None:
    status, document = await api.ask("GET", "/connections", token=token)
    assert (status, document["error"]["code"]) == (401, "no_token")


# --- connections ---


async def test_a_connection_shows_how_both_sides_stand(api: Api, world: World) -> None:
    pair = await world.pair()
    await pair.edit_patient(email="new@mail.example")
    await pair.contact_shows(Email="new@mail.example")
    await world.rest()

    async def streaming() -> Any:
        shown = await api.get(MAIN)
        return shown if shown["salesforce"]["lag_s"] is not None else None

    shown = await eventually(streaming, "the stream's mode and lag are told")
    assert (shown["name"], shown["hint"]["status"], shown["salesforce"]["mode"]) == ("main", "active", "stream")
    assert shown["hint"]["webhook_url"].startswith(world.public_url)
    assert shown["hint"]["last_event_at"] is not None
    assert shown["salesforce"]["lag_s"] >= 0
    assert (await api.get("/connections"))["connections"][0]["name"] == "main"


async def test_what_is_not_there_is_told_by_a_word_and_a_sentence(api: Api) -> None:
    for path, code in (
        ("/connections/south", "unknown_connection"),
        (f"{MAIN}/links?patient_id=pat-0", "not_linked"),
        (f"{MAIN}/links/explanation?patient_id=pat-0", "unknown_record"),
        ("/batches/bat-0", "unknown_batch"),
        ("/parked/999999", "unknown_item"),
    ):
        status, document = await api.ask("GET", path)
        assert (status, document["error"]["code"]) == (404, code)


# --- links ---


async def test_a_contact_is_previewed_linked_looked_at_and_unlinked(api: Api, world: World) -> None:
    pair = await world.strangers(contact={"Email": "contact@mail.example"})
    await world.rest()
    last_name = (await pair.patient())["last_name"]
    patients = (await api.get(f"{MAIN}/patients?text={last_name}"))["patients"]
    assert (patients[0]["patient_id"], patients[0]["linked_contact_id"]) == (pair.patient_id, None)
    explained = await api.get(f"{MAIN}/links/explanation?patient_id={pair.patient_id}")
    assert (explained["decision"], explained["candidates"][0]["id"]) == ("match", pair.contact_id)

    wanted = {"contact_id": pair.contact_id, "patient_id": pair.patient_id}
    seen = await api.post(f"{MAIN}/links/preview", wanted)
    assert ("hint", "email") in {(field["side"], field["name"]) for field in seen["fields"]}
    assert await pair.link() is None

    linked = await api.post(f"{MAIN}/links", wanted)
    assert (linked["state"], linked["patient_id"]) == ("linked", pair.patient_id)
    await pair.patient_shows(email="contact@mail.example")
    await world.rest()
    shown = await api.get(f"{MAIN}/links?contact_id={pair.contact_id}")
    assert ("email", "equal") in {(field["name"], field["state"]) for field in shown["fields"]}
    history = await api.get(f"{MAIN}/links/{pair.contact_id}/history")
    assert "email" in {change["field"] for change in history["changes"]}
    assert (await api.post(f"{MAIN}/links/{pair.contact_id}/unfreeze", {}))["released"] == []

    status, parted = await api.ask("DELETE", f"{MAIN}/links/{pair.contact_id}")
    assert (status, parted["state"]) == (200, "unlinked")
    assert await pair.link() is None


async def test_a_taken_patient_is_refused_until_taking_over_is_confirmed(api: Api, world: World) -> None:
    former = await world.pair()
    other = Pair(world, former.patient_id, (await world.lone_contact()).contact_id)
    wanted = {"contact_id": other.contact_id, "patient_id": former.patient_id}
    status, refused = await api.ask("POST", f"{MAIN}/links", wanted)
    assert (status, refused["error"]["code"]) == (409, "refused")
    assert former.contact_id in refused["error"]["message"]
    await api.post(f"{MAIN}/links", {**wanted, "take_over": True})
    assert (await other.linked()).patient_id == former.patient_id


async def test_a_value_that_was_given_up_is_restored(api: Api, world: World) -> None:
    pair = await world.strangers(patient={"email": "lost@mail.example"}, contact={"Email": "won@mail.example"})
    await api.post(f"{MAIN}/links", {"contact_id": pair.contact_id, "patient_id": pair.patient_id})
    await world.rest()
    changes = (await api.get(f"{MAIN}/links/{pair.contact_id}/history"))["changes"]
    lost = next(change for change in changes if change["cause"] == "conflict_lost")
    restored = await api.post(f"{MAIN}/links/{pair.contact_id}/restore", {"field": "email", "at": lost["at"]})
    assert restored["outcome"] == "applied"
    await pair.contact_shows(Email="lost@mail.example")


# --- parked items and the log ---


async def test_a_parked_item_is_resolved_by_choice_and_then_closed(api: Api, world: World) -> None:
    pair = await world.strangers()
    item_id = await park(world, pair)
    assert item_id in [item["id"] for item in (await api.get("/parked?connection=main"))["items"]]
    end = await api.post(f"/parked/{item_id}/resolve", {"contact_id": pair.contact_id})
    assert (end["state"], end["link"]["state"]) == ("resolved", "linked")
    assert (await pair.linked()).patient_id == pair.patient_id
    status, closed = await api.ask("POST", f"/parked/{item_id}/retry")
    assert (status, closed["error"]["code"]) == (409, "closed")


async def test_a_parked_item_is_taken_up_again_and_the_log_says_by_whom(api: Api, world: World) -> None:
    pair = await world.pair()
    item_id = await park(world, pair)
    assert (await api.post(f"/parked/{item_id}/retry"))["state"] == "resolved"
    told = [entry["message"] for entry in (await api.get(f"/log?record={pair.contact_id}"))["entries"]]
    assert f"api had parked item {item_id} taken up again" in told


async def test_discarded_and_dismissed_items_leave_their_records_alone(api: Api, world: World) -> None:
    discarded, dismissed = await world.strangers(), await world.strangers()
    assert (await api.post(f"/parked/{await park(world, discarded)}/discard"))["state"] == "discarded"
    end = await api.post(f"/parked/{await park(world, dismissed)}/resolve", {"dismiss": True})
    assert end["state"] == "discarded"
    assert (await discarded.link(), await dismissed.link()) == (None, None)


async def test_the_log_is_read_on_behind_an_entry(api: Api, world: World) -> None:
    await world.pair()
    newest = (await api.get("/log?connection=main&limit=2"))["entries"]
    assert len(newest) == 2
    behind = (await api.get(f"/log?connection=main&after={newest[0]['id']}&limit=1"))["entries"]
    assert behind == newest[1:]


# --- batches ---


async def ended(api: Api, batch_id: str) -> Any:
    async def look() -> Any:
        batch = await api.get(f"/batches/{batch_id}")
        return batch if batch["state"] == "done" else None

    return await eventually(look, f"{batch_id} is done")


async def test_a_file_of_contacts_is_previewed_and_run_and_its_results_are_read(api: Api, world: World) -> None:
    pair = await world.strangers()
    await world.rest()
    status, upload = await api.send(f"{MAIN}/uploads", f'"Contact ID"\n"{pair.contact_id}"\n'.encode())
    assert (status, upload["ids"]) == (201, 1)
    wanted = {"direction": "contacts-to-patients"}
    previewed = await api.post(f"{MAIN}/batches/preview", {**wanted, "upload_id": upload["upload_id"]})
    await ended(api, previewed["batch_id"])
    assert await pair.link() is None

    started = await api.post(f"{MAIN}/batches", {**wanted, "from_preview": previewed["batch_id"]})
    assert (await ended(api, started["batch_id"]))["counts"] == {"linked": 1}
    (row,) = (await api.get(f"/batches/{started['batch_id']}/results"))["rows"]
    assert (row["outcome"], row["contact_id"], row["patient_id"]) == ("linked", pair.contact_id, pair.patient_id)
    assert pair.contact_id in await api.text(f"/batches/{started['batch_id']}/results.csv")
    assert '"state":"done"' in await api.text(f"/batches/{started['batch_id']}/events")
    batches = [batch["batch_id"] for batch in (await api.get(f"{MAIN}/batches"))["batches"]]
    assert batches[:2] == [started["batch_id"], previewed["batch_id"]]


async def test_a_batch_that_is_done_takes_no_command(api: Api, world: World) -> None:
    upload = (await api.send(f"{MAIN}/uploads", (await world.lone_contact()).contact_id.encode()))[1]
    wanted = {"direction": "contacts-to-patients", "upload_id": upload["upload_id"]}
    batch_id = (await api.post(f"{MAIN}/batches", wanted))["batch_id"]
    assert (await ended(api, batch_id))["counts"] == {"skipped:no_match": 1}
    status, refused = await api.ask("POST", f"/batches/{batch_id}/abort")
    assert (status, refused["error"]["code"]) == (409, "refused")


@pytest.mark.parametrize(
    ("wanted", "status", "code"),
    [
        pytest.param({"direction": "contacts-to-patients"}, 400, "usage", id="no Contacts"),
        pytest.param({"direction": "patients-to-contacts", "upload_id": "upl-0"}, 400, "usage", id="file of no use"),
        pytest.param({"direction": "contacts-to-patients", "upload_id": "upl-0"}, 409, "refused", id="unknown file"),
        pytest.param(
            {"direction": "patients-to-contacts", "from_preview": "bat-0"}, 404, "unknown_batch", id="unknown preview"
        ),
    ],
)
async def test_a_batch_that_cannot_be_is_refused(api: Api, wanted: Any, status: int, code: str) -> None:
    got, document = await api.ask("POST", f"{MAIN}/batches", wanted)
    assert (got, document["error"]["code"]) == (status, code)


async def test_a_file_without_a_contact_id_is_refused(api: Api) -> None:
    status, document = await api.send(f"{MAIN}/uploads", b"Name\nJane Doe\n")
    assert (status, document["error"]["code"]) == (400, "unreadable_file")
    assert "Jane" not in document["error"]["message"]
