"""Index, parked items, log, cursors, elections, connections and the ledger's counts."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from hintd.core.match import match_name
from hintd.core.model import Outcome, OutcomeKind, Side, Source
from hintd.ports import EventEnd, Level, LinkUpdate, LogEntry, LogFilter, NameTaken, Settlement
from tests.contract.stores import (
    APPLIED,
    CONTACT,
    NOW,
    PATIENT,
    Stores,
    changed,
    connection,
    index_row,
    later,
    notice,
    to_park,
)

# --- index -----------------------------------------------------------------------------------------------------------


async def test_an_index_row_comes_back_as_it_was_put(stores: Stores) -> None:
    rows = [index_row(), index_row("pat-2", suffix="Jr", gone=True, email=None, phone=None, created_at=None)]
    contact = index_row(CONTACT, side=Side.SALESFORCE, claimed=True)
    await stores.index.put(1, [*rows, contact])
    assert [await stores.index.get(1, Side.HINT, row.record_id) for row in rows] == rows
    assert await stores.index.get(1, Side.SALESFORCE, CONTACT) == contact
    assert await stores.index.get(2, Side.HINT, PATIENT) is None


async def test_an_older_row_does_not_replace_a_newer_one(stores: Stores) -> None:
    newer, older = index_row(last="New", stamp=later(1)), index_row(last="Old")
    await stores.index.put(1, [newer])
    await stores.index.put(1, [older])
    assert await stores.index.get(1, Side.HINT, PATIENT) == newer


@pytest.mark.parametrize("stamps", [(0, 1, 0), (1, 0, 0), (0, 1, 1)], ids=["middle", "first", "last of equals"])
async def test_of_rows_for_one_record_in_one_call_the_newest_stays(stores: Stores, stamps: tuple[int, ...]) -> None:
    rows = [index_row(last=f"L{place}", stamp=later(stamp)) for place, stamp in enumerate(stamps)]
    await stores.index.put(1, rows)
    newest = max(rows, key=lambda row: (row.stamp, row.last_name))
    assert await stores.index.get(1, Side.HINT, PATIENT) == newest


async def test_candidates_have_the_name_and_the_date_of_birth_and_are_not_gone(stores: Stores) -> None:
    await stores.link()
    await stores.index.put(
        1,
        [
            index_row(),
            index_row("pat-2", "ann", "LEE"),
            index_row("pat-3", gone=True),
            index_row("pat-4", date_of_birth="1980-03-01"),
            index_row("pat-5", date_of_birth=None),
            index_row("pat-6", last="Li"),
            index_row(CONTACT, side=Side.SALESFORCE),
        ],
    )
    name = match_name("Ann", "Lee")
    found = await stores.index.candidates(1, Side.HINT, name, "1980-02-29")
    assert [(each.row.record_id, each.linked_with) for each in found] == [(PATIENT, CONTACT), ("pat-2", None)]
    found = await stores.index.candidates(1, Side.SALESFORCE, name, "1980-02-29")
    assert [(each.row.record_id, each.linked_with) for each in found] == [(CONTACT, PATIENT)]
    assert list(await stores.index.candidates(2, Side.HINT, name, "1980-02-29")) == []


async def test_who_has_no_name_or_date_of_birth_has_no_candidates(stores: Stores) -> None:
    await stores.index.put(1, [index_row(match_name="", date_of_birth="")])
    assert list(await stores.index.candidates(1, Side.HINT, "", "1980-02-29")) == []
    assert list(await stores.index.candidates(1, Side.HINT, match_name("Ann", "Lee"), "")) == []


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Maria Lopez", ["p1", "p2"]),
        ("maría lópez", ["p1", "p2"]),
        ("ma", ["p1", "p2"]),
        ("Lopez", ["p1", "p2"]),
        ("Maria Lopes", ["p1"]),
        ("obrien", ["p3"]),
        ("O'Bri", ["p3"]),
        ("Zzyzx", []),
        ("", []),
        ("'", []),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_patients_are_found_by_similarity_of_name_best_first(stores: Stores, text: str, found: list[str]) -> None:
    await stores.link(patient_id="p1")
    await stores.index.put(
        1,
        [
            index_row("p1", "María", "López"),
            index_row("p2", "Mario", "Lopez-Garcia"),
            index_row("p3", "Pat", "O'Brien"),
            index_row("p4", "Maria", "Lopez", gone=True),
            index_row("c1", "Maria", "Lopez", side=Side.SALESFORCE),
        ],
    )
    answer = await stores.index.search(1, text)
    assert [each.row.record_id for each in answer][: len(found) or None] == found
    assert {each.row.record_id: each.linked_with for each in answer}.get("p1") == (CONTACT if "p1" in found else None)


# --- parked ----------------------------------------------------------------------------------------------------------


async def test_a_parked_item_comes_back_with_its_message_and_body(stores: Stores) -> None:
    await stores.links.settle(Settlement(1, NOW, park=(to_park(body=b"{}\xff"),)))
    (item,) = await stores.parking.items(1)
    assert (item.kind, item.message, item.contact_id, item.patient_id, item.body, item.since, item.attempts) == (
        "refused",
        "Ann's phone is wrong",
        CONTACT,
        PATIENT,
        b"{}\xff",
        NOW,
        1,
    )
    assert await stores.parking.get(item.id) == (1, item)
    assert await stores.parking.get(item.id + 1) is None
    assert list(await stores.parking.items(2)) == []


async def test_parking_what_is_open_counts_an_attempt_and_keeps_since(stores: Stores) -> None:
    await stores.links.settle(Settlement(1, NOW, park=(to_park(body=b"first"),)))
    await stores.links.settle(Settlement(1, later(5), park=(to_park(message="Again"), to_park(kind="ambiguous"))))
    again, other = await stores.parking.items(1)
    assert (again.message, again.attempts, again.since, again.body) == ("Again", 2, NOW, b"first")
    assert (other.kind, other.attempts) == ("ambiguous", 1)


async def test_an_item_is_closed_once_and_parked_anew_after_that(stores: Stores) -> None:
    await stores.links.settle(Settlement(1, NOW, park=(to_park(),)))
    (item,) = await stores.parking.items()
    assert await stores.parking.close(item.id, state="discarded", now=later(1))
    assert not await stores.parking.close(item.id, state="resolved", now=later(2))
    assert await stores.parking.get(item.id) == (1, changed(item, state="discarded"))
    await stores.links.settle(Settlement(1, later(3), park=(to_park(),)))
    (anew,) = await stores.parking.items()
    assert (anew.id != item.id, anew.attempts, anew.since) == (True, 1, later(3))


async def test_unparking_resolves_the_open_items_of_both_records_but_those_of_the_same_settlement(
    stores: Stores,
) -> None:
    await stores.link()
    of_contact = to_park("waiting", patient_id=None)
    of_other = to_park("refused", contact_id="003000000000009AAA", patient_id="pat-9")
    await stores.links.settle(Settlement(1, NOW, park=(to_park(), to_park("held"), of_contact, of_other)))
    taken = await stores.take()
    update = LinkUpdate(taken.link, taken.fence)
    await stores.links.settle(Settlement(1, later(1), link=update, unpark=True, park=(to_park("held"),)))
    assert [(item.kind, item.patient_id, item.attempts) for item in await stores.parking.items()] == [
        ("held", PATIENT, 2),
        ("refused", "pat-9", 1),
    ]


async def test_without_a_link_unparking_is_about_the_notices_record(stores: Stores) -> None:
    await stores.links.settle(Settlement(1, NOW, park=(to_park(contact_id=None), to_park(patient_id=None))))
    settled = notice(side=Side.SALESFORCE, record_id=CONTACT)
    await stores.links.settle(Settlement(1, NOW, settled, APPLIED, unpark=True))
    assert [item.contact_id for item in await stores.parking.items()] == [None]


async def test_messages_that_name_no_record_are_told_apart_by_their_body(stores: Stores) -> None:
    for body in (b"one", b"two", b"one"):
        item = to_park("undecodable", contact_id=None, patient_id=None, body=body)
        await stores.parking.park_message(None, item, None, NOW)
    assert [(item.body, item.attempts) for item in await stores.parking.items()] == [(b"one", 2), (b"two", 1)]
    assert await stores.connections.event_counts() == {}


async def test_a_dead_letter_settles_its_notice_as_parked_unless_it_was_settled(stores: Stores) -> None:
    item = to_park("dead", contact_id=None, body=b"{}")
    await stores.parking.park_message(1, item, "n-1", NOW, source=Source.STREAM)
    await stores.parking.park_message(1, item, "n-1", NOW, source=Source.STREAM)
    await stores.parking.park_message(None, item, "n-2", NOW)
    await stores.links.settle(Settlement(1, NOW, notice("n-1"), APPLIED))
    assert await stores.connections.event_counts() == {("stream", "parked"): 1, ("unknown", "parked"): 1}
    assert [item.attempts for item in await stores.parking.items(1)] == [1]


# --- log, cursors, elections -----------------------------------------------------------------------------------------


async def test_the_log_is_filtered_and_read_on_from_an_id(stores: Stores) -> None:
    entries = [
        LogEntry(NOW, Level.DEBUG, "sync", "one", contact_id=CONTACT),
        LogEntry(later(1), Level.ERROR, "sync", "two", patient_id=PATIENT, batch_id="b-1"),
        LogEntry(later(2), Level.EXCEPTION, "stream", "three"),
    ]
    await stores.log.write(1, entries[:2])
    await stores.log.write(None, entries[2:])

    async def read(connection_id: int | None, **only: object) -> list[str]:
        return [entry.message for _, entry in await stores.log.read(connection_id, LogFilter(**only))]  # type: ignore[arg-type]

    assert [entry for _, entry in await stores.log.read(None, LogFilter())] == entries
    assert await read(1) == ["one", "two"]
    assert await read(1, level=Level.ERROR) == ["two"]
    assert await read(1, record_id=CONTACT) == ["one"]
    assert await read(1, record_id=PATIENT) == ["two"]
    assert await read(1, batch_id="b-1") == ["two"]
    assert await read(None, since=later(1)) == ["two", "three"]
    (first_id, _), *_ = await stores.log.read(None, LogFilter(limit=1))
    assert await read(None, after_id=first_id, limit=1) == ["two"]


async def test_the_newest_log_entries_that_fit_are_read_oldest_first(stores: Stores) -> None:
    levels = (Level.ERROR, Level.DEBUG, Level.ERROR, Level.ERROR, Level.DEBUG)
    await stores.log.write(1, [LogEntry(NOW, level, "sync", str(n)) for n, level in enumerate(levels)])
    await stores.log.write(None, [LogEntry(NOW, Level.ERROR, "stream", "of none")])
    newest = await stores.log.newest(1, LogFilter(level=Level.ERROR, limit=2))
    assert [entry.message for _, entry in newest] == ["2", "3"]
    assert await stores.log.read(1, LogFilter(level=Level.ERROR, after_id=newest[0][0])) == newest[1:]


async def test_an_event_about_no_record_is_settled_once_with_its_entries(stores: Stores) -> None:
    for reason, outcome in (("first", OutcomeKind.IGNORED), ("second", OutcomeKind.APPLIED)):
        end = EventEnd("control:1", Source.CONTROL, Outcome(outcome, reason), NOW)
        await stores.log.settle(1, end, [LogEntry(NOW, Level.ERROR, "control", reason)])
    assert [entry.message for _, entry in await stores.log.read(1, LogFilter())] == ["first"]
    assert await stores.log.end_of(1, "control:1") is OutcomeKind.IGNORED
    assert await stores.connections.event_counts() == {("control", "ignored"): 1}


@pytest.mark.parametrize("connection_id", [1, None], ids=["of a connection", "of none"])
async def test_the_end_of_an_event_is_known_to_its_connection_only(stores: Stores, connection_id: int | None) -> None:
    await stores.log.settle(connection_id, EventEnd("control:1", Source.CONTROL, APPLIED, NOW), [])
    assert await stores.log.end_of(connection_id, "control:1") is OutcomeKind.APPLIED
    assert await stores.log.end_of(2, "control:1") is None
    assert await stores.log.end_of(connection_id, "control:2") is None


async def test_the_newest_event_of_a_source_is_known_by_its_connection(stores: Stores) -> None:
    assert await stores.connections.last_event_at(1, Source.CONTROL) is None
    for number, source in ((3, Source.CONTROL), (2, Source.CONTROL), (4, Source.SWEEP)):
        await stores.log.settle(1, EventEnd(f"event {number}", source, APPLIED, later(number)), [])
    assert await stores.connections.last_event_at(1, Source.CONTROL) == later(3)
    assert await stores.connections.last_event_at(2, Source.CONTROL) is None


async def test_old_log_entries_and_settled_events_are_forgotten(stores: Stores) -> None:
    await stores.log.write(1, [LogEntry(NOW - timedelta(days=9), Level.DEBUG, "old", "old")])
    await stores.log.write(1, [LogEntry(NOW, Level.DEBUG, "new", "new")])
    await stores.log.forget(NOW - timedelta(days=1))
    assert [entry.what for _, entry in await stores.log.read(1, LogFilter())] == ["new"]


async def test_a_cursor_is_what_was_saved_last(stores: Stores) -> None:
    assert await stores.cursors.load(1, "replay") is None
    await stores.cursors.save(1, "replay", b"\x00\x01")
    await stores.cursors.save(1, "replay", b"\x00\x02")
    await stores.cursors.save(1, "watermark", b"x")
    assert await stores.cursors.load(1, "replay") == b"\x00\x02"
    assert await stores.cursors.load(2, "replay") is None


async def test_an_office_has_one_holder_and_a_fence_that_grows_with_every_change(stores: Stores) -> None:
    async def hold(owner: str, seconds: float) -> int | None:
        return await stores.leases.hold("stream:1", owner=owner, now=later(seconds), lease_s=10)

    first = await hold("a", 0)
    assert (first, await hold("b", 5), await hold("a", 9), await hold("b", 11)) == (1, None, 1, None)
    assert await hold("b", 19) == 2
    assert await hold("a", 20) is None
    await stores.leases.let_go("stream:1", owner="a")
    assert await hold("a", 20) is None
    await stores.leases.let_go("stream:1", owner="b")
    assert await hold("a", 20) == 3
    assert await stores.leases.hold("scheduler", owner="b", now=NOW, lease_s=10) == 1


async def test_of_many_candidates_one_is_elected(stores: Stores) -> None:
    answers = await asyncio.gather(
        *(stores.leases.hold("scheduler", owner=f"w{n}", now=NOW, lease_s=10) for n in range(8))
    )
    assert sorted(answers, key=str) == [1] + [None] * 7


# --- connections and counts ------------------------------------------------------------------------------------------


async def test_a_connection_comes_back_as_it_was_stored(stores: Stores) -> None:
    stored = await stores.connections.by_name("clinic")
    assert stored == connection(id=1)
    assert stored is not None
    paused = connection(id=1, state="paused", paused_why="credentials", settings={"a": [1, {"b": None}]})
    await stores.connections.change(paused)
    assert list(await stores.connections.all()) == [paused]
    assert await stores.connections.by_name("other") is None
    assert "token-1" not in repr(stored)


async def test_adding_a_practice_again_replaces_its_secrets_and_keeps_its_id_and_time(stores: Stores) -> None:
    again = connection("renamed", secrets={"hint_token": "token-2"}, created_at=later(100))
    expected = connection("renamed", id=1, secrets={"hint_token": "token-2"})
    assert await stores.connections.add(again) == expected
    assert list(await stores.connections.all()) == [expected]


async def test_a_practice_that_comes_back_is_connected_anew(stores: Stores) -> None:
    await stores.connections.change(connection(id=1, state="disconnected"))
    added = await stores.connections.add(connection(created_at=later(100)))
    assert (added.id, added.state, added.created_at) == (1, "active", later(100))


async def test_a_name_is_given_once(stores: Stores) -> None:
    with pytest.raises(NameTaken):
        await stores.connections.add(connection("clinic", "prac-2"))
    other = await stores.connections.add(connection("other", "prac-2"))
    with pytest.raises(NameTaken):
        await stores.connections.change(changed(other, name="clinic"))
    assert [each.name for each in await stores.connections.all()] == ["clinic", "other"]


async def test_settled_events_are_counted_by_source_and_outcome(stores: Stores) -> None:
    ignored = Outcome(OutcomeKind.IGNORED, "unlinked")
    for notice_id, outcome in (("a", APPLIED), ("b", ignored), ("c", ignored)):
        await stores.links.settle(Settlement(1, NOW, notice(notice_id), outcome))
    other = await stores.connections.add(connection("other", "prac-2"))
    await stores.links.settle(Settlement(other.id, NOW, changed(notice("d"), source=Source.SWEEP), APPLIED))
    ours = {("webhook", "applied"): 1, ("webhook", "ignored"): 2}
    assert await stores.connections.event_counts(1) == ours
    assert await stores.connections.event_counts() == {**ours, ("sweep", "applied"): 1}
