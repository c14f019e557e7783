"""A simulated world: the real service code on memory fakes under virtual time, everything random from one seed.

A storm of edits, lost and reordered events, faults and killed workers is followed by calm: everything is delivered,
both sides are swept, and ``tests.service.verdict`` says whether the rules held.
"""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from random import Random
from typing import Any

import structlog

from hintd.core.errors import RemoteError
from hintd.core.fields import FIELDS, Book
from hintd.core.model import LinkState, Notice, Outcome, Side
from hintd.ports import AlreadyLinked, BusDown, Connection, FenceLost, StoreDown
from hintd.service.consume import Consumer
from hintd.service.ingest import Ingest, relay
from hintd.service.linking import LinkingRefused, adopt_link, link_by_person, unlink_by_person
from hintd.service.react import LinkBusy, react
from hintd.service.sweep import fill_index, sweep_connection, take_up_again
from hintd.service.work import Remotes, Stores, Work
from tests.fakes.batches import MemoryBatches, MemoryBatchWork, MemoryUploads
from tests.fakes.bus import MemoryBus
from tests.fakes.clock import BEGINNING, VirtualLoop
from tests.fakes.hint import MemoryPractice, Webhook
from tests.fakes.memory import Memory
from tests.fakes.salesforce import ChangeEvent, MemoryOrg, org_book
from tests.fakes.stores import (
    MemoryConnections,
    MemoryCursors,
    MemoryIndex,
    MemoryLeases,
    MemoryLinks,
    MemoryLog,
    MemoryParking,
)
from tests.service.account import Account
from tests.service.automations import set_up_automations
from tests.service.batching import Batching
from tests.service.climate import Climate, draw_climate
from tests.service.people import Hint, Salesforce, new_person, same_person_in_salesforce
from tests.service.post import Post
from tests.service.weather import Counting, Exposed, Killed, Life, LivingBus, Weather

OVERLAP_S = 300.0
LEASE_S = 30.0
PATIENCE_S = 4 * 3600.0
"""How long the calm may take; a refused webhook alone costs an hour."""

TROUBLES = (RemoteError, StoreDown, BusDown, FenceLost, AlreadyLinked, LinkBusy, LinkingRefused)


class World:
    """``story`` tells what happened, in order; ``alarms`` are exceptions that the service did not foresee."""

    def __init__(self, seed: int, loop: VirtualLoop, climate: Climate | None = None) -> None:
        self.random = Random(seed)
        self.climate = climate or draw_climate(self.random)
        c = self.climate
        self.loop = loop
        self.story: list[str] = []
        self.alarms: list[str] = []
        self.book: Book = org_book(codes=c.codes)
        self.practice = MemoryPractice(FIELDS, loop.now, hides_title=c.hides_title, stamps_no_ops=c.stamps_no_ops)
        self.org = MemoryOrg(self.book, loop.now)
        self.memory = Memory()
        self.account = Account(self.book, self.memory, self.practice, self.org, loop.now, self.tell)
        self.bus, self.inbox = MemoryBus(delivery_limit=50), MemoryBus(delivery_limit=10**6)
        self.weather = Weather(
            self.random, calm=True, remote_fault=c.remote_faults, store_fault=c.store_faults, kill=c.kills
        )
        self.ingest = Ingest(self.bus, self.inbox, bytes, self._accepted)
        self.accepted = 0
        self.sent = 0
        self.calls: list[str] = []
        self.post = Post(self)
        self.batching = Batching(self)
        self.tasks: list[asyncio.Task[None]] = []
        self.ids = 0
        self.connection = Connection(
            1, "clinic", "pra-1", "Clinic", "int-1", "00D", "Org", "active", BEGINNING + timedelta(seconds=1),
            settings={"create_unmatched_contacts": c.creates_contacts, "instance_url": "https://org"},
            default_account_id="001",
        )  # fmt: skip

    def tell(self, what: str) -> None:
        self.story.append(f"{self.loop.time():9.3f} {what}")

    # --- the service ---

    def work(self, life: Life | None = None) -> Work:
        life = life or Life("calm")
        stores = self._stores()
        if life.name != "calm":
            stores = Stores(*(Exposed(getattr(stores, name), "store", life, self.weather) for name in Stores.__slots__))
        hint, salesforce = (
            Exposed(self.practice, "hint", life, self.weather),
            Exposed(self.org, "salesforce", life, self.weather),
        )
        remotes = Remotes(self.connection, Counting(hint, self.calls), Counting(salesforce, self.calls))
        return Work(stores, remotes, self.book, life.name, self.loop.now)

    def _stores(self) -> Stores:
        memory = self.memory
        return Stores(
            MemoryLinks(memory), MemoryIndex(memory), MemoryParking(memory), MemoryLog(memory), MemoryCursors(memory),
            MemoryLeases(memory), MemoryConnections(memory), MemoryBatches(memory), MemoryBatchWork(memory),
            MemoryUploads(memory),
        )  # fmt: skip

    async def keep_worker(self, number: int) -> None:
        """A worker process, started again whenever it is killed."""
        for life_number in range(10**6):
            life = Life(f"worker-{number}.{life_number}")
            bus = LivingBus(self.bus, life)
            work = self.work(life)

            async def reacting(notice: Notice, work: Work = work) -> Outcome:
                return await react(work, notice)

            parking = Exposed(MemoryParking(self.memory), "store", life, self.weather)
            consumer = Consumer(
                bus, reacting, bytes, parking, self.loop.now, self.random.random, self._observe, self._pause, prefetch=4
            )
            try:
                await consumer.run(asyncio.Event())
            except* Killed:
                self.tell(f"{life.name} was killed")
            bus.lose_all()

    async def _pause(self, practice_id: str, why: str) -> None:
        self.tell(f"would pause: {why}")

    def _observe(self, notice: Notice, outcome: Outcome) -> None:
        self.tell(f"{notice.source} {notice.side} {notice.record_id} {notice.id}: {outcome.kind} ({outcome.reason})")

    def _accepted(self, source: str) -> None:
        self.accepted += 1

    # --- events ---

    def new_id(self) -> str:
        self.ids += 1
        return f"n{self.ids}"

    async def keep_sweeping(self) -> None:
        while True:
            await asyncio.sleep(self.random.uniform(20, 200))
            await self._try_sweep(Life("sweeper"))

    async def _try_sweep(self, life: Life) -> None:
        try:
            await sweep_connection(self.work(life), self.ingest.accept_all, overlap_s=OVERLAP_S)
            await take_up_again(self.work(life), self.ingest.accept_all)
        except (*TROUBLES, Killed) as error:
            self.tell(f"sweep failed: {error}")

    # --- people and the org's automations ---

    async def settle_in(self) -> None:
        """Pairs that were linked before, in calm: no two people of the world have one name and birthday."""
        c = self.climate
        for number in range(c.pairs):
            person = new_person(self.random) | {"last_name": f"Person {number}"}
            patient_id = self.practice.create(person)
            contact = same_person_in_salesforce(person) | {"Synced_to_Hint__c": True, "Hint_Patient_Id__c": patient_id}
            contact_id = self.org.create(contact)
            self.practice.edit(patient_id, {"integration_record_id": contact_id, "integration_web_link": "x"})
        linked = list(self.org.contacts.items())
        self.batching.settle_in()
        await fill_index(self.work())
        for contact_id, row in linked:
            patient = await self.practice.get_patient(row["Hint_Patient_Id__c"], self.work().call("test"))
            contact = self.org.look(contact_id)
            assert patient is not None and contact is not None
            await adopt_link(self.work(), contact, patient)
        await asyncio.sleep(1.5)
        self.practice.on_webhook, self.practice.on_save = self.post.webhook, self.account.patient_saved
        self.org.on_event, self.org.on_save = self.post.change_event, self.account.contact_saved
        set_up_automations(self)

    async def live(self) -> None:
        """One act of somebody after the other, sometimes within the same second."""
        hint = Hint(self.random, self.practice)
        salesforce = Salesforce(self.random, self.org, codes=self.climate.codes)
        for _ in range(self.climate.edits):
            await asyncio.sleep(self.random.choice((0.0, 0.2, 1.0, 3.0)) * self.random.random() * self.climate.pace_s)
            self._act(hint, salesforce)

    def _act(self, hint: Hint, salesforce: Salesforce) -> None:
        if self.climate.batches and self.random.random() < 0.2:
            self._in_background(self.batching.act())
            return
        act, pick = self.random.random(), self.random.choice
        patients = [i for i, raw in self.practice.patients.items() if raw["merged_into"] is None]
        contacts = [i for i, row in self.org.contacts.items() if not row["IsDeleted"]]
        if act < 0.42 and patients:
            hint.edit(pick(patients))
        elif act < 0.84 and contacts:
            salesforce.edit(pick(contacts))
        elif act < 0.88 and contacts and not self._is_linking():
            salesforce.tamper(pick(contacts))
        elif act < 0.92:
            self._newcomer()
        elif act < 0.93 and contacts:
            self.tell("a person deletes a Contact")
            self._leaves(Side.SALESFORCE, contact_id := pick(contacts))
            self.account.created.pop(self.org.contacts[contact_id]["Hint_Patient_Id__c"], None)
            self.org.delete(contact_id)
        elif act < 0.94 and patients:
            self.tell("a person destroys a patient")
            self._leaves(Side.HINT, patient_id := pick(patients))
            self.account.created.pop(str(self.practice.patients[patient_id]["integration_record_id"]), None)
            self.practice.destroy(patient_id)
        elif act < 0.955 and len(contacts) > 1:
            self._merge_contacts(*self.random.sample(contacts, 2))
        elif act < 0.97 and len(patients) > 1:
            self._merge_patients(*self.random.sample(patients, 2))
        elif act < 0.985 and contacts:
            self._in_background(self._link(pick(contacts), patients))
        elif contacts:
            self._in_background(self._unlink(pick(contacts)))

    def _is_linking(self) -> bool:
        """Who clears the id by which a new Contact is found again, before its creation is stored, gets a second one."""
        return any(row.link.state is LinkState.LINKING for row in self.memory.links.values())

    def _leaves(self, side: Side, record_id: str) -> None:
        link = self.account.link_of(side, record_id)
        if link is not None:
            self.account.vague.add((link.contact_id, link.patient_id))

    def _newcomer(self) -> None:
        person = new_person(self.random)
        chance = self.random.random()
        if chance < 0.3:
            self.tell(f"a Contact without a patient: {self.org.create(same_person_in_salesforce(person))}")
        elif chance < 0.5:
            person["dob"] = None
        self.tell(f"a new patient: {self.practice.create(person)}")

    def _merge_contacts(self, loser_id: str, winner_id: str) -> None:
        self.tell(f"a person merges Contact {loser_id} into {winner_id}")
        self._leaves(Side.SALESFORCE, loser_id)
        self._leaves(Side.SALESFORCE, winner_id)
        loser = self.org.contacts[loser_id]
        self.account.created.pop(loser["Hint_Patient_Id__c"], None)
        self.org.merge(loser_id, winner_id, {"Email": loser["Email"]} if self.random.random() < 0.5 else {})

    def _merge_patients(self, loser_id: str, winner_id: str) -> None:
        self.tell(f"a person merges patient {loser_id} into {winner_id}")
        self._leaves(Side.HINT, loser_id)
        self._leaves(Side.HINT, winner_id)
        self.practice.merge(loser_id, winner_id)

    def _in_background(self, doing: Any) -> None:
        courier = self.loop.create_task(doing)
        self.post.couriers.add(courier)
        courier.add_done_callback(self.post.couriers.discard)

    async def _link(self, contact_id: str, patients: list[str]) -> None:
        patient_id = self.random.choice([None, *patients])
        self._leaves(Side.SALESFORCE, contact_id)
        if patient_id is not None:
            self._leaves(Side.HINT, patient_id)
        self.tell(f"a person links {contact_id} with {patient_id or 'a new patient'}")
        try:
            work = self.work(Life("page"))
            outcome = await link_by_person(work, contact_id, patient_id, person="ann", take_over=True)
            self.tell(f"linked by a person: {outcome}")
        except (*TROUBLES, Killed) as error:
            self.tell(f"linking failed: {error!r}")
        self._leaves(Side.SALESFORCE, contact_id)

    async def _unlink(self, contact_id: str) -> None:
        self._leaves(Side.SALESFORCE, contact_id)
        self.tell(f"a person unlinks {contact_id}")
        self.account.created.pop(contact_id, None)  # who links it anew may have a new patient made
        try:
            self.tell(f"unlinked: {await unlink_by_person(self.work(Life('page')), contact_id, person='ann')}")
        except (*TROUBLES, Killed) as error:
            self.tell(f"unlinking failed: {error!r}")

    async def have_outages(self) -> None:
        while True:
            await asyncio.sleep(self.random.uniform(5, 30))
            part = self.random.choice(("store", "hint", "salesforce", "bus", "both"))
            self.tell(f"{part} goes down")
            self._switch(part, down=True)
            await asyncio.sleep(self.random.uniform(1, 30))
            self._switch(part, down=False)
            self.tell(f"{part} is up again")

    def _switch(self, part: str, *, down: bool) -> None:
        if part in ("bus", "both"):
            self.bus.down = down
            if not down:
                self.bus.recover()
        if part == "both":
            (self.weather.down.update if down else self.weather.down.difference_update)(("bus", "inbox"))
        elif part != "bus":
            (self.weather.down.add if down else self.weather.down.discard)(part)

    # --- from the storm to the calm ---

    async def run(self) -> None:
        await self.settle_in()
        self.weather.calm = False
        self.tasks = [self.loop.create_task(self.keep_worker(n)) for n in range(self.climate.workers)]
        self.tasks.append(self.loop.create_task(relay(self.inbox, self.bus)))
        if self.climate.batches:
            self.tasks += [self.loop.create_task(self.batching.keep_worker(n)) for n in range(2)]
        storm = [self.loop.create_task(self.keep_sweeping())]
        if self.climate.outages:
            storm.append(self.loop.create_task(self.have_outages()))
        await self.live()
        await asyncio.sleep(self.random.choice((0.0, 5.0, 60.0)))
        for task in storm:
            task.cancel()
        await asyncio.gather(*storm, return_exceptions=True)
        self.weather.calm = True
        for part in ("bus", "both", "store", "hint", "salesforce"):
            self._switch(part, down=False)
        self.tell("--- calm ---")
        await self.batching.come_to_rest()
        await self.come_to_rest()

    async def come_to_rest(self) -> None:
        """Everything is delivered; sweeps until one finds no news."""
        await self._wait_until_idle()
        await asyncio.sleep(LEASE_S + 5.0)
        for _ in range(6):
            before = self.accepted
            await self._try_sweep(Life("calm"))
            await self._wait_until_idle()
            if self.accepted == before:
                return

    async def further_round(self) -> None:
        """Everything is swept once more from the beginning, and every record's present state is announced again."""
        for raw in list(self.practice.patients.values()):
            self.post.webhook(Webhook("patient.updated", {**raw}, self.loop.now()))
        for contact_id, row in list(self.org.contacts.items()):
            if not row["IsDeleted"]:
                stamp = row["saved_at"].strftime("%Y-%m-%dT%H:%M:%S.000Z")
                shown = {k: v for k, v in row.items() if k in self.book.shape} | {"LastModifiedDate": stamp}
                self.post.change_event(ChangeEvent("UPDATE", contact_id, shown, row["saved_at"]))
        await self._wait_until_idle()
        await sweep_connection(self.work(), self.ingest.accept_all, overlap_s=0.0, since=BEGINNING.replace(year=2000))
        await self._wait_until_idle()

    async def _wait_until_idle(self) -> None:
        deadline = self.loop.time() + PATIENCE_S
        while True:
            await asyncio.sleep(5.0)
            waiting = sum((await self.bus.waiting()).values()) + sum((await self.inbox.waiting()).values())
            if not waiting and not self.post.couriers:
                return
            if self.loop.time() > deadline:
                self.tell(f"still {waiting} messages wait, {len(self.post.couriers)} are under way")
                return

    async def close(self) -> None:
        for task in (*self.tasks, *self.post.couriers):
            task.cancel()
        await asyncio.gather(*self.tasks, *self.post.couriers, return_exceptions=True)


@contextmanager
def listen_to_logs(world: World) -> Iterator[None]:
    """What the service logs as an exception is an alarm; the rest of its log is dropped."""

    def listen(_: Any, __: str, entry: Any) -> Any:
        if entry.get("exc_info"):
            world.alarms.append(traceback.format_exc())
        raise structlog.DropEvent

    before = structlog.get_config()
    structlog.configure(processors=[listen], cache_logger_on_first_use=False)
    try:
        yield
    finally:
        structlog.configure(**before)
