"""Linking, relinking and unlinking by a person (README rules 5 and 9), and taking over what stood before (rule 11)."""

from __future__ import annotations

from dataclasses import replace

from hintd.core.errors import Retryable
from hintd.core.fields import Book
from hintd.core.model import Contact, Link, LinkState, Outcome, OutcomeKind, Patient, Side
from hintd.core.normalize import same
from hintd.core.plan import adopt
from hintd.ports import AlreadyLinked, Busy, CallClass, Level, Taken
from hintd.service.claims import give_up, was_refused
from hintd.service.exchange import NEW, Exchange, RecordGone
from hintd.service.newcomers import first_exchange
from hintd.service.partings import part_by_person
from hintd.service.settle import run_and_settle
from hintd.service.work import Work

FROM_CONTACT, FROM_PATIENT = "person", "chosen"
"""Begin ``linked_by`` of a link that a person made: from the Contact, whose values win, or from the patient."""


class LinkingRefused(Exception):
    """A rule forbids it; ``str()`` is a sentence that says which, and what to do."""


async def link_by_person(
    work: Work, contact_id: str, patient_id: str | None, *, person: str, take_over: bool = False, by: str = FROM_CONTACT
) -> Outcome:
    """Link a Contact with a patient, or with a new one when ``patient_id`` is None; ``by`` says whose values win.

    A former link of the Contact is undone first; one of the patient only with ``take_over``.
    Raises LinkingRefused and what the remotes raise.
    """
    work = work.calling_as(CallClass.MANUAL)
    contact, patient = await _read_linkable(work, contact_id, patient_id)
    if await _make_room(work, contact_id, patient_id, person, take_over):
        contact, patient = await _read_linkable(work, contact_id, patient_id)
    taken = await _take_or_open(work, contact_id, patient_id or f"{NEW}{contact_id}", f"{by}:{person}")
    if taken.link.state is LinkState.LINKED:
        return await run_and_settle(work, taken, None, _sync_again)
    return await first_exchange(work, taken, None, patient=patient, contact=contact)


async def _sync_again(exchange: Exchange) -> Outcome:
    """The pair is linked already: whatever was missed is brought over."""
    try:
        await exchange.read_both()
        return await exchange.run()
    except RecordGone as gone:
        raise Retryable(str(gone)) from gone


async def _read_linkable(work: Work, contact_id: str, patient_id: str | None) -> tuple[Contact, Patient | None]:
    """Before anything is undone for them.  Raises LinkingRefused."""
    contacts = await work.remotes.salesforce.get_contacts([contact_id], work.call("read_contact"))
    contact = contacts.get(contact_id)
    if contact is None:
        raise LinkingRefused(f"Salesforce shows no Contact {contact_id}. Check the id and the sync user's access.")
    if contact.person_account:
        raise LinkingRefused(f"Contact {contact_id} belongs to a person account; hintd does not sync those.")
    await _refuse_if_being_linked(work, contact)
    return contact, await _read_patient(work, patient_id) if patient_id is not None else None


async def _make_room(work: Work, contact_id: str, patient_id: str | None, person: str, take_over: bool) -> bool:
    """Undo what stands in the way; was there anything that wrote to the two records?  The patient's former link first:
    where it may not be undone, nothing is."""
    undone = patient_id is not None and await _make_room_on_patient(work, contact_id, patient_id, person, take_over)
    standing = await work.stores.links.find(work.connection.id, Side.SALESFORCE, contact_id)
    if standing is None:
        return undone
    return await _make_room_on_contact(work, standing, patient_id, person) or undone


async def _make_room_on_contact(work: Work, standing: Link, patient_id: str | None, person: str) -> bool:
    if patient_id is not None and was_refused(standing):
        await give_up(work, standing)
        return False
    if standing.state is LinkState.LINKING or standing.patient_id == patient_id:
        return False
    if patient_id is None:
        raise LinkingRefused(
            f"Contact {standing.contact_id} is linked with patient {standing.patient_id} already; no second patient "
            "is made. Unlink it first if it should get another one."
        )
    await unlink_by_person(work, standing.contact_id, person=person)
    return True


async def _make_room_on_patient(work: Work, contact_id: str, patient_id: str, person: str, take_over: bool) -> bool:
    other = await work.stores.links.find(work.connection.id, Side.HINT, patient_id)
    if other is None or other.contact_id == contact_id:
        return False
    if was_refused(other):
        await give_up(work, other)
        return False
    if other.contact_id.startswith(NEW):
        raise LinkingRefused(f"A Contact is being made for patient {patient_id} at the moment; look again in a minute.")
    if not take_over:
        raise LinkingRefused(
            f"Patient {patient_id} is linked with Contact {other.contact_id}. Confirm taking it over "
            "(--take-over) to unlink that Contact and link this one."
        )
    await unlink_by_person(work, other.contact_id, person=person)
    return True


async def _refuse_if_being_linked(work: Work, contact: Contact) -> None:
    """A Contact that was made for a patient names it before its link is stored."""
    if contact.patient_id is None:
        return
    link = await work.stores.links.find(work.connection.id, Side.HINT, contact.patient_id)
    if link is not None and link.contact_id.startswith(NEW):
        raise LinkingRefused(f"Contact {contact.id} is being linked at the moment; look again in half a minute.")


async def _read_patient(work: Work, patient_id: str) -> Patient:
    patient = await work.remotes.hint.get_patient(patient_id, work.call("read_patient"))
    if patient is None:
        raise LinkingRefused(f"Hint shows no patient {patient_id}. Check the id, and whether the patient is archived.")
    if patient.merged_into is not None:
        raise LinkingRefused(f"Patient {patient_id} was merged into {patient.merged_into}; link that one.")
    return patient


async def _take_or_open(work: Work, contact_id: str, patient_id: str, by: str) -> Taken:
    """A new link, or the one that a failed attempt left in the making."""
    links, connection_id = work.stores.links, work.connection.id
    try:
        return await links.open(
            connection_id,
            contact_id,
            patient_id,
            by=by,
            owner=work.owner,
            now=work.now(),
            lease_s=work.lease_s,
        )
    except AlreadyLinked as error:
        if error.link.contact_id != contact_id or error.link.patient_id != patient_id:
            raise LinkingRefused(f"{error}; somebody else linked it a moment ago.") from error
    taken = await links.take(
        connection_id, Side.SALESFORCE, contact_id, owner=work.owner, now=work.now(), lease_s=work.lease_s
    )
    if isinstance(taken, Taken):
        return taken
    raise LinkingRefused(f"Contact {contact_id} is being linked at the moment; look again in half a minute.")


async def take_in_hand(work: Work, contact_id: str) -> Taken:
    """The Contact's standing link under a lease.  Raises LinkingRefused when it has none, or another has it in hand."""
    taken = await work.stores.links.take(
        work.connection.id, Side.SALESFORCE, contact_id, owner=work.owner, now=work.now(), lease_s=work.lease_s
    )
    if taken is None:
        raise LinkingRefused(f"Contact {contact_id} is not linked.")
    if isinstance(taken, Busy):
        raise LinkingRefused(f"Contact {contact_id} is being synced at the moment; try again in half a minute.")
    return taken


async def unlink_by_person(work: Work, contact_id: str, *, person: str) -> Outcome:
    """Raises LinkingRefused when the Contact has no link, or is in hand for longer than a moment."""
    taken = await take_in_hand(work, contact_id)
    return await run_and_settle(work.calling_as(CallClass.MANUAL), taken, None, part_by_person(person))


async def adopt_link(work: Work, contact: Contact, patient: Patient) -> tuple[str, ...]:
    """Take over a link that an earlier integration left: the base is what each side holds, nothing is written.
    Returns the names of the fields that differ.  Raises AlreadyLinked."""
    taken = await work.stores.links.open(
        work.connection.id,
        contact.id,
        patient.id,
        by="adopted",
        owner=work.owner,
        now=work.now(),
        lease_s=work.lease_s,
    )

    async def part(exchange: Exchange) -> Outcome:
        exchange.take(patient)
        exchange.take(contact)
        exchange.link, _ = adopt(exchange.link, work.now())
        return Outcome(OutcomeKind.APPLIED, "adopted")

    await run_and_settle(work, taken, None, part)
    return differing_fields(contact, patient, work.book)


def differing_fields(contact: Contact, patient: Patient, book: Book) -> tuple[str, ...]:
    """The names of the fields that both records show and that are not equal."""
    both = (f for f in book.fields if f.name in contact.values and f.name in patient.values)
    return tuple(f.name for f in both if not same(f, patient.values[f.name], contact.values[f.name], book.rules))


async def unfreeze_by_person(work: Work, contact_id: str, field: str | None, *, person: str) -> tuple[str, ...]:
    """Release the frozen fields of a pair, or one of them: their names.  The pair has to be looked at again after it.
    Raises LinkingRefused."""
    taken = await take_in_hand(work, contact_id)
    released = tuple(sorted(name for name in taken.link.frozen if field in (None, name)))

    async def part(exchange: Exchange) -> Outcome:
        exchange.link = _without(exchange.link, released)
        exchange.tell(Level.DEBUG, "unfrozen", f"{person} released {', '.join(released) or 'nothing'}")
        return Outcome(OutcomeKind.APPLIED, "unfrozen")

    await run_and_settle(work, taken, None, part)
    return released


def _without(link: Link, released: tuple[str, ...]) -> Link:
    """Their past turns are forgotten too, or the next one would freeze them again."""
    frozen = {name: why for name, why in link.frozen.items() if name not in released}
    turns = {name: past for name, past in link.turns.items() if name not in released}
    return replace(link, frozen=frozen, turns=turns)
