"""Salesforce as one thing: the org, its addresses, its event topic, and the people who work in it."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Any

import grpc.aio
from aiohttp import web

from hintd.sandbox import changes as told
from hintd.sandbox.changes import Change, Changes
from hintd.sandbox.clock import Clock
from hintd.sandbox.crowd import NOBODY, Crowd
from hintd.sandbox.faults import Faults
from hintd.sandbox.options import Settings
from hintd.sandbox.people import Person
from hintd.sandbox.salesforce import pubsub
from hintd.sandbox.salesforce.avro import CHANGE_TYPES, Body, Header, Schema
from hintd.sandbox.salesforce.bulk_work import Jobs
from hintd.sandbox.salesforce.cdc import changed_names, events_of
from hintd.sandbox.salesforce.describe import Shape, shape_of
from hintd.sandbox.salesforce.ids import make_id
from hintd.sandbox.salesforce.oauth import OAuth
from hintd.sandbox.salesforce.org import Author, Committed, Org, Transaction, fresh_row
from hintd.sandbox.salesforce.query import Cursors
from hintd.sandbox.salesforce.record import Row, clean, shown
from hintd.sandbox.salesforce.refusal import Refusal
from hintd.sandbox.salesforce.rest import Rest
from hintd.sandbox.salesforce.switches import Switches, read_rules
from hintd.sandbox.salesforce.table import Contacts, crowd_id, entered_stamp
from hintd.sandbox.salesforce.topic import Topic
from hintd.sandbox.salesforce.work import Allowance, Work

# What change events show as the origin of an edit in the Lightning pages.
LIGHTNING = "com/salesforce/api/soap/68.0;client=SfdcInternalAPI/"
DEFAULT_ACCOUNT = "Sandbox Clinic"
_KINDS = {"CREATE": "created", "UPDATE": "updated", "DELETE": "deleted", "UNDELETE": "undeleted"}


class SalesforceSide:
    """``calls`` counts every request that a resource answered, as "METHOD template", and the gRPC calls by name."""

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        faults: Faults,
        changes: Changes,
        people: Sequence[Person] = (),
        crowd: Crowd = NOBODY,
    ) -> None:
        self.settings = settings
        self.faults = faults
        self.switches = Switches()
        self.calls: Counter[str] = Counter()
        self.org_id = make_id("Organization", 1)
        self.user_id = make_id("User", 1)
        self.staff_id = make_id("User", 2)
        self.now = clock.now
        self.grpc_port = 0
        self._changes = changes
        self._rules = read_rules({})
        self._schema: tuple[Shape, int, bool, Schema] | None = None
        self._schemas: dict[str, str] = {}
        self._server: grpc.aio.Server | None = None
        self.oauth = OAuth(lambda: settings.now, self.now, self.org_id, self.user_id)
        self.allowance = Allowance(lambda: settings.now.salesforce_daily_calls, self.now)
        self.topic = Topic(self.now, self._kept, settings.now.seed)
        self._cursors = Cursors(settings.now.seed)
        self._jobs = Jobs(lambda: self.switches.bulk_job_s)
        self.org = Org(self._shape_of, lambda: self._rules, lambda committed: None)
        self._account_id = self._seed(person.contact for person in people if person.contact is not None)
        self._crowd = crowd
        if crowd.contacts:
            self.org.tables["Contact"] = Contacts(crowd.contacts, self._one_of_crowd)
        self.org.on_commit = self._committed

    def routes(self, app: web.Application) -> None:
        self.oauth.routes(app)
        Rest(self).routes(app)

    async def start(self, grpc_port: int) -> int:
        """Serve gRPC on the port (0: any free one); returns the port."""
        address = f"{self.settings.now.host}:{grpc_port}"
        self._server, self.grpc_port = await pubsub.serve(self, address)
        self.faults.on_arm(self.topic.wake)
        return self.grpc_port

    async def stop(self) -> None:
        await self._jobs.stop()
        if self._server is not None:
            await self._server.stop(grace=None)
            self._server = None

    # What the REST API and the Pub/Sub API need.

    @property
    def slow_commit_s(self) -> float:
        return self.switches.slow_commit_ms / 1000

    def token_stands(self, token: str) -> bool:
        return self.oauth.stands(token)

    def count(self, call: str) -> None:
        self.calls[call] += 1

    def work(self) -> Work:
        return Work(
            self.org,
            self.now,
            self.now(),
            self.faults,
            self.allowance,
            self._cursors,
            self._jobs,
            self.switches.short_pages,
        )

    def schema_id(self) -> str:
        return self._present_schema().id

    def schema_json(self, schema_id: str) -> str | None:
        self._present_schema()
        return self._schemas.get(schema_id)

    # What people do in the Lightning pages.

    def contacts(self, *, deleted: bool = False, most: int | None = None) -> list[dict[str, Any]]:
        """The Contacts as reads show them, with those in the recycle bin too if asked."""
        shape = self._shape_of("Contact")
        rows = self.org.tables["Contact"].values() if deleted else self.org.live("Contact")
        return [{name: shown(shape, name, row) for name in shape.columns} for row in islice(rows, most)]

    def user_create(self, fields: Mapping[str, Any]) -> str:
        """Raises Refusal, as the other edits do; returns the id."""
        transaction = self._by_staff()
        created = transaction.create("Contact", fields)
        transaction.commit(self.now())
        return created

    def user_edit(self, contact_id: str, fields: Mapping[str, Any]) -> None:
        transaction = self._by_staff()
        transaction.update("Contact", contact_id, fields)
        transaction.commit(self.now())

    def user_delete(self, contact_id: str) -> None:
        transaction = self._by_staff()
        transaction.delete("Contact", contact_id)
        transaction.commit(self.now())

    def user_undelete(self, contact_id: str) -> None:
        transaction = self._by_staff()
        transaction.undelete(contact_id)
        transaction.commit(self.now())

    def user_merge(self, winner_id: str, loser_ids: Sequence[str], fields: Mapping[str, Any] | None = None) -> None:
        """Merge up to two losers into a winner, which takes ``fields`` over from them."""
        if not 1 <= len(loser_ids) <= 2 or winner_id in loser_ids:
            raise ValueError("a merge is of a winner and one or two others")
        winner = self.org.row("Contact", winner_id)["Id"]
        transaction = self._by_staff()
        try:
            for loser_id in loser_ids:
                transaction.delete("Contact", loser_id, winner)
            transaction.update("Contact", winner, fields or {})
        except BaseException:
            transaction.undo()
            raise
        transaction.commit(self.now())

    # What the control port does.

    def change_switches(self, changes: Mapping[str, Any]) -> Switches:
        """Raises ValueError for a switch or a value that cannot be."""
        self.switches = self.switches.changed(changes)
        self._rules = read_rules(self.switches.rules)
        self.topic.wake()
        return self.switches

    def emit_gap(self, change_type: str, contact_ids: Sequence[str] = ()) -> None:
        """Publish an event without its changes, as where they could not be captured.  Raises ValueError."""
        if not change_type.startswith("GAP_") or change_type not in CHANGE_TYPES:
            raise ValueError(f"not a gap: {change_type}")
        ids = () if change_type == "GAP_OVERFLOW" else tuple(contact_ids)
        header = Header(
            ids, change_type, "", str(uuid.uuid4()), 1, int(self.now().timestamp()) * 1000, 1, self.staff_id
        )
        schema = self._present_schema()
        self.topic.publish(schema.id, schema.encode(header, Body({})))

    def repeat_events(self, count: int) -> int:
        """Deliver the last events again; returns how many."""
        return self.topic.repeat(count)

    def reset_replay_ids(self) -> None:
        self.topic.reset()

    def revoke_tokens(self) -> int:
        return self.oauth.revoke_all()

    def _by_staff(self) -> Transaction:
        return Transaction(self.org, Author(self.staff_id, LIGHTNING), self.now())

    def _shape_of(self, sobject: str) -> Shape:
        return shape_of(sobject, self.settings.now, self.switches)

    def _kept(self) -> tuple[float, int]:
        return self.switches.retention_s, self.switches.retention_events

    def _present_schema(self) -> Schema:
        shape, seed, captured = self._shape_of("Contact"), self.switches.schema_seed, self.switches.captured_order
        if self._schema is None or self._schema[:3] != (shape, seed, captured):
            schema = Schema(shape, seed=seed, captured_order=captured)
            self._schemas[schema.id] = schema.json
            self._schema = (shape, seed, captured, schema)
        return self._schema[3]

    def _committed(self, committed: Committed) -> None:
        if self.switches.change_capture:
            self._publish(committed)
        for save in committed.saves:
            if save.sobject == "Contact":
                kind = "merged" if save.id in committed.merged_into else _KINDS[save.kind]
                origin = _who(committed.author.origin)
                self._changes.tell(Change("salesforce", save.id, kind, changed_names(save), origin, committed.at))

    def _publish(self, committed: Committed) -> None:
        schema, switches = self._present_schema(), self.switches
        shape = self._shape_of("Contact")
        for event in events_of(committed, shape, schema, merge=switches.merge_events, diff_over=switches.diff_over):
            self.topic.publish(schema.id, schema.encode(event.header, event.body))

    def _seed(self, contacts: Iterable[Mapping[str, Any]]) -> str:
        """Fill the org before anyone watches: no events are made.  Returns the default account's id."""
        self._seed_organization()
        transaction = self._by_staff()
        account = transaction.create("Account", {"Name": DEFAULT_ACCOUNT})
        for contact in contacts:
            transaction.create("Contact", self._held({"AccountId": account, **contact}))
        transaction.commit(self.now())
        return account

    def _held(self, contact: Mapping[str, Any]) -> dict[str, Any]:
        """What this org can hold of a person: it may have no middle names, or not know a state."""
        shape = self._shape_of("Contact")
        fields = {name: value for name, value in contact.items() if name in shape.columns}
        try:
            return clean(shape, fields, None)
        except Refusal as refusal:
            refused = tuple(refusal.fields)
            return clean(shape, {name: value for name, value in fields.items() if not name.startswith(refused)}, None)

    def _one_of_crowd(self, number: int) -> Row:
        values = self._held({"AccountId": self._account_id, **self._crowd.contact(number)})
        shape = self._shape_of("Contact")
        return fresh_row(shape, values, crowd_id(number), self.staff_id, entered_stamp(number))

    def _seed_organization(self) -> None:
        organization = {
            "Id": self.org_id,
            "Name": "hintd sandbox",
            "OrganizationType": "Developer Edition",
            "InstanceName": "SBX1",
            "IsSandbox": True,
        }
        self.org.put("Organization", self.org_id, organization)


def _who(origin: str) -> str:
    if origin == LIGHTNING:
        return told.SALESFORCE_USER
    client = origin.partition(";client=")[2]
    return told.HINTD if client == "hintd" else client or "another program"
