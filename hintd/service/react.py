"""What to do about one change notice: the one place where an event turns into an outcome.

State decides; the notice only says where to look.  Exactly one outcome is settled per notice; an exception means that
none was reached and the message has to come again.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from hintd.core.errors import Retryable
from hintd.core.model import (
    Change,
    Contact,
    LinkState,
    Notice,
    Outcome,
    OutcomeKind,
    Patient,
    Record,
    Side,
    Source,
)
from hintd.core.normalize import same
from hintd.core.observe import Newness, Unknown, current, judge, own_fields_differ
from hintd.core.unseen import Overwritten
from hintd.ports import Busy, Level, LogEntry, Taken
from hintd.service import newcomers, partings
from hintd.service.exchange import NEW, Exchange, RecordGone
from hintd.service.settle import run_and_settle, settle_unlinked
from hintd.service.snapshots import BadSnapshot, index_row, record_of
from hintd.service.work import Work

BUSY_WAIT_S = 0.2

PAGE_WAIT_S = 2.0
"""How long a notice stays away from a link that a batch has in hand: waiting here, the echoes of a page of 200 would
take all places from the changes of others."""

HAND_WAIT_S = 2.0
"""How long a notice waits for a link that this process has in hand; after that its place goes to other records."""


_LONGEST_CHAIN = 5


class LinkBusy(Exception):
    """Another worker has the link in hand: the notice has to wait a moment."""

    def __init__(self, link_id: int, *, after_s: float = BUSY_WAIT_S) -> None:
        super().__init__(f"link {link_id} is in hand elsewhere")
        self.link_id = link_id
        self.after_s = after_s


async def react(work: Work, notice: Notice) -> Outcome:
    """Raises LinkBusy, FenceLost, and what the remotes raise; then the notice has no outcome yet."""
    taken = await _take(work, notice)
    while isinstance(taken, Busy):
        if (taken.until - work.now()).total_seconds() > work.lease_s:  # a batch's page has it, and many others with it
            raise LinkBusy(taken.link_id, after_s=PAGE_WAIT_S)
        if not await work.hands.wait(taken.link_id, HAND_WAIT_S):
            raise LinkBusy(taken.link_id)
        taken = await _take(work, notice)
    if taken is None:
        return await _react_unlinked(work, notice)
    return await react_linked(work, taken, notice)


async def _take(work: Work, notice: Notice) -> Taken | Busy | None:
    return await work.stores.links.take(
        work.connection.id, notice.side, notice.record_id, owner=work.owner, now=work.now(), lease_s=work.lease_s
    )


async def react_linked(work: Work, taken: Taken, notice: Notice) -> Outcome:
    async def part(exchange: Exchange) -> Outcome:
        step = partial(_bring_to_agreement, exchange, notice)
        for _ in range(_LONGEST_CHAIN):
            try:
                return await step()
            except RecordGone as gone:  # also of the winner of a merge, which may have been merged away in its turn
                step = partial(partings.record_gone, exchange, gone.side)
        raise Retryable(f"the records of link {taken.link.id} go one after the other")

    return await run_and_settle(work, taken, notice, part)


async def _bring_to_agreement(exchange: Exchange, notice: Notice) -> Outcome:
    if notice.change is Change.DELETED:
        return await partings.record_deleted(exchange, notice)
    if exchange.link.state is LinkState.LINKING or notice.source is Source.CONTROL:
        return await read_both_and_run(exchange, notice)
    record = _shown(exchange, notice)
    if record is None:
        return await _read_and_run(exchange, notice)
    moved_to = _merged_into(record)
    if moved_to is not None:
        return await partings.record_merged(exchange, notice.side, moved_to)
    newness = judge(exchange.link, record, exchange.work.book)
    if newness is Newness.NEW:
        return await _take_and_run(exchange, record)
    if newness is Newness.DOUBTFUL:
        return await _read_and_run(exchange, notice)
    if newness is Newness.OLD and isinstance(record, Patient):
        return await _late_event(exchange, record)
    if newness is Newness.KNOWN:
        exchange.take(record)
    return await exchange.run_unfinished(
        Outcome(OutcomeKind.NO_CHANGE, "echo" if newness is Newness.KNOWN else "older")
    )


def _shown(exchange: Exchange, notice: Notice) -> Record | None:
    """The snapshot; None where there is none that can be trusted, so that the record is read instead."""
    if notice.change is Change.GAP:
        return None
    try:
        return record_of(notice, exchange.work.book)
    except BadSnapshot as error:
        exchange.log.append(exchange.work.entry(Level.ERROR, "bad_snapshot", f"{error}; the record is read instead"))
        return None


def _merged_into(record: Record) -> str | None:
    return record.merged_into if isinstance(record, Patient) else record.winner_id


async def _take_and_run(exchange: Exchange, record: Record) -> Outcome:
    exchange.take(record)
    return await exchange.run()


async def _read_and_run(exchange: Exchange, notice: Notice) -> Outcome:
    """Read the record, unless a read begun after the notice was accepted covers it already (coalescing)."""
    read_at = exchange.link.half(notice.side).read_at
    if read_at is not None and notice.accepted_at < read_at:
        return await exchange.run_unfinished(Outcome(OutcomeKind.NO_CHANGE, "coalesced"))
    before = exchange.link.half(notice.side).seen
    await exchange.read_side(notice.side, "read_doubtful")
    is_news = exchange.link.half(notice.side).seen != before or _is_tampered_with(exchange)
    return await exchange.run() if is_news else await exchange.run_unfinished(Outcome(OutcomeKind.NO_CHANGE, "equal"))


def _is_tampered_with(exchange: Exchange) -> bool:
    return exchange.contact is not None and own_fields_differ(exchange.link, exchange.contact)


async def read_both_and_run(exchange: Exchange, notice: Notice | None = None) -> Outcome:
    """Both records are read, as when a person asks or a first exchange is taken up again."""
    await exchange.read_both()
    return await exchange.run()


async def _late_event(exchange: Exchange, patient: Patient) -> Outcome:
    """An older snapshot is no news, unless it shows an edit that our own write to Hint went over before its event came
    (Hint has no conditional writes): then the later edit wins after all, and the other is kept in the history."""
    rules = exchange.work.book.rules
    for name, overwrote in exchange.link.overwrote.items():
        field = next((f for f in exchange.work.book.fields if f.name == name), None)
        if field is None or name not in patient.values:
            continue
        if overwrote.known_until is not None and patient.stamp <= overwrote.known_until:
            continue
        if overwrote.until is not None and patient.stamp >= overwrote.until:
            continue
        stood, now = patient.values[name], current(exchange.link.hint, name)
        if isinstance(now, Unknown):
            continue
        if any(same(field, stood, each, rules) for each in (overwrote.replaced, overwrote.wrote, now, *overwrote.sent)):
            continue
        exchange.settle_overwritten(Side.HINT, Overwritten(field, now, stood, patient.stamp, overwrote.won_at))
        remaining = {**exchange.link.overwrote, name: replace(overwrote, known_until=patient.stamp)}
        exchange.link = replace(exchange.link, overwrote=remaining)
    return await exchange.run_unfinished(Outcome(OutcomeKind.NO_CHANGE, "older"))


# --- records without a link ---


async def _react_unlinked(work: Work, notice: Notice) -> Outcome:
    if notice.change is Change.DELETED:
        return await _forget(work, notice)
    record = await _record_or_read(work, notice)
    if record is None:
        return await settle_unlinked(work, notice, Outcome(OutcomeKind.IGNORED, "not_found"))
    await _wait_for_a_link_in_the_making(work, record)
    if isinstance(record, Patient):
        return await newcomers.react_to_patient(work, notice, record)
    if notice.change is Change.UNDELETED and record.patient_id is not None:
        return await partings.offer_again(work, notice, record)
    earlier = None if record.whole else await work.stores.index.get(work.connection.id, Side.SALESFORCE, record.id)
    row = index_row(record, earlier)
    log = _tell_false_claim(work, record)
    return await settle_unlinked(work, notice, Outcome(OutcomeKind.IGNORED, "not_linked"), row=row, log=log)


def _tell_false_claim(work: Work, contact: Contact) -> tuple[LogEntry, ...]:
    """Link fields filled in by hand on an unlinked Contact are left alone and never taken for a link (rule 11)."""
    if not (contact.synced or contact.patient_id):
        return ()
    sentence = "Synced to Hint or the Hint Patient Id was edited, but the Contact is not linked; nothing was changed"
    return (work.entry(Level.ERROR, "own_fields_edited", sentence, contact_id=contact.id),)


async def _record_or_read(work: Work, notice: Notice) -> Record | None:
    try:
        record = record_of(notice, work.book) if notice.change is not Change.GAP else None
    except BadSnapshot:
        record = None
    if record is not None:
        return record
    call = work.call("read_unlinked")
    if notice.side is Side.HINT:
        return await work.remotes.hint.get_patient(notice.record_id, call)
    return (await work.remotes.salesforce.get_contacts([notice.record_id], call)).get(notice.record_id)


async def _wait_for_a_link_in_the_making(work: Work, record: Record) -> None:
    """Our own creation of a record is announced before its link is stored: the event waits for it, unless the creation
    was refused."""
    partner = record.contact_id if isinstance(record, Patient) else record.patient_id
    if partner is None:
        return
    side = Side.SALESFORCE if isinstance(record, Patient) else Side.HINT
    link = await work.stores.links.find(work.connection.id, side, partner)
    if link is not None and link.record_id(side.other).startswith(NEW) and link.reported is None:
        raise LinkBusy(link.id, after_s=PAGE_WAIT_S if ":" in link.linked_by else BUSY_WAIT_S)


async def _forget(work: Work, notice: Notice) -> Outcome:
    row = await partings.gone_row(work, notice)
    return await settle_unlinked(work, notice, Outcome(OutcomeKind.IGNORED, "not_linked"), row=row)
