"""One record of a batch: what is to be done about it, and one attempt at doing it, by the exchange that real-time
changes go through too.

State decides here as everywhere: what a crash left half-way is found linked or in the making, and brought to its end.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from hintd.core.batch import Batch, BatchItem, Direction, Skip
from hintd.core.errors import Retryable
from hintd.core.match import Match
from hintd.core.model import Contact, Link, LinkState, Outcome, Patient, Record, Side
from hintd.core.observe import Newness, judge, side_of
from hintd.ports import AlreadyLinked, Busy, Taken
from hintd.service import partings
from hintd.service.batch_matching import LINKED, NOT_KNOWN
from hintd.service.batch_rows import Ended, linked_by
from hintd.service.batch_writes import Stopped
from hintd.service.exchange import Exchange, RecordGone
from hintd.service.newcomers import begin
from hintd.service.react import read_both_and_run
from hintd.service.settle import run_and_settle
from hintd.service.snapshots import index_row
from hintd.service.work import NEW, Work


@dataclass(slots=True)
class Records:
    """The records of a page that are in hand, by id."""

    contacts: Mapping[str, Contact]
    patients: Mapping[str, Patient]


class LinkTaken(Exception):
    """The link of the record is in hand elsewhere; ``busy`` says until about when."""

    def __init__(self, busy: Busy) -> None:
        super().__init__(f"link {busy.link_id} is in hand elsewhere")
        self.busy = busy


@dataclass(slots=True)
class Attempt:
    """Made once: ``make`` says how the record ended."""

    work: Work
    batch: Batch
    item: BatchItem
    records: Records
    _exchange: Exchange | None = None

    async def make(self) -> Ended:
        """Raises LinkTaken, Stopped, FenceLost and what the remotes raise."""
        match self.item.decision:
            case Match.ONE:
                return await self._link(self.item.partner_id)
            case Match.NONE if self.batch.options.create_unmatched:
                return await self._link(None)
        own = self.batch.direction.own_side
        standing = await self.work.stores.links.find(self.work.connection.id, own, self.item.record_id)
        if standing is not None:
            return await self._continue(standing)
        match self.item.decision:
            case decision if decision in (LINKED, NOT_KNOWN):
                return self._absent()
            case decision:
                return Ended(skip=Skip(str(decision)))

    def _absent(self) -> Ended:
        """The index does not have it as one that can be matched: what do the records in hand say?"""
        contact = self.records.contacts.get(self.item.record_id)
        patient = self.records.patients.get(self.item.record_id)
        if contact is not None and contact.person_account:
            return Ended(skip=Skip.PERSON_ACCOUNT)
        if patient is not None and (patient.archived or patient.merged_into is not None):
            return Ended(skip=Skip.ARCHIVED)
        return Ended(not_found=contact is None, skip=None if contact is None else Skip.NO_MATCH)

    # --- a new link ---

    async def _link(self, partner_id: str | None) -> Ended:
        contact_id, patient_id = self._pair(partner_id)
        contact, patient = self.records.contacts.get(contact_id), self.records.patients.get(patient_id)
        refused = self._why_not(contact, patient, partner_id)
        if refused is not None:
            return refused
        try:
            taken = await self.work.stores.links.open(
                self.work.connection.id,
                contact_id,
                patient_id,
                by=linked_by(self.batch, creates=partner_id is None),
                owner=self.work.owner,
                now=self.work.now(),
                lease_s=self.work.lease_s,
            )
        except AlreadyLinked as error:
            if error.link.record_id(self.batch.direction.own_side) == self.item.record_id:
                return await self._continue(error.link)  # linked a moment ago
            return Ended(skip=Skip.MATCH_LINKED_ELSEWHERE)

        async def part(exchange: Exchange) -> Outcome:
            self._exchange = exchange
            exchange.phones_known = True  # the patient in hand counts as read: no call is spent on its other phones
            try:
                return await begin(exchange, patient, contact)
            except Stopped:
                if not exchange.wrote:  # nothing was written yet: the claim is given up
                    exchange.link = replace(exchange.link, state=LinkState.UNLINKED)
                raise

        return self._ended(await run_and_settle(self.work, taken, None, part))

    def _pair(self, partner_id: str | None) -> tuple[str, str]:
        own = self.item.record_id
        partner = partner_id if partner_id is not None else f"{NEW}{own}"
        return (partner, own) if self.batch.direction is Direction.PATIENTS_TO_CONTACTS else (own, partner)

    def _why_not(self, contact: Contact | None, patient: Patient | None, partner_id: str | None) -> Ended | None:
        """The records themselves have the last word, whatever the index said."""
        own, partner = (
            (patient, contact) if self.batch.direction is Direction.PATIENTS_TO_CONTACTS else (contact, patient)
        )
        if own is None:
            return Ended(not_found=True)
        if contact is not None and contact.person_account:
            return Ended(skip=Skip.PERSON_ACCOUNT)
        if patient is not None and self._is_out(patient):
            return Ended(skip=Skip.ARCHIVED)
        if partner_id is None:
            return None
        if partner is None or not _is_same_person(own, partner):
            return Ended(skip=Skip.NO_MATCH)
        if contact is not None and contact.synced:
            return Ended(skip=Skip.MATCH_LINKED_ELSEWHERE)
        return None

    def _is_out(self, patient: Patient) -> bool:
        return patient.merged_into is not None or (patient.archived and not self.batch.options.include_archived)

    # --- a standing link ---

    async def _continue(self, standing: Link) -> Ended:
        """The patient wins a conflict (README rule 6); a Contact that is linked already is skipped, unless this batch
        linked it and did not come to the end (README rule 7)."""
        ours = standing.linked_by.endswith(f":{self.batch.id}")
        if self.batch.direction is Direction.CONTACTS_TO_PATIENTS and not ours:
            return Ended(skip=Skip.ALREADY_LINKED)
        patient = self.records.patients.get(standing.patient_id)
        if patient is not None and patient.merged_into is not None:  # the link follows the winner, by its events
            return Ended(skip=Skip.ARCHIVED)
        taken = await self._take()
        if taken is None:
            raise Retryable(f"the link of {self.item.record_id} went a moment ago")
        return self._ended(await run_and_settle(self.work, taken, None, self._bring_to_agreement))

    async def _take(self) -> Taken | None:
        own, work = self.batch.direction.own_side, self.work
        taken = await work.stores.links.take(
            work.connection.id, own, self.item.record_id, owner=work.owner, now=work.now(), lease_s=work.lease_s
        )
        if isinstance(taken, Busy):
            raise LinkTaken(taken)
        return taken

    async def _bring_to_agreement(self, exchange: Exchange) -> Outcome:
        self._exchange = exchange
        try:
            return await self._agree(exchange)
        except RecordGone as gone:
            if exchange.link.state is LinkState.LINKING:
                raise Retryable(str(gone)) from gone
            return await partings.record_gone(exchange, gone.side)

    async def _agree(self, exchange: Exchange) -> Outcome:
        if exchange.link.state is LinkState.LINKING:
            return await read_both_and_run(exchange)
        for record in (
            self.records.patients.get(exchange.link.patient_id),
            self.records.contacts.get(exchange.link.contact_id),
        ):
            if record is not None:
                await _take_unless_old(exchange, record)
        if exchange.link.contact_id not in self.records.contacts:  # what became of it is found out by a read of its own
            await exchange.read_side(Side.SALESFORCE, "read_missing")
        return await exchange.run()

    def _ended(self, outcome: Outcome) -> Ended:
        exchange = self._exchange
        if exchange is None:
            return Ended(outcome)
        return Ended(outcome, parked=tuple(exchange.park), held=dict(exchange.link.held))


async def _take_unless_old(exchange: Exchange, record: Record) -> None:
    """The record was read for the page, or long before it, and real-time sync goes on meanwhile: what cannot be
    ordered is read again, or an old value would be taken for an edit."""
    newness = judge(exchange.link, record, exchange.work.book)
    if newness is Newness.DOUBTFUL:
        await exchange.read_side(side_of(record), "read_doubtful")
    elif newness is not Newness.OLD:
        exchange.take(record)
        exchange.phones_known |= isinstance(record, Patient)  # it counts as read: no call for its other phones


def _is_same_person(one: Record, other: Record) -> bool:
    """Is it still the match that the index told of?"""
    rows = [row for record in (one, other) if (row := index_row(record)) is not None and row.date_of_birth]
    return (
        len(rows) == 2 and rows[0].match_name == rows[1].match_name and rows[0].date_of_birth == rows[1].date_of_birth
    )
