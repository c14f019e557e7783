"""Deletes, merges and unlinking (README rules 9 and 10).  hintd never deletes anything in Hint or Salesforce."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hintd.core.contact import PATIENT_ID, SYNC_ERROR, SYNCED
from hintd.core.model import Contact, LinkState, Notice, Outcome, OutcomeKind, Owner, Patient, Side
from hintd.core.observe import latest
from hintd.core.plan import follow
from hintd.ports import IndexRow, Level, ToPark
from hintd.service.absence import brake
from hintd.service.exchange import Exchange
from hintd.service.settle import Part, settle_unlinked
from hintd.service.snapshots import index_row
from hintd.service.work import NEW, Work


async def record_deleted(exchange: Exchange, notice: Notice) -> Outcome:
    """An event says that a record of the link was deleted."""
    if notice.side is Side.HINT:
        if (braked := await _braked(exchange, Side.HINT)) is not None:
            return braked
        await unlink_contact(exchange, "The patient was deleted in Hint; the Contact is no longer synced.")
        exchange.gone = await gone_row(exchange.work, notice)
        return _parted(exchange, "patient_destroyed")
    return await contact_gone(exchange)


async def gone_row(work: Work, notice: Notice) -> IndexRow | None:
    """The index's row of a record that is gone: nobody is matched with it any more.  None: there is none."""
    row = await work.stores.index.get(work.connection.id, notice.side, notice.record_id)
    return None if row is None else replace(row, gone=True, stamp=latest(row.stamp, notice.stamp) or row.stamp)


async def _braked(exchange: Exchange, side: Side) -> Outcome | None:
    braked = await brake(exchange.work, side, exchange.link)
    if braked is None:
        return None
    outcome, item = braked
    exchange.park.append(item)
    return outcome


async def record_gone(exchange: Exchange, side: Side) -> Outcome:
    """A read or write did not find a record.  A 404 of Hint proves no deletion (README rule 10)."""
    if side is Side.SALESFORCE:
        return await contact_gone(exchange)
    if exchange.link.contact_id.startswith(NEW):  # else events about the Contact would wait for it for ever
        exchange.link = replace(exchange.link, state=LinkState.UNLINKED)
    return _parked(
        exchange,
        "patient_not_found",
        Owner.HINT_ADMIN,
        "Hint does not show this patient at the moment. It may be archived; nothing was changed.",
    )


async def contact_gone(exchange: Exchange) -> Outcome:
    """Deleted, or merged into another Contact: its winner is looked for first."""
    work, link = exchange.work, exchange.link
    begun = work.now()
    fate = await work.remotes.salesforce.find_fate(link.contact_id, work.call("find_fate"))
    if fate is not None and fate.winner_id is not None:
        return await record_merged(exchange, Side.SALESFORCE, fate.winner_id)
    if fate is not None and not fate.deleted:
        exchange.take(fate, read_at=begun)
        return await exchange.run()
    if (braked := await _braked(exchange, Side.SALESFORCE)) is not None:
        return braked
    await unlink_patient(exchange)
    exchange.parted = (exchange.link.contact_id, exchange.link.patient_id)  # a deleted Contact is not made anew
    return _parted(exchange, "contact_deleted")


async def record_merged(exchange: Exchange, side: Side, winner_id: str) -> Outcome:
    """The link follows the winner; if both were linked, a person decides."""
    link = exchange.link
    if await _is_spoken_for(exchange, side, winner_id):
        return _parked(
            exchange,
            "merged_both_linked",
            Owner.CLINIC,
            f"{link.record_id(side)} was merged into {winner_id}, and both are linked. Unlink one of the two.",
        )
    if side is Side.HINT:
        await _release_patient(exchange)
    exchange.link = follow(link, side, winner_id)
    exchange.tell(Level.ERROR, "merged", f"{link.record_id(side)} was merged into {winner_id}: the link follows it")
    await exchange.read_both()
    return await exchange.run()


async def _is_spoken_for(exchange: Exchange, side: Side, winner_id: str) -> bool:
    """Is the winner linked, or just being linked?  A Contact made by a link in the making names its patient already."""
    work = exchange.work
    if await work.stores.links.find(work.connection.id, side, winner_id) is not None:
        return True
    if side is Side.HINT:
        return False
    winner = (await work.remotes.salesforce.get_contacts([winner_id], work.call("read_winner"))).get(winner_id)
    if winner is None or winner.patient_id in (None, exchange.link.patient_id):
        return False
    other = await work.stores.links.find(work.connection.id, Side.HINT, str(winner.patient_id))
    return other is not None and other.contact_id.startswith(NEW)


async def unlink_contact(exchange: Exchange, why: str | None) -> None:
    """Clear what says on the Contact that it is linked; all other fields stay."""
    fields: dict[str, Any] = {SYNCED: False, PATIENT_ID: None}
    if SYNC_ERROR in exchange.work.book.shape:
        fields[SYNC_ERROR] = why
    answer = await exchange.work.remotes.salesforce.write_contact(
        exchange.link.contact_id, fields, None, exchange.work.call("unlink")
    )
    exchange.contact = answer.after or exchange.contact
    exchange.wrote.add(Side.SALESFORCE)


async def unlink_patient(exchange: Exchange) -> None:
    """Clear the integration attributes of the patient; a patient that is not there is left alone."""
    exchange.patient = await _release_patient(exchange) or exchange.patient
    exchange.wrote.add(Side.HINT)


async def _release_patient(exchange: Exchange) -> Patient | None:
    """Hint keeps ``integration_record_id`` unique, so a merged-away patient must not hold what its winner is given."""
    attributes = dict.fromkeys(("integration_record_id", "integration_web_link", "integration_error_message"))
    return await exchange.work.remotes.hint.update_patient(
        exchange.link.patient_id, attributes, exchange.work.call("unlink")
    )


def _parted(exchange: Exchange, why: str) -> Outcome:
    exchange.link = replace(exchange.link, state=LinkState.UNLINKED, reported=None)
    exchange.tell(Level.ERROR, "unlinked", f"unlinked: {why}")
    return Outcome(OutcomeKind.APPLIED, why)


def _parked(exchange: Exchange, kind: str, owner: Owner, sentence: str) -> Outcome:
    link = exchange.link
    exchange.park.append(ToPark(kind, kind, owner, sentence, link.contact_id, link.patient_id))
    return Outcome(OutcomeKind.PARKED, kind)


async def offer_again(work: Work, notice: Notice, contact: Contact) -> Outcome:
    """An undeleted Contact that still names its patient is offered to a person, never linked by itself."""
    sentence = "The Contact was restored from the recycle bin. Link it again, or dismiss this."
    item = ToPark("undeleted_contact", "undeleted", Owner.CLINIC, sentence, contact.id, contact.patient_id)
    outcome = Outcome(OutcomeKind.PARKED, "undeleted_contact")
    return await settle_unlinked(work, notice, outcome, row=index_row(contact), park=(item,))


def part_by_person(person: str) -> Part:
    """Unlink because a person said so: remembered, so that no automation links the two again (README rule 9)."""

    async def part(exchange: Exchange) -> Outcome:
        await unlink_contact(exchange, None)
        await unlink_patient(exchange)
        exchange.parted = (exchange.link.contact_id, exchange.link.patient_id)
        return _parted(exchange, f"unlinked_by_{person}")

    return part
