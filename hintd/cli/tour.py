"""The tour that ``hintd demo`` drives: real edits on both sides, real commands, and what came of them, measured.

Every step waits for a condition with a deadline and returns a sentence; ``StepFailed`` says what was expected instead.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from hintd.cli.batch_tour import abort, from_contacts, from_patients, preview
from hintd.cli.failures import CommandFailed
from hintd.cli.stage import NAME, Stage, StepFailed

_LINKS = 5
"""A pair for each step: Salesforce's stamps are whole seconds, so a second change within one costs a read."""


@dataclass(frozen=True)
class Pair:
    contact_id: str
    patient_id: str
    person: str


@dataclass(frozen=True)
class Step:
    """``ms``: from the edit until the other side showed it, where that was measured."""

    name: str
    ok: bool
    sentence: str
    ms: float | None = None


Part = Callable[[], Awaitable[tuple[str, float | None]]]


async def take(name: str, part: Part) -> Step:
    try:
        sentence, ms = await part()
    except (StepFailed, CommandFailed) as error:
        return Step(name, False, f"{name}: {error}")
    return Step(name, True, sentence, None if ms is None else round(ms, 1))


async def tour(stage: Stage, told: Callable[[Step], None]) -> list[Step]:
    """All steps, each told as soon as it is done; the later ones are left out when the links cannot be made."""
    pairs: list[Pair] = []
    steps: list[Step] = []

    async def play(name: str, part: Part) -> bool:
        steps.append(await take(name, part))
        told(steps[-1])
        return steps[-1].ok

    if not await play("connect", lambda: _connect(stage)) or not await play("link", lambda: _link_some(stage, pairs)):
        return steps
    await play("hint_to_salesforce", lambda: _edit_patient(stage, pairs[0]))
    await play("salesforce_to_hint", lambda: _edit_contact(stage, pairs[1]))
    await play("echo_of_salesforce", lambda: _echo_from_salesforce(stage, pairs[2]))
    await play("echo_of_hint", lambda: _echo_from_hint(stage, pairs[3]))
    await play("clash", lambda: _clash(stage, pairs[4]))
    await play("published_example", lambda: _both_ways(stage, pairs[0]))
    await play("batch_from_contacts", lambda: from_contacts(stage))
    await play("batch_preview", lambda: preview(stage))
    await play("batch_abort", lambda: abort(stage))
    await play("batch_from_patients", lambda: from_patients(stage))
    await play("verify", lambda: _verify(stage))
    return steps


async def _connect(stage: Stage) -> tuple[str, None]:
    made = await stage.run(
        "connection", "add", NAME, "--hint-code", "sbx-code", "--default-account", "Patients of the practice"
    )
    await stage.until("the change stream to be open", stage.stream_is_open, within_s=30)
    await stage.until("the first sweeps to be done", stage.is_at_rest, within_s=30)
    records = made["records"]
    return (
        f"Connected {made['practice']['name']} with {made['organization']['name']}: {records['hint']} patients and "
        f"{records['salesforce']} Contacts are indexed, the webhook is registered."
    ), None


async def _link_some(stage: Stage, pairs: list[Pair]) -> tuple[str, None]:
    """The first patients that exactly one free Contact matches; those of the samples come first."""
    patients = (await stage.control("GET", "/records"))["hint"]
    for patient in patients:
        if len(pairs) == _LINKS:
            break
        explained = await stage.run("link", "explain", NAME, "--patient", patient["id"])
        if explained["decision"] != "match":
            continue
        contact_id = next(c["id"] for c in explained["candidates"] if not c["differed"])
        await stage.run("link", "create", NAME, "--contact", contact_id, "--patient", patient["id"])
        pairs.append(Pair(contact_id, patient["id"], f"{patient['first_name']} {patient['last_name']}"))
    if len(pairs) < _LINKS:
        raise StepFailed(f"expected {_LINKS} patients with one matching Contact, seen {len(pairs)}")
    await stage.until("the links' own events to be settled", stage.is_at_rest)
    return f"Linked by name and date of birth: {', '.join(pair.person for pair in pairs)}.", None


async def _timed(edit: Awaitable[Any], seen: Callable[[], Awaitable[Any]]) -> float:
    """Milliseconds from before the edit until ``seen`` returned."""
    clock = asyncio.get_running_loop().time
    begun = clock()
    await edit
    await seen()
    return (clock() - begun) * 1000


async def _change_patient(stage: Stage, pair: Pair, attribute: str, field: str, value: str) -> float:
    return await _timed(
        stage.control("PATCH", f"/patients/{pair.patient_id}", {attribute: value}),
        lambda: stage.until(
            f"{field} of Contact {pair.contact_id} to follow",
            lambda: stage.contact(pair.contact_id),
            lambda c: c[field] == value,
        ),
    )


async def _change_contact(stage: Stage, pair: Pair, field: str, attribute: str, value: str) -> float:
    return await _timed(
        stage.control("PATCH", f"/contacts/{pair.contact_id}", {field: value}),
        lambda: stage.until(
            f"{attribute} of patient {pair.patient_id} to follow",
            lambda: stage.patient(pair.patient_id),
            lambda p: p[attribute] == value,
        ),
    )


async def _edit_patient(stage: Stage, pair: Pair) -> tuple[str, float]:
    ms = await _change_patient(stage, pair, "email", "Email", "edited.in.hint@mail.example")
    return f"Edited the e-mail of {pair.person} in Hint → the Contact changed after {ms:.0f} ms.", ms


async def _edit_contact(stage: Stage, pair: Pair) -> tuple[str, float]:
    ms = await _change_contact(stage, pair, "MailingCity", "address_city", "Sausalito")
    return f"Edited the city of {pair.person} in Salesforce → the patient changed after {ms:.0f} ms.", ms


async def _echo_from_salesforce(stage: Stage, pair: Pair) -> tuple[str, float]:
    before = await _quiet(stage, "stream")
    ms = await _change_patient(stage, pair, "middle_name", "MiddleName", "Echo")
    calls = await _calls_after_echo(stage, "stream", before)
    if calls != {"hint": 0, "salesforce": 1}:
        raise StepFailed(f"expected 1 call to Salesforce for the change and 0 for its echo, seen {dict(calls)}")
    return (
        f"A change in Hint took 1 call to Salesforce ({ms:.0f} ms); the change event that our write caused came back "
        "and took 0 calls."
    ), ms


async def _echo_from_hint(stage: Stage, pair: Pair) -> tuple[str, float]:
    before = await _quiet(stage, "webhook")
    ms = await _change_contact(stage, pair, "MiddleName", "middle_name", "Again")
    calls = await _calls_after_echo(stage, "webhook", before)
    if calls != {"hint": 1, "salesforce": 0}:
        raise StepFailed(f"expected 1 call to Hint for the change and 0 for its echo, seen {dict(calls)}")
    return (
        f"A change in Salesforce took 1 call to Hint ({ms:.0f} ms); the webhook that our write caused came back and "
        "took 0 calls."
    ), ms


async def _quiet(stage: Stage, source: str) -> float:
    """Nothing waits and no call was counted: the number of this source's events without a change until now."""
    await stage.until("nothing to wait", stage.is_at_rest)
    await stage.control("POST", "/calls/reset")
    return await stage.settled(source, "no_change")


async def _calls_after_echo(stage: Stage, source: str, before: float) -> Any:
    await stage.until(
        f"the echo to be settled as no change ({source})",
        lambda: stage.settled(source, "no_change"),
        lambda n: n > before,
    )
    await stage.until("nothing to wait", stage.is_at_rest)
    return await stage.calls()


async def _clash(stage: Stage, pair: Pair) -> tuple[str, None]:
    """Both within a second: Hint wins, and the other value stays in the history.  Hint's webhook is held back until the
    edit in Salesforce has been written over the one in Hint, so that the order is the same each time."""
    hint_says, salesforce_says = "hint.says@mail.example", "salesforce.says@mail.example"
    await stage.until("nothing to wait", stage.is_at_rest)
    await stage.control("POST", "/webhooks", {"mode": "hold"})
    await asyncio.gather(
        stage.control("PATCH", f"/patients/{pair.patient_id}", {"email": hint_says}),
        stage.control("PATCH", f"/contacts/{pair.contact_id}", {"Email": salesforce_says}),
    )

    async def both() -> tuple[str, str]:
        return (await stage.contact(pair.contact_id))["Email"], (await stage.patient(pair.patient_id))["email"]

    await stage.until("Salesforce's value on both sides", both, lambda seen: seen == (salesforce_says, salesforce_says))
    await stage.control("POST", "/webhooks", {"mode": "normal"})
    await stage.control("POST", "/webhooks/release")
    await stage.until("Hint's value on both sides", both, lambda seen: seen == (hint_says, hint_says))
    shown = await stage.run("link", "history", NAME, "--contact", pair.contact_id)
    kept = [c for c in shown["changes"] if c["field"] == "email" and c["old"] == salesforce_says]
    if not kept:
        raise StepFailed(f"expected {salesforce_says} in the history of Contact {pair.contact_id}, seen nothing of it")
    return (
        f"Edited the e-mail of {pair.person} on both sides at once → {hint_says} won, because Hint wins when both "
        f"changed within a second; {salesforce_says} is kept in the history ({kept[0]['cause']})."
    ), None


async def _both_ways(stage: Stage, pair: Pair) -> tuple[str, float]:
    """The first pair started from the given samples."""
    there = await _change_patient(stage, pair, "address_zip", "MailingPostalCode", "94965")
    back = await _change_contact(stage, pair, "MailingCity", "address_city", "Tiburon")
    return (
        f"{pair.person} started from Hint's published examples: Hint → Salesforce {there:.0f} ms, "
        f"Salesforce → Hint {back:.0f} ms."
    ), there


async def _verify(stage: Stage) -> tuple[str, None]:
    await stage.until("nothing to wait", stage.is_at_rest)
    seen = await stage.run("verify", NAME)
    if seen["different"] or seen["missing_in_hint"] or seen["missing_in_salesforce"] or seen["pairs"] < _LINKS:
        raise StepFailed(f"expected every pair to agree, seen {seen}")
    return f"Compared all records: {seen['pairs']} pairs, {seen['equal']} equal, {seen['accepted']} accepted.", None
