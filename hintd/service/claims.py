"""Links in the making whose other record a remote refused to make: they stand, so that the attempt is taken up again,
and are given up when a person decides otherwise."""

from __future__ import annotations

from dataclasses import replace

from hintd.core.model import Link, LinkState, Side
from hintd.ports import LinkUpdate, Settlement, Taken
from hintd.service.work import NEW, Work


def was_refused(link: Link) -> bool:
    """Only an answer is told to staff: without one the record may have been made."""
    is_to_be_made = link.contact_id.startswith(NEW) or link.patient_id.startswith(NEW)
    return is_to_be_made and link.state is LinkState.LINKING and link.reported is not None


async def give_up(work: Work, link: Link) -> None:
    """The record is free again, and what was parked about it is resolved.  A claim that is just being taken up again,
    or was refused no longer, is left alone."""
    taken = await work.stores.links.take(
        link.connection_id, Side.SALESFORCE, link.contact_id, owner=work.owner, now=work.now(), lease_s=work.lease_s
    )
    if isinstance(taken, Taken) and was_refused(taken.link):
        parted = LinkUpdate(replace(taken.link, state=LinkState.UNLINKED), taken.fence)
        await work.stores.links.settle(Settlement(link.connection_id, work.now(), link=parted, unpark=True))
    elif isinstance(taken, Taken):
        await work.stores.links.give_back(taken)
