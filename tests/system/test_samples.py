"""Hint's own published patients, as reads and as webhooks: data that nobody on this project made up."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from hintd.sandbox.hint.webhooks import signature
from hintd.sandbox.samples import sample_patients
from hintd.service.linking import link_by_person
from tests.system.world import Pair, World

pytestmark = [pytest.mark.system, pytest.mark.asyncio(loop_scope="module")]

SAMPLES = Path(__file__).with_name("samples")
OPTIONS = {"samples": SAMPLES}
PATIENTS = {patient["id"]: patient for patient in sample_patients(SAMPLES)}


async def _linked(world: World, patient_id: str) -> Pair:
    """The sample patient and the Contact that somebody typed for it, linked."""
    patient = PATIENTS[patient_id]
    names = {"FirstName": patient["first_name"], "LastName": patient["last_name"], "Birthdate": patient["dob"]}
    shown = (await world.remote.records())["salesforce"]
    contact = next(c for c in shown if all(c[name] == value for name, value in names.items()))
    pair = Pair(world, patient_id, contact["Id"])
    if await pair.link() is None:
        await link_by_person(await world.work(), pair.contact_id, patient_id, person="tester")
    await world.rest()
    await world.later()
    await world.remote.reset_calls()
    return pair


async def _webhook(world: World, kind: str, patient: dict[str, Any]) -> None:
    body = json.dumps({"id": "evt-sample", "type": kind, "practice_id": "pra-sandbox00001", "object": patient}).encode()
    headers = {"Content-Type": "application/json", "X-Hint-Signature": signature("sbx-webhook-secret", body)}
    async with world.remote.session.post(f"{world.public_url}/hint/webhooks", data=body, headers=headers) as got:
        assert got.status == 200


@pytest.mark.parametrize("patient_id", PATIENTS)
async def test_a_published_patient_is_read_linked_and_synced_both_ways(world: World, patient_id: str) -> None:
    pair = await _linked(world, patient_id)
    contact = await pair.contact_shows(Synced_to_Hint__c=True, Hint_Patient_Id__c=patient_id)
    assert contact["Hint_Insurance_Payer__c"] == PATIENTS[patient_id]["health_insurance_payer_name"]
    assert await pair.parked() == []
    await pair.edit_patient(address_city="Albany")
    await pair.contact_shows(MailingCity="Albany")
    await pair.edit_contact(Email="sample@mail.example")
    await pair.patient_shows(email="sample@mail.example")


@pytest.mark.parametrize("patient_id", PATIENTS)
async def test_a_published_patient_as_a_webhook_of_an_old_version_changes_nothing(
    world: World, patient_id: str
) -> None:
    pair = await _linked(world, patient_id)
    before = await pair.contact()
    await _webhook(world, "patient.updated", PATIENTS[patient_id])
    await pair.rests_after(calls=0)
    assert await pair.contact() == before


@pytest.mark.parametrize("patient_id", PATIENTS)
async def test_a_published_patient_as_a_webhook_of_a_new_version_reaches_its_contact(
    world: World, patient_id: str
) -> None:
    pair = await _linked(world, patient_id)
    now = await pair.patient()
    stamp = world.sandbox.clock.now().isoformat()
    await _webhook(
        world, "patient.updated", {**PATIENTS[patient_id], **now, "updated_at": stamp, "address_zip": "12207"}
    )
    await pair.contact_shows(MailingPostalCode="12207")
    await pair.rests_after(calls=1)
