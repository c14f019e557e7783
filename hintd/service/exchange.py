"""Bringing one link to agreement: read where needed, plan, write, take in what the answer shows, until it is at rest.

An ``Exchange`` runs under the link's lease and never holds a database transaction across a remote call.  It holds the
link as it stands after each step and what there is to tell of it; whoever runs it stores both in one settlement, also
when a remote stopped it half-way, so that no write is without its reason in the history.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from hintd.core.contact import LAST_SYNCED, PATIENT_ID, SYNC_ERROR, SYNCED, render_contact
from hintd.core.errors import Refusal, Refused, Retryable
from hintd.core.fields import Field, Kind
from hintd.core.merge import Decision, overwritten_wins
from hintd.core.model import (
    Contact,
    HistoryEntry,
    Link,
    LinkState,
    Outcome,
    OutcomeKind,
    Owner,
    Patient,
    Record,
    Side,
)
from hintd.core.observe import take_in
from hintd.core.patient import render_patient
from hintd.core.plan import (
    Plan,
    agree,
    blank,
    changes,
    has_unfinished,
    known_values,
    make_plan,
    straighten,
    written,
)
from hintd.core.record import words
from hintd.core.unseen import Overwritten, find_overwritten, landings, owe, refused, sending
from hintd.ports import ContactWrite, IndexRow, Level, LinkUpdate, LogEntry, ToPark, WriteResult
from hintd.service.absence import brake, looks_emptied
from hintd.service.report import report
from hintd.service.work import NEW as NEW
from hintd.service.work import Work

ROUNDS = 8
"""Each round ends with a write or a read; a record that still changes under our hands is taken up again later."""

_LEFT_ALONE = "The {} flows one way only; it was edited where it ends and is left alone"


class RecordGone(Exception):
    """A record of the link cannot be found; what became of it has to be looked up."""

    def __init__(self, side: Side) -> None:
        super().__init__(f"a record of {side} cannot be found")
        self.side = side


@dataclass(slots=True)
class Exchange:
    """``contact`` and ``patient``: the newest reads or snapshots in hand, if any."""

    work: Work
    link: Link
    fence: int
    contact: Contact | None = None
    patient: Patient | None = None
    history: list[HistoryEntry] = field(default_factory=list)
    park: list[ToPark] = field(default_factory=list)
    log: list[LogEntry] = field(default_factory=list)
    wrote: set[Side] = field(default_factory=set)
    read: set[Side] = field(default_factory=set)
    held: dict[str, str] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    told: dict[Side, str | None] = field(default_factory=dict)
    phones_known: bool = False  # the patient's phones in hand need not be read again before they are replaced
    gone: IndexRow | None = None  # of a record that was deleted
    parted: tuple[str, str] | None = None  # (contact id, patient id) that a person parted

    async def read_side(self, side: Side, purpose: str) -> None:
        """Raises RecordGone when the record cannot be found."""
        begun = self.work.now()
        if side is Side.HINT:
            patient = await self.work.remotes.hint.get_patient(self.link.patient_id, self.work.call(purpose))
            if patient is None:
                raise RecordGone(side)
            self.take(patient, read_at=begun)
        else:
            wanted = self.link.contact_id
            contact = (await self.work.remotes.salesforce.get_contacts([wanted], self.work.call(purpose))).get(wanted)
            if contact is None:
                raise RecordGone(side)
            self.take(contact, read_at=begun)
        self.read.add(side)

    async def read_both(self) -> None:
        """Read the two records, or take in as blank what is still to be made.  Raises RecordGone."""
        for side in Side:
            if self.link.record_id(side).startswith(NEW):
                self.link = blank(self.link, side, self.work.book)
            else:
                await self.read_side(side, "read_both")

    def take(self, record: Record, *, read_at: datetime | None = None) -> None:
        """Take the record in as its side's current state; hintd's own writes whose answer was lost are recognised."""
        before, side = self.link, Side.HINT if isinstance(record, Patient) else Side.SALESFORCE
        if isinstance(record, Patient):
            self.patient = record
        else:
            self.contact = record
        self.link = take_in(before, record, self.work.book, read_at=read_at)
        self.history += landings(before, self.link, side, self.work.now())

    async def run_unfinished(self, otherwise: Outcome) -> Outcome:
        """Nothing new is known; but an exchange that was stopped half-way may have left something to do."""
        return await self.run() if has_unfinished(self.link, self.work.book) else otherwise

    async def run(self) -> Outcome:
        """Steps until nothing is left to write.  Raises RecordGone and what the remotes raise."""
        self.told = dict.fromkeys(Side, self.link.reported)
        frozen_before = self.link.frozen
        for _ in range(ROUNDS):
            step = await self._step()
            if isinstance(step, Outcome):
                return step
            if not step:
                self._tell_frozen(frozen_before)
                return await self._finish()
        raise Retryable(f"{self.link.contact_id} and {self.link.patient_id} keep changing while they are reconciled")

    async def _step(self) -> bool | Outcome:
        """One write or read, if any is needed: was there one?  An outcome when a refusal ends the exchange."""
        self.link = straighten(self.link, self.work.book)
        plan = make_plan(self.link, self.work.book, self.work.prefer)
        self.link, agreed = agree(self.link, plan.agreed, self.work.now())
        self.history += agreed
        self.held = self.refused | {d.field.name: _LEFT_ALONE.format(words(d.field)) for d in plan.left}
        return await self._braked(plan) or await self._write_contact(plan) or await self._write_patient(plan)

    async def _braked(self, plan: Plan) -> Outcome | None:
        """A record that was emptied is followed, unless many are at once (README rule 10)."""
        if self.link.state is not LinkState.LINKED:
            return None
        for side in Side:
            if looks_emptied(self.link, side, plan.to(side.other)):
                braked = await brake(self.work, side, self.link)
                if braked is not None:
                    self.park.append(braked[1])
                    return braked[0]
        return None

    # --- Salesforce ---

    async def _write_contact(self, plan: Plan) -> bool | Outcome:
        decisions = [d for d in plan.to_salesforce if d.field.name not in self.refused]
        current_values = known_values(self.link.salesforce)
        rendered = render_contact(changes(decisions), current_values, self.work.book)
        self.held |= rendered.held
        todo = [d for d in decisions if d.field.name not in rendered.held]
        own = self._own_contact_fields()
        if not todo and not own:
            return False
        beside = self._beside(Side.SALESFORCE, todo, rendered.fields)
        fields = {**rendered.fields, **own, **self._contact_stamps()}
        await self._remember(sending(self.link, Side.SALESFORCE, todo, beside))
        self.read.discard(Side.HINT)
        answer = await self._send_contact(fields)
        if answer.result is WriteResult.GONE:
            raise RecordGone(Side.SALESFORCE)
        if answer.result is WriteResult.REFUSED and answer.refusal is not None:
            return await self._refused(Side.SALESFORCE, answer.refusal, todo)
        if answer.result is WriteResult.STALE:
            self.link = refused(self.link, Side.SALESFORCE, todo)
            self._take_stale(answer)
        else:
            self._take_written_contact(answer, todo, beside)
        return True

    async def _send_contact(self, fields: Mapping[str, Any]) -> ContactWrite:
        salesforce, link = self.work.remotes.salesforce, self.link
        if link.contact_id.startswith(NEW):
            account = {"AccountId": self.work.connection.default_account_id}
            return await salesforce.upsert_contact(
                link.patient_id, {**account, **fields}, self.work.call("create_contact")
            )
        since = link.salesforce.stamp
        return await salesforce.write_contact(link.contact_id, fields, since, self.work.call("write_contact"))

    def _take_stale(self, answer: ContactWrite) -> None:
        if answer.after is None:
            raise RecordGone(Side.SALESFORCE)
        self.take(answer.after)

    def _take_written_contact(self, answer: ContactWrite, todo: Sequence[Decision], beside: Collection[str]) -> None:
        self.wrote.add(Side.SALESFORCE)
        if answer.contact_id is not None:
            self.link = replace(self.link, contact_id=answer.contact_id)
        if answer.after is None:
            raise Retryable(f"Contact {self.link.contact_id} was written but could not be read back")
        kept = known_values(self.link.salesforce)
        wrote = {**changes(todo), **{name: kept.get(name) for name in beside}}
        before = answer.before
        overwritten = find_overwritten(self.link, before, wrote, self.work.book) if before is not None else []
        self._rest_on(answer.after, todo, beside)
        for found in overwritten:
            self.settle_overwritten(Side.SALESFORCE, found)

    def _beside(self, side: Side, todo: Sequence[Decision], fields: Mapping[str, Any]) -> set[str]:
        """Fields of the table that had to be written although nothing was decided about them."""

        def remote_name(each: Field) -> str:
            return self.work.book.api_name(each) if side is Side.SALESFORCE else each.hint.partition(":")[0]

        return {f.name for f in self.work.book.fields if remote_name(f) in fields} - {d.field.name for d in todo}

    def settle_overwritten(self, side: Side, found: Overwritten) -> None:
        """An edit of ``side`` that was written over before it was known: kept in the history, put back if later."""
        name = found.field.name
        self.history.append(HistoryEntry(self.work.now(), name, side, found.stood, found.wrote, "conflict_lost"))
        if overwritten_wins(found.field, side, found.hint_at, found.salesforce_at):
            self.link = owe(self.link, name, found.stood, f"conflict_{side}_won")

    def _own_contact_fields(self) -> dict[str, Any]:
        """The fields by which a Contact says that it is linked: set when linking, set back when edited by hand."""
        contact = self.contact
        if self.link.contact_id.startswith(NEW):
            return {SYNCED: True}
        if contact is None:
            return {}
        own: dict[str, Any] = {}
        if "synced" in contact.known and contact.synced is not True:
            own[SYNCED] = True
        expected = None if self.link.patient_id.startswith(NEW) else self.link.patient_id
        if "patient_id" in contact.known and contact.patient_id != expected and expected is not None:
            own[PATIENT_ID] = expected
        if own and self.link.state is LinkState.LINKED:
            self.tell(Level.ERROR, "own_fields_edited", "Synced to Hint or the Hint Patient Id was edited; set back")
        return own

    def _contact_stamps(self) -> dict[str, Any]:
        """Written only together with something else (README rule 14)."""
        shape = self.work.book.shape
        stamps: dict[str, Any] = {}
        if LAST_SYNCED in shape:
            stamps[LAST_SYNCED] = self.work.now().strftime("%Y-%m-%dT%H:%M:%S.000Z")
        sentence = self._sentence()
        if SYNC_ERROR in shape and self.told[Side.SALESFORCE] != sentence:
            stamps[SYNC_ERROR] = sentence
            self.told[Side.SALESFORCE] = sentence
        return stamps

    # --- Hint ---

    async def _write_patient(self, plan: Plan) -> bool | Outcome:
        decisions = [d for d in plan.to_hint if d.field.name not in self.refused]
        if any(d.field.kind is Kind.PHONE for d in decisions) and await self._phones_need_a_read():
            return True
        phones = self.patient.phones if self.patient is not None else ()
        rendered = render_patient(changes(decisions), phones, self.work.book, known_values(self.link.hint))
        self.held |= rendered.held
        todo = [d for d in decisions if d.field.name not in rendered.held]
        own = self._own_attributes()
        if not todo and not own:
            return False
        beside = self._beside(Side.HINT, todo, rendered.fields)
        attributes = {**rendered.fields, **own, **self._patient_message()}
        await self._remember(sending(self.link, Side.HINT, todo, beside))
        try:
            patient = await self._send_patient(attributes)
        except Refused as refused:
            return await self._find_made_before() or await self._refused(Side.HINT, refused.refusal, todo)
        self.wrote.add(Side.HINT)
        self.link = replace(self.link, patient_id=patient.id)
        self._rest_on(patient, todo, beside)
        return True

    async def _phones_need_a_read(self) -> bool:
        """Writing ``phones`` replaces the whole list: it is read right before, so that no other phone is lost."""
        if self.phones_known or Side.HINT in self.read or self.link.patient_id.startswith(NEW):
            return False
        await self.read_side(Side.HINT, "read_phones")
        return True

    async def _send_patient(self, attributes: Mapping[str, Any]) -> Patient:
        hint, link = self.work.remotes.hint, self.link
        if not link.patient_id.startswith(NEW):
            patient = await hint.update_patient(link.patient_id, attributes, self.work.call("write_patient"))
            if patient is None:
                raise RecordGone(Side.HINT)
            return patient
        return await hint.create_patient(attributes, self.work.call("create_patient"))

    async def _find_made_before(self) -> bool:
        """Was the patient made already, by an attempt whose answer was lost?  It may have been edited since, so it is
        a read and no answer to what was sent now."""
        link, begun = self.link, self.work.now()
        if not link.patient_id.startswith(NEW):
            return False
        hint, call = self.work.remotes.hint, self.work.call("find_created_patient")
        made_before = await hint.find_by_contact(link.contact_id, call)
        if made_before is None:
            return False
        self.link = replace(link, patient_id=made_before.id)
        self.take(made_before, read_at=begun)
        self.read.add(Side.HINT)
        return True

    def _own_attributes(self) -> dict[str, Any]:
        """The attributes by which a patient says that it is linked, written at linking (README rule 14)."""
        link, patient = self.link, self.patient
        if link.contact_id.startswith(NEW) or (patient is None and not link.patient_id.startswith(NEW)):
            return {}
        if patient is not None and patient.contact_id == link.contact_id:
            return {}
        page = f"{self.work.connection.settings.get('instance_url', '')}/lightning/r/Contact/{link.contact_id}/view"
        return {"integration_record_id": link.contact_id, "integration_web_link": page}

    def _patient_message(self) -> dict[str, Any]:
        sentence = self._sentence()
        if self.told[Side.HINT] == sentence:
            return {}
        self.told[Side.HINT] = sentence
        return {"integration_error_message": sentence}

    # --- both ---

    async def _remember(self, link: Link) -> None:
        """What will be sent is stored before: if the answer is lost, hintd's own value must not come back as somebody's
        edit.  The history of what the stored link rests on goes with it.  A lost lease stops the write."""
        self.link = link
        await self.work.stores.links.remember(self.update())
        self.history.clear()

    def update(self) -> LinkUpdate:
        """The link as it stands, with the history that is not stored yet."""
        history = (replace(entry, batch_id=self.work.batch_id) for entry in self.history)
        return LinkUpdate(self.link, self.fence, tuple(history))

    def _rest_on(self, after: Record, todo: Sequence[Decision], beside: Collection[str]) -> None:
        if isinstance(after, Patient):
            self.patient = after
        else:
            self.contact = after
        self.link, history = written(self.link, todo, after, self.work.book, self.work.now(), also=beside)
        self.history += history

    async def _refused(self, side: Side, refusal: Refusal, todo: Sequence[Decision]) -> bool | Outcome:
        """The named fields are held, all of them where none is named; what is left to write is written.  A record that
        cannot be made, or not even be marked as linked, ends the exchange."""
        self.told[side] = self.link.reported
        self.link = refused(self.link, side, todo)
        self.park.append(self._parked(f"refused_by_{side}", refusal))
        if todo and not self.link.record_id(side).startswith(NEW):
            blamed = self._blamed(side, refusal, todo) or {d.field.name for d in todo}
            self.refused |= {n: f"{side.capitalize()} refused the value of {n} ({refusal.code})" for n in blamed}
            return True
        self.link = replace(self.link, held=dict(self.held))
        await report(
            self, f"hintd could not save the latest changes: {side.capitalize()} refused them ({refusal.code})."
        )
        return Outcome(OutcomeKind.PARKED, f"refused_by_{side}")

    def _blamed(self, side: Side, refusal: Refusal, todo: Sequence[Decision]) -> set[str]:
        def remote_name(decision: Decision) -> str:
            return decision.field.salesforce[0] if side is Side.SALESFORCE else decision.field.hint

        return {d.field.name for d in todo if remote_name(d) in refusal.fields}

    def _parked(self, kind: str, refusal: Refusal) -> ToPark:
        return ToPark(kind, refusal.code, refusal.owner, refusal.message, self.link.contact_id, self.link.patient_id)

    async def _finish(self) -> Outcome:
        newly_held = {name: why for name, why in self.held.items() if self.link.held.get(name) != why}
        if newly_held:
            self._park_held(newly_held)
        state = LinkState.LINKED if self.link.state is LinkState.LINKING else self.link.state
        self.link = replace(self.link, held=dict(self.held), state=state)
        await report(self, self._sentence())
        if newly_held or self.refused:
            return Outcome(OutcomeKind.PARKED, "held_field")
        if self.wrote:
            return Outcome(OutcomeKind.APPLIED, "wrote_" + "_and_".join(sorted(self.wrote)))
        return Outcome(OutcomeKind.NO_CHANGE, "agreed" if self.history else "equal")

    def _park_held(self, newly_held: Mapping[str, str]) -> None:
        self.park.append(
            ToPark(
                "held_field",
                ",".join(sorted(newly_held)),
                Owner.CLINIC,
                ". ".join(newly_held.values()),
                self.link.contact_id,
                self.link.patient_id,
            )
        )

    def _tell_frozen(self, before: Collection[str]) -> None:
        for name, sentence in self.link.frozen.items():
            if name not in before:
                self.tell(Level.ERROR, "field_frozen", sentence)

    def _sentence(self) -> str | None:
        """What staff read on both records; names of fields and rules, no values."""
        sentences = (*self.held.values(), *self.link.frozen.values())
        return f"Not synced: {'. '.join(sentences)}"[:255] if sentences else None

    def tell(self, level: Level, what: str, message: str) -> None:
        ids = {"contact_id": self.link.contact_id, "patient_id": self.link.patient_id}
        self.log.append(self.work.entry(level, what, message, **ids))
