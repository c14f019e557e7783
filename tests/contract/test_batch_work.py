"""What a batch works on, page by page, and its results."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from hintd.core.batch import Batch, BatchItem, BatchOptions, BatchRow, BatchState, Command, RowOutcome, Skip
from hintd.core.contact_list import LineKind
from hintd.core.match import Candidate, IndexRow, Match
from hintd.core.model import HistoryEntry, Link, LinkState, Side
from hintd.ports import Claim, FenceLost, LinkUpdate, Settlement
from tests.contract.batches import (
    CONTACTS,
    claim_next,
    claimed,
    contact_id,
    leave,
    line,
    other_connection,
    page,
    result,
    streamed,
)
from tests.contract.stores import CONTACT, LEASE_S, NOW, PATIENT, Stores, changed, index_row, later, with_state

NOTHING_YET = {"after": 0, "limit": 10}


async def claim_of_lines(stores: Stores, *lines: object) -> Claim:
    """A batch of Contacts under our lease, of a file of these lines."""
    upload = await stores.uploads.add(1, streamed(lines), at=NOW)  # type: ignore[arg-type]
    return await claimed(stores, direction=CONTACTS, options=BatchOptions(upload_id=upload.id))


async def claim_of_patients(stores: Stores, *patient_ids: str) -> Claim:
    """A batch of patients under our lease, with its items."""
    claim = await claimed(stores)
    await stores.batch_work.put_patients(claim, [(each, b"{}") for each in patient_ids], read_until="end")
    await stores.batch_work.list_items(claim)
    return claim


# --- patients and items ----------------------------------------------------------------------------------------------


async def test_patients_come_back_as_they_were_put_last(stores: Stores) -> None:
    claim = await claimed(stores)
    await stores.batch_work.put_patients(claim, [("p1", b"old"), ("p2", b"{}\xff"), ("p1", b"new")], read_until="2")
    await stores.batch_work.put_patients(claim, [("p2", b"newer"), ("p3", b"")], read_until="3")
    known = await stores.batch_work.patients(claim.batch.id, ["p1", "p2", "p3", "p4"])
    assert known == {"p1": b"new", "p2": b"newer", "p3": b""}
    assert (await stores.batches.get(claim.batch.id)).read_until == "3"


async def test_the_items_are_the_patients_in_the_order_of_their_ids(stores: Stores) -> None:
    claim = await claimed(stores)
    await stores.batch_work.put_patients(claim, [("p3", b""), ("p1", b""), ("p2", b"")], read_until="end")
    assert await stores.batch_work.list_items(claim) == 3
    items = [BatchItem(1, "p1"), BatchItem(2, "p2"), BatchItem(3, "p3")]
    assert list(await stores.batch_work.items(claim.batch.id, **NOTHING_YET)) == items
    assert list(await stores.batch_work.items(claim.batch.id, after=1, limit=1)) == items[1:2]


async def test_listing_patients_again_changes_nothing(stores: Stores) -> None:
    claim = await claim_of_patients(stores, "p1", "p2")
    decided = BatchItem(1, "p1", CONTACT, Match.ONE)
    await stores.batch_work.decide(claim, [decided])
    await stores.batch_work.put_patients(claim, [("p0", b"")], read_until="end")
    assert await stores.batch_work.list_items(claim) == 2
    assert list(await stores.batch_work.items(claim.batch.id, **NOTHING_YET)) == [decided, BatchItem(2, "p2")]


async def test_a_practice_without_patients_makes_no_items(stores: Stores) -> None:
    assert await stores.batch_work.list_items(await claimed(stores)) == 0


async def test_lines_of_a_file_become_items_and_rows_at_their_place(stores: Stores) -> None:
    repeated, ignored = line(7, LineKind.REPEATED, contact=2), line(9, LineKind.IGNORED)
    claim = await claim_of_lines(stores, line(2), line(4), repeated, ignored)
    for _ in range(2):  # doing it again changes nothing
        assert await stores.batch_work.list_items(claim) == 4
        items = await stores.batch_work.items(claim.batch.id, **NOTHING_YET)
        assert list(items) == [BatchItem(2, contact_id(2)), BatchItem(4, contact_id(4))]
        assert list(await stores.batch_work.rows(claim.batch.id)) == [
            BatchRow(7, contact_id(2), None, RowOutcome.IGNORED_LINE, "repeated"),
            BatchRow(9, None, None, RowOutcome.IGNORED_LINE, "not_a_contact_id"),
        ]
        batch = await stores.batches.get(claim.batch.id)
        assert (batch.done, batch.counts) == (2, {"ignored_line": 2})


async def test_a_file_of_ids_only_counts_nothing(stores: Stores) -> None:
    claim = await claim_of_lines(stores, line(1))
    assert await stores.batch_work.list_items(claim) == 1
    batch = await stores.batches.get(claim.batch.id)
    assert (batch.done, batch.counts) == (0, {})


async def test_a_file_of_another_connection_is_not_used(stores: Stores) -> None:
    upload = await stores.uploads.add(await other_connection(stores), streamed([line(1)]), at=NOW)
    claim = await claimed(stores, direction=CONTACTS, options=BatchOptions(upload_id=upload.id))
    assert await stores.batch_work.list_items(claim) == 0
    assert list(await stores.batch_work.items(claim.batch.id, **NOTHING_YET)) == []


async def test_decisions_are_stored_with_their_reasons(stores: Stores) -> None:
    claim = await claim_of_patients(stores, "p1", "p2", "p3")
    decided = [
        BatchItem(1, "p1", CONTACT, Match.ONE),
        BatchItem(3, "p3", None, Skip.AMBIGUOUS, "003A, 003B have the same name and date of birth"),
    ]
    await stores.batch_work.decide(claim, decided)
    await stores.batch_work.decide(claim, [])
    assert list(await stores.batch_work.items(claim.batch.id, **NOTHING_YET)) == [
        decided[0],
        BatchItem(2, "p2"),
        decided[1],
    ]


# --- matching --------------------------------------------------------------------------------------------------------


def found(row: IndexRow, linked_with: str | None = None) -> Candidate:
    """As matching finds it: without e-mail and phone."""
    return Candidate(changed(row, email=None, phone=None), linked_with)


async def test_matching_a_patient_gets_all_that_is_known_of_its_name_and_date_of_birth(stores: Stores) -> None:
    own, twin = index_row("p1"), index_row("p2", suffix="Jr")
    contacts = [index_row(contact_id(n), side=Side.SALESFORCE, claimed=n == 2) for n in (1, 2)]
    others = [
        index_row("p3", gone=True),
        index_row("p4", date_of_birth="1980-03-01"),
        index_row("p5", last="Li"),
        index_row(contact_id(3), side=Side.SALESFORCE, gone=True),
    ]
    await stores.index.put(1, [twin, own, *contacts, *others])
    await stores.index.put(await other_connection(stores), [index_row(contact_id(4), side=Side.SALESFORCE)])
    await stores.link(contact_id(2), "p9")
    await stores.link(contact_id(8), "p2")
    claim = await claim_of_patients(stores, "p1")
    (to_match,) = await stores.batch_work.to_match(claim, **NOTHING_YET)
    assert to_match.item == BatchItem(1, "p1")
    assert to_match.own == found(own).row
    assert to_match.candidates == (found(contacts[0]), found(contacts[1], "p9"))
    assert to_match.rivals == (found(own), found(twin, contact_id(8)))
    assert (to_match.linked_with, to_match.parted_from) == (None, frozenset())


async def test_matching_a_contact_looks_the_other_way(stores: Stores) -> None:
    own = index_row(contact_id(1), side=Side.SALESFORCE)
    patient = index_row("p1")
    await stores.index.put(1, [own, patient])
    await stores.link(contact_id(1), "p1")
    claim = await claim_of_lines(stores, line(1))
    await stores.batch_work.list_items(claim)
    (to_match,) = await stores.batch_work.to_match(claim, **NOTHING_YET)
    assert to_match.own == found(own).row
    assert to_match.candidates == (found(patient, contact_id(1)),)
    assert to_match.rivals == (found(own, "p1"),)
    assert to_match.linked_with == "p1"


@pytest.mark.parametrize(
    "own",
    [
        None,
        index_row("p1", date_of_birth=None),
        index_row("p1", date_of_birth=""),
        index_row("p1", match_name="", last=""),
    ],
    ids=["not known", "no date of birth", "a blank date of birth", "no name"],
)
async def test_who_has_no_name_or_date_of_birth_is_matched_with_nobody(stores: Stores, own: IndexRow | None) -> None:
    nobody = index_row(CONTACT, side=Side.SALESFORCE, match_name="", date_of_birth="")
    await stores.index.put(1, [nobody, *([] if own is None else [own])])
    await stores.link(contact_id(9), "p1")
    claim = await claim_of_patients(stores, "p1")
    (to_match,) = await stores.batch_work.to_match(claim, **NOTHING_YET)
    assert to_match.own == (None if own is None else found(own).row)
    assert (to_match.candidates, to_match.rivals, to_match.linked_with) == ((), (), contact_id(9))


async def test_a_gone_record_is_known_and_no_rival(stores: Stores) -> None:
    own = index_row("p1", gone=True)
    await stores.index.put(1, [own])
    (to_match,) = await stores.batch_work.to_match(await claim_of_patients(stores, "p1"), **NOTHING_YET)
    assert (to_match.own, to_match.rivals) == (found(own).row, ())


@pytest.mark.parametrize("of_contacts", [False, True], ids=["of patients", "of Contacts"])
async def test_partners_that_a_person_parted_it_from_are_told(stores: Stores, of_contacts: bool) -> None:
    for number, patient_id in ((1, "p1"), (1, "p2"), (2, "p1")):
        parted = Settlement(1, NOW, unlinked_by_person=(contact_id(number), patient_id))
        await stores.links.settle(parted)
    claim = await (claim_of_lines(stores, line(1)) if of_contacts else claim_of_patients(stores, "p1"))
    await stores.batch_work.list_items(claim)
    (to_match,) = await stores.batch_work.to_match(claim, **NOTHING_YET)
    assert to_match.parted_from == ({"p1", "p2"} if of_contacts else {contact_id(1), contact_id(2)})


async def test_items_are_matched_by_position_and_as_they_were_decided(stores: Stores) -> None:
    claim = await claim_of_patients(stores, "p1", "p2", "p3", "p4")
    decided = BatchItem(2, "p2", CONTACT, Match.ONE, "why")
    await stores.batch_work.decide(claim, [decided])
    found = await stores.batch_work.to_match(claim, after=1, limit=2)
    assert [each.item for each in found] == [decided, BatchItem(3, "p3")]


# --- results ---------------------------------------------------------------------------------------------------------


async def test_a_page_stores_rows_checkpoint_counts_and_calls_at_once(stores: Stores) -> None:
    claim = await claimed(stores)
    rows = [result(1), result(2, RowOutcome.SKIPPED, Skip.AMBIGUOUS), result(3)]
    await stores.batch_work.store_page(claim, page(*rows, hint_write=2))
    stored = await stores.batch_work.store_page(claim, page(result(4), hint_write=1, salesforce_write=1))
    assert await stores.batches.get(claim.batch.id) == stored
    assert (stored.done, stored.checkpoint) == (4, 4)
    assert stored.counts == {"linked": 3, "skipped:ambiguous": 1}
    assert stored.calls == {"hint_write": 3, "salesforce_write": 1}
    assert list(await stores.batch_work.rows(claim.batch.id)) == [*rows, result(4)]


async def test_rows_of_positions_that_are_stored_are_left_out_and_not_counted_twice(stores: Stores) -> None:
    claim = await claimed(stores)
    await stores.batch_work.store_page(claim, page(result(1), result(2)))
    again = page(result(1, RowOutcome.FAILED), result(3, RowOutcome.FAILED), result(3), hint_write=1)
    batch = await stores.batch_work.store_page(claim, changed(again, checkpoint=1))
    assert (batch.done, batch.checkpoint) == (3, 2)
    assert (batch.counts, batch.calls) == ({"linked": 2, "failed": 1}, {"hint_write": 1})
    outcomes = [row.outcome for row in await stores.batch_work.rows(claim.batch.id)]
    assert outcomes == [RowOutcome.LINKED, RowOutcome.LINKED, RowOutcome.FAILED]


async def test_a_page_that_is_stored_twice_at_once_counts_once(stores: Stores) -> None:
    claim = await claimed(stores)
    given = page(*(result(position) for position in range(1, 201)))
    await asyncio.gather(*(stores.batch_work.store_page(claim, given) for _ in range(4)))
    batch = await stores.batches.get(claim.batch.id)
    assert (batch.done, batch.counts) == (200, {"linked": 200})


async def test_a_page_may_be_empty(stores: Stores) -> None:
    claim = await claimed(stores)
    batch = await stores.batch_work.store_page(claim, changed(page(hint_read=1), checkpoint=9))
    assert (batch.done, batch.checkpoint, batch.counts, batch.calls) == (0, 9, {}, {"hint_read": 1})


ENTRY = HistoryEntry(NOW, "last_name", Side.HINT, "Lee", None, "filled", "bat-1")


@pytest.mark.parametrize(
    "row",
    [
        result(1, message="Ann's phone is wrong", fields=(ENTRY, changed(ENTRY, old=True))),
        result(1, RowOutcome.FAILED, "FIELD_CUSTOM_VALIDATION_EXCEPTION", message="é"),
        result(1, fields=(ENTRY,), replanned=True, stamped=True),
        result(1, RowOutcome.SKIPPED, Skip.NO_MATCH, contact_id=None),
        result(1, RowOutcome.NOT_FOUND, patient_id=None),
    ],
    ids=["message and fields", "message", "flags", "no Contact", "no patient"],
)
async def test_a_row_comes_back_as_it_was_stored(stores: Stores, row: BatchRow) -> None:
    claim = await claimed(stores)
    await stores.batch_work.store_page(claim, page(row))
    assert list(await stores.batch_work.rows(claim.batch.id)) == [row]


async def test_rows_are_read_by_position_and_outcome(stores: Stores) -> None:
    claim = await claimed(stores)
    rows = [result(n, RowOutcome.FAILED if n % 2 else RowOutcome.LINKED) for n in range(1, 7)]
    await stores.batch_work.store_page(claim, page(*rows[::-1]))

    async def read(**only: object) -> list[int]:
        return [row.position for row in await stores.batch_work.rows(claim.batch.id, **only)]  # type: ignore[arg-type]

    assert await read() == [1, 2, 3, 4, 5, 6]
    assert await read(after=2, limit=2) == [3, 4]
    assert await read(outcome=RowOutcome.FAILED, after=1, limit=1) == [3]
    assert await read(outcome=RowOutcome.CREATED_CONTACT) == []


async def test_rows_wait_for_their_stamp_until_it_is_known_to_be_written(stores: Stores) -> None:
    claim = await claim_of_lines(stores, line(8), line(9, LineKind.REPEATED, contact=8))
    await stores.batch_work.list_items(claim)
    rows = [
        result(1),
        result(2, RowOutcome.UNCHANGED),
        result(3, stamped=True),
        result(4, RowOutcome.SKIPPED, Skip.NO_MATCH, contact_id=None),
        result(5, RowOutcome.UPDATED),
    ]
    await stores.batch_work.store_page(claim, page(*rows))

    async def unstamped(*, limit: int = 10, changed_only: bool = False) -> list[int]:
        found = await stores.batch_work.unstamped(claim.batch.id, limit=limit, changed_only=changed_only)
        return [row.position for row in found]

    assert await unstamped() == [1, 2, 5]
    assert await unstamped(limit=2) == [1, 2]
    assert await unstamped(changed_only=True) == [1, 5]
    await stores.batch_work.mark_stamped(claim, [1, 2])
    await stores.batch_work.mark_stamped(claim, [2, 99])
    assert await unstamped() == [5]
    assert [row.stamped for row in await stores.batch_work.rows(claim.batch.id, limit=2)] == [True, True]


# --- fences and ends -------------------------------------------------------------------------------------------------

Write = Callable[[Stores, Claim], Awaitable[object]]

WRITES: dict[str, Write] = {
    "put patients": lambda stores, claim: stores.batch_work.put_patients(claim, [("p9", b"")], read_until="9"),
    "list items": lambda stores, claim: stores.batch_work.list_items(claim),
    "decide": lambda stores, claim: stores.batch_work.decide(claim, [BatchItem(1, "p1", CONTACT, Match.ONE)]),
    "store a page": lambda stores, claim: stores.batch_work.store_page(claim, page(result(2), hint_write=1)),
    "mark stamped": lambda stores, claim: stores.batch_work.mark_stamped(claim, [1]),
}


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
async def test_a_worker_that_lost_its_lease_stores_nothing(stores: Stores, write: Write) -> None:
    former = await claim_of_patients(stores, "p1")
    await stores.batch_work.store_page(former, page(result(1)))
    anew = await claim_next(stores, at=later(LEASE_S), owner="other")
    with pytest.raises(FenceLost, match=former.batch.id):
        await write(stores, former)
    assert await kept(stores, anew) == (
        anew.batch,
        {"p1": b"{}"},
        [BatchItem(1, "p1")],
        [result(1)],
    )


async def kept(stores: Stores, claim: Claim) -> tuple[Batch, object, list[BatchItem], list[BatchRow]]:
    batch_id = claim.batch.id
    return (
        await stores.batches.get(batch_id),
        await stores.batch_work.patients(batch_id, ["p1", "p9"]),
        list(await stores.batch_work.items(batch_id, **NOTHING_YET)),
        list(await stores.batch_work.rows(batch_id)),
    )


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
async def test_an_ended_batch_takes_nothing_more(stores: Stores, write: Write) -> None:
    claim = await claimed(stores)
    await leave(stores, claim, BatchState.DONE)
    with pytest.raises(FenceLost):
        await write(stores, claim)


@pytest.mark.parametrize("end", [BatchState.DONE, BatchState.FAILED, BatchState.ABORTED])
async def test_an_end_throws_items_and_patients_away_and_keeps_the_rows(stores: Stores, end: BatchState) -> None:
    claim = await claim_of_patients(stores, "p1")
    await stores.batch_work.store_page(claim, page(result(1)))
    ended = await leave(stores, claim, end)
    assert await kept(stores, claim) == (ended, {}, [], [result(1)])


async def test_a_command_that_ends_a_batch_throws_its_work_away_too(stores: Stores) -> None:
    claim = await claim_of_patients(stores, "p1")
    await leave(stores, claim, BatchState.PAUSED)
    aborted = await stores.batches.command(claim.batch.id, Command.ABORT, at=NOW)
    assert await kept(stores, claim) == (aborted, {}, [], [])


async def test_of_a_large_batch_that_a_command_ends_the_next_claim_throws_the_rest_away(stores: Stores) -> None:
    claim = await claim_of_lines(stores, *(line(number) for number in range(1, 20_002)))
    await stores.batch_work.list_items(claim)
    await leave(stores, claim, BatchState.PAUSED)
    await stores.batches.command(claim.batch.id, Command.ABORT, at=NOW)
    assert await stores.batches.claim(owner="us", now=NOW, lease_s=LEASE_S) is None
    assert list(await stores.batch_work.items(claim.batch.id, **NOTHING_YET)) == []


async def test_the_end_of_a_batch_leaves_the_work_of_others_alone(stores: Stores) -> None:
    ours = await claim_of_patients(stores, "p1")
    theirs = await claimed(stores, request_id="theirs", connection_id=await other_connection(stores))
    await stores.batch_work.put_patients(theirs, [("p9", b"{}")], read_until="end")
    await stores.batch_work.list_items(theirs)
    await leave(stores, ours, BatchState.DONE)
    assert await stores.batch_work.patients(theirs.batch.id, ["p9"]) == {"p9": b"{}"}
    assert list(await stores.batch_work.items(theirs.batch.id, **NOTHING_YET)) == [BatchItem(1, "p9")]


async def test_a_batch_that_there_is_not_has_no_work_and_no_rows(stores: Stores) -> None:
    nowhere = "bat-000000000000"
    assert await stores.batch_work.patients(nowhere, ["p1"]) == {}
    assert list(await stores.batch_work.items(nowhere, **NOTHING_YET)) == []
    assert list(await stores.batch_work.rows(nowhere)) == []
    assert list(await stores.batch_work.unstamped(nowhere, limit=1, changed_only=False)) == []


# --- links of many records -------------------------------------------------------------------------------------------


async def test_the_standing_links_of_many_records_are_read_at_once(stores: Stores) -> None:
    links = [await stores.link(contact_id(n), f"p{n}") for n in (1, 2)]
    other = await other_connection(stores)
    await stores.link(contact_id(1), "p1", connection_id=other)
    wanted = {
        Side.HINT: ["p2", "p1", "p9"],
        Side.SALESFORCE: [contact_id(1), contact_id(2), contact_id(9)],
    }
    for side, record_ids in wanted.items():
        found = await stores.batch_work.links_of(1, side, record_ids)
        assert found == {link.record_id(side): link for link in links}
    assert await stores.batch_work.links_of(1, Side.HINT, []) == {}


async def change_link(stores: Stores, link: Link, *entries: HistoryEntry) -> None:
    taken = await stores.links.take(1, Side.HINT, link.patient_id, owner="us", now=NOW, lease_s=LEASE_S)
    update = LinkUpdate(link, taken.fence, entries)  # type: ignore[union-attr]
    await stores.links.settle(Settlement(1, NOW, link=update))


async def test_the_changes_of_a_batch_are_told_by_link_oldest_first(stores: Stores) -> None:
    first, second, untouched = [await stores.link(contact_id(n), f"p{n}") for n in (1, 2, 3)]
    in_time = [changed(ENTRY, at=later(n), field=f"field_{n}") for n in range(4)]
    await change_link(stores, first, in_time[3], changed(ENTRY, batch_id=None))
    await change_link(stores, first, in_time[1], changed(ENTRY, batch_id="bat-2"))
    await change_link(stores, second, in_time[2])
    link_ids = [first.id, second.id, untouched.id]
    assert await stores.batch_work.changes_of("bat-1", link_ids) == {
        first.id: (in_time[1], in_time[3]),
        second.id: (in_time[2],),
    }
    assert await stores.batch_work.changes_of("bat-1", [second.id]) == {second.id: (in_time[2],)}


async def test_a_link_that_was_undone_stands_no_more(stores: Stores) -> None:
    await stores.link()
    taken = await stores.take()
    unlinked = with_state(taken.link, LinkState.UNLINKED)
    await stores.links.settle(Settlement(1, NOW, link=LinkUpdate(unlinked, taken.fence)))
    assert await stores.batch_work.links_of(1, Side.HINT, [PATIENT]) == {}
    assert await stores.batch_work.links_of(1, Side.SALESFORCE, [CONTACT]) == {}
