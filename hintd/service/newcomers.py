"""A patient that has no link: the new-patient rule (README rule 3), and making a first exchange."""

from __future__ import annotations

from dataclasses import replace

from hintd.core.errors import Retryable
from hintd.core.match import Decision, IndexRow, Match, decide_match, row_suffix
from hintd.core.model import Contact, LinkState, Notice, Outcome, OutcomeKind, Owner, Patient, Side
from hintd.core.plan import blank
from hintd.ports import AlreadyLinked, Connection, Index, Level, Taken, ToPark
from hintd.service.exchange import NEW, Exchange, RecordGone
from hintd.service.settle import run_and_settle, settle_unlinked
from hintd.service.snapshots import index_row
from hintd.service.work import Work

NOBODY = ""
"""In place of the Contact that a person parted a patient from: a new patient that was dismissed is left alone."""


def creates_contacts(connection: Connection) -> bool:
    """The check box "Create new Contact for Patients without Demographics Matches During Sync"; default off."""
    return connection.settings.get("create_unmatched_contacts", False) is True


def links_new_patients(connection: Connection) -> bool:
    """``sync_new_patients``: on, off, or auto, which follows the check box."""
    setting = connection.settings.get("sync_new_patients", "auto")
    return creates_contacts(connection) if setting == "auto" else setting == "on"


async def react_to_patient(work: Work, notice: Notice, patient: Patient) -> Outcome:
    """Settle a notice about a patient without a link.  Where a newer version is known, the patient is read."""
    known = await work.stores.index.get(work.connection.id, Side.HINT, patient.id)
    if known is not None and known.stamp > patient.stamp:
        now = await work.remotes.hint.get_patient(patient.id, work.call("read_newcomer"))
        if now is None:
            return await settle_unlinked(work, notice, Outcome(OutcomeKind.IGNORED, "not_found"))
        patient = now
    row = index_row(patient)
    assert row is not None, "a patient is always read whole"
    why_not = await _why_not(work, patient)
    if why_not is not None:
        return await settle_unlinked(work, notice, Outcome(OutcomeKind.IGNORED, why_not), row=row)
    await work.stores.index.put(work.connection.id, [row])
    decision = await match_record(work.stores.index, work.connection.id, row)
    if decision.match is Match.ONE and decision.record_id is not None:
        return await _link_with(work, notice, patient, decision.record_id)
    if decision.match is Match.NONE:
        if creates_contacts(work.connection):
            return await _create_contact(work, notice, patient)
        return await settle_unlinked(work, notice, Outcome(OutcomeKind.IGNORED, "no_match"), row=row)
    return await _park(work, notice, decision, row)


async def _why_not(work: Work, patient: Patient) -> str | None:
    """Why the new-patient rule does not concern this patient."""
    if not links_new_patients(work.connection):
        return "not_linked"
    if patient.created_at < work.connection.created_at:
        return "older_than_connection"
    if patient.archived or patient.merged_into is not None:
        return "archived"
    parted = await work.stores.links.was_unlinked_by_person(work.connection.id, patient_id=patient.id)
    if parted:
        return "dismissed" if (NOBODY, patient.id) in parted else "unlinked_by_person"
    return None


async def match_record(index: Index, connection_id: int, own: IndexRow) -> Decision:
    """The demographic match of one record by the indexes (README rule 4)."""
    if not own.date_of_birth:
        return decide_match(own, (), ())
    key = (own.match_name, own.date_of_birth)
    candidates = await index.candidates(connection_id, own.side.other, *key)
    rivals = await index.candidates(connection_id, own.side, *key)
    return decide_match(own, candidates, rivals)


async def _park(work: Work, notice: Notice, decision: Decision, row: IndexRow) -> Outcome:
    sentences = {
        Match.AMBIGUOUS: "Several records match this patient. Choose one, or dismiss it.",
        Match.LINKED_ELSEWHERE: "The only matching Contact is synced with another patient.",
        Match.NO_DATE_OF_BIRTH: "The patient has no date of birth yet, so no Contact can be matched.",
    }
    item = ToPark(
        str(decision.match), str(decision.match), Owner.CLINIC, sentences[decision.match], None, notice.record_id
    )
    candidates = ", ".join(c.record_id for c in decision.considered)
    entry = work.entry(
        Level.ERROR,
        "new_patient_not_linked",
        f"{decision.match}; considered: {candidates or 'nobody'}",
        patient_id=notice.record_id,
    )
    outcome = Outcome(OutcomeKind.PARKED, str(decision.match))
    return await settle_unlinked(work, notice, outcome, row=row, park=(item,), log=(entry,))


async def _link_with(work: Work, notice: Notice, patient: Patient, contact_id: str) -> Outcome:
    parted = await work.stores.links.was_unlinked_by_person(work.connection.id, contact_id=contact_id)
    if parted:
        outcome = Outcome(OutcomeKind.IGNORED, "unlinked_by_person")
        return await settle_unlinked(work, notice, outcome, row=index_row(patient))
    contacts = await work.remotes.salesforce.get_contacts([contact_id], work.call("read_match"))
    contact = contacts.get(contact_id)
    if contact is None or contact.synced or contact.person_account:
        await _correct_index(work, contact_id, contact)
        raise Retryable(f"the match {contact_id} of patient {patient.id} is no candidate any more")
    taken = await claim(work, contact_id, patient.id, by="match")
    return await _exchange_with_newcomer(work, taken, notice, patient, contact)


async def _correct_index(work: Work, contact_id: str, contact: Contact | None) -> None:
    earlier = await work.stores.index.get(work.connection.id, Side.SALESFORCE, contact_id)
    row = index_row(contact) if contact is not None else None
    if row is None and earlier is not None:
        row = index_row(Contact(contact_id, work.now(), {}, whole=False, deleted=True, known=frozenset()), earlier)
    await work.stores.index.put(work.connection.id, [row] if row is not None else [])


async def _create_contact(work: Work, notice: Notice, patient: Patient) -> Outcome:
    taken = await claim(work, f"{NEW}{patient.id}", patient.id, by="created_contact")
    return await _exchange_with_newcomer(work, taken, notice, patient, None)


async def _exchange_with_newcomer(
    work: Work, taken: Taken, notice: Notice, judged: Patient, contact: Contact | None
) -> Outcome:
    """An event shows what was: once the link is claimed the patient is read, as it may have gone, or become another's,
    since.  Then the claim is given up: nothing was written yet."""

    async def part(exchange: Exchange) -> Outcome:
        try:
            await exchange.read_side(Side.HINT, "read_newcomer")
        except RecordGone:
            exchange.link = replace(exchange.link, state=LinkState.UNLINKED)
            return Outcome(OutcomeKind.IGNORED, "not_found")
        if not _is_as_judged(exchange.patient, judged):
            exchange.link = replace(exchange.link, state=LinkState.UNLINKED)
            raise Retryable(f"patient {judged.id} has changed since the event: looked at again")
        return await _take_and_run(exchange, contact)

    return await run_and_settle(work, taken, notice, part)


def _is_as_judged(now: Patient | None, judged: Patient) -> bool:
    """Would the decision be the same?"""
    if now is None or now.archived or now.merged_into is not None:
        return False
    one, other = index_row(now), index_row(judged)
    return one is not None and other is not None and _demographics(one) == _demographics(other)


def _demographics(row: IndexRow) -> tuple[str, str | None, str | None]:
    return row.match_name, row.date_of_birth, row_suffix(row)


async def _take_and_run(exchange: Exchange, contact: Contact | None) -> Outcome:
    if contact is None:
        exchange.link = blank(exchange.link, Side.SALESFORCE, exchange.work.book)
    else:
        exchange.take(contact)
    return await _run_first(exchange)


async def _run_first(exchange: Exchange) -> Outcome:
    """A record that went meanwhile is looked up when the link in the making is taken up again."""
    try:
        return await exchange.run()
    except RecordGone as gone:
        raise Retryable(str(gone)) from gone


async def claim(work: Work, contact_id: str, patient_id: str, *, by: str) -> Taken:
    """A link in the making.  Raises Retryable when another worker was faster: the next look finds its link."""
    try:
        return await work.stores.links.open(
            work.connection.id, contact_id, patient_id, by=by, owner=work.owner, now=work.now(), lease_s=work.lease_s
        )
    except AlreadyLinked as error:
        raise Retryable(f"{error}, by another worker just now") from error


async def first_exchange(
    work: Work, taken: Taken, notice: Notice | None, *, patient: Patient | None, contact: Contact | None
) -> Outcome:
    """The exchange of a new link; a record that is None is still to be made."""

    async def part(exchange: Exchange) -> Outcome:
        return await begin(exchange, patient, contact)

    return await run_and_settle(work, taken, notice, part)


async def begin(exchange: Exchange, patient: Patient | None, contact: Contact | None) -> Outcome:
    """Take both records in, one that is None as blank, and exchange."""
    for side, record in ((Side.HINT, patient), (Side.SALESFORCE, contact)):
        if record is None:
            exchange.link = blank(exchange.link, side, exchange.work.book)
        else:
            exchange.take(record)
    return await _run_first(exchange)
