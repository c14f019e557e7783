"""Remote calls per change and per echo, as the sandbox counts them."""

from __future__ import annotations

from collections.abc import AsyncIterator

from tests.bench.figures import Figure
from tests.bench.servers import Servers
from tests.bench.stage import Played, hintd_stage


async def measure(servers: Servers, *, quick: bool) -> AsyncIterator[Figure]:
    edits = 50 if quick else 200
    async with hintd_stage(servers, edits) as hintd:
        yield await _per_change(hintd, "hint", edits)
        yield await _per_change(hintd, "salesforce", edits)
        yield await _per_echo(hintd, edits)


async def _per_change(hintd: Played, side: str, edits: int) -> Figure:
    """All that is called until everything is at rest, so the echoes of our own writes are in it as well."""
    await hintd.stage.control("POST", "/calls/reset")
    settled = await hintd.daemon.settled()
    await hintd.stage.edit(side, edits, rate=50)
    await hintd.at_rest()
    events, calls = await hintd.daemon.settled() - settled, sum((await hintd.stage.calls()).values())
    way = "Hint to Salesforce" if side == "hint" else "Salesforce to Hint"
    what = f"calls per change, {way}, all {events / edits:.2g} events of it"
    return Figure("calls", what, "calls", calls / edits, compared=calls / edits, target="= 1", met=calls == edits)


async def _per_echo(hintd: Played, edits: int) -> Figure:
    """The webhooks that follow our own writes are held back until all else is done, and then counted alone."""
    await hintd.stage.control("POST", "/webhooks", {"mode": "hold"})
    await hintd.stage.edit("salesforce", edits, rate=50)
    await hintd.at_rest()
    await hintd.stage.control("POST", "/calls/reset")
    settled = await hintd.daemon.settled()
    await hintd.stage.control("POST", "/webhooks", {"mode": "normal"})
    await hintd.stage.control("POST", "/webhooks/release", {})
    await hintd.at_rest()
    echoes, calls = await hintd.daemon.settled() - settled, sum((await hintd.stage.calls()).values())
    if echoes != edits:
        raise RuntimeError(f"{edits} echoes were released and {echoes:g} events settled")
    per_echo = calls / echoes
    return Figure("calls", "calls per echo", "calls", per_echo, compared=per_echo, target="= 0", met=calls == 0)
