"""The obvious way to sync patients to Contacts, a child process: one record after the other, by simple-salesforce.

Each patient of Hint's list is looked for by name and date of birth, its Contact is updated, and the patient is told.
"""

from __future__ import annotations

import time
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from simple_salesforce import Salesforce, format_soql

from tests.bench.processes import options, say

_TOKEN = {"Authorization": "Bearer sbx-practice-token"}


class _Plain(HTTPAdapter):
    """simple-salesforce knows https only; the sandbox on this machine is plain."""

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        request.url = str(request.url).replace("https://", "http://", 1)
        return super().send(request, *args, **kwargs)


def sync(url: str, records: int) -> float:
    """Seconds taken."""
    hint, session = requests.Session(), requests.Session()
    hint.headers.update(_TOKEN)
    session.mount("https://", _Plain())
    salesforce = Salesforce(instance=urlsplit(url).netloc, session_id=_salesforce_token(url), session=session)
    begun, done = time.perf_counter(), 0
    while done < records:
        page = hint.get(f"{url}/api/provider/patients", params={"limit": "100", "offset": str(done)}).json()
        for patient in page[: records - done]:
            _sync_one(url, hint, salesforce, patient)
        done += len(page)
    return time.perf_counter() - begun


def _sync_one(url: str, hint: requests.Session, salesforce: Salesforce, patient: dict[str, Any]) -> None:
    query = format_soql(
        "SELECT Id, Email FROM Contact WHERE FirstName = {} AND LastName = {}",
        patient["first_name"],
        patient["last_name"],
    )
    found = salesforce.query(query)["records"]
    if len(found) != 1:
        return
    contact_id = found[0]["Id"]
    salesforce.Contact.update(contact_id, {"Email": patient["email"], "Hint_Patient_Id__c": patient["id"]})
    path = f"{url}/api/provider/patients/{patient['id']}"
    while not hint.patch(path, json={"integration_record_id": contact_id}).ok:
        time.sleep(0.05)


def _salesforce_token(url: str) -> str:
    form = {"grant_type": "client_credentials", "client_id": "sbx-client", "client_secret": "sbx-secret"}
    return str(requests.post(f"{url}/services/oauth2/token", data=form).json()["access_token"])


if __name__ == "__main__":
    asked = options()
    say({"seconds": sync(asked["url"], asked["records"])})
