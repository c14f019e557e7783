"""People of every kind that a batch tells apart, and what stood when a batch over them had ended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hintd.service.linking import unlink_by_person
from tests.system.batches import TO_CONTACTS, TO_PATIENTS, Ended, report, run_batch
from tests.system.command_line import Result
from tests.system.world import PRACTICE, Pair, World, someone

UNKNOWN_CONTACT = "003Kd0000000zzzIAA"
ACCOUNT = "001Kd00000000001AA"
RULE = {"reject": {"field": "LastName", "contains": "Forbidden"}}

People = Mapping[str, Pair]


@dataclass(frozen=True)
class Scene:
    """After the end of a batch and the settling of its echoes.  ``contacts``: by id; ``verified``: what
    ``hintd verify`` says."""

    people: People
    ended: Ended
    contacts: Mapping[str, Any]
    verified: Result

    def end_of(self, who: str) -> str:
        pair = self.people[who]
        from_patients = self.ended.status["direction"] == TO_CONTACTS
        return self.ended.ends()[pair.patient_id if from_patients else pair.contact_id]


async def patients_scene(world: World) -> Scene:
    """Everybody in a batch from the patients."""
    people = await _patients(world)
    return await _run(world, people, TO_CONTACTS, "--create-unmatched", "--include-archived")


async def contacts_scene(world: World, directory: Path) -> Scene:
    """Everybody in a batch from the Contacts of a file with a byte order mark in UTF-16 and semicolons; its first id
    has 15 characters and comes again."""
    people = await _contacts(world)
    ids = [pair.contact_id for pair in people.values()]
    file = report(directory, ids[0][:15], *ids[1:], ids[0], ACCOUNT, encoding="utf-16", separator=";")
    return await _run(world, people, TO_PATIENTS, "--csv", file, "--create-unmatched")


async def _run(world: World, people: People, direction: str, *more: str) -> Scene:
    await world.rest()
    await world.remote.switch(rules=RULE)
    ended = await run_batch(world, direction, *more)
    await world.rest()
    await world.remote.switch(rules={})
    contacts = {contact["Id"]: contact for contact in (await world.remote.records())["salesforce"]}
    return Scene(people, ended, contacts, await world.hintd("verify", PRACTICE))


# --- people -----------------------------------------------------------------------------------------------------------


async def _patients(world: World) -> People:
    agreeing, edited = await world.pair(), await world.pair(patient={"email": "hint@mail.example"})
    people = {
        "exactly one Contact matches": await world.strangers(
            {"email": "hint@mail.example", "health_insurance_payer_name": "Blue Harbor"},
            {"Email": "org@mail.example", "MailingCity": "Denver"},
        ),
        "nobody matches": await _patient(world),
        "linked, and edited unseen": edited,
        "linked, and in agreement": agreeing,
        "two Contacts match": await _with_namesake(await world.strangers()),
        "the match is another's": await _namesake_of(agreeing),
        "a person parted the two": await _parted(world),
        "no date of birth": await _patient(world, dob=None),
        "merged into another": await _merged(await _patient(world), agreeing),
        "the org's rule forbids it": await _patient(world, last_name="Forbidden"),
        "the Contact was deleted": await _deleted(await world.pair()),
    }
    await world.unseen(edited, Email="org@mail.example", MailingCity="Boise")
    return people


async def _contacts(world: World) -> People:
    linked = await world.pair()
    rival = await world.strangers()
    await _namesake_of(rival)
    return {
        "exactly one patient matches": await world.strangers(
            {"email": "hint@mail.example", "address_zip": "94110"},
            {"Email": "org@mail.example", "MailingCity": "Denver"},
        ),
        "nobody matches": await world.lone_contact(),
        "linked already": linked,
        "two patients match": rival,
        "the match is another's": await _with_namesake(linked),
        "a person parted the two": await _parted(world),
        "no date of birth": await world.lone_contact(Birthdate=None),
        "a person account": await _person_account(world),
        "the org's rule forbids it": await world.strangers({"last_name": "Forbiddena"}, {"LastName": "Forbiddena"}),
        "the Contact was deleted": await _deleted(await world.strangers()),
        "nobody knows the id": Pair(world, "", UNKNOWN_CONTACT),
    }


async def _patient(world: World, **fields: Any) -> Pair:
    return Pair(world, await world.new_patient(**(someone() | fields)), "")


async def _with_namesake(pair: Pair) -> Pair:
    """The patient, and another Contact of the same name and date of birth."""
    contact = await pair.contact()
    same = {name: contact[name] for name in ("FirstName", "LastName", "Birthdate")}
    return Pair(pair.world, pair.patient_id, await pair.world.new_contact(**same))


async def _namesake_of(pair: Pair) -> Pair:
    """The Contact, and another patient of the same name and date of birth."""
    patient = await pair.patient()
    same = {name: patient[name] for name in ("first_name", "last_name", "dob")}
    return Pair(pair.world, await pair.world.new_patient(**same), pair.contact_id)


async def _parted(world: World) -> Pair:
    pair = await world.pair()
    await unlink_by_person(await world.work(), pair.contact_id, person="tester")
    return pair


async def _merged(loser: Pair, winner: Pair) -> Pair:
    await loser.world.remote.send("POST", f"/patients/{loser.patient_id}/merge", {"into": winner.patient_id})
    return loser


async def _deleted(pair: Pair) -> Pair:
    """Its Contact, and hintd is not told."""
    await pair.world.remote.switch(change_capture=False)
    await pair.world.remote.send("DELETE", f"/contacts/{pair.contact_id}")
    await pair.world.remote.switch(change_capture=True)
    return pair


async def _person_account(world: World) -> Pair:
    pair, org = await world.lone_contact(), world.sandbox.salesforce.org
    org.put("Contact", pair.contact_id, {**org.row("Contact", pair.contact_id), "IsPersonAccount": True})
    return pair
