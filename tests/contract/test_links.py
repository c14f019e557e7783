"""Links, leases, and settlements: all or nothing, once per notice, never under a lost lease."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from hintd.core.model import (
    Half,
    HistoryEntry,
    LinkState,
    Outcome,
    OutcomeKind,
    Seen,
    Side,
    Turn,
)
from hintd.ports import AlreadyLinked, Busy, FenceLost, Level, LinkUpdate, LogEntry, LogFilter, Settlement, Taken
from tests.contract.stores import (
    APPLIED,
    CONTACT,
    LEASE_S,
    NOW,
    PATIENT,
    Stores,
    changed,
    connection,
    index_row,
    later,
    notice,
    to_park,
    with_state,
)

NOW_CHANGED = HistoryEntry(NOW, "first_name", Side.SALESFORCE, "An", "Ann", "changed_in_hint")


async def test_a_record_without_a_link_cannot_be_taken(stores: Stores) -> None:
    assert await stores.links.find(1, Side.HINT, PATIENT) is None
    assert await stores.links.take(1, Side.HINT, PATIENT, owner="us", now=NOW, lease_s=LEASE_S) is None


async def test_an_opened_link_is_found_from_both_sides_and_is_ours(stores: Stores) -> None:
    taken = await stores.open()
    assert (taken.link.state, taken.link.linked_at, taken.link.linked_by) == (LinkState.LINKING, NOW, "match")
    assert await stores.links.find(1, Side.HINT, PATIENT) == taken.link
    assert await stores.links.find(1, Side.SALESFORCE, CONTACT) == taken.link
    assert await stores.links.take(1, Side.HINT, PATIENT, owner="they", now=NOW, lease_s=LEASE_S) == Busy(
        later(LEASE_S), taken.link.id
    )


@pytest.mark.parametrize(("contact_id", "patient_id"), [(CONTACT, "pat-2"), ("003000000000002AAA", PATIENT)])
async def test_a_record_is_linked_once(stores: Stores, contact_id: str, patient_id: str) -> None:
    link = await stores.link()
    with pytest.raises(AlreadyLinked) as refused:
        await stores.open(contact_id, patient_id)
    assert refused.value.link == link


async def test_practices_do_not_see_each_other(stores: Stores) -> None:
    other = await stores.connections.add(connection("other", "prac-2"))
    theirs = await stores.link(connection_id=other.id)
    assert await stores.links.find(1, Side.HINT, PATIENT) is None
    assert await stores.links.all(1) == []
    ours = await stores.link()
    assert (await stores.links.find(1, Side.HINT, PATIENT), await stores.links.all(other.id)) == (ours, [theirs])


async def test_of_many_takers_one_gets_the_link(stores: Stores) -> None:
    await stores.link()
    takes = [stores.links.take(1, Side.HINT, PATIENT, owner=f"w{n}", now=NOW, lease_s=LEASE_S) for n in range(8)]
    answers = await asyncio.gather(*takes)
    (taken,) = [answer for answer in answers if isinstance(answer, Taken)]
    others = [answer for answer in answers if not isinstance(answer, Taken)]
    assert others == [Busy(later(LEASE_S), taken.link.id)] * 7


async def test_a_lease_that_ran_out_is_another_ones_and_the_old_fence_is_refused(stores: Stores) -> None:
    await stores.link()
    first = await stores.take()
    second = await stores.take(owner="they", at=later(LEASE_S))
    assert second.fence > first.fence
    with pytest.raises(FenceLost):
        await stores.links.settle(
            Settlement(
                1,
                NOW,
                notice(),
                APPLIED,
                LinkUpdate(first.link, first.fence, (NOW_CHANGED,)),
                park=(to_park(),),
                log=(LogEntry(NOW, Level.ERROR, "sync", "x"),),
                index=(index_row(),),
            )
        )
    assert await stores.links.history(first.link.id) == []
    assert await stores.parking.items() == []
    assert await stores.log.read(1, LogFilter()) == []
    assert await stores.index.get(1, Side.HINT, PATIENT) is None
    assert await stores.connections.event_counts() == {}
    await stores.links.settle(Settlement(1, NOW, notice(), APPLIED, LinkUpdate(second.link, second.fence)))


async def test_a_lease_that_ran_out_but_was_not_taken_still_settles(stores: Stores) -> None:
    await stores.link()
    taken = await stores.take()
    await stores.links.settle(Settlement(1, later(LEASE_S * 2), link=LinkUpdate(taken.link, taken.fence)))
    await stores.take()


async def test_nothing_is_stored_twice_under_one_fence(stores: Stores) -> None:
    await stores.link()
    taken = await stores.take()
    settlement = Settlement(1, NOW, link=LinkUpdate(taken.link, taken.fence, (NOW_CHANGED,)))
    await stores.links.settle(settlement)
    with pytest.raises(FenceLost):
        await stores.links.settle(settlement)
    assert len(await stores.links.history(taken.link.id)) == 1


async def test_a_link_given_back_is_free_and_unchanged(stores: Stores) -> None:
    link = await stores.link()
    taken = await stores.take()
    await stores.links.give_back(taken)
    again = await stores.take(owner="they")
    assert (again.link, again.fence > taken.fence) == (link, True)


async def test_giving_back_late_does_not_take_the_link_from_its_new_owner(stores: Stores) -> None:
    await stores.link()
    first = await stores.take()
    await stores.take(owner="they", at=later(LEASE_S))
    await stores.links.give_back(first)
    answer = await stores.links.take(1, Side.HINT, PATIENT, owner="us", now=later(LEASE_S), lease_s=LEASE_S)
    assert isinstance(answer, Busy)


async def test_a_link_comes_back_as_it_was_stored(stores: Stores) -> None:
    await stores.link()
    taken = await stores.take()
    half = Half(
        {"first_name": "Ann", "middle_name": None, "contract": True},
        stamp=NOW,
        whole_stamp=later(-1),
        read_at=later(1),
        seen={"email": Seen("a@b.c", NOW), "city": Seen(None, NOW)},
    )
    link = changed(
        taken.link,
        hint=half,
        salesforce=Half({"last_name": "Ö'Brien\n"}),
        held={"city": "City is too long for the Contact."},
        frozen={"email": "E-mail flips."},
        turns={"email": (Turn(NOW, Side.HINT), Turn(later(1), Side.SALESFORCE))},
    )
    await stores.links.settle(Settlement(1, NOW, link=LinkUpdate(link, taken.fence)))
    assert await stores.links.find(1, Side.SALESFORCE, CONTACT) == link


async def test_what_is_remembered_before_a_write_stands_with_its_history_and_the_lease(stores: Stores) -> None:
    await stores.link()
    taken = await stores.take()
    known = changed(taken.link, reported="remembered")
    await stores.links.remember(LinkUpdate(known, taken.fence, (NOW_CHANGED,)))
    assert await stores.links.find(1, Side.HINT, PATIENT) == known
    assert list(await stores.links.history(known.id)) == [NOW_CHANGED]
    assert isinstance(await stores.links.take(1, Side.HINT, PATIENT, owner="they", now=NOW, lease_s=LEASE_S), Busy)


async def test_nothing_is_remembered_once_the_lease_is_lost(stores: Stores) -> None:
    await stores.link()
    taken = await stores.take()
    await stores.take(owner="they", at=later(LEASE_S))
    with pytest.raises(FenceLost):
        await stores.links.remember(LinkUpdate(taken.link, taken.fence, (NOW_CHANGED,)))
    assert await stores.links.history(taken.link.id) == []


async def test_history_is_told_newest_first(stores: Stores) -> None:
    await stores.link()
    taken = await stores.take()
    entries = (
        HistoryEntry(NOW, "first_name", Side.HINT, None, "Ann", "filled"),
        HistoryEntry(NOW, "last_name", Side.SALESFORCE, "Lee", None, "changed_in_hint", "batch-1"),
        HistoryEntry(later(-5), "contract", Side.SALESFORCE, False, True, "changed_in_hint"),
    )
    await stores.links.settle(Settlement(1, NOW, link=LinkUpdate(taken.link, taken.fence, entries)))
    assert list(await stores.links.history(taken.link.id)) == [entries[1], entries[0], entries[2]]
    assert list(await stores.links.history(taken.link.id, limit=1)) == [entries[1]]


async def test_a_notice_is_settled_once_and_the_second_time_gives_the_lease_back(stores: Stores) -> None:
    await stores.link()
    taken = await stores.take()
    update = LinkUpdate(taken.link, taken.fence, (NOW_CHANGED,))
    await stores.links.settle(Settlement(1, NOW, notice(), APPLIED, update))
    again = await stores.take()
    repeated = LinkUpdate(with_state(again.link, LinkState.UNLINKED), again.fence, (NOW_CHANGED,))
    parked = Outcome(OutcomeKind.PARKED, "refused")
    await stores.links.settle(Settlement(1, NOW, notice(), parked, repeated, park=(to_park(),)))
    assert len(await stores.links.history(taken.link.id)) == 1
    assert await stores.parking.items() == []
    assert await stores.connections.event_counts(1) == {("webhook", "applied"): 1}
    assert (await stores.take()).link == taken.link


async def test_the_same_notice_settled_at_once_by_many_is_stored_once(stores: Stores) -> None:
    entry = LogEntry(NOW, Level.DEBUG, "sync", "done")
    await asyncio.gather(*(stores.links.settle(Settlement(1, NOW, notice(), APPLIED, log=(entry,))) for _ in range(8)))
    assert await stores.log.read(1, LogFilter()) == [(1, entry)]
    assert await stores.connections.event_counts() == {("webhook", "applied"): 1}


async def test_an_unlinked_pair_is_free_to_be_linked_again_and_keeps_its_history(stores: Stores) -> None:
    await stores.link()
    taken = await stores.take()
    parted = with_state(taken.link, LinkState.UNLINKED)
    await stores.links.settle(Settlement(1, NOW, link=LinkUpdate(parted, taken.fence, (NOW_CHANGED,))))
    assert await stores.links.find(1, Side.HINT, PATIENT) is None
    assert await stores.links.take(1, Side.HINT, PATIENT, owner="us", now=NOW, lease_s=LEASE_S) is None
    again = await stores.open()
    assert again.link.id != taken.link.id
    assert list(await stores.links.history(taken.link.id)) == [NOW_CHANGED]


async def test_links_are_listed_by_id_in_pages(stores: Stores) -> None:
    links = [await stores.link(f"00300000000000{n}AAA", f"pat-{n}") for n in range(3)]
    opened = await stores.open("003000000000009AAA", "pat-9")
    assert list(await stores.links.all(1, limit=2)) == links[:2]
    assert list(await stores.links.all(1, after_id=links[1].id)) == [links[2], opened.link]
    assert list(await stores.links.all(1, state=LinkState.LINKING)) == [opened.link]
    assert list(await stores.links.all(1, state=LinkState.UNLINKED)) == []


async def test_a_link_follows_the_winner_of_a_merge(stores: Stores) -> None:
    await stores.link()
    taken = await stores.take()
    moved = changed(taken.link, contact_id="003000000000002AAA")
    await stores.links.settle(Settlement(1, NOW, link=LinkUpdate(moved, taken.fence)))
    assert await stores.links.find(1, Side.SALESFORCE, "003000000000002AAA") == moved
    assert await stores.links.find(1, Side.SALESFORCE, CONTACT) is None


async def test_a_link_does_not_move_to_a_record_that_has_one(stores: Stores) -> None:
    await stores.link()
    other = await stores.link("003000000000002AAA", "pat-2")
    taken = await stores.take()
    moved = changed(taken.link, contact_id=other.contact_id)
    with pytest.raises(AlreadyLinked) as refused:
        await stores.links.settle(Settlement(1, NOW, notice(), APPLIED, LinkUpdate(moved, taken.fence)))
    assert refused.value.link == other
    assert await stores.connections.event_counts() == {}
    await stores.links.settle(Settlement(1, NOW, notice(), APPLIED, LinkUpdate(taken.link, taken.fence)))


async def test_a_pair_parted_by_a_person_is_remembered_until_it_is_linked_again(stores: Stores) -> None:
    await stores.links.settle(Settlement(1, NOW, unlinked_by_person=(CONTACT, PATIENT)))
    await stores.links.settle(Settlement(1, later(1), unlinked_by_person=(CONTACT, "pat-2")))
    both = [(CONTACT, PATIENT), (CONTACT, "pat-2")]
    assert list(await stores.links.was_unlinked_by_person(1, contact_id=CONTACT)) == both
    assert list(await stores.links.was_unlinked_by_person(1, patient_id="pat-2")) == both[1:]
    assert list(await stores.links.was_unlinked_by_person(1, contact_id=CONTACT, patient_id="pat-3")) == []
    assert list(await stores.links.was_unlinked_by_person(2, contact_id=CONTACT)) == []
    await stores.open(by="person:Kim")
    assert list(await stores.links.was_unlinked_by_person(1, contact_id=CONTACT)) == both[1:]


async def test_stamps_keep_their_microseconds(stores: Stores) -> None:
    stamp = NOW + timedelta(microseconds=1)
    await stores.link()
    taken = await stores.take()
    link = changed(taken.link, hint=Half(stamp=stamp), linked_at=stamp)
    await stores.links.settle(Settlement(1, NOW, link=LinkUpdate(link, taken.fence)))
    stored = (await stores.take()).link
    assert (stored.hint.stamp, stored.linked_at) == (stamp, stamp)
