"""Giving a pair a value back that it once had (README rule 2: the losing value can be restored).

A person points at an entry of the pair's history; the value that was replaced then is owed to both sides, and the
exchange pays it, as it does with an edit that was written over unseen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from hintd.core.fields import Field
from hintd.core.model import HistoryEntry, Link, LinkState, Outcome, OutcomeKind, Owed, Side, Value
from hintd.core.normalize import same
from hintd.core.observe import Unknown, current
from hintd.core.rules import Rules
from hintd.ports import CallClass, Level
from hintd.service.exchange import Exchange
from hintd.service.linking import LinkingRefused, take_in_hand
from hintd.service.settle import Part, run_and_settle
from hintd.service.work import Work

RESTORED = "restored"
_ENTRIES = 100_000


@dataclass(frozen=True, slots=True)
class Wanted:
    """The entry whose old value shall stand again.  ``at`` may leave out the fraction of the second; ``side`` tells
    two entries of one moment apart."""

    field: str
    at: datetime
    side: Side | None = None


async def restore_by_person(work: Work, contact_id: str, wanted: Wanted, *, person: str) -> Outcome:
    """Write the old value of an entry to whichever side does not hold it, with cause ``restored``.
    Raises LinkingRefused, RecordGone and what the remotes raise."""
    work = work.calling_as(CallClass.MANUAL)
    taken = await take_in_hand(work, contact_id)
    try:
        field = _restorable(work, taken.link, wanted.field)
        history = await work.stores.links.history(taken.link.id, limit=_ENTRIES)
        entry = find_entry(history, wanted, field, work.book.rules)
        _refuse_blank_where_required(field, entry.old)
    except BaseException:
        await work.stores.links.give_back(taken)
        raise
    return await run_and_settle(work, taken, None, _give_back_value(field, entry, person))


def _give_back_value(field: Field, entry: HistoryEntry, person: str) -> Part:
    async def part(exchange: Exchange) -> Outcome:
        await exchange.read_both()
        sides = _sides_without(exchange, field, entry.old)
        if not sides:
            return await exchange.run_unfinished(Outcome(OutcomeKind.NO_CHANGE, "equal"))
        debt = Owed(entry.old, RESTORED, sides)
        exchange.link = replace(exchange.link, owed={**exchange.link.owed, field.name: debt})
        exchange.tell(Level.DEBUG, RESTORED, f"{person} restored {field.name} as it was until {entry.at.isoformat()}")
        outcome = await exchange.run()
        # What a side cannot hold is parked; left as a debt it would keep later edits of the field from syncing.
        exchange.link = replace(exchange.link, owed={n: o for n, o in exchange.link.owed.items() if n != field.name})
        return outcome

    return part


def find_entry(entries: Sequence[HistoryEntry], wanted: Wanted, field: Field, rules: Rules) -> HistoryEntry:
    """The newest of the entries that ``wanted`` fits, if their old values are one.  Raises LinkingRefused with the
    times to choose from."""
    of_field = [entry for entry in entries if entry.field == wanted.field]
    found = [entry for entry in of_field if _fits(entry, wanted)]
    if not found:
        raise LinkingRefused(f"Nothing of {wanted.field} was replaced at {wanted.at.isoformat()}. {_times(of_field)}")
    if any(not same(field, entry.old, found[0].old, rules) for entry in found):
        raise LinkingRefused(
            f"{wanted.field} was replaced more than once at {wanted.at.isoformat()}. {_times(found)} Give the time "
            "with its fraction, and --side where that does not tell them apart."
        )
    return found[0]


def _fits(entry: HistoryEntry, wanted: Wanted) -> bool:
    at = entry.at if wanted.at.microsecond else entry.at.replace(microsecond=0)
    return at == wanted.at and wanted.side in (None, entry.side)


def _times(entries: Sequence[HistoryEntry]) -> str:
    if not entries:
        return "Its history is empty; see: hintd link history"
    newest = ", ".join(f"{entry.at.isoformat()} in {entry.side} ({entry.cause})" for entry in entries[:20])
    return f"Its history has: {newest}."


def _restorable(work: Work, link: Link, name: str) -> Field:
    if link.state is not LinkState.LINKED:
        raise LinkingRefused(f"Contact {link.contact_id} is still being linked; try again when that is done.")
    field = next((f for f in work.book.fields if f.name == name), None)
    if field is None:
        raise LinkingRefused(f"There is no synced field {name}; see: hintd link show")
    one_way = next((side for side in Side if not field.flows_to(side)), None)
    if one_way is not None:
        raise LinkingRefused(
            f"{name} is read-only in {one_way.other.capitalize()}: change it in {one_way.capitalize()}."
        )
    if name in link.frozen:
        raise LinkingRefused(f"{name} of this pair is frozen; release it first: hintd link unfreeze")
    return field


def _refuse_blank_where_required(field: Field, value: Value) -> None:
    if field.required_in and value in (None, ""):
        sides = " and ".join(sorted(side.capitalize() for side in field.required_in))
        raise LinkingRefused(f"{field.name} was blank before, and cannot be blank in {sides}.")


def _sides_without(exchange: Exchange, field: Field, value: Value) -> tuple[Side, ...]:
    """What is equal is never rewritten (README rule 1)."""

    def holds(side: Side) -> bool:
        now = current(exchange.link.half(side), field.name)
        return not isinstance(now, Unknown) and same(field, now, value, exchange.work.book.rules)

    return tuple(side for side in Side if not holds(side))
