"""README rule 11 over the wire: connecting, and the links that an earlier integration left."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

from hintd.composition import House, open_house
from hintd.core.model import Side
from hintd.service.connecting import ConnectingRefused
from tests.private_rabbit import free_port
from tests.system.world import PRACTICE, Remote, configure, connect, environment, running_sandbox, someone

pytestmark = pytest.mark.system

EMBEDDED = ""


@asynccontextmanager
async def _before_connecting(dsn: str, **config: str) -> AsyncIterator[tuple[Remote, House]]:
    """``config``: environment variables of hintd."""
    async with (
        running_sandbox() as sandbox,
        open_house(configure(environment(sandbox, dsn, EMBEDDED, (free_port(), free_port())) | config)) as house,
        aiohttp.ClientSession() as session,
    ):
        yield Remote(session, sandbox.url), house


async def _earlier_link(remote: Remote, named: str | None = None, **contact: Any) -> tuple[str, str]:
    """A Contact that says it is a patient's; ``named``: what the patient says of itself."""
    person = someone()
    patient_id = (await remote.send("POST", "/patients", person | {"integration_record_id": named}))["id"]
    claim = {"LastName": person["last_name"], "Synced_to_Hint__c": True, "Hint_Patient_Id__c": patient_id}
    return (await remote.send("POST", "/contacts", claim | contact))["Id"], patient_id


async def test_links_of_an_earlier_integration_are_taken_over_and_nothing_is_written(store_dsn: str) -> None:
    async with _before_connecting(store_dsn) as (remote, house):
        contact_id, patient_id = await _earlier_link(remote, FirstName="Spelt otherwise")
        before = await remote.records()
        connection = await connect(house)
        link = await house.stores.links.find(connection.id, Side.SALESFORCE, contact_id)
        assert link is not None
        assert (link.patient_id, link.linked_by, link.state) == (patient_id, "adopted", "linked")
        assert await remote.records() == before


async def test_an_org_of_many_contacts_is_read_by_one_bulk_job(store_dsn: str) -> None:
    async with _before_connecting(store_dsn, HINTD_LIMITS__BULK_FROM="2") as (remote, house):
        contact_id, patient_id = await _earlier_link(remote)
        await _earlier_link(remote)
        await remote.reset_calls()
        connection = await connect(house)
        calls = await remote.calls()
        read = (calls["GET /queryAll"], calls["POST /jobs/query"], calls["GET /jobs/query/{id}/results"])
        link = await house.stores.links.find(connection.id, Side.SALESFORCE, contact_id)
        assert (read, link and link.patient_id) == ((1, 1, 1), patient_id)


async def test_a_contradiction_is_parked_and_no_link(store_dsn: str) -> None:
    async with _before_connecting(store_dsn) as (remote, house):
        contact_id, patient_id = await _earlier_link(remote, named="003000000000001AAA")
        connection = await connect(house)
        assert await house.stores.links.find(connection.id, Side.SALESFORCE, contact_id) is None
        (item,) = await house.stores.parking.items(connection.id)
        assert (item.kind, item.cause, item.contact_id) == ("adoption", "patient_names_another", contact_id)
        assert item.patient_id == patient_id


async def test_what_connecting_leaves_is_the_token_sealed_and_one_webhook(store_dsn: str) -> None:
    async with _before_connecting(store_dsn) as (_, house):
        connection = await connect(house)
        assert connection.webhook["url"].endswith("/hint/webhooks")
        assert connection.default_account_id is not None
        stored = await house.database.rows("select secrets from connection")
        assert connection.secrets["hint_token"].encode() not in stored[0]["secrets"]
        assert connection.secrets["hint_token"] not in repr(connection)


async def test_connecting_again_keeps_the_connection(store_dsn: str) -> None:
    async with _before_connecting(store_dsn) as (_, house):
        first = await connect(house)
        again = await connect(house)
        assert (again.id, again.created_at, again.webhook) == (first.id, first.created_at, first.webhook)


@pytest.mark.parametrize("missing", ["Synced_to_Hint__c", "Hint_Patient_Id__c"])
async def test_an_org_without_the_link_fields_is_refused_with_what_to_deploy(store_dsn: str, missing: str) -> None:
    async with _before_connecting(store_dsn) as (remote, house):
        await remote.switch(missing_fields=[missing])
        with pytest.raises(ConnectingRefused, match=f"{missing}.*deploy"):
            await connect(house)
        assert await house.stores.connections.by_name(PRACTICE) is None


async def test_other_missing_fields_are_left_out(store_dsn: str) -> None:
    async with _before_connecting(store_dsn) as (remote, house):
        await remote.switch(missing_fields=["MiddleName", "Hint_Sync_Error__c"])
        work = await house.work(await connect(house))
        assert "middle_name" in work.book.missing
