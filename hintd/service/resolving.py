"""What a person decides about a parked question of who belongs with whom (README rules 3, 10 and 11).

The choice is made for the patient that waits, so the patient's values win, as they do when automation links it.
"""

from __future__ import annotations

from hintd.core.match import Match
from hintd.core.model import LinkState, Outcome, Side
from hintd.ports import Level, ParkedItem, Settlement
from hintd.service.claims import give_up, was_refused
from hintd.service.linking import FROM_PATIENT, LinkingRefused, link_by_person
from hintd.service.newcomers import NOBODY
from hintd.service.work import NEW, Work

_OF_NEWCOMERS = frozenset({Match.AMBIGUOUS, Match.LINKED_ELSEWHERE, Match.NO_DATE_OF_BIRTH})
_OF_PAIRS = frozenset({"undeleted_contact", "adoption"})


def chosen_pair(item: ParkedItem, contact_id: str | None, patient_id: str | None) -> tuple[str, str]:
    """The Contact and the patient that an item and a person's choice name together.  Raises LinkingRefused."""
    _refuse_other_questions(item)
    contact_id, patient_id = contact_id or _made(item.contact_id), patient_id or _made(item.patient_id)
    if contact_id is None or patient_id is None:
        missing = "--contact" if contact_id is None else "--patient"
        raise LinkingRefused(f"Parked item {item.id} asks for {missing} ID: it names the other record already.")
    return contact_id, patient_id


async def link_chosen(work: Work, item: ParkedItem, pair: tuple[str, str], *, person: str, take_over: bool) -> Outcome:
    """Link the chosen pair, the patient's values win, and close the item.  A link that stands is undone only with
    ``take_over``.  Safe to repeat.  Raises LinkingRefused and what the remotes raise."""
    contact_id, patient_id = pair
    if not take_over:
        await _refuse_linked_contact(work, contact_id, patient_id)
    outcome = await link_by_person(work, contact_id, patient_id, person=person, take_over=take_over, by=FROM_PATIENT)
    standing = await work.stores.links.find(work.connection.id, Side.HINT, patient_id)
    if standing is not None and standing.state is LinkState.LINKED:
        await work.stores.parking.close(item.id, state="resolved", now=work.now())
    return outcome


async def dismiss(work: Work, item: ParkedItem, *, person: str) -> None:
    """Close the item; automation leaves a new patient alone from now on.  Safe to repeat.  Raises LinkingRefused."""
    _refuse_other_questions(item)
    if item.patient_id is not None and _is_about_a_newcomer(item):
        await _leave_alone(work, item.patient_id, person)
    await work.stores.parking.close(item.id, state="discarded", now=work.now())


async def _leave_alone(work: Work, patient_id: str, person: str) -> None:
    links, connection_id = work.stores.links, work.connection.id
    told = work.entry(Level.DEBUG, "dismissed", f"{person} dismissed the new patient", patient_id=patient_id)
    mark = (NOBODY, patient_id)
    await links.settle(Settlement(connection_id, work.now(), unlinked_by_person=mark, log=(told,)))
    claim = await links.find(connection_id, Side.HINT, patient_id)
    if claim is not None and was_refused(claim):
        await give_up(work, claim)


def _made(record_id: str | None) -> str | None:
    return None if record_id is None or record_id.startswith(NEW) else record_id


def _is_about_a_newcomer(item: ParkedItem) -> bool:
    """No match was settled for it, or its Contact could not be made."""
    return item.kind in _OF_NEWCOMERS or (item.contact_id or "").startswith(NEW)


def _refuse_other_questions(item: ParkedItem) -> None:
    is_unmade = any((record_id or "").startswith(NEW) for record_id in (item.contact_id, item.patient_id))
    if item.kind not in _OF_NEWCOMERS | _OF_PAIRS and not is_unmade:
        raise LinkingRefused(
            f"Parked item {item.id} ({item.kind}) does not ask who belongs with whom. Mend what it says, then: "
            f"hintd parked retry {item.id}, or: hintd parked discard {item.id}"
        )


async def _refuse_linked_contact(work: Work, contact_id: str, patient_id: str) -> None:
    standing = await work.stores.links.find(work.connection.id, Side.SALESFORCE, contact_id)
    if standing is not None and standing.state is LinkState.LINKED and standing.patient_id != patient_id:
        raise LinkingRefused(
            f"Contact {contact_id} is linked with patient {standing.patient_id}. Confirm taking it over "
            "(--take-over) to unlink that patient and link this one."
        )
