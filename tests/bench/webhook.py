"""A synthetic ``patient.updated`` webhook of about 6 kB, as Hint sends them; nobody in it exists."""

from __future__ import annotations

import hashlib
import hmac
import json
import random
import string
from typing import Any

SIZE = 6000  # bytes
PRACTICE_ID = "pra-bench0000001"
SECRET = "bench-webhook-secret"
_STAMP = "2026-02-05T06:23:00.000000-08:00"


def patient(number: int) -> dict[str, Any]:
    """The attributes that Hint publishes, with the nested objects that make up most of a patient's size."""
    name = {"first_name": "Nobody", "middle_name": None, "last_name": f"Atall-{number}"}
    group = {"id": "prg-bench0000001", "created_at": _STAMP, "integration_record_id": None, "name": "Downtown Group"}
    practitioner = {"id": "pct-bench0000001", "name": "Miriam Osei", "panel_size": 150, "created_at": _STAMP}
    membership = {"status": "active", "start_date": "2026-02-01", "plan": {"id": "pln-bench01", "plan_type": "retail"}}
    return {
        **name,
        "id": f"pat-bench{number:07}",
        "dob": "1980-02-03",
        "gender": "female",
        "gender_identity": "woman",
        "email": f"nobody{number}@mail.example",
        "phones": [{"id": f"phn-{number}", "number": "4155550100", "type": "mobile"}],
        "address_line1": "1 Maple Avenue",
        "address_city": "San Francisco",
        "address_state": "CA",
        "address_zip": "94110",
        "address_country": "United States",
        "membership_status": "active",
        "merged_into": None,
        "created_at": _STAMP,
        "updated_at": _STAMP,
        "practitioner": practitioner,
        "location_group": group,
        "memberships": [membership] * 3,
        "sponsorships": [{"id": f"creg-{n}", "is_subscriber": True, "type": "employee"} for n in range(4)],
    }


def event(shown: dict[str, Any], number: int = 0) -> bytes:
    """The body of a webhook about a patient, filled up to ``SIZE``."""
    body = {
        "id": f"evt-bench{number:09}",
        "type": "patient.updated",
        "practice_id": PRACTICE_ID,
        "created_at": _STAMP,
        "object": shown,
    }
    missing = SIZE - len(encode(body)) - len(',"bio":""')
    return encode(body | {"object": shown | {"bio": _text(max(0, missing), number)}})


def _text(length: int, seed: int) -> str:
    """Words that compress about as well as a patient's attributes do."""
    chance = random.Random(seed)
    words = ("".join(chance.choices(string.ascii_lowercase, k=chance.randrange(2, 9))) for _ in range(length // 3 + 1))
    return " ".join(words)[:length]


def encode(body: Any) -> bytes:
    return json.dumps(body, separators=(",", ":")).encode()


def signature(body: bytes, secret: str = SECRET) -> str:
    """The value of ``X-Hint-Signature``."""
    return "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
