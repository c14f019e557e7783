"""The brake on absence (README rule 10): when many linked records of one side look gone or emptied at once, something
is wrong with that side or with our sight of it, and nothing more is done about absence until a person has looked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

import msgspec

from hintd.core.errors import Retryable
from hintd.core.merge import Decision
from hintd.core.model import Link, Outcome, OutcomeKind, Owner, Side
from hintd.ports import ToPark
from hintd.service.work import Work

AT_ONCE = timedelta(hours=1)
"""Records that went within this time of each other count as gone at once."""

COUNTING_S = 10.0
COUNT_AGAIN_S = 0.1

EMPTIED_SHARE = 0.5
EMPTIED_LEAST = 4

_gone = msgspec.json.Decoder(dict[str, datetime])


def looks_emptied(link: Link, side: Side, decisions: Sequence[Decision]) -> bool:
    """Would following ``side`` clear at least half of what the pair holds, and no less than four fields?"""
    held = sum(1 for value in link.half(side).values.values() if value not in (None, "", False))
    cleared = sum(1 for d in decisions if d.value in (None, "") and d.replaced not in (None, "", False))
    return cleared >= EMPTIED_LEAST and cleared >= EMPTIED_SHARE * held


async def brake(work: Work, side: Side, link: Link) -> tuple[Outcome, ToPark] | None:
    """Remember that the link's record of ``side`` looks gone or emptied.  None: act on it; else what to do instead,
    because too many do at once.  Raises Retryable while another record is being counted."""
    gone = await _count_one_at_a_time(work, side, link)
    if len(gone) < work.book.rules.absence_min:
        return None
    linked = await work.stores.links.count(work.connection.id)
    if len(gone) <= work.book.rules.absence_share * (linked + len(gone)):
        return None
    sentence = (
        f"{len(gone)} linked records of {side.capitalize()} looked deleted or emptied within an hour, out of {linked}. "
        "hintd does nothing about it until somebody has looked. If it is right, retry this item in an hour."
    )
    item = ToPark("many_gone", "absence", Owner.ON_CALL, sentence, link.contact_id, link.patient_id)
    return Outcome(OutcomeKind.PARKED, "many_gone"), item


async def _count_one_at_a_time(work: Work, side: Side, link: Link) -> Mapping[str, datetime]:
    """The records of ``side`` that went lately, this one included.  Workers that count side by side would each see the
    list without the others' records, and nobody would see many."""
    leases, lease, owner = work.stores.leases, f"absence:{work.connection.id}:{side}", f"{work.owner}:{link.id}"
    if await leases.hold(lease, owner=owner, now=work.now(), lease_s=COUNTING_S) is None:
        raise Retryable("another record that went is being counted", after_s=COUNT_AGAIN_S)
    try:
        return await _remember(work, side, link.record_id(side))
    finally:
        await leases.let_go(lease, owner=owner)


async def _remember(work: Work, side: Side, record_id: str) -> Mapping[str, datetime]:
    name = f"absence.{side}"
    stored = await work.stores.cursors.load(work.connection.id, name)
    since = work.now() - AT_ONCE
    gone = {record: at for record, at in (_gone.decode(stored) if stored else {}).items() if at >= since}
    gone[record_id] = work.now()
    await work.stores.cursors.save(work.connection.id, name, msgspec.json.encode(gone))
    return gone
