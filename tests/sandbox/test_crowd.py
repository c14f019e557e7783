"""The big practice: records made when they are asked for, and lists that stay right while they change."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

import pytest

from hintd.sandbox.crowd import Crowd, entered_at
from hintd.sandbox.hint.lists import select, span_of
from hintd.sandbox.hint.places import Places
from tests.sandbox.serving import Served, served

SIZE = 300
WALK = "SELECT Id, Title FROM Contact ORDER BY SystemModstamp, Id"


@pytest.fixture
async def running() -> AsyncIterator[Served]:
    async with served(patients=SIZE, contacts=SIZE) as running:
        await running.call.connect()
        yield running


def of_patient(body: dict[str, Any]) -> tuple[str, str, str | None]:
    return body["first_name"], body["last_name"], body["dob"]


def of_contact(fields: dict[str, Any]) -> tuple[str, str, str | None]:
    return fields["FirstName"], fields["LastName"], fields["Birthdate"]


def test_the_same_seed_makes_the_same_people_and_another_seed_others() -> None:
    one, same, other = (Crowd(9, 9, 0.8, seed) for seed in (1, 1, 2))
    assert [one.patient(n) for n in range(9)] == [same.patient(n) for n in range(9)]
    assert [one.contact(n) for n in range(9)] == [same.contact(n) for n in range(9)]
    assert [one.patient(n) for n in range(9)] != [other.patient(n) for n in range(9)]


@pytest.mark.parametrize("share", [0.0, 0.5, 0.9, 1.0])
def test_the_share_of_patients_with_exactly_one_match_is_as_asked(share: float) -> None:
    crowd = Crowd(2000, 2000, share, 1)
    contacts = Counter(of_contact(crowd.contact(n)) for n in range(2000))
    found = Counter(contacts[of_patient(crowd.patient(n))] for n in range(2000))
    assert found[1] == pytest.approx(2000 * share, abs=60)


def test_some_have_no_match_some_have_two_and_some_have_no_date_of_birth() -> None:
    crowd = Crowd(2000, 2000, 0.5, 1)
    contacts = Counter(of_contact(crowd.contact(n)) for n in range(2000))
    patients = [crowd.patient(n) for n in range(2000)]
    found = Counter(contacts[of_patient(patient)] for patient in patients)
    assert found[0] > 500 and found[2] > 20 and set(found) == {0, 1, 2}
    assert 50 < sum(patient["dob"] is None for patient in patients) < 300


async def ids_by_update(running: Served, **query: str) -> list[str]:
    """All pages of a list in the order of the last change."""
    found: list[str] = []
    asked = "".join(f"&{name}={quote(value)}" for name, value in query.items())
    while True:
        path = f"/provider/patients?limit=100&sort=updated_at&offset={len(found)}{asked}"
        answer = await running.call.hint("GET", path)
        found += [patient["id"] for patient in answer.body]
        if not answer.body:
            assert int(answer.headers["x-total-count"]) == len(found)
            return found


async def test_pages_give_each_patient_once_and_the_changed_ones_last(running: Served) -> None:
    before = await ids_by_update(running)
    for moved in (before[5], before[250]):
        await running.call.hint("PATCH", f"/provider/patients/{moved}", {"address_city": "Reno"})
    new = (await running.call.patient())["id"]
    after = await ids_by_update(running)
    assert len(set(before)) == SIZE
    assert after == [*before[:5], *before[6:250], *before[251:], before[5], before[250], new]


async def test_a_change_stays_and_the_rest_is_made_as_before(running: Served) -> None:
    (first, *_) = await ids_by_update(running)
    before = (await running.call.hint("GET", f"/provider/patients/{first}")).body
    changed = (await running.call.hint("PATCH", f"/provider/patients/{first}", {"address_city": "Reno"})).body
    read = (await running.call.hint("GET", f"/provider/patients/{first}")).body
    assert read == changed
    assert {name for name in read if read[name] != before[name]} == {"address_city", "updated_at"}


async def test_a_linked_patient_is_found_by_the_contacts_id(running: Served) -> None:
    (first, *_) = await ids_by_update(running)
    await running.call.hint("PATCH", f"/provider/patients/{first}", {"integration_record_id": "003x"})
    assert (await running.call.hint("GET", "/provider/patients/003x")).body["id"] == first


@pytest.mark.parametrize("number", [0, 7, SIZE - 1])
async def test_a_destroyed_patient_is_in_no_list(running: Served, number: int) -> None:
    before = await ids_by_update(running, filter="all")
    await running.call.control("DELETE", f"/patients/{before[number]}")
    assert await ids_by_update(running, filter="all") == before[:number] + before[number + 1 :]
    assert (await running.call.hint("GET", f"/provider/patients/{before[number]}")).status == 404


BOUND = entered_at(100).isoformat()


@pytest.mark.parametrize(
    "query",
    [
        {},
        {"filter": "all"},
        {"updated_at": json.dumps({"gte": BOUND})},
        {"updated_at": json.dumps({"gt": BOUND, "lte": entered_at(200).isoformat()})},
        {"updated_at[lt]": BOUND, "filter": "all"},
        {"updated_at[lte]": BOUND},
        {"updated_at[gte]": "2030-01-01T00:00:00Z"},
    ],
    ids=["active", "all", "from", "between", "before", "until", "future"],
)
async def test_the_quick_way_finds_what_looking_at_everyone_finds(running: Served, query: dict[str, str]) -> None:
    patients = running.sandbox.hint.patients
    for number in range(0, SIZE, 9):
        stored = patients.get(f"pat-{number:012d}")
        patients.update(stored, {"membership_status": "archived" if number % 2 else "unpaid"}, "clinic staff")
    asked = [*query.items(), ("sort", "updated_at")]
    assert span_of(patients, asked) is not None
    assert await ids_by_update(running, **query) == [stored.id for stored in select(patients, asked)]


@pytest.mark.parametrize(
    "query",
    [{}, {"sort": "-updated_at"}, {"sort": "updated_at", "first_name": "Ada"}, {"sort": "updated_at", "filter": "x"}],
    ids=["unsorted", "newest first", "by an attribute", "another filter"],
)
async def test_other_lists_are_found_by_looking_at_everyone(running: Served, query: dict[str, str]) -> None:
    assert span_of(running.sandbox.hint.patients, query.items()) is None


async def test_the_last_page_of_a_million_is_answered_like_the_first() -> None:
    async with served(patients=10**6, contacts=10**6) as running:
        await running.call.connect()
        answer = await running.call.hint("GET", "/provider/patients?limit=100&sort=updated_at&offset=999950")
        assert answer.headers["x-total-count"] == "1000000"
        assert [patient["id"] for patient in answer.body][-1] == "pat-000000999999"
        assert (await salesforce(running, "GET", f"/queryAll?q={quote(WALK)}"))["totalSize"] == 10**6
        records = (await running.call.control("GET", "/records")).body
        assert 0 < len(records["hint"]) == len(records["salesforce"]) <= 1000


async def salesforce(running: Served, method: str, path: str, body: object = None) -> Any:
    headers = {"Authorization": f"Bearer {running.sandbox.salesforce.oauth.issue()}"}
    headers |= {"Sforce-Query-Options": "batchSize=200"}
    url = path if path.startswith("/services") else f"/services/data/v68.0{path}"
    async with running.call.session.request(method, running.sandbox.url + url, json=body, headers=headers) as got:
        return json.loads(await got.text() or "null")


async def rows(running: Served, soql: str, resource: str = "queryAll") -> list[dict[str, Any]]:
    page = await salesforce(running, "GET", f"/{resource}?q={quote(soql)}")
    found = list(page["records"])
    while not page["done"]:
        page = await salesforce(running, "GET", page["nextRecordsUrl"])
        found += page["records"]
    return found


async def test_a_walk_gives_each_contact_once_and_the_changed_ones_last(running: Served) -> None:
    before = [row["Id"] for row in await rows(running, WALK)]
    running.sandbox.salesforce.user_edit(before[250], {"Title": "changed"})
    running.sandbox.clock.set_offset(2)
    new = running.sandbox.salesforce.user_create({"LastName": "New"})
    running.sandbox.clock.set_offset(4)
    running.sandbox.salesforce.user_edit(before[3], {"Title": "changed"})
    after = await rows(running, WALK)
    expected = [*before[:3], *before[4:250], *before[251:], before[250], new, before[3]]
    assert len(set(before)) == SIZE
    assert [row["Id"] for row in after] == expected
    assert [row["Title"] for row in after[-3:]] == ["changed", None, "changed"]


async def test_a_walk_begins_after_a_stamp(running: Served) -> None:
    everyone = [row["Id"] for row in await rows(running, WALK)]
    bound = entered_at(100).strftime("%Y-%m-%dT%H:%M:%SZ")
    after = WALK.replace("ORDER", f"WHERE SystemModstamp > {bound} ORDER")
    at_or_after = WALK.replace("ORDER", f"WHERE SystemModstamp >= {bound} ORDER")
    assert [row["Id"] for row in await rows(running, after)] == everyone[101:]
    assert [row["Id"] for row in await rows(running, at_or_after)] == everyone[100:]


async def test_a_deleted_contact_is_seen_by_query_all_only(running: Served) -> None:
    everyone = [row["Id"] for row in await rows(running, WALK)]
    running.sandbox.salesforce.user_delete(everyone[7])
    left = everyone[:7] + everyone[8:]
    assert [row["Id"] for row in await rows(running, WALK)] == [*left, everyone[7]]
    assert [row["Id"] for row in await rows(running, WALK, "query")] == left


async def test_a_contact_of_the_crowd_is_written_and_found_like_any_other(running: Served) -> None:
    contact_id = (await rows(running, WALK))[0]["Id"]
    record = {"attributes": {"type": "Contact"}, "id": contact_id, "Hint_Patient_Id__c": "pat-1", "Title": "New"}
    (result,) = await salesforce(running, "PATCH", "/composite/sobjects", {"records": [record]})
    read = await salesforce(running, "GET", "/sobjects/Contact/Hint_Patient_Id__c/pat-1?fields=Id,Title,AccountId")
    assert result["success"]
    assert (read["Id"], read["Title"], read["AccountId"][:3]) == (contact_id, "New", "001")


async def test_other_questions_about_the_crowd_are_answered_too(running: Served) -> None:
    contact_id = (await rows(running, WALK))[42]["Id"]
    name = (await rows(running, f"SELECT LastName FROM Contact WHERE Id = '{contact_id}'"))[0]["LastName"]
    found = await rows(running, f"SELECT Id FROM Contact WHERE LastName = '{name}' ORDER BY Id LIMIT 5")
    assert contact_id in [row["Id"] for row in found]


def test_the_nth_taken_place_is_found_across_blocks() -> None:
    places = Places(10_000)
    for place in range(9000):
        places.leave(place)
    places.append(taken=True)
    places.append(taken=False)
    assert places.before(10_000) == 1000
    assert next(places.taken_from(0)) == 9000
    assert list(places.taken_from(999)) == [9999, 10_000]
    assert list(places.taken_from(1001)) == []


def test_leaving_a_place_twice_changes_nothing() -> None:
    places = Places(3)
    places.leave(1)
    places.leave(1)
    assert (places.before(3), list(places.taken_from(0))) == (2, [0, 2])
