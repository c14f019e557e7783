"""The practice's addresses: its own record, its practitioners and its patients."""

from __future__ import annotations

import unicodedata
from typing import Any

from aiohttp import web

from hintd.sandbox.changes import HINTD
from hintd.sandbox.hint.answers import Declined, answer, json_object, no_content
from hintd.sandbox.hint.installation import PRACTICE
from hintd.sandbox.hint.lists import page_of, select, span_of
from hintd.sandbox.hint.patients import Patients
from hintd.sandbox.hint.table import Stored


class Provider:
    """Handlers of ``/api/provider``."""

    def __init__(self, patients: Patients) -> None:
        self._patients = patients
        self._last: tuple[object, list[Stored]] = (None, [])

    def routes(self, app: web.Application) -> None:
        add = app.router.add_route
        add("GET", "/api/provider/practice", self.practice)
        add("GET", "/api/provider/practitioners", self.practitioners)
        add("GET", "/api/provider/patients", self.list_patients)
        add("POST", "/api/provider/patients", self.create)
        add("POST", "/api/provider/patients/matching", self.matching)
        add("GET", "/api/provider/patients/{id}", self.show)
        add("PATCH", "/api/provider/patients/{id}", self.update)
        add("PUT", "/api/provider/patients/{id}", self.update)
        add("DELETE", "/api/provider/patients/{id}", self.destroy)

    async def practice(self, request: web.Request) -> web.Response:
        return answer(PRACTICE | {"email": "office@sandbox.example", "phones": [], "integration_record_id": None})

    async def practitioners(self, request: web.Request) -> web.Response:
        found = [stored.values["practitioner"] for stored in self._patients]
        return answer(list({each["id"]: each for each in found if each}.values()))

    async def list_patients(self, request: web.Request) -> web.Response:
        rows, query = page_of(request.query), [(k, v) for k, v in request.query.items() if k not in ("limit", "offset")]
        table, span = self._patients.table, span_of(self._patients, query)
        if span is not None:
            found, total = table.page(span, rows), table.by_update.count(span)
        else:
            selected = self._selected(query)
            found, total = selected[rows], len(selected)
        headers = {"x-count": str(len(found)), "x-total-count": str(total)}
        return answer([self._patients.shown(stored) for stored in found], headers=headers)

    def _selected(self, query: list[tuple[str, str]]) -> list[Stored]:
        # The pages of one walk share one selection while nothing changes: a walk over 100,000 stays linear.
        key = (self._patients.version, tuple(query))
        if self._last[0] != key:
            self._last = (key, select(self._patients, query))
        return self._last[1]

    async def create(self, request: web.Request) -> web.Response:
        return answer(self._patients.shown(self._patients.create(await json_object(request), HINTD)))

    async def show(self, request: web.Request) -> web.Response:
        return answer(self._patients.shown(self._patients.get(request.match_info["id"])))

    async def update(self, request: web.Request) -> web.Response:
        body = await json_object(request)
        stored = self._patients.update(self._patients.get(request.match_info["id"]), body, HINTD)
        return answer(self._patients.shown(stored))

    async def destroy(self, request: web.Request) -> web.Response:
        self._patients.destroy(self._patients.get(request.match_info["id"]), HINTD)
        return no_content()

    async def matching(self, request: web.Request) -> web.Response:
        """Candidates with the same names, and the same date of birth where both sides give one."""
        body = await json_object(request)
        if not body.get("first_name") or not body.get("last_name"):
            raise Declined(422, "Validation failed: First name and last name can't be blank")
        found = [stored for stored in self._patients if not stored.archived and _resembles(stored, body)]
        return answer([self._patients.shown(stored) for stored in found])


def _resembles(stored: Stored, body: dict[str, Any]) -> bool:
    names = all(_letters(stored.values[name]) == _letters(body[name]) for name in ("first_name", "last_name"))
    born, asked = stored.values["dob"], body.get("dob")
    return names and (born is None or asked is None or born == asked)


def _letters(text: Any) -> str:
    return "".join(c for c in unicodedata.normalize("NFKD", str(text)).casefold() if c.isalnum())
