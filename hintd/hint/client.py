"""One practice of Hint: ``hintd.ports.HintPractice`` over HTTP."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

import aiohttp
import msgspec

from hintd.core.errors import Refusal, Refused, Retryable
from hintd.core.fields import Field
from hintd.core.model import Owner, Patient
from hintd.core.patient import read_patient
from hintd.hint.events import is_id
from hintd.hint.transport import Answer, Request, Transport
from hintd.ports import Budget, Call, CallClass, CountCall, PatientPage

T = TypeVar("T")

_PATIENTS = "/provider/patients"
_PATIENT = "/provider/patients/{id}"

_NAMES = ("first_name", "last_name")
_NAME_MISSING = re.compile(r"(first|last)[ _]name\b.*(blank|missing|required)", re.IGNORECASE | re.DOTALL)

_REMEDY = "Ask the practice's Hint admin for a new authorization code and add the connection again with it."

# Hint throttles its detail endpoint earlier than the rest, and advises these numbers.
INTERACTIVE_READS = 3
BACKGROUND_READS = 1

_read_object = msgspec.json.Decoder(dict[str, Any]).decode
_read_array = msgspec.json.Decoder(list[dict[str, Any]]).decode


class HintClient:
    """Decodes patients permissively by the field table.  ``api_url`` is without ``/api``."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        *,
        api_url: str,
        token: str,
        fields: Sequence[Field],
        budget: Budget,
        count: CountCall,
        timeout_s: float = 30.0,
    ) -> None:
        self._transport = Transport(
            session, api_url=api_url, token=token, remedy=_REMEDY, budget=budget, count=count, timeout_s=timeout_s
        )
        self._fields = fields
        self._interactive = asyncio.Semaphore(INTERACTIVE_READS)
        self._background = asyncio.Semaphore(BACKGROUND_READS)
        self._wants_names = False  # both names with every change

    async def get_patient(self, patient_id: str, call: Call) -> Patient | None:
        if not is_id(patient_id):
            return None
        async with self._read_slot(call):
            return await self._transport.send(Request("GET", _PATIENT, {"id": patient_id}), call, self._read_one)

    async def find_by_contact(self, contact_id: str, call: Call) -> Patient | None:
        """Hint takes our own id of a patient in the place of its own."""
        patient = await self.get_patient(contact_id, call)
        # Contact ids differ by case, and whether Hint's look-up minds case is not written anywhere.
        return patient if patient is not None and patient.contact_id in (None, contact_id) else None

    async def list_patients(
        self,
        call: Call,
        *,
        offset: int,
        limit: int = 100,
        updated_since: datetime | None = None,
        everyone: bool = False,
    ) -> PatientPage:
        """One unreadable patient fails the page: leaving it out would make it look deleted."""
        query = {"limit": str(limit), "offset": str(offset), "sort": "updated_at"}
        if updated_since is not None:
            query["updated_at"] = since_filter(updated_since)
        if everyone:
            query["filter"] = "all"
        request = Request("GET", _PATIENTS, query=query)
        page = await self._transport.send(request, call, lambda answer: self._read_page(answer, offset, limit))
        return _expect(page, request)

    async def update_patient(self, patient_id: str, attributes: Mapping[str, Any], call: Call) -> Patient | None:
        if not is_id(patient_id):
            return None
        if not self._wants_names:
            try:
                return await self._patch(patient_id, attributes, call)
            except Refused as refused:
                if not _asks_for_names(refused.refusal, attributes):
                    raise
                self._wants_names = True
        return await self._patch_with_names(patient_id, attributes, call)

    async def _patch(self, patient_id: str, attributes: Mapping[str, Any], call: Call) -> Patient | None:
        request = Request("PATCH", _PATIENT, {"id": patient_id}, body=attributes)
        return await self._transport.send(request, call, self._read_one)

    async def _patch_with_names(self, patient_id: str, attributes: Mapping[str, Any], call: Call) -> Patient | None:
        """As published a PATCH needs both names, as documented it is a partial update: which of the two holds is seen
        by Hint's refusal.  They are read right before, so that nobody's edit of a name is undone."""
        if any(name not in attributes for name in _NAMES):
            patient = await self.get_patient(patient_id, Call(call.call_class, "read_names"))
            if patient is None:
                return None
            attributes = {name: patient.values.get(name) for name in _NAMES} | dict(attributes)
        return await self._patch(patient_id, attributes, call)

    async def create_patient(self, attributes: Mapping[str, Any], call: Call) -> Patient:
        """Sent once: when the answer is lost, look the patient up by its ``integration_record_id``."""
        if not attributes.get("integration_record_id"):
            sentence = "A patient is created only with an integration_record_id, by which it can be found again."
            raise Refused(Refusal("no_integration_record_id", sentence, Owner.ON_CALL))
        request = Request("POST", _PATIENTS, body=attributes)
        return _expect(await self._transport.send(request, call, self._read_one), request)

    def _read_slot(self, call: Call) -> asyncio.Semaphore:
        return self._background if call.call_class in (CallClass.BATCH, CallClass.SWEEP) else self._interactive

    def _read_one(self, answer: Answer) -> Patient:
        return read_patient(_read_object(answer.body), self._fields)

    def _read_page(self, answer: Answer, offset: int, limit: int) -> PatientPage:
        patients = tuple(read_patient(raw, self._fields) for raw in _read_array(answer.body))
        return PatientPage(patients, _read_total(answer, offset + len(patients), full=len(patients) >= limit))


def _asks_for_names(refusal: Refusal, attributes: Mapping[str, Any]) -> bool:
    """Was the change refused for the lack of a name that it did not mean to clear?"""
    left_out = any(name not in attributes for name in _NAMES)
    return left_out and _NAME_MISSING.search(refusal.message) is not None


def since_filter(since: datetime) -> str:
    """The ``gte`` filter of a timestamp.

    Hint publishes two forms and confirms neither for every attribute; should one have to give way, it is here.
    """
    instant = since.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    return msgspec.json.encode({"gte": instant}).decode()


def _read_total(answer: Answer, seen: int, *, full: bool) -> int:
    """Hint's count; without it, one more than was seen after a full page, so that the next one is asked for."""
    total = answer.headers.get("x-total-count", "")
    return int(total) if total.isdecimal() else seen + full


def _expect(value: T | None, request: Request) -> T:
    if value is None:
        raise Retryable(f"Hint answered 404 to {request}, which always exists.")
    return value
