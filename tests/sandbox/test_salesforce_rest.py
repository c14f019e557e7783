"""The sandbox's Salesforce answers REST calls as the real one is documented to."""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import AsyncIterator
from email.utils import format_datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiohttp
import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from hintd.sandbox.options import Options
from hintd.sandbox.salesforce.ids import full_id, id18
from hintd.sandbox.salesforce.stamps import read_datetime
from tests.sandbox.org import Reply, RunningOrg, running_org

JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
SYNCED_AT = "Hint_Last_Synced_At__c"
TEXTS = {"MailingState": "California", "MailingCountry": "United States"}
CODES = {"MailingStateCode": "CA", "MailingCountryCode": "US"}
SECRET = {"grant_type": "client_credentials", "client_id": "sbx-client", "client_secret": "sbx-secret"}


@pytest.fixture
async def org() -> AsyncIterator[RunningOrg]:
    async with running_org() as running:
        yield running


async def ask_token(org: RunningOrg, form: dict[str, str], **more: Any) -> tuple[int, dict[str, Any]]:
    async with org.http.post("/services/oauth2/token", data=form, **more) as answer:
        return answer.status, await answer.json()


# Ids


@pytest.mark.parametrize(
    ("short", "whole"), [("0032X00002QU10J", "0032X00002QU10JQAT"), ("00Q000000000000", "00Q000000000000EAA")]
)
def test_the_long_form_of_an_id_ends_with_letters_that_tell_the_capitals(short: str, whole: str) -> None:
    assert id18(short) == full_id(short) == full_id(whole) == whole


def test_an_id_with_a_wrong_ending_is_no_id() -> None:
    assert full_id("0032X00002QU10JQAA") is None


# Tokens


async def test_client_credentials_are_taken_from_the_body_and_from_basic_authentication(org: RunningOrg) -> None:
    status, granted = await ask_token(org, SECRET)
    assert status == 200 and granted["id"].split("/")[-2] == org.side.org_id and len(org.side.org_id) == 18
    basic = {"Authorization": "Basic " + base64.b64encode(b"sbx-client:sbx-secret").decode()}
    status, _ = await ask_token(org, {"grant_type": "client_credentials"}, headers=basic)
    assert status == 200


async def test_client_credentials_are_refused_on_the_login_host(org: RunningOrg) -> None:
    status, denied = await ask_token(org, SECRET, headers={"Host": "login.salesforce.com"})
    assert (status, denied["error"]) == (400, "invalid_grant")


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ({"client_secret": "x"}, "invalid_client"),
        ({"client_id": "x"}, "invalid_client_id"),
        ({"grant_type": "password"}, "unsupported_grant_type"),
    ],
    ids=["secret", "client", "grant"],
)
async def test_a_wrong_token_request_is_refused_with_an_object(
    org: RunningOrg, wrong: dict[str, str], error: str
) -> None:
    status, denied = await ask_token(org, SECRET | wrong)
    assert (status, denied["error"]) == (400, error)


@pytest.mark.parametrize(
    ("claims", "description"),
    [
        ({}, None),
        ({"aud": "https://evil.example"}, "audience is invalid"),
        ({"sub": "stranger@sandbox.example"}, "user hasn't approved this consumer"),
        ({"exp": 1}, "assertion has expired or its expiry is too far off"),
    ],
    ids=["right", "audience", "user", "expired"],
)
async def test_a_jwt_assertion_is_checked(tmp_path: Path, claims: dict[str, object], description: str | None) -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    public = tmp_path / "public.pem"
    form, info = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    public.write_bytes(key.public_key().public_bytes(form, info))
    right = {"iss": "sbx-client", "sub": "sync@sandbox.example", "aud": "https://login.salesforce.com"}
    assertion = jwt.encode({**right, "exp": int(time.time()) + 180, **claims}, key, algorithm="RS256")
    async with running_org(Options(jwt_public_key=public)) as org:
        status, answer = await ask_token(org, {"grant_type": JWT_BEARER, "assertion": assertion})
        forged = assertion[:-6] + "AAAAAA"
        _, refused = await ask_token(org, {"grant_type": JWT_BEARER, "assertion": forged})
    assert (status, answer.get("error_description")) == (200 if description is None else 400, description)
    assert refused["error_description"] == "invalid assertion"


@pytest.mark.parametrize("end", ["revoke", "idle"])
async def test_a_token_that_ended_is_an_invalid_session(org: RunningOrg, end: str) -> None:
    assert (await org.call("GET", "/limits")).status == 200
    if end == "revoke":
        assert org.side.revoke_tokens() == 1
    else:
        org.later(hours=2, seconds=1)
    reply = await org.call("GET", "/limits")
    assert (reply.status, reply.code, reply.headers["WWW-Authenticate"]) == (401, "INVALID_SESSION_ID", "Token")


async def test_userinfo_names_the_organization(org: RunningOrg) -> None:
    headers = {"Authorization": f"Bearer {org.token}"}
    async with org.http.get("/services/oauth2/userinfo", headers=headers) as answer:
        assert (await answer.json())["organization_id"] == org.side.org_id


async def test_the_versions_are_listed_without_a_token(org: RunningOrg) -> None:
    async with org.http.get("/services/data/") as answer:
        assert (await answer.json())[-1] == {
            "label": "Winter '27",
            "url": "/services/data/v68.0",
            "version": "68.0",
        }


# Rows


async def test_a_row_lives_from_create_to_delete(org: RunningOrg) -> None:
    contact_id = await org.create(FirstName="Ada")
    assert (await org.call("PATCH", f"/sobjects/Contact/{contact_id}", {"FirstName": "Eda"})).status == 204
    assert (await org.read(contact_id[:15]))["Name"] == "Eda Varga"
    assert (await org.call("DELETE", f"/sobjects/Contact/{contact_id}")).status == 204
    again = await org.call("DELETE", f"/sobjects/Contact/{contact_id}")
    assert (again.status, again.code) == (404, "ENTITY_IS_DELETED")


async def test_a_read_gives_the_fields_asked_for_and_refuses_unknown_ones(org: RunningOrg) -> None:
    contact_id = await org.create(MailingCity="Reno")
    reply = await org.call("GET", f"/sobjects/Contact/{contact_id}?fields=Id,MailingAddress")
    assert (
        reply.body.keys() == {"attributes", "Id", "MailingAddress"} and reply.body["MailingAddress"]["city"] == "Reno"
    )
    refused = await org.call("GET", f"/sobjects/Contact/{contact_id}?fields=Nope__c")
    assert (refused.status, refused.code) == (400, "INVALID_FIELD")


async def test_post_with_a_method_override_is_a_patch(org: RunningOrg) -> None:
    contact_id = await org.create()
    assert (
        await org.call("POST", f"/sobjects/Contact/{contact_id}?_HttpMethod=PATCH", {"Title": "Nurse"})
    ).status == 204
    assert (await org.read(contact_id))["Title"] == "Nurse"


async def test_a_condition_compares_whole_seconds(org: RunningOrg) -> None:
    contact_id = await org.create()
    path, same = f"/sobjects/Contact/{contact_id}", {"If_Unmodified_Since": await last_modified(org, contact_id)}
    assert (await org.call("PATCH", path, {"Title": "A"}, **same)).status == 204
    org.later(seconds=2)
    await org.call("PATCH", path, {"Title": "C"})
    stale = await org.call("PATCH", path, {"Title": "D"}, **same)
    assert (stale.status, (await org.read(contact_id))["Title"]) == (412, "C")
    now = {"If_Modified_Since": await last_modified(org, contact_id)}
    assert (await org.call("GET", path, **now)).status == 304
    assert (await org.call("PATCH", path, {}, If_Unmodified_Since="yesterday")).status == 400


async def last_modified(org: RunningOrg, contact_id: str) -> str:
    return format_datetime(read_datetime((await org.read(contact_id))["LastModifiedDate"]), usegmt=True)


async def test_an_upsert_says_whether_it_created(org: RunningOrg) -> None:
    path = "/sobjects/Contact/Hint_Patient_Id__c/pat-1"
    created = await org.call("PATCH", path, {"LastName": "Kaya"})
    assert (created.status, created.body["created"]) == (201, True)
    updated = await org.call("PATCH", path, {"LastName": "Kaya"})
    assert (updated.status, updated.body["created"], updated.body["id"]) == (200, False, created.body["id"])
    absent = "/sobjects/Contact/Hint_Patient_Id__c/pat-2?updateOnly=true"
    assert (await org.call("PATCH", absent, {"LastName": "Kaya"})).status == 404


async def test_an_ambiguous_external_id_is_answered_with_the_records(org: RunningOrg) -> None:
    org.side.change_switches({"external_id_unique": False})
    both = {await org.create(Hint_Patient_Id__c="pat-1") for _ in range(2)}
    reply = await org.call("PATCH", "/sobjects/Contact/Hint_Patient_Id__c/pat-1", {"Title": "A"})
    assert reply.status == 300 and {url.rpartition("/")[2] for url in reply.body} == both


async def test_external_ids_are_unique_and_case_sensitive(org: RunningOrg) -> None:
    first = await org.create(Hint_Patient_Id__c="pat-a")
    assert await org.create(Hint_Patient_Id__c="PAT-A")
    reply = await org.call("POST", "/sobjects/Contact", {"LastName": "X", "Hint_Patient_Id__c": "pat-a"})
    assert reply.code == "DUPLICATE_VALUE" and reply.body[0]["message"].endswith(f"id: {first[:15]}")


async def test_a_deleted_record_frees_its_external_id_until_it_is_undeleted(org: RunningOrg) -> None:
    first = await org.create(Hint_Patient_Id__c="pat-a")
    org.side.user_delete(first)
    second = await org.create(Hint_Patient_Id__c="pat-a")
    with pytest.raises(Exception, match="duplicate value"):
        org.side.user_undelete(first)
    org.side.user_delete(second)
    org.side.user_undelete(first)
    assert (await org.read(first))["Hint_Patient_Id__c"] == "pat-a"


# Saving


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ({"FirstName": "  Ada \n"}, {"FirstName": "Ada"}),
        ({"FirstName": ""}, {"FirstName": None}),
        ({"firstname": "Ada"}, {"FirstName": "Ada"}),
        ({"Synced_to_Hint__c": None}, {"Synced_to_Hint__c": False}),
        ({"Phone": "415.555.0100"}, {"Phone": "415.555.0100"}),
        ({"Salutation": "Sister"}, {"Salutation": "Sister"}),
        ({"GenderIdentity": "male"}, {"GenderIdentity": "Male"}),
        ({SYNCED_AT: "2026-11-22T03:00:01.9-08:00"}, {SYNCED_AT: "2026-11-22T11:00:01.000+0000"}),
        (TEXTS, CODES),
        (CODES, TEXTS),
    ],
    ids=["trimmed", "empty is null", "any case of name", "checkbox", "phone verbatim", "open picklist",
         "picklist spelling", "whole second", "code follows text", "text follows code"],
)  # fmt: skip
async def test_a_save_keeps(org: RunningOrg, sent: dict[str, object], kept: dict[str, object]) -> None:
    stored = await org.read(await org.create(**sent))
    assert {name: stored[name] for name in kept} == kept


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        ({"LastName": " "}, "REQUIRED_FIELD_MISSING"),
        ({"FirstName": "x" * 41}, "STRING_TOO_LONG"),
        ({"FirstName": "😀" * 21}, "STRING_TOO_LONG"),
        ({"Email": "ada@nowhere"}, "INVALID_EMAIL_ADDRESS"),
        ({"GenderIdentity": "Woman"}, "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST"),
        ({"MailingStateCode": "CA"}, "FIELD_INTEGRITY_EXCEPTION"),
        ({"MailingState": "CA", "MailingCountryCode": "US"}, "FIELD_INTEGRITY_EXCEPTION"),
        ({"MailingStateCode": "ON", "MailingCountryCode": "US"}, "FIELD_INTEGRITY_EXCEPTION"),
        ({"Birthdate": "1969-02-30"}, "JSON_PARSER_ERROR"),
        ({"Birthdate": "1650-01-01"}, "NUMBER_OUTSIDE_VALID_RANGE"),
        ({"AccountId": "001Kd00000ZZZZZ"}, "INVALID_CROSS_REFERENCE_KEY"),
        ({"AccountId": "nobody"}, "MALFORMED_ID"),
        ({"Nope__c": "x"}, "INVALID_FIELD"),
        ({"Name": "x"}, "INVALID_FIELD_FOR_INSERT_UPDATE"),
    ],
    ids=["required", "too long", "utf-16 units", "email", "restricted", "no country", "code as text",
         "state elsewhere", "no such day", "out of range", "no account", "bad id", "no field", "read-only"],
)  # fmt: skip
async def test_a_save_is_refused(org: RunningOrg, sent: dict[str, object], code: str) -> None:
    reply = await org.call("POST", "/sobjects/Contact", {"LastName": "Varga", **sent})
    assert (reply.status, reply.code) == (400, code)
    assert org.side.contacts() == []


async def test_a_country_cannot_be_cleared_under_its_state(org: RunningOrg) -> None:
    contact_id = await org.create(MailingStateCode="CA", MailingCountryCode="US")
    reply = await org.call("PATCH", f"/sobjects/Contact/{contact_id}", {"MailingCountryCode": None})
    assert reply.code == "FIELD_INTEGRITY_EXCEPTION"
    both = {"MailingCountryCode": None, "MailingStateCode": None}
    assert (await org.call("PATCH", f"/sobjects/Contact/{contact_id}", both)).status == 204
    assert (await org.read(contact_id))["MailingState"] is None


async def test_without_the_picklists_any_state_is_text_and_there_are_no_codes() -> None:
    async with running_org(Options(state_country_picklists=False, middle_names=False)) as org:
        assert (await org.read(await org.create(MailingState="Calif.")))["MailingState"] == "Calif."
        refused = await org.call("POST", "/sobjects/Contact", {"LastName": "X", "MailingStateCode": "CA"})
        assert refused.code == "INVALID_FIELD"
        names = await described(org)
        assert not {"MailingStateCode", "MailingCountryCode", "MiddleName"} & names.keys()


async def described(org: RunningOrg) -> dict[str, dict[str, Any]]:
    reply = await org.call("GET", "/sobjects/Contact/describe")
    return {field["name"]: field for field in reply.body["fields"]}


async def test_describe_tells_lengths_picklists_and_flags(org: RunningOrg) -> None:
    fields = await described(org)
    assert fields["FirstName"]["length"] == 40 and not fields["LastName"]["nillable"]
    assert not fields["Name"]["updateable"] and fields["GenderIdentity"]["restrictedPicklist"]
    assert "CA" in {choice["value"] for choice in fields["MailingStateCode"]["picklistValues"]}
    linking = fields["Hint_Patient_Id__c"]
    assert linking["externalId"] and linking["unique"] and linking["caseSensitive"] and linking["custom"]


async def test_the_fields_of_the_org_can_change_while_it_runs(org: RunningOrg) -> None:
    org.side.change_switches({"missing_fields": ["Hint_Practitioner__c"], "extra_fields": ["Shoe_Size__c"]})
    fields = await described(org)
    assert "Hint_Practitioner__c" not in fields and "Shoe_Size__c" in fields
    assert (await org.read(await org.create(Shoe_Size__c="43")))["Shoe_Size__c"] == "43"


# The org's automation


async def test_a_trigger_edits_inside_the_transaction_and_a_flow_rewrites(org: RunningOrg) -> None:
    org.side.change_switches(
        {
            "rules": {
                "trigger": {"when": "MailingPostalCode", "set": {"Description": "moved"}},
                "uppercase": ["MailingCity"],
            }
        }
    )
    stored = await org.read(await org.create(MailingPostalCode="94110", MailingCity="Reno"))
    assert (stored["Description"], stored["MailingCity"]) == ("moved", "RENO")


async def test_a_validation_rule_refuses(org: RunningOrg) -> None:
    org.side.change_switches({"rules": {"reject": {"field": "Email", "contains": "@blocked"}}})
    reply = await org.call("POST", "/sobjects/Contact", {"LastName": "X", "Email": "a@blocked.example"})
    assert reply.code == "FIELD_CUSTOM_VALIDATION_EXCEPTION"


@pytest.mark.parametrize(("blocks", "status"), [(True, 400), (False, 201)], ids=["block", "alert"])
async def test_only_an_alerting_duplicate_rule_lets_a_save_pass(org: RunningOrg, blocks: bool, status: int) -> None:
    org.side.change_switches({"rules": {"duplicate": {"field": "Email", "block": blocks}}})
    first, again = await org.create(Email="a@mail.example"), {"LastName": "X", "Email": "a@mail.example"}
    refused = await org.call("POST", "/sobjects/Contact", again)
    match = refused.body[0]["duplicateResult"]["matchResults"][0]["matchRecords"][0]
    assert refused.code == "DUPLICATES_DETECTED" and match["record"]["Id"] == first
    allowed = await org.call("POST", "/sobjects/Contact", again, Sforce_Duplicate_Rule_Header="allowSave=true")
    assert allowed.status == status


@pytest.mark.parametrize(
    "changes",
    [{"nope": 1}, {"keepalive_s": "long"}, {"short_pages": 1}, {"rules": {"nope": 1}}, {"missing_fields": "x"}],
    ids=["unknown", "type", "not a boolean", "unknown rule", "no list"],
)
async def test_a_switch_that_cannot_be_is_refused(org: RunningOrg, changes: dict[str, object]) -> None:
    before = org.side.switches
    with pytest.raises(ValueError):
        org.side.change_switches(changes)
    assert org.side.switches is before


async def test_a_locked_row_is_refused_once_and_then_saved(org: RunningOrg) -> None:
    contact_id = await org.create()
    org.side.faults.arm("save", "lock")
    records = [{"attributes": {"type": "Contact"}, "id": contact_id, "Title": "A"}]
    locked = await org.call("PATCH", "/composite/sobjects", {"records": records})
    assert locked.body[0]["errors"][0]["statusCode"] == "UNABLE_TO_LOCK_ROW"
    assert (await org.call("PATCH", "/composite/sobjects", {"records": records})).body[0]["success"]


async def test_a_save_whose_answer_is_lost_stands(org: RunningOrg) -> None:
    org.side.faults.arm("salesforce", "lost_after")
    with pytest.raises(aiohttp.ClientError):
        await org.call("POST", "/sobjects/Contact", {"LastName": "Once"})
    assert [contact["LastName"] for contact in org.side.contacts()] == ["Once"]


# Collections


def contact(**fields: object) -> dict[str, object]:
    return {"attributes": {"type": "Contact"}, **fields}


async def test_each_record_of_a_collection_has_its_own_result(org: RunningOrg) -> None:
    records = [contact(LastName="A"), contact(FirstName="B"), contact(LastName="C")]
    reply = await org.call("POST", "/composite/sobjects", {"allOrNone": False, "records": records})
    assert [item["success"] for item in reply.body] == [True, False, True]
    assert reply.body[1]["errors"][0]["statusCode"] == "REQUIRED_FIELD_MISSING"
    assert len(org.side.contacts()) == 2


async def test_all_or_none_rolls_back_the_good_with_the_bad(org: RunningOrg) -> None:
    records = [contact(LastName="A"), contact(FirstName="B")]
    reply = await org.call("POST", "/composite/sobjects", {"allOrNone": True, "records": records})
    codes = [item["errors"][0]["statusCode"] for item in reply.body]
    assert codes == ["ALL_OR_NONE_OPERATION_ROLLED_BACK", "REQUIRED_FIELD_MISSING"]
    assert org.side.contacts() == [] and org.told == []


async def test_one_id_twice_in_a_collection_is_refused_for_the_later(org: RunningOrg) -> None:
    contact_id = await org.create()
    records = [contact(id=contact_id, Title="A"), contact(id=contact_id[:15], Title="B")]
    reply = await org.call("PATCH", "/composite/sobjects", {"records": records})
    assert reply.body[1]["errors"][0]["statusCode"] == "DUPLICATE_VALUE"
    assert (await org.read(contact_id))["Title"] == "A"


async def test_a_collection_upserts_by_external_id(org: RunningOrg) -> None:
    first = await org.create(Hint_Patient_Id__c="pat-1")
    records = [contact(LastName="A", Hint_Patient_Id__c="pat-1"), contact(LastName="B", Hint_Patient_Id__c="pat-2")]
    reply = await org.call("PATCH", "/composite/sobjects/Contact/Hint_Patient_Id__c", {"records": records})
    assert [(item["success"], item["created"]) for item in reply.body] == [(True, False), (True, True)]
    assert reply.body[0]["id"] == first


async def test_one_external_id_twice_in_a_collection_is_refused_for_the_later(org: RunningOrg) -> None:
    records = [contact(LastName="A", Hint_Patient_Id__c="pat-1"), contact(LastName="B", Hint_Patient_Id__c="pat-1 ")]
    reply = await org.call("PATCH", "/composite/sobjects/Contact/Hint_Patient_Id__c", {"records": records})
    assert [item["success"] for item in reply.body] == [True, False]
    assert reply.body[1]["errors"][0]["statusCode"] == "DUPLICATE_VALUE"
    assert [found["LastName"] for found in org.side.contacts()] == ["A"]


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"Hint_Patient_Id__c": "pat-taken"}, "DUPLICATE_VALUE"),
        ({"Last_Batch_Sync_Result__c": "x" * 256}, "STRING_TOO_LONG"),
        ({"Pronouns": "it"}, "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST"),
        ({"LastName": " "}, "REQUIRED_FIELD_MISSING"),
    ],
    ids=["taken external id", "too long", "restricted picklist", "required field"],
)
async def test_a_bad_record_of_a_collection_fails_alone(org: RunningOrg, fields: dict[str, str], code: str) -> None:
    await org.create(Hint_Patient_Id__c="pat-taken")
    bad, good = await org.create(), await org.create()
    records = [contact(id=bad, Title="A", **fields), contact(id=good, Title="A", Last_Batch_Sync_Id__c="bat-1")]
    reply = await org.call("PATCH", "/composite/sobjects", {"records": records})
    assert reply.body[0]["errors"][0]["statusCode"] == code
    assert [(await org.read(each))["Title"] for each in (bad, good)] == [None, "A"]
    assert (await org.read(good))["Last_Batch_Sync_Id__c"] == "bat-1"


async def test_a_collection_takes_two_hundred_records(org: RunningOrg) -> None:
    records = [contact(LastName=f"N{number}") for number in range(201)]
    reply = await org.call("POST", "/composite/sobjects", {"records": records[:200]})
    assert all(item["success"] for item in reply.body)
    refused = await org.call("POST", "/composite/sobjects", {"records": records})
    assert (refused.status, len(org.side.contacts())) == (400, 200)


async def test_retrieve_puts_null_where_there_is_no_record(org: RunningOrg) -> None:
    there, gone = await org.create(), await org.create()
    deleted = await org.call("DELETE", f"/composite/sobjects?ids={gone}")
    assert deleted.body[0]["success"]
    body = {"ids": [gone, there[:15], "003Kd00000ZZZZZ"], "fields": ["Id"]}
    reply = await org.call("POST", "/composite/sobjects/Contact", body)
    assert [record and record["Id"] for record in reply.body] == [None, there, None]


# Composite


def part(method: str, path: str, reference: str, **more: object) -> dict[str, object]:
    return {"method": method, "url": f"/services/data/v68.0{path}", "referenceId": reference, **more}


async def composite(org: RunningOrg, *parts: dict[str, object], all_or_none: bool = False) -> list[dict[str, Any]]:
    reply = await org.call("POST", "/composite", {"allOrNone": all_or_none, "compositeRequest": parts})
    assert reply.status == 200, reply.body
    return list(reply.body["compositeResponse"])


async def test_a_conditional_write_and_a_read_are_one_call(org: RunningOrg) -> None:
    contact_id = await org.create(Title="A")
    stamp = await last_modified(org, contact_id)
    used = org.side.allowance.used
    write = part(
        "PATCH",
        f"/sobjects/Contact/{contact_id}",
        "w",
        body={"Title": " B "},
        httpHeaders={"If-Unmodified-Since": stamp},
    )
    read = part("GET", f"/sobjects/Contact/{contact_id}?fields=Title,LastModifiedDate", "r")
    wrote, answer = await composite(org, write, read)
    assert (wrote["httpStatusCode"], wrote["body"], answer["body"]["Title"]) == (204, None, "B")
    assert org.side.allowance.used == used + 1
    org.later(seconds=2)
    org.side.user_edit(contact_id, {"Title": "C"})
    stopped, answer = await composite(org, write, read)
    assert (stopped["httpStatusCode"], answer["body"]["Title"]) == (412, "C")


async def test_later_parts_name_what_earlier_ones_answered(org: RunningOrg) -> None:
    account = part("POST", "/sobjects/Account", "acct", body={"Name": "Clinic"})
    child = part("POST", "/sobjects/Contact", "who", body={"LastName": "X", "AccountId": "@{acct.id}"})
    read = part("GET", "/sobjects/Contact/@{who.id}?fields=AccountId", "read")
    made, _, answer = await composite(org, account, child, read)
    assert answer["body"]["AccountId"] == made["body"]["id"]


async def test_what_depends_on_a_failed_part_is_halted(org: RunningOrg) -> None:
    failed, halted, apart = await composite(
        org,
        part("POST", "/sobjects/Contact", "who", body={}),
        part("GET", "/sobjects/Contact/@{who.id}", "read"),
        part("GET", "/limits", "apart"),
    )
    assert (failed["httpStatusCode"], halted["httpStatusCode"], apart["httpStatusCode"]) == (400, 400, 200)
    assert halted["body"][0]["errorCode"] == "PROCESSING_HALTED"


async def test_all_or_none_holds_over_the_parts(org: RunningOrg) -> None:
    good = part("POST", "/sobjects/Contact", "good", body={"LastName": "X"})
    rolled_back, _ = await composite(org, good, part("POST", "/sobjects/Contact", "bad", body={}), all_or_none=True)
    assert rolled_back["body"][0]["errorCode"] == "PROCESSING_HALTED" and org.side.contacts() == []


async def test_a_composite_has_at_most_25_parts(org: RunningOrg) -> None:
    parts = [part("GET", "/limits", f"r{number}") for number in range(26)]
    reply = await org.call("POST", "/composite", {"compositeRequest": parts})
    assert (reply.status, reply.code) == (400, "LIMIT_EXCEEDED")


async def test_each_graph_stands_or_falls_alone(org: RunningOrg) -> None:
    def graph(name: str, body: dict[str, str]) -> dict[str, object]:
        return {"graphId": name, "compositeRequest": [part("POST", "/sobjects/Contact", "one", body=body)]}

    reply = await org.call("POST", "/composite/graph", {"graphs": [graph("a", {"LastName": "X"}), graph("b", {})]})
    assert [one["isSuccessful"] for one in reply.body["graphs"]] == [True, False]


# Queries


async def query(org: RunningOrg, soql: str, path: str = "/query") -> Reply:
    return await org.call("GET", f"{path}?q={quote(soql)}")


@pytest.fixture
async def three(org: RunningOrg) -> RunningOrg:
    await org.create(LastName="Abbott", Email="A@mail.example", Birthdate="1980-02-03", Hint_Patient_Id__c="pat-1")
    await org.create(LastName="O'Brien", Birthdate="1999-02-03")
    await org.create(LastName="Castillo", Synced_to_Hint__c=True)
    return org


@pytest.mark.parametrize(
    ("where", "names"),
    [
        ("", ["Abbott", "Castillo", "O'Brien"]),
        ("WHERE LastName = 'abbott'", ["Abbott"]),
        (r"WHERE LastName = 'O\'Brien'", ["O'Brien"]),
        ("WHERE Email = 'a@MAIL.example'", ["Abbott"]),
        ("WHERE Hint_Patient_Id__c IN ('pat-1', 'PAT-1')", ["Abbott"]),
        ("WHERE Hint_Patient_Id__c = 'PAT-1'", []),
        ("WHERE Synced_to_Hint__c = true AND LastName != 'x'", ["Castillo"]),
        ("WHERE Synced_to_Hint__c = true OR Email = null", ["Castillo", "O'Brien"]),
        ("WHERE NOT (LastName LIKE 'A%' OR LastName LIKE '%o')", ["O'Brien"]),
        ("WHERE Birthdate = 2020-02-03", ["Abbott", "O'Brien"]),
        ("WHERE SystemModstamp >= 2020-01-01T00:00:00Z", ["Abbott", "Castillo", "O'Brien"]),
        ("WHERE SystemModstamp > 2999-01-01T00:00:00Z", []),
    ],
    ids=["all", "text without case", "escape", "email", "in", "external id with case", "and", "or", "not like",
         "birthdate without year", "since", "future"],
)  # fmt: skip
async def test_a_query_finds(three: RunningOrg, where: str, names: list[str]) -> None:
    reply = await query(three, f"SELECT Id, LastName FROM Contact {where} ORDER BY LastName")
    assert [record["LastName"] for record in reply.body["records"]] == names


async def test_a_query_reads_the_parent_and_counts(three: RunningOrg) -> None:
    account = (await query(three, "SELECT Id FROM Account")).body["records"][0]["Id"]
    contact_id = await three.create(AccountId=account)
    found = await query(three, f"SELECT Account.Name FROM Contact WHERE Id = '{contact_id[:15]}'")
    assert found.body["records"][0]["Account"]["Name"] == "Sandbox Clinic"
    assert (await query(three, "SELECT COUNT() FROM Contact")).body["totalSize"] == 4
    assert (await query(three, "SELECT Id FROM Organization")).body["records"][0]["Id"] == three.side.org_id


@pytest.mark.parametrize(
    ("soql", "code"),
    [
        ("SELECT FROM Contact", "MALFORMED_QUERY"),
        ("SELECT Id FROM Contact WHERE", "MALFORMED_QUERY"),
        ("SELECT Id FROM Contact LIMIT x", "MALFORMED_QUERY"),
        ("SELECT Nope FROM Contact", "INVALID_FIELD"),
        ("SELECT Id FROM Contact WHERE Nope = 1", "INVALID_FIELD"),
    ],
)
async def test_a_query_is_refused(org: RunningOrg, soql: str, code: str) -> None:
    assert (await query(org, soql)).code == code


async def test_pages_follow_one_another_and_show_the_rows_of_the_start(org: RunningOrg) -> None:
    org.side.change_switches({"short_pages": True})
    for start in (0, 200):
        records = [contact(LastName=f"N{number:03}") for number in range(start, start + 200)]
        await org.call("POST", "/composite/sobjects", {"records": records})
    soql = quote("SELECT LastName FROM Contact ORDER BY LastName")
    page = (await org.call("GET", f"/query?q={soql}", Sforce_Query_Options="batchSize=200")).body
    records, lengths = page["records"], [len(page["records"])]
    await org.create(LastName="A late one")
    while not page["done"]:
        assert page["nextRecordsUrl"].startswith("/services/data/v68.0/query/")
        path = page["nextRecordsUrl"].removeprefix("/services/data/v68.0")
        page = (await org.call("GET", path, Sforce_Query_Options="batchSize=200")).body
        records, lengths = records + page["records"], [*lengths, len(page["records"])]
    assert [record["LastName"] for record in records] == [f"N{number:03}" for number in range(400)]
    assert max(lengths) <= 200 and min(lengths[:-1]) < 200
    assert (await org.call("GET", "/query/01gNope-200")).code == "INVALID_QUERY_LOCATOR"


async def test_a_long_address_is_refused_with_414(org: RunningOrg) -> None:
    ids = ",".join(["003Kd0000000001AAA"] * 900)
    assert (await org.call("GET", f"/composite/sobjects/Contact?ids={ids}&fields=Id")).status == 414


async def test_query_all_sees_the_recycle_bin_and_who_won_a_merge(org: RunningOrg) -> None:
    winner, loser, gone = [await org.create(LastName=name) for name in ("Winner", "Loser", "Gone")]
    org.side.user_merge(winner, [loser], {"Title": "Both"})
    org.side.user_delete(gone)
    seen = await query(org, "SELECT Id FROM Contact")
    assert [record["Id"] for record in seen.body["records"]] == [winner]
    all_ = await query(org, "SELECT Id, IsDeleted, MasterRecordId FROM Contact WHERE IsDeleted = true", "/queryAll")
    assert {record["Id"]: record["MasterRecordId"] for record in all_.body["records"]} == {loser: winner, gone: None}


async def test_updated_and_deleted_list_a_span(org: RunningOrg) -> None:
    there, gone = await org.create(), await org.create()
    org.side.user_delete(gone)
    day = "start=2020-01-01T00:00:00Z&end=2020-01-02T00:00:00Z"
    assert (await org.call("GET", f"/sobjects/Contact/updated/?{day}")).code == "INVALID_REPLICATION_DATE"
    start, end = (time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + shift)) for shift in (-600, 600))
    span = f"start={start}&end={end}"
    assert (await org.call("GET", f"/sobjects/Contact/updated?{span}")).body["ids"] == [there]
    assert [
        one["id"] for one in (await org.call("GET", f"/sobjects/Contact/deleted?{span}")).body["deletedRecords"]
    ] == [gone]


# Limits, errors and counting


async def test_every_answer_tells_the_use_of_the_allowance_until_it_is_gone() -> None:
    async with running_org(Options(salesforce_daily_calls=2)) as org:
        assert (await org.call("GET", "/limits")).headers["Sforce-Limit-Info"] == "api-usage=1/2"
        assert (await org.call("GET", "/limits")).body["DailyApiRequests"] == {"Max": 2, "Remaining": 0}
        refused = await org.call("GET", "/limits")
        assert (refused.status, refused.code) == (403, "REQUEST_LIMIT_EXCEEDED")
        assert refused.headers["Sforce-Limit-Info"] == "api-usage=2/2"
        org.later(hours=25)
        org.token = org.side.oauth.issue()
        assert (await org.call("GET", "/limits")).status == 200


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/sobjects/Nope/1", 404), ("PUT", "/sobjects/Contact", 405), ("GET", "/nowhere", 404)],
)
async def test_unknown_resources_are_refused_with_an_array(
    org: RunningOrg, method: str, path: str, status: int
) -> None:
    reply = await org.call(method, path)
    assert reply.status == status and reply.body[0]["errorCode"]


async def test_a_body_that_is_not_json_is_refused(org: RunningOrg) -> None:
    headers = {"Authorization": f"Bearer {org.token}"}
    async with org.http.post("/services/data/v68.0/sobjects/Contact", data=b"{", headers=headers) as answer:
        assert (answer.status, (await answer.json())[0]["errorCode"]) == (400, "JSON_PARSER_ERROR")


@pytest.mark.parametrize(("version", "status"), [("30.0", 410), ("99.0", 404), ("67.0", 200)])
async def test_versions_retire(org: RunningOrg, version: str, status: int) -> None:
    headers = {"Authorization": f"Bearer {org.token}"}
    async with org.http.get(f"/services/data/v{version}/limits", headers=headers) as answer:
        assert answer.status == status


async def test_calls_are_counted_by_template(org: RunningOrg) -> None:
    contact_id = await org.create()
    await org.read(contact_id)
    await org.read(contact_id)
    assert org.side.calls == {"POST /sobjects/Contact": 1, "GET /sobjects/Contact/{id}": 2}


async def test_a_slow_commit_becomes_visible_late_with_an_early_stamp(org: RunningOrg) -> None:
    org.side.change_switches({"slow_commit_ms": 300})
    slow = asyncio.create_task(org.create(LastName="Slow"))
    while org.side.calls["POST /sobjects/Contact"] == 0:
        await asyncio.sleep(0)
    org.side.change_switches({"slow_commit_ms": 0})
    quick = await org.create(LastName="Quick")
    assert [c["LastName"] for c in org.side.contacts()] == ["Quick"]
    assert (await org.read(await slow))["SystemModstamp"] <= (await org.read(quick))["SystemModstamp"]
    since = (await query(org, "SELECT Id FROM Contact WHERE SystemModstamp > 2020-01-01T00:00:00Z")).body
    assert since["totalSize"] == 2


async def test_a_person_accounts_contact_cannot_be_written_through_the_contact(org: RunningOrg) -> None:
    contact_id = await org.create()
    org.side.org.put("Contact", contact_id, {**org.side.org.row("Contact", contact_id), "IsPersonAccount": True})
    written = await org.call("PATCH", f"/sobjects/Contact/{contact_id}", {"MobilePhone": "1"})
    deleted = await org.call("DELETE", f"/sobjects/Contact/{contact_id}")
    assert (written.code, deleted.code) == ("INVALID_FIELD_FOR_INSERT_UPDATE", "DELETE_FAILED")
