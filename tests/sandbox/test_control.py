"""The control port: people's edits, faults, settings and what was called, over real HTTP."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import aiohttp
import pytest

from tests.sandbox.serving import PARTNER, Client, served


async def _changes(call: Client, number: int, act: Any) -> list[Any]:
    """The next changes that the event stream tells, once it has begun, while ``act`` runs."""
    async with call.session.get(call.base + "/control/changes") as stream:
        assert await stream.content.readline() == b": following\n"
        await act()
        lines: list[Any] = []
        while len(lines) < number:
            line = await asyncio.wait_for(stream.content.readline(), 10)
            if line.startswith(b"data: "):
                lines.append(json.loads(line.removeprefix(b"data: ")))
        return lines


async def test_records_of_both_sides_are_listed() -> None:
    async with served(people=20) as running:
        got = (await running.call.control("GET", "/records")).body
    assert len(got["hint"]) > 10
    assert len(got["salesforce"]) > 10
    assert "LastName" in got["salesforce"][0]


async def test_changes_say_who_changed_what() -> None:
    async with served() as running:
        call = running.call
        await call.connect()
        patient = await call.patient()
        path = f"/patients/{patient['id']}"

        async def act() -> None:
            await call.control("PATCH", path, {"email": "a@mail.example"})
            await call.hint("PATCH", f"/provider{path}", {"email": "b@mail.example"})
            await call.control("POST", "/contacts", {"LastName": "Abbott"})

        clinic, hintd, user = await _changes(call, 3, act)
    assert (clinic["origin"], hintd["origin"], user["origin"]) == ("clinic staff", "hintd", "Salesforce user")
    assert (clinic["side"], clinic["record_id"], clinic["fields"]) == ("hint", patient["id"], ["email"])
    assert (user["side"], user["kind"]) == ("salesforce", "created")


async def test_contacts_are_created_edited_deleted_and_brought_back_by_a_user() -> None:
    async with served() as running:
        call = running.call
        made = (await call.control("POST", "/contacts", {"LastName": "Abbott"})).body["Id"]
        assert (await call.control("PATCH", f"/contacts/{made}", {"LastName": "Brooks"})).status == 204
        assert [c["LastName"] for c in (await call.control("GET", "/records")).body["salesforce"]] == ["Brooks"]
        assert (await call.control("DELETE", f"/contacts/{made}")).status == 204
        assert (await call.control("GET", "/records")).body["salesforce"] == []
        assert (await call.control("POST", f"/contacts/{made}/undelete")).status == 204
        assert len((await call.control("GET", "/records")).body["salesforce"]) == 1


async def test_merged_contacts_leave_the_winner() -> None:
    async with served() as running:
        call = running.call
        winner, loser = [(await call.control("POST", "/contacts", {"LastName": n})).body["Id"] for n in ("W", "L")]
        got = await call.control("POST", f"/contacts/{winner}/merge", {"losers": [loser]})
        left = (await call.control("GET", "/records")).body["salesforce"]
    assert got.status == 204
    assert [contact["Id"] for contact in left] == [winner]


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        pytest.param("PATCH", "/patients/pat-nobody", {"email": "a@b"}, 404, id="no such patient"),
        pytest.param("PATCH", "/contacts/003000000000000AAA", {"LastName": "A"}, 404, id="no such Contact"),
        pytest.param("POST", "/patients", {"first_name": "Ada"}, 422, id="a patient without a last name"),
        pytest.param("POST", "/contacts", {"FirstName": "Ada"}, 400, id="a Contact without a last name"),
        pytest.param("POST", "/faults", {"remote": "moon", "kind": "slow"}, 422, id="no such remote"),
        pytest.param("POST", "/faults", {"remote": "hint", "kind": "odd"}, 422, id="no such fault"),
        pytest.param("POST", "/faults", {"remote": "hint", "kind": "slow", "odd": 1}, 422, id="no such attribute"),
        pytest.param("POST", "/faults", {"remote": "hint"}, 404, id="no kind"),
        pytest.param("POST", "/faults", {"remote": "hint", "kind": "slow", "path": "("}, 422, id="a bad pattern"),
        pytest.param("POST", "/settings", {"seed": 2}, 422, id="a setting that is fixed"),
        pytest.param("POST", "/settings", {"hint_latency_ms": "slow"}, 422, id="a setting of another type"),
        pytest.param("POST", "/settings", {"phones_replace": 1}, 422, id="a switch that is no switch"),
        pytest.param("POST", "/webhooks", {"mode": "odd"}, 422, id="no such mode"),
        pytest.param("POST", "/load", {"side": "moon"}, 422, id="load on no side"),
    ],
)
async def test_what_cannot_be_is_refused_with_a_sentence(method: str, path: str, body: Any, status: int) -> None:
    async with served() as running:
        got = await running.call.control(method, path, body)
    assert got.status == status
    assert got.body["message"]


async def test_calls_are_counted_by_template_and_reset() -> None:
    async with served() as running:
        call = running.call
        await call.connect()
        await call.hint("GET", "/provider/patients/pat-1")
        await call.hint("GET", "/provider/patients/pat-2")
        counted = (await call.control("GET", "/calls")).body["hint"]
        await call.control("POST", "/calls/reset")
        after = (await call.control("GET", "/calls")).body["hint"]
    assert counted["by"] == {
        "POST /api/partner/installations/connect": 1,
        "GET /api/provider/patients/{id}": 2,
    }
    assert counted["total"] == 3
    assert after["total"] == 0


@pytest.mark.parametrize(
    ("fault", "status", "message"),
    [
        pytest.param({"kind": "status", "status": 502}, 502, "Something went wrong", id="a status"),
        pytest.param({"kind": "status", "status": 500, "body": {"message": "x"}}, 500, "x", id="a status and a body"),
        pytest.param({"kind": "throttle"}, 429, "Enhance your calm", id="throttling"),
        pytest.param({"kind": "revoke"}, 401, "Unauthorized", id="a key that works no more"),
    ],
)
async def test_an_armed_fault_is_met_as_often_as_asked_and_then_gone(
    fault: dict[str, Any], status: int, message: str
) -> None:
    async with served() as running:
        await running.call.control("POST", "/faults", {"remote": "hint", "times": 2} | fault)
        got = [await running.call.hint("GET", "/partner/installations", key=PARTNER) for _ in range(3)]
    assert [answer.status for answer in got] == [status, status, 200]
    assert got[0].body["message"] == message


async def test_a_fault_is_met_only_by_the_calls_that_it_names() -> None:
    async with served() as running:
        call = running.call
        await call.connect()
        fault = {"remote": "hint", "kind": "status", "method": "GET", "path": "/provider/practice$", "times": -1}
        armed = (await call.control("POST", "/faults", fault)).body
        other = await call.hint("GET", "/provider/patients")
        struck = [(await call.hint("GET", "/provider/practice")).status for _ in range(2)]
        await call.control("DELETE", f"/faults/{armed['id']}")
        after = await call.hint("GET", "/provider/practice")
    assert (other.status, struck, after.status) == (200, [503, 503], 200)


async def test_nonsense_is_a_200_that_no_json_reader_takes() -> None:
    async with served() as running:
        await running.call.control("POST", "/faults", {"remote": "hint", "kind": "nonsense"})
        with pytest.raises(json.JSONDecodeError):
            await running.call.hint("GET", "/partner/installations", key=PARTNER)


async def test_a_fault_of_salesforce_leaves_hint_alone() -> None:
    async with served() as running:
        fault = {"remote": "salesforce", "kind": "throttle"}
        await running.call.control("POST", "/faults", fault)
        hint = await running.call.hint("GET", "/partner/installations", key=PARTNER)
        salesforce = await running.call("GET", "/services/data/")
    assert hint.status == 200
    assert (salesforce.status, salesforce.body[0]["errorCode"]) == (403, "REQUEST_LIMIT_EXCEEDED")


async def test_a_connection_cut_is_an_error_to_the_caller() -> None:
    async with served() as running:
        await running.call.control("POST", "/faults", {"remote": "salesforce", "kind": "lost_before"})
        with pytest.raises(aiohttp.ClientError):
            # A GET would not show it: aiohttp itself repeats one on a kept connection that was cut.
            await running.call("POST", "/services/oauth2/token")


async def test_settings_change_while_it_runs_and_never_show_secrets() -> None:
    async with served() as running:
        got = await running.call.control("POST", "/settings", {"title_on_reads": False, "webhook_retry_s": 2})
        patient = await running.call.patient(title="Dr.")
    assert (got.body["title_on_reads"], got.body["webhook_retry_s"]) == (False, 2)
    assert "title" not in patient
    assert not {"partner_key", "webhook_secret", "client_secret", "practice_token", "connect_code"} & set(got.body)


async def test_latency_delays_every_answer() -> None:
    async with served(hint_latency_ms=40) as running:
        loop = asyncio.get_running_loop()
        started = loop.time()
        await running.call.hint("GET", "/partner/installations", key=PARTNER)
        assert loop.time() - started >= 0.04


async def test_the_clock_can_be_set_ahead() -> None:
    async with served() as running:
        before = (await running.call.patient())["updated_at"]
        await running.call.control("POST", "/clock", {"offset_s": 86_400})
        after = (await running.call.patient())["updated_at"]
    assert after[:10] > before[:10]


async def test_load_edits_linked_people() -> None:
    async with served() as running:
        call = running.call
        await call.connect()
        patient = await call.patient()
        contact = (await call.control("POST", "/contacts", {"LastName": "Person"})).body["Id"]
        await call.hint("PATCH", f"/provider/patients/{patient['id']}", {"integration_record_id": contact})
        got = await call.control("POST", "/load", {"edits": 4, "rate": 200, "side": "both"})
        records = (await call.control("GET", "/records")).body
    assert got.body["edits"] == 4
    assert records["hint"][0]["address_city"].startswith("Load")
    assert records["salesforce"][0]["MailingCity"].startswith("Load")


@pytest.mark.parametrize("path", ["/", "/static/page.js", "/static/page.css", "/static/rows.js"])
async def test_the_page_and_its_parts_are_served_without_any_other_host(path: str) -> None:
    async with served() as running, running.call.session.get(running.call.base + path) as got:
        text = await got.text()
    assert got.status == 200
    assert "https://" not in text
    assert "innerHTML" not in text


async def test_the_page_may_load_nothing_from_elsewhere() -> None:
    async with served() as running, running.call.session.get(running.call.base + "/") as got:
        assert "default-src 'self'" in got.headers["Content-Security-Policy"]


async def test_the_org_acts_otherwise_when_its_switches_are_set() -> None:
    async with served() as running:
        got = await running.call.control("POST", "/salesforce/switches", {"rules": {"uppercase": ["LastName"]}})
        await running.call.control("POST", "/contacts", {"LastName": "Abbott"})
        [contact] = (await running.call.control("GET", "/records")).body["salesforce"]
    assert got.status == 200
    assert contact["LastName"] == "ABBOTT"


async def test_change_events_are_repeated_as_often_as_there_are_some() -> None:
    async with served() as running:
        await running.call.control("POST", "/contacts", {"LastName": "Abbott"})
        got = await running.call.control("POST", "/salesforce/repeat", {"count": 5})
    assert got.body == {"events": 1}


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        pytest.param("/salesforce/gap", {"type": "GAP_OVERFLOW"}, 204, id="an overflow"),
        pytest.param("/salesforce/gap", {"type": "UPDATE"}, 422, id="no gap at all"),
        pytest.param("/salesforce/reset-replay-ids", {}, 204, id="cursors that no longer hold"),
        pytest.param("/salesforce/revoke-tokens", {}, 200, id="tokens that no longer hold"),
        pytest.param("/salesforce/switches", {"odd": 1}, 422, id="no such switch"),
    ],
)
async def test_the_event_bus_is_troubled_on_purpose(path: str, body: Any, status: int) -> None:
    async with served() as running:
        assert (await running.call.control("POST", path, body)).status == status
