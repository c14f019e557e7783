"""A sandbox org on real ports, with no seeded people, and the plainest clients for it."""

from __future__ import annotations

import io
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import aiohttp
import fastavro
import grpc.aio
from aiohttp import web

from hintd.sandbox import pubsub_api_pb2 as pb
from hintd.sandbox import pubsub_api_pb2_grpc as stubs
from hintd.sandbox.changes import Change, Changes
from hintd.sandbox.clock import Clock
from hintd.sandbox.faults import Faults, with_faults
from hintd.sandbox.options import Options, Settings
from hintd.sandbox.salesforce.side import SalesforceSide

TOPIC = "/data/ContactChangeEvent"


@dataclass(frozen=True)
class Reply:
    status: int
    body: Any
    headers: Mapping[str, str]

    @property
    def code(self) -> str:
        """The error code of a refused request."""
        return str(self.body[0]["errorCode"])


class RunningOrg:
    """One org, a REST client that calls itself hintd, and a Pub/Sub stub."""

    def __init__(self, side: SalesforceSide, clock: Clock, told: list[Change], stub: Any) -> None:
        self.side = side
        self.clock = clock
        self.told = told
        self.stub = stub
        self.token = side.oauth.issue()
        self.http: aiohttp.ClientSession
        self.url = ""

    async def call(self, method: str, path: str, body: object = None, **headers: str) -> Reply:
        """A request below /services/data/v68.0; header names are given with _ for -."""
        sent = {"Authorization": f"Bearer {self.token}", "Sforce-Call-Options": "client=hintd"}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        async with self.http.request(method, f"/services/data/v68.0{path}", json=body, headers=sent) as answer:
            text = await answer.text()
            return Reply(answer.status, json.loads(text) if text else None, answer.headers)

    async def create(self, **fields: object) -> str:
        reply = await self.call("POST", "/sobjects/Contact", {"LastName": "Varga", **fields})
        assert reply.status == 201, reply.body
        return str(reply.body["id"])

    async def read(self, contact_id: str) -> dict[str, Any]:
        reply = await self.call("GET", f"/sobjects/Contact/{contact_id}")
        assert reply.status == 200, reply.body
        return dict(reply.body)

    def metadata(self, **changes: str) -> tuple[tuple[str, str], ...]:
        sent = {"accesstoken": self.token, "instanceurl": self.url, "tenantid": self.side.org_id} | changes
        return tuple(sent.items())

    async def subscribe(
        self, credits: int = 100, preset: int = pb.ReplayPreset.EARLIEST, replay_id: bytes = b"", topic: str = TOPIC
    ) -> Any:
        stream = self.stub.Subscribe(metadata=self.metadata())
        first = pb.FetchRequest(topic_name=topic, num_requested=credits, replay_preset=preset, replay_id=replay_id)
        await stream.write(first)
        return stream

    async def events(self, count: int) -> list[dict[str, Any]]:
        """The first events of the topic, decoded, each with its ``schema`` and ``event_id``."""
        stream, found = await self.subscribe(), []
        while len(found) < count:
            response = await stream.read()
            found += [await self.decode(event) for event in response.events]
        stream.cancel()
        return found

    async def decode(self, consumed: Any) -> dict[str, Any]:
        request = pb.SchemaRequest(schema_id=consumed.event.schema_id)
        schema = json.loads((await self.stub.GetSchema(request, metadata=self.metadata())).schema_json)
        record: dict[str, Any] = fastavro.schemaless_reader(io.BytesIO(consumed.event.payload), schema)
        return {**record, "schema": schema, "event_id": consumed.event.id}

    def later(self, **time: float) -> None:
        self.clock.set_offset((self.clock.offset + timedelta(**time)).total_seconds())


@asynccontextmanager
async def running_org(options: Options | None = None) -> AsyncIterator[RunningOrg]:
    clock, faults, changes, told = Clock(), Faults(), Changes(), list[Change]()
    changes.listen(told.append)
    side = SalesforceSide(Settings(options or Options()), clock, faults, changes)
    app = web.Application(middlewares=[with_faults("salesforce", faults)])
    side.routes(app)
    runner = web.AppRunner(app, max_line_size=65_536)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    port = await side.start(0)
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel, aiohttp.ClientSession(url) as session:
        org = RunningOrg(side, clock, told, stubs.PubSubStub(channel))
        org.url, org.http = url, session
        yield org
    await side.stop()
    await runner.cleanup()
