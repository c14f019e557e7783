"""The sandbox's Hint acts as the published contract says, and bites where the real one does."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from hintd.sandbox.people import make_people
from tests.sandbox.serving import PARTNER, PRACTICE, Client, Served, served


@pytest.fixture
async def hint() -> AsyncIterator[Client]:
    async with served() as running:
        await running.call.connect()
        yield running.call


async def _create(hint: Client, **fields: Any) -> Any:
    body = {"first_name": "Ada", "last_name": "Abbott"} | fields
    got = await hint.hint("POST", "/provider/patients", body)
    assert got.status == 200, got.body
    return got.body


@pytest.mark.parametrize(
    ("path", "key", "status"),
    [
        pytest.param("/provider/patients", PRACTICE, 200, id="the practice's token for the practice"),
        pytest.param("/provider/patients", PARTNER, 428, id="the partner's key where a practice is needed"),
        pytest.param("/provider/patients", "wrong", 401, id="a wrong key for the practice"),
        pytest.param("/provider/patients", "", 401, id="no key"),
        pytest.param("/partner/installations", PARTNER, 200, id="the partner's key for the partner"),
        pytest.param("/partner/installations", PRACTICE, 401, id="the practice's token for the partner"),
        pytest.param("/provider/nothing", PRACTICE, 404, id="an address that is none"),
        pytest.param("/provider/patients/pat-nobody", PRACTICE, 404, id="a patient that is none"),
    ],
)
async def test_each_kind_of_key_opens_its_own_addresses(hint: Client, path: str, key: str, status: int) -> None:
    got = await hint.hint("GET", path, key=key)
    assert got.status == status
    if status != 200:
        assert got.body["status"] == status
        assert got.body["message"]


@pytest.mark.parametrize(
    ("field", "given", "stored"),
    [
        pytest.param("address_state", "California", "CA", id="a state's name becomes its code"),
        pytest.param("address_state", " new york ", "NY", id="whatever its case"),
        pytest.param("address_state", "ca", "CA", id="a code becomes upper case"),
        pytest.param("address_state", "Ontario", "Ontario", id="an unknown state stays"),
        pytest.param("address_country", "United States", "United States", id="the country is free text"),
        pytest.param("email", "  ada@mail.example ", "ada@mail.example", id="text is trimmed"),
        pytest.param("middle_name", "   ", None, id="white space is blank"),
        pytest.param("middle_name", None, None, id="null is blank"),
        pytest.param("gender_identity", "Woman", "woman", id="gender is lower-cased"),
        pytest.param("dob", "1980-02-03", "1980-02-03", id="a date stays a date"),
    ],
)
async def test_writes_are_normalised(hint: Client, field: str, given: Any, stored: Any) -> None:
    patient = await _create(hint, **{field: given})
    assert patient[field] == stored


@pytest.mark.parametrize(
    ("given", "stored"),
    [("Cell", "mobile"), ("home phone", "home"), ("W", "office"), ("Company  Phone", "office"), ("Fax", "fax")],
)
async def test_phone_types_are_made_canonical(hint: Client, given: str, stored: str) -> None:
    patient = await _create(hint, phones=[{"number": "(415) 555-0101", "type": given}])
    [phone] = patient["phones"]
    assert (phone["number"], phone["type"], phone["us_formattable"]) == ("4155550101", stored, True)


async def test_a_number_that_is_not_ten_digits_is_kept_as_written(hint: Client) -> None:
    patient = await _create(hint, phones=[{"number": "+49 30 555 0101", "type": "home", "us_formattable": False}])
    assert patient["phones"][0]["number"] == "+49 30 555 0101"
    assert patient["phones"][0]["us_formattable"] is False


@pytest.mark.parametrize(
    ("replace", "numbers"), [(True, ["4155550102"]), (False, ["4155550101", "4155550102"])], ids=["replace", "add"]
)
async def test_writing_phones_replaces_them_or_adds_to_them(replace: bool, numbers: list[str]) -> None:
    async with served(phones_replace=replace) as running:
        await running.call.connect()
        patient = await _create(running.call, phones=[{"number": "4155550101", "type": "home"}])
        body = {"phones": [{"number": "4155550102", "type": "home"}]}
        got = await running.call.hint("PATCH", f"/provider/patients/{patient['id']}", body)
    assert [phone["number"] for phone in got.body["phones"]] == numbers


@pytest.mark.parametrize("shown", [True, False])
async def test_title_is_accepted_and_shown_only_where_reads_show_it(shown: bool) -> None:
    async with served(title_on_reads=shown) as running:
        await running.call.connect()
        patient = await _create(running.call, title="Dr.")
    assert ("title" in patient) is shown


@pytest.mark.parametrize(
    ("change", "what"),
    [
        pytest.param({"first_name": None}, "First name can't be blank", id="no first name"),
        pytest.param({"last_name": " "}, "Last name can't be blank", id="blank last name"),
        pytest.param({"dob": "3/2/1980"}, "Dob is invalid", id="a date of another form"),
        pytest.param({"email": "no"}, "Email is invalid", id="no e-mail address"),
    ],
)
async def test_a_patient_that_cannot_be_is_refused_with_422(hint: Client, change: Any, what: str) -> None:
    got = await hint.hint("POST", "/provider/patients", {"first_name": "Ada", "last_name": "Abbott"} | change)
    assert (got.status, got.body) == (422, {"status": 422, "message": f"Validation failed: {what}"})


async def test_a_name_cannot_be_cleared(hint: Client) -> None:
    patient = await _create(hint)
    got = await hint.hint("PATCH", f"/provider/patients/{patient['id']}", {"first_name": None})
    assert got.status == 422


async def test_a_repeated_create_is_refused_and_found_by_its_integration_id(hint: Client) -> None:
    patient = await _create(hint, integration_record_id="003A")
    again = {"first_name": "Ada", "last_name": "Abbott", "integration_record_id": "003A"}
    refused = await hint.hint("POST", "/provider/patients", again)
    found = await hint.hint("GET", "/provider/patients/003A")
    assert refused.status == 422
    assert found.body["id"] == patient["id"]


async def test_an_integration_id_that_was_cleared_is_free_again(hint: Client) -> None:
    patient = await _create(hint, integration_record_id="003A")
    await hint.hint("PATCH", f"/provider/patients/{patient['id']}", {"integration_record_id": None})
    assert (await hint.hint("GET", "/provider/patients/003A")).status == 404
    await _create(hint, integration_record_id="003A")


async def test_an_error_message_marks_the_patient_errored_until_it_is_cleared(hint: Client) -> None:
    patient = await _create(hint, integration_record_id="003A")
    path = f"/provider/patients/{patient['id']}"
    errored = (await hint.hint("PATCH", path, {"integration_error_message": "no city"})).body
    cleared = (await hint.hint("PATCH", path, {"integration_error_message": None})).body
    assert (errored["integration_sync_status"], cleared["integration_sync_status"]) == ("errored", "synced")
    assert cleared["integration_last_synced_at"] is not None


async def test_stamps_have_microseconds_and_an_offset_and_grow_with_each_change_only(hint: Client) -> None:
    patient = await _create(hint)
    path = f"/provider/patients/{patient['id']}"
    same = (await hint.hint("PATCH", path, {"first_name": "Ada"})).body
    changed = (await hint.hint("PATCH", path, {"first_name": "Eda"})).body
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}-08:00", patient["updated_at"])
    assert same["updated_at"] == patient["updated_at"] < changed["updated_at"]


async def test_fields_that_are_not_a_partners_are_ignored(hint: Client) -> None:
    patient = await _create(hint, hipaa_authorization_accepted=True, membership_status="archived", favourite="tea")
    assert patient["hipaa_authorization_accepted"] is False
    assert patient["membership_status"] == "active"
    assert "favourite" not in patient


async def test_lists_are_bare_arrays_cut_by_limit_and_offset(hint: Client) -> None:
    for number in range(12):
        await _create(hint, last_name=f"Abbott {number:02}")
    first = await hint.hint("GET", "/provider/patients")
    rest = await hint.hint("GET", "/provider/patients?limit=500&offset=10")
    assert (len(first.body), first.headers["x-count"], first.headers["x-total-count"]) == (10, "10", "12")
    assert [patient["last_name"] for patient in rest.body] == ["Abbott 10", "Abbott 11"]


async def test_archived_patients_are_left_out_unless_asked_for(hint: Client) -> None:
    kept, gone = await _create(hint), await _create(hint)
    await hint.control("PATCH", f"/patients/{gone['id']}", {"membership_status": "archived"})
    found = {
        which: [p["id"] for p in (await hint.hint("GET", f"/provider/patients?{which}")).body]
        for which in ("", "filter=archived", "filter=all")
    }
    assert found == {"": [kept["id"]], "filter=archived": [gone["id"]], "filter=all": [kept["id"], gone["id"]]}
    assert (await hint.hint("GET", f"/provider/patients/{gone['id']}")).status == 200


@pytest.mark.parametrize("form", ["updated_at=%7B%22gte%22%3A%22{}%22%7D", "updated_at[gte]={}"])
async def test_changed_since_is_asked_in_either_published_form(hint: Client, form: str) -> None:
    await _create(hint)
    later = [await _create(hint), await _create(hint)]
    query = form.format(later[0]["updated_at"])
    got = await hint.hint("GET", f"/provider/patients?{query}&sort=-updated_at")
    assert [patient["id"] for patient in got.body] == [later[1]["id"], later[0]["id"]]


async def test_a_name_filter_is_exact_and_ignores_case(hint: Client) -> None:
    wanted = await _create(hint, first_name="Joe")
    await _create(hint, first_name="Joel")
    got = await hint.hint("GET", "/provider/patients?first_name=joe")
    assert [patient["id"] for patient in got.body] == [wanted["id"]]


async def test_matching_answers_candidates_of_the_same_name_and_birthday(hint: Client) -> None:
    wanted = await _create(hint, first_name="José", last_name="De La Cruz", dob="1980-02-03")
    await _create(hint, first_name="José", last_name="De La Cruz", dob="1981-02-03")
    body = {"first_name": "jose", "last_name": "Delacruz", "dob": "1980-02-03"}
    got = await hint.hint("POST", "/provider/patients/matching", body)
    assert [patient["id"] for patient in got.body] == [wanted["id"]]


async def test_a_deleted_patient_is_gone(hint: Client) -> None:
    patient = await _create(hint)
    path = f"/provider/patients/{patient['id']}"
    assert (await hint.hint("DELETE", path)).status == 204
    assert (await hint.hint("GET", path)).status == 404
    assert (await hint.hint("GET", "/provider/patients?filter=all")).body == []


async def test_a_patient_merged_away_says_into_whom_and_fills_the_winners_blanks(hint: Client) -> None:
    loser = await _create(hint, email="ada@mail.example")
    winner = await _create(hint, integration_record_id="003A")
    await hint.control("POST", f"/patients/{loser['id']}/merge", {"into": winner["id"]})
    merged = (await hint.hint("GET", f"/provider/patients/{loser['id']}")).body
    kept = (await hint.hint("GET", f"/provider/patients/{winner['id']}")).body
    assert merged["merged_into"] == {"id": winner["id"], "name": "Ada Abbott"}
    assert (kept["email"], kept["integration_record_id"]) == ("ada@mail.example", "003A")


@pytest.mark.parametrize("limit", ["hint_requests_per_second", "hint_requests_per_day"])
async def test_too_many_requests_are_answered_429_without_a_hint_when_to_come_back(limit: str) -> None:
    async with served(**{limit: 3}) as running:
        # A second may end in between, so as many are sent as no two seconds allow.
        got = [await running.call.hint("GET", "/partner/installations", key=PARTNER) for _ in range(8)]
    throttled = [answer for answer in got if answer.status == 429]
    assert throttled
    assert throttled[0].body == {"status": 429, "message": "Enhance your calm"}
    assert "Retry-After" not in throttled[0].headers
    assert got[0].status == 200


async def test_the_token_is_exchanged_in_both_published_ways_and_dies_with_the_installation(hint: Client) -> None:
    today = await hint.connect()
    older = await hint.hint(
        "POST", "/oauth/tokens", {"grant_type": "authorization_code", "code": "sbx-code"}, key=PARTNER
    )
    wrong = await hint.hint("POST", "/partner/installations/connect", {"code": "other"}, key=PARTNER)
    assert today["api_keys"][0]["token"] == older.body["access_token"] == PRACTICE
    assert (today["status"], today["practice"]["id"]) == ("active", older.body["practice"]["id"])
    assert wrong.status == 422
    await hint.hint("POST", f"/partner/installations/{today['id']}/deactivate", key=PARTNER)
    assert (await hint.hint("GET", "/provider/practice")).status == 401


async def test_connecting_without_activating_leaves_it_pending() -> None:
    async with served() as running:
        body = {"code": "sbx-code", "activate": False}
        got = await running.call.hint("POST", "/partner/installations/connect", body, key=PARTNER)
    assert got.body["status"] == "pending"


@pytest.mark.parametrize(
    "family",
    [
        "/integrations/{}/webhook_endpoints",
        "/partner/installations/{}/webhook_endpoints",
        "/global_webhook_endpoints",
        "/partner/webhook_endpoints",
    ],
)
async def test_webhook_addresses_are_kept_under_every_published_path(hint: Client, family: str) -> None:
    base = family.format((await hint.connect())["id"])
    made = (await hint.hint("POST", base, {"webhook_url": "http://127.0.0.1:9/a"}, key=PARTNER)).body
    one = f"{base}/{made['id']}"
    moved = await hint.hint("PATCH", one, {"webhook_url": "http://127.0.0.1:9/b"}, key=PARTNER)
    assert moved.body["webhook_url"] == "http://127.0.0.1:9/b"
    assert [e["id"] for e in (await hint.hint("GET", base, key=PARTNER)).body] == [made["id"]]
    assert (await hint.hint("DELETE", one, key=PARTNER)).status == 204
    assert (await hint.hint("GET", base, key=PARTNER)).body == []


async def test_a_body_that_is_no_json_object_is_refused_with_400(hint: Client) -> None:
    headers = {"Authorization": f"Bearer {PRACTICE}"}
    url = f"{hint.base}/api/provider/patients"
    async with hint.session.post(url, data=b"{nonsense", headers=headers) as got:
        assert got.status == 400


@pytest.mark.parametrize(
    ("kind", "done"), [pytest.param("lost_before", False, id="before"), pytest.param("lost_after", True, id="after")]
)
async def test_a_lost_answer_is_lost_before_or_after_the_work(kind: str, done: bool) -> None:
    async with served() as running:
        await running.call.connect()
        await running.call.control("POST", "/faults", {"remote": "hint", "kind": kind, "method": "POST"})
        with pytest.raises(aiohttp.ClientError):
            await _create(running.call)
        assert len(running.sandbox.hint.patients) == int(done)


def test_the_same_seed_makes_the_same_people() -> None:
    assert make_people(60, 7) == make_people(60, 7) != make_people(60, 8)


def test_people_stand_on_both_sides_or_on_one() -> None:
    people = make_people(60, 1)
    both = [p for p in people if p.patient and p.contact]
    assert len(people) == 60
    assert len(both) >= 40
    assert {(p.patient is None, p.contact is None) for p in people} == {(False, False), (True, False), (False, True)}


def test_published_samples_become_people_of_their_own(tmp_path: Path) -> None:
    sample = '{"id": "pat-ab12C345DeF6", "first_name": "Gordon", "last_name": "Sumner", "dob": "1956-04-24"}'
    (tmp_path / "show.json").write_text(sample)
    (tmp_path / "list.json").write_text(f"[{sample}]")
    (tmp_path / "token.json").write_text('{"id": "int-ab12C345DeF6"}')
    people = make_people(1, 1, tmp_path)
    assert [p.patient["id"] for p in people[:2] if p.patient] == ["pat-ab12C345DeF6", "pat-ab12C345DeF7"]
    assert people[0].contact is not None
    assert people[0].contact["LastName"] == "Sumner"


async def test_seeded_people_are_in_the_lists(tmp_path: Path) -> None:
    async with served(people=30) as running:
        await running.call.connect()
        got = await running.call.hint("GET", "/provider/patients?limit=100")
    _assert_seeded(got.body, running)


def _assert_seeded(listed: list[Any], running: Served) -> None:
    names = {patient["last_name"] for patient in listed}
    assert {"O'Brien", "De La Cruz", "García"} <= names
    assert len(listed) == len(running.sandbox.hint.patients)
