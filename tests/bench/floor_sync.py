"""The floor of syncing, a child process: bare aiohttp and grpc.aio doing the least, both ways, for e-mail only.

A webhook is verified, decoded and written by one composite request (PATCH and the GET that shows what was stored); a
change event is decoded and written by one PATCH.  Nothing is stored, nothing compared but what is known to stand there.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any

import aiohttp
import fastavro
import grpc.aio
import uvloop
from aiohttp import web

from hintd.salesforce.pubsub_api_pb2 import LATEST, FetchRequest, SchemaRequest
from hintd.salesforce.pubsub_api_pb2_grpc import PubSubStub
from tests.bench.processes import options, say

_ROOT = "/services/data/v67.0"
_TOPIC = "/data/ContactChangeEvent"


@dataclass
class Floor:
    session: aiohttp.ClientSession
    url: str
    secret: bytes
    contact_of: dict[str, str]
    token: dict[str, str]
    hint_key: str
    schemas: dict[str, Any] = field(default_factory=dict)
    stands: dict[str, str] = field(default_factory=dict)  # Contact id: the e-mail that both sides hold

    @property
    def patient_of(self) -> dict[str, str]:
        return {contact: patient for patient, contact in self.contact_of.items()}

    async def receive(self, request: web.Request) -> web.Response:
        body = await request.read()
        digest = "sha256=" + hmac.new(self.secret, body, hashlib.sha256).hexdigest()
        if not hmac.compare_digest(digest, request.headers.get("X-Hint-Signature", "")):
            return web.Response(status=401)
        patient = json.loads(body)["object"]
        contact_id, email = self.contact_of[patient["id"]], patient["email"]
        if self.stands.get(contact_id) != email:
            self.stands[contact_id] = email
            await self._write_contact(contact_id, email)
        return web.Response()

    async def _write_contact(self, contact_id: str, email: str) -> None:
        row = f"{_ROOT}/sobjects/Contact/{contact_id}"
        parts = [
            {"method": "PATCH", "url": row, "referenceId": "write", "body": {"Email": email}},
            {"method": "GET", "url": f"{row}?fields=Id,Email,SystemModstamp", "referenceId": "after"},
        ]
        headers = {"Authorization": f"Bearer {self.token['access_token']}", "Sforce-Call-Options": "client=floor"}
        body = {"allOrNone": False, "compositeRequest": parts}
        async with self.session.post(f"{self.url}{_ROOT}/composite", json=body, headers=headers) as got:
            got.raise_for_status()
            await got.json()

    async def _write_patient(self, patient_id: str, email: str) -> None:
        headers = {"Authorization": f"Bearer {self.hint_key}"}
        url = f"{self.url}/api/provider/patients/{patient_id}"
        async with self.session.patch(url, json={"email": email}, headers=headers) as got:
            got.raise_for_status()
            await got.json()

    async def follow(self, address: str) -> None:
        """For ever: what the stream brings goes to Hint, one write at a time per record and all records at once."""
        organization = self.token["id"].split("/")[-2]
        metadata = (
            ("accesstoken", self.token["access_token"]), ("instanceurl", self.url), ("tenantid", organization),
        )  # fmt: skip
        patient_of = self.patient_of
        async with grpc.aio.insecure_channel(address) as channel, asyncio.TaskGroup() as writing:
            stub = PubSubStub(channel)
            call = stub.Subscribe(metadata=metadata)
            await call.write(FetchRequest(topic_name=_TOPIC, replay_preset=LATEST, num_requested=100))
            say({"ready": True})
            async for response in call:
                for event in response.events:
                    contact_id, email = await self._decode(stub, metadata, event.event)
                    if email and self.stands.get(contact_id) != email:
                        self.stands[contact_id] = email
                        writing.create_task(self._write_patient(patient_of[contact_id], email))
                if response.events:
                    await call.write(FetchRequest(num_requested=len(response.events)))

    async def _decode(self, stub: Any, metadata: Any, event: Any) -> tuple[str, str | None]:
        if event.schema_id not in self.schemas:
            answer = await stub.GetSchema(SchemaRequest(schema_id=event.schema_id), metadata=metadata)
            self.schemas[event.schema_id] = fastavro.parse_schema(json.loads(answer.schema_json))
        change: Any = fastavro.schemaless_reader(BytesIO(event.payload), self.schemas[event.schema_id])
        return change["ChangeEventHeader"]["recordIds"][0], change["Email"]


async def serve(asked: dict[str, Any]) -> None:
    async with aiohttp.ClientSession() as session:
        grant = {"grant_type": "client_credentials", "client_id": "sbx-client", "client_secret": "sbx-secret"}
        async with session.post(f"{asked['url']}/services/oauth2/token", data=grant) as got:
            token = await got.json()
        floor = Floor(session, asked["url"], asked["secret"].encode(), asked["contact_of"], token, asked["hint_key"])
        app = web.Application()
        app.router.add_post("/hook", floor.receive)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", asked["port"]).start()
        await floor.follow(asked["grpc"])


if __name__ == "__main__":
    uvloop.run(serve(options()))
