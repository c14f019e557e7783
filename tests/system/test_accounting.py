"""Every accepted event ends in exactly one outcome, and the counts add up, while work waits and when it is done."""

from __future__ import annotations

import re
from collections import Counter

import pytest

from tests.system.conftest import Fresh
from tests.system.world import World, eventually

pytestmark = pytest.mark.system

_LABEL = re.compile(r'(\w+)="([^"]*)"')


async def _counted(world: World, name: str, label: str = "source") -> Counter[str]:
    """The samples of one metric, summed by a label."""
    counted: Counter[str] = Counter()
    for sample, value in (await world.metrics()).items():
        if sample.startswith(f"{name}{{"):
            counted[dict(_LABEL.findall(sample))[label]] += int(value)
    return +counted


async def _keep_busy(world: World) -> None:
    """Events that end in each of the four ways, from each source."""
    pair, refused = await world.pair(), await world.pair()
    await pair.edit_patient(email="a@mail.example")
    await pair.contact_shows(Email="a@mail.example")
    await pair.edit_contact(MailingCity="Denver")
    await pair.patient_shows(address_city="Denver")
    await world.remote.switch(rules={"reject": {"field": "MailingCity", "contains": "Forbidden"}})
    await refused.edit_patient(address_city="Forbidden")
    await refused.is_parked("refused_by_salesforce")
    await world.strangers()
    await world.remote.send("POST", "/webhooks/repeat", {})
    await world.remote.send("POST", "/salesforce/repeat", {"count": 2})
    await world.rest()


async def test_accepted_equals_the_sum_of_the_outcomes_plus_what_waits(fresh: Fresh) -> None:
    async with fresh() as world:
        await _keep_busy(world)
        stuck = await world.pair()
        await world.remote.arm("salesforce", "status", status=503, path="composite", times=-1)
        await stuck.edit_patient(email="stuck@mail.example")

        async def one_waits() -> bool:
            return await world.waiting() == 1

        await eventually(one_waits, "one change waits")
        accepted, settled = (
            await _counted(world, "hintd_events_accepted_total"),
            await _counted(world, "hintd_events_total"),
        )
        waiting = await _counted(world, "hintd_waiting", "queue")
        assert waiting == {"changes": 1}
        assert accepted - settled == {"webhook": 1}

        await world.remote.disarm()
        await stuck.contact_shows(Email="stuck@mail.example")
        await world.rest()
        accepted, settled = (
            await _counted(world, "hintd_events_accepted_total"),
            await _counted(world, "hintd_events_total"),
        )
        assert accepted == settled
        assert set(accepted) >= {"webhook", "stream"}


async def test_the_ledger_and_the_metrics_tell_the_same(fresh: Fresh) -> None:
    async with fresh() as world:
        await _keep_busy(world)
        assert await world.outcomes() == await _counted(world, "hintd_events_total", "outcome")
        assert set(await world.outcomes()) == {"applied", "no_change", "parked", "ignored"}
        parked = await _counted(world, "hintd_parked", "kind")
        assert parked == Counter(item.kind for item in await world.parked())
