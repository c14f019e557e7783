"""README rule 13 over the wire: what a remote does wrong makes work wait or be parked, and nothing is lost."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from hintd.core.errors import RemoteError
from hintd.core.model import LinkState
from hintd.sandbox.changes import HINTD, Change
from hintd.service.linking import LinkingRefused, link_by_person
from tests.system.world import Pair, World, eventually

pytestmark = [pytest.mark.system, pytest.mark.asyncio(loop_scope="module")]

WRITES = {"salesforce": "composite", "hint": "/patients/"}
BUSY = [
    {"errorCode": "REQUEST_LIMIT_EXCEEDED", "message": "ConcurrentRequests (Concurrent API Requests) Limit exceeded."}
]
FAULTS: Mapping[str, Mapping[str, Any]] = {
    "Salesforce down": {"remote": "salesforce", "kind": "status", "status": 503},
    "Salesforce busy": {"remote": "salesforce", "kind": "status", "status": 403, "body": BUSY},
    "Salesforce unreachable": {"remote": "salesforce", "kind": "lost_before", "times": 2},
    "Salesforce talking nonsense": {"remote": "salesforce", "kind": "nonsense", "times": 2},
    "Hint down": {"remote": "hint", "kind": "status", "status": 503, "times": 2},
    "Hint throttling": {"remote": "hint", "kind": "throttle"},
    "Hint unreachable": {"remote": "hint", "kind": "lost_before", "times": 2},
    "Hint talking nonsense": {"remote": "hint", "kind": "nonsense", "times": 2},
}


async def _edit_toward(pair: Pair, remote: str, email: str) -> None:
    """An edit that hintd has to carry to ``remote``."""
    if remote == "salesforce":
        await pair.edit_patient(email=email)
    else:
        await pair.edit_contact(Email=email)


async def _arrives_at(pair: Pair, remote: str, email: str) -> None:
    if remote == "salesforce":
        await pair.contact_shows(Email=email)
    else:
        await pair.patient_shows(email=email)


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
async def test_work_waits_for_a_remote_that_is_not_well_and_goes_on_by_itself(
    world: World, fault: Mapping[str, Any]
) -> None:
    pair, remote = await world.pair(), fault["remote"]
    await world.remote.arm(path=WRITES[remote], **fault)
    await _edit_toward(pair, remote, "waited@mail.example")
    await _arrives_at(pair, remote, "waited@mail.example")
    await world.rest()
    assert await world.remote.send("GET", "/faults") == []
    assert await pair.parked() == []


async def test_changes_of_one_record_that_waited_arrive_in_order(world: World) -> None:
    pair = await world.pair()
    written: list[Any] = []

    def note(change: Change) -> None:
        if change.origin == HINTD and "Email" in change.fields:
            written.append(world.sandbox.salesforce.org.row("Contact", pair.contact_id)["Email"])

    await world.remote.arm("salesforce", "status", status=503, path="composite", times=-1)
    for email in ("a@mail.example", "b@mail.example", "c@mail.example"):
        await pair.edit_patient(email=email)

    async def all_wait() -> bool:
        return await world.waiting() == 3

    await eventually(all_wait, "all three wait")
    stop = world.sandbox.changes.listen(note)
    await world.remote.disarm()
    await pair.contact_shows(Email="c@mail.example")
    await world.rest()
    stop()
    assert written == sorted(set(written)), "none twice, none backwards"
    assert written[-1] == "c@mail.example"


async def test_other_records_go_on_while_one_waits(world: World) -> None:
    stuck, free = await world.pair(), await world.pair()
    await world.remote.arm("hint", "status", status=503, path=stuck.patient_id, times=-1)
    await stuck.edit_contact(Email="stuck@mail.example")
    await free.edit_contact(Email="free@mail.example")
    await free.patient_shows(email="free@mail.example")
    await world.remote.disarm()
    await stuck.patient_shows(email="stuck@mail.example")


async def test_a_locked_row_is_tried_again(world: World) -> None:
    pair = await world.pair()
    await world.remote.arm("save", "lock", path=pair.contact_id, times=2)
    await pair.edit_patient(email="locked@mail.example")
    await pair.contact_shows(Email="locked@mail.example")


# --- refused by a rule of the org or of Hint ---


async def test_a_validation_rule_parks_the_change_in_words_until_a_later_change_mends_it(world: World) -> None:
    pair = await world.pair()
    await world.remote.switch(rules={"reject": {"field": "MailingCity", "contains": "Forbidden"}})
    await pair.edit_patient(address_city="Forbidden City")
    item = await pair.is_parked("refused_by_salesforce")
    assert item.cause == "FIELD_CUSTOM_VALIDATION_EXCEPTION"
    assert item.owner == "salesforce_admin" or item.owner == "clinic"
    assert "does not allow this MailingCity" in item.message
    await world.rest()
    for sentence in (
        (await pair.contact())["Hint_Sync_Error__c"],
        (await pair.patient())["integration_error_message"],
    ):
        assert "FIELD_CUSTOM_VALIDATION_EXCEPTION" in sentence
        assert "Forbidden" not in sentence
    stored = await world.house.database.rows("select message from parked where id = $1", item.id)
    assert b"MailingCity" not in stored[0]["message"]

    await world.later()
    await pair.edit_patient(address_city="Allowed")
    await pair.contact_shows(MailingCity="Allowed", Hint_Sync_Error__c=None)
    await pair.patient_shows(integration_error_message=None)
    await world.rest()
    assert await pair.parked() == []


async def test_a_refused_field_does_not_hold_up_the_others(world: World) -> None:
    pair = await world.pair()
    await world.remote.switch(rules={"reject": {"field": "MailingCity", "contains": "Forbidden"}})
    await pair.edit_patient(address_city="Forbidden City", email="passes@mail.example")
    await pair.contact_shows(Email="passes@mail.example", MailingCity=None)
    await pair.is_parked("refused_by_salesforce")


async def test_a_duplicate_rule_parks_the_change(world: World) -> None:
    pair = await world.pair()
    await world.new_contact(LastName="Owner", Email="taken@mail.example")
    await world.rest()
    await world.remote.switch(rules={"duplicate": {"field": "Email", "block": True}})
    await pair.edit_patient(email="taken@mail.example")
    item = await pair.is_parked("refused_by_salesforce")
    assert item.cause == "DUPLICATES_DETECTED"


async def test_what_hint_refuses_is_parked_and_a_later_change_takes_it_up_again(world: World) -> None:
    pair = await world.pair()
    refusal = {"status": 422, "message": "Validation failed: Email is invalid"}
    await world.remote.arm("hint", "status", status=422, body=refusal, path=pair.patient_id, method="PATCH")
    await pair.edit_contact(Email="refused@mail.example")
    item = await pair.is_parked("refused_by_hint")
    assert "Email is invalid" in item.message
    await world.rest()
    await world.later()
    await pair.edit_contact(MailingCity="Denver")
    await pair.patient_shows(email="refused@mail.example", address_city="Denver")
    await world.rest()
    assert await pair.parked() == []


# --- answers lost after the commit ---


@pytest.mark.parametrize("remote", WRITES)
async def test_a_lost_answer_to_an_update_changes_nothing_twice(world: World, remote: str) -> None:
    pair = await world.pair()
    made: list[Change] = []
    stop = world.sandbox.changes.listen(made.append)
    await world.remote.arm(remote, "lost_after", path=WRITES[remote])
    await _edit_toward(pair, remote, "once@mail.example")
    await _arrives_at(pair, remote, "once@mail.example")
    await world.rest()
    stop()
    name = "Email" if remote == "salesforce" else "email"
    assert len([c for c in made if c.origin == HINTD and c.side == remote and name in c.fields]) == 1
    assert [entry.cause for entry in await pair.history(name.lower())][:1] != ["conflict_lost"]


async def test_a_lost_answer_to_creating_a_patient_makes_no_second_one(world: World) -> None:
    contact = await world.lone_contact(FirstName="Only", Email="only@mail.example")
    before = len((await world.remote.records())["hint"])
    await world.remote.arm("hint", "lost_after", path="/patients$", method="POST")
    with pytest.raises(RemoteError):
        await link_by_person(await world.work(), contact.contact_id, None, person="tester")

    async def finished() -> bool:
        link = await contact.link()
        return link is not None and link.state is LinkState.LINKED

    await eventually(finished, "the attempt is finished by its own events")
    with pytest.raises(LinkingRefused):
        await link_by_person(await world.work(), contact.contact_id, None, person="tester")
    await world.rest()
    assert len((await world.remote.records())["hint"]) == before + 1
    patient = await world.patient((await contact.linked()).patient_id)
    assert (patient["integration_record_id"], patient["email"]) == (contact.contact_id, "only@mail.example")
