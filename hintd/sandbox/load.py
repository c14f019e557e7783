"""Many edits by people at a steady pace, to see a sync under load."""

from __future__ import annotations

import asyncio
import itertools
from typing import TYPE_CHECKING, Any

from hintd.sandbox.changes import CLINIC

if TYPE_CHECKING:
    from hintd.sandbox.app import Sandbox

_SIDES = {"hint": ("hint",), "salesforce": ("salesforce",), "both": ("hint", "salesforce")}
_BREATH = 20  # edits without a pace after which the loop serves others


async def run_load(sandbox: Sandbox, edits: int, rate: float, side: str) -> dict[str, Any]:
    """Change the city of linked people, each time to another one.  ``rate`` in edits per second, 0 as fast as it goes.

    Raises ValueError for a side that is none, and where nobody is linked.
    """
    if side not in _SIDES or edits < 0 or rate < 0:
        raise ValueError(f"a side is one of {', '.join(_SIDES)}; edits and rate are not negative")
    pairs = [(p.id, str(p.values["integration_record_id"])) for p in sandbox.hint.patients.linked()]
    if not pairs:
        raise ValueError("nobody is linked yet")
    loop = asyncio.get_running_loop()
    started = loop.time()
    targets = itertools.cycle(itertools.product(pairs, _SIDES[side]))
    for number, (pair, where) in zip(range(edits), targets, strict=False):
        await _pace(number, rate, started)
        _edit(sandbox, where, pair, f"Load {number}")
    return {"edits": edits, "took_s": round(loop.time() - started, 3)}


async def _pace(number: int, rate: float, started: float) -> None:
    if rate:
        await asyncio.sleep(started + number / rate - asyncio.get_running_loop().time())
    elif number % _BREATH == 0:
        await asyncio.sleep(0)


def _edit(sandbox: Sandbox, side: str, pair: tuple[str, str], city: str) -> None:
    patient_id, contact_id = pair
    if side == "hint":
        sandbox.hint.patients.update(sandbox.hint.patients.get(patient_id), {"address_city": city}, CLINIC)
    else:
        sandbox.salesforce.user_edit(contact_id, {"MailingCity": city})
