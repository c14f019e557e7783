"""A small Salesforce for the REST client's tests: a real server on a loopback port that acts as the REST guide says.

It keeps Contacts in memory, stamps every write with the next second, and answers what ``faults`` holds before anything
of its own: ``(status, body)``, or ``CUT`` to drop the connection after the request was carried out, or ``HOLD`` to
answer when the test is over.
"""

from __future__ import annotations

import asyncio
import json
import re
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import jwt
from aiohttp import web

VERSION = "67.0"
ROOT = f"/services/data/v{VERSION}"
ORG_ID, USER_ID = "00D000000000001EAA", "005000000000001AAA"
CUT, HOLD = "cut", "hold"

TEXT = (
    "FirstName",
    "LastName",
    "Email",
    "Phone",
    "Suffix",
    "MailingStreet",
    "Hint_Patient_Id__c",
    "Hint_Sync_Error__c",
)
FIELDS: dict[str, dict[str, Any]] = {
    "Id": {"type": "id", "updateable": False},
    **{name: {"type": "string", "length": 80} for name in TEXT},
    "LastName": {"type": "string", "length": 80, "nillable": False},
    "Hint_Patient_Id__c": {"type": "string", "length": 64, "externalId": True, "unique": True},
    "Birthdate": {"type": "date"},
    "Salutation": {
        "type": "picklist",
        "restrictedPicklist": True,
        "picklistValues": [{"value": "Dr.", "active": True}, {"value": "Sir", "active": False}],
    },
    "Synced_to_Hint__c": {"type": "boolean", "nillable": False},
    "AccountId": {"type": "reference"},
    "MasterRecordId": {"type": "reference", "updateable": False},
    "IsDeleted": {"type": "boolean", "updateable": False},
    "CreatedDate": {"type": "datetime", "updateable": False},
    "LastModifiedDate": {"type": "datetime", "updateable": False},
    "SystemModstamp": {"type": "datetime", "updateable": False},
}

Answered = tuple[int, Any]


def contact_id(number: int) -> str:
    return f"003{number:012d}AAA"


def error(code: str, message: str = "", *fields: str) -> list[dict[str, Any]]:
    return [{"errorCode": code, "message": message, **({"fields": list(fields)} if fields else {})}]


class Org:
    def __init__(self, public_key: str = "") -> None:
        self.public_key = public_key
        self.contacts: dict[str, dict[str, Any]] = {}
        self.fields = {name: dict(flags) for name, flags in FIELDS.items()}
        self.accounts: dict[str, str] = {}
        self.faults: list[Any] = []
        self.part_faults: dict[str, Answered] = {}  # by reference id of a composite request
        self.token_faults: list[Answered] = []
        self.requests: list[str] = []  # "METHOD path" of every API request
        self.headers: list[dict[str, str]] = []
        self.logins = 0
        self.page_size = 2
        self.clock = datetime(2026, 11, 22, 10, 0, tzinfo=UTC)
        self.url = ""
        self.released = asyncio.Event()
        self._token = ""

    # --- what tests do to it ---

    def add(self, number: int, **fields: Any) -> str:
        record_id = contact_id(number)
        blank = dict.fromkeys(self.fields) | {"IsDeleted": False, "Synced_to_Hint__c": False}
        self.contacts[record_id] = {**blank, **self._stamps(), "Id": record_id, **fields}
        return record_id

    def revoke_token(self) -> None:
        self._token = "revoked"

    def drop_field(self, name: str) -> None:
        del self.fields[name]

    def paths(self, word: str) -> list[str]:
        return [request for request in self.requests if word in request]

    # --- the server ---

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_post("/services/oauth2/token", self._log_in)
        app.router.add_route("*", "/{rest:.*}", self._api)
        return app

    async def _log_in(self, request: web.Request) -> web.Response:
        self.logins += 1
        if self.token_faults:
            status, body = self.token_faults.pop(0)
            return _response(status, body)
        form = await request.post()
        if form["grant_type"] != "client_credentials":
            try:
                jwt.decode(
                    str(form["assertion"]),
                    self.public_key,
                    algorithms=["RS256"],
                    audience="https://login.salesforce.com",
                    options={"require": ["iss", "sub", "aud", "exp"]},
                )
            except jwt.PyJWTError as wrong:
                return _response(400, {"error": "invalid_grant", "error_description": str(wrong)})
        elif form["client_secret"] != "s3cret":
            return _response(400, {"error": "invalid_client"})
        self._token = f"token-{self.logins}"
        identity = f"https://login.salesforce.com/id/{ORG_ID}/{USER_ID}"
        return _response(200, {"access_token": self._token, "instance_url": self.url, "id": identity, "scope": "api"})

    async def _api(self, request: web.Request) -> web.Response:
        self.requests.append(f"{request.method} {request.raw_path}")
        self.headers.append(dict(request.headers))
        if request.headers.get("Authorization") != f"Bearer {self._token}":
            return _response(401, error("INVALID_SESSION_ID", "Session expired or invalid"))
        fault = self.faults.pop(0) if self.faults else None
        if fault == HOLD:
            await self.released.wait()
        elif fault is not None and fault != CUT:
            return _response(*fault)
        body = json.loads(await request.read() or b"null")
        answered = self._dispatch(request, body)
        if fault == CUT:
            assert request.transport is not None
            request.transport.close()
        return _response(*answered)

    def _dispatch(self, request: web.Request, body: Any) -> Answered:
        path = request.path.removeprefix(ROOT)
        if request.path == "/services/data/":
            return 200, [{"label": "Winter '27", "url": "/services/data/v68.0", "version": "68.0"}]
        if path == "/composite":
            return 200, {"compositeResponse": [self._part(part) for part in body["compositeRequest"]]}
        if path == "/composite/sobjects/Contact":
            return self._retrieve(body["ids"], body["fields"])
        if path in ("/query", "/queryAll"):
            return self._query(request.query["q"])
        if path.startswith("/query/"):
            return self._page(int(path.rsplit("-", 1)[1]))
        if path == "/sobjects/Contact/describe":
            return 200, {"name": "Contact", "fields": [{"name": n, **flags} for n, flags in self.fields.items()]}
        if path == "/sobjects/Account":
            self.accounts["001000000000009AAA"] = body["Name"]
            return 201, {"id": "001000000000009AAA", "success": True, "errors": []}
        if path == "/limits":
            return 200, {"DailyApiRequests": {"Max": 100000, "Remaining": 98700}}
        return 404, error("NOT_FOUND", "The requested resource does not exist")

    # --- rows ---

    def _part(self, part: dict[str, Any]) -> dict[str, Any]:
        status, body = self.part_faults.get(part["referenceId"]) or self._row(part)
        return {"body": body, "httpHeaders": {}, "httpStatusCode": status, "referenceId": part["referenceId"]}

    def _row(self, part: dict[str, Any]) -> Answered:
        url = urlsplit(part["url"])
        names = [unquote(segment) for segment in url.path.removeprefix(f"{ROOT}/sobjects/Contact/").split("/")]
        key, value = ("Id", names[0]) if len(names) == 1 else (names[0], names[1])
        found = next((c for c in self.contacts.values() if c[key] == value), None)
        if part["method"] == "PATCH" and found is None and key != "Id":
            created = self.add(len(self.contacts) + 1, **{key: value}, **part["body"])
            return 201, {"id": created, "success": True, "errors": [], "created": True}
        if found is None:
            return 404, error("NOT_FOUND", "Provided external ID field does not exist or is not accessible")
        if found["IsDeleted"]:
            return 404, error("ENTITY_IS_DELETED", "entity is deleted")
        if part["method"] == "GET":
            return self._shown(found, parse_qs(url.query)["fields"][0].split(","))
        status, body = self._update(found, part["body"], part.get("httpHeaders") or {})
        upserted = {"id": found["Id"], "success": True, "errors": [], "created": False}
        return (200, upserted) if key != "Id" and status == 204 else (status, body)

    def _shown(self, found: dict[str, Any], names: list[str]) -> Answered:
        if unknown := [name for name in names if name not in self.fields]:
            return 400, error("INVALID_FIELD", f"No such column '{unknown[0]}' on entity 'Contact'")
        url = f"{ROOT}/sobjects/Contact/{found['Id']}"
        return 200, {"attributes": {"type": "Contact", "url": url}, **{name: found[name] for name in names}}

    def _update(self, found: dict[str, Any], changes: dict[str, Any], headers: dict[str, str]) -> Answered:
        condition = headers.get("If-Unmodified-Since")
        if condition and _moment(found["LastModifiedDate"]) > parsedate_to_datetime(condition):
            return 412, error("PRECONDITION_FAILED", "Precondition failed")
        if len(changes.get("LastName") or "") > 80:
            return 400, error("STRING_TOO_LONG", "Last Name: data value too large: Zzz (max length=80)", "LastName")
        found.update({name: _stored(value) for name, value in changes.items()}, **self._stamps())
        return 204, None

    def _stamps(self) -> dict[str, str]:
        self.clock += timedelta(seconds=1)
        stamp = self.clock.strftime("%Y-%m-%dT%H:%M:%S.000+0000")
        return {"LastModifiedDate": stamp, "SystemModstamp": stamp, "CreatedDate": stamp}

    def _retrieve(self, ids: list[str], names: list[str]) -> Answered:
        rows = []
        for record_id in ids:
            found = self.contacts.get(record_id)
            status, row = self._shown(found, names) if found and not found["IsDeleted"] else (200, None)
            if status != 200:
                return status, row
            # collections leave blank fields out of the rows
            rows.append(row and {name: value for name, value in row.items() if value is not None})
        return 200, rows

    # --- queries ---

    def _query(self, soql: str) -> Answered:
        match = re.fullmatch(r"SELECT (.+?) FROM (\w+)(?: (.*))?", soql)
        assert match is not None, soql
        names, record_type, clauses = match[1].split(", "), match[2], match[3] or ""
        if record_type == "Organization":
            return 200, {"done": True, "records": [{"Id": ORG_ID, "Name": "Sunrise Clinic"}]}
        if record_type == "Account":
            rows = [{"Id": i, "Name": n} for i, n in self.accounts.items() if _literal(clauses) in (i, n)]
            return 200, {"done": True, "records": rows}
        return self._query_contacts(names, clauses)

    def _query_contacts(self, names: list[str], clauses: str) -> Answered:
        if unknown := [name for name in names if name not in self.fields]:
            return 400, error("INVALID_FIELD", f"No such column '{unknown[0]}' on entity 'Contact'")
        since = re.search(r"SystemModstamp > (\S+)", clauses)
        rows = [c for c in self.contacts.values() if not since or _moment(c["SystemModstamp"]) > _moment(since[1])]
        if "Id = " in clauses:
            rows = [c for c in rows if c["Id"] == _literal(clauses)]
        self._found = [{name: c[name] for name in names} for c in rows]
        return self._page(0)

    def _page(self, start: int) -> Answered:
        end = start + self.page_size
        page: dict[str, Any] = {"done": end >= len(self._found), "records": self._found[start:end]}
        if not page["done"]:
            page["nextRecordsUrl"] = f"{ROOT}/query/01g000000000001-{end}"
        return 200, page


def _literal(clauses: str) -> str:
    match = re.search(r"= '((?:[^'\\]|\\.)*)'", clauses)
    assert match is not None, clauses
    return re.sub(r"\\(.)", r"\1", match[1])


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text.replace("+0000", "+00:00"))


def _stored(value: Any) -> Any:
    return (value.strip() or None) if isinstance(value, str) else value


def _response(status: int, body: Any) -> web.Response:
    headers = {"Sforce-Limit-Info": "api-usage=18/100000"}
    if isinstance(body, bytes):
        return web.Response(status=status, body=body, headers=headers)
    raw = b"" if body is None else json.dumps(body).encode()
    return web.Response(status=status, body=raw, headers=headers, content_type="application/json")
