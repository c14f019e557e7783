"""A quiet clinic on the memory fakes: one linked pair, whose events are kept until a test hands them over."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from hintd.core.errors import Retryable
from hintd.core.model import Notice
from hintd.service.react import react
from tests.fakes.clock import VirtualLoop, run_virtual
from tests.service.climate import Climate
from tests.service.simulation import World
from tests.service.weather import Life

QUIET = Climate(
    pairs=1, workers=1, codes=False, hides_title=False, stamps_no_ops=False, creates_contacts=True, uppercases=False,
    interferes=False, validates=False, duels=False, kills=0.0, remote_faults=0.0, store_faults=0.0, losses=0.0,
    outages=False, edits=0, pace_s=1.0,
)  # fmt: skip
CONTACT, PATIENT = "003000000000001AAA", "pat-1"


class Clinic:
    """One linked pair, whose events are kept until they are handed over."""

    def __init__(self, world: World) -> None:
        self.world, self.events = world, []

    async def react(self, notice: Notice):
        return await react(self.world.work(), notice)

    async def hand_over(self, *which: int):
        """React to the events so far, in order, or to the chosen ones; the outcomes."""
        chosen = [self.events[i] for i in which] if which else self.events[:]
        self.events = [] if not which else self.events
        return [await self.react(notice) for notice in chosen]

    def calls(self) -> list[str]:
        made, self.world.calls[:] = self.world.calls[:], []
        return made

    def link(self):
        return next(iter(self.world.memory.links.values())).link

    def patient(self, attribute: str):
        return self.world.practice.patients[PATIENT][attribute]

    def contact(self, field: str):
        return self.world.org.contacts[CONTACT][field]


def in_clinic(story: Callable) -> None:
    async def run() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        clinic = Clinic(world := World(1, loop, QUIET))
        await world.settle_in()
        post = world.post
        world.practice.on_webhook = lambda event: clinic.events.append(post.webhook_notice(event))
        world.org.on_event = lambda event: clinic.events.append(post.change_notice(event))
        clinic.calls()
        await story(clinic)

    run_virtual(run())


class Flaky:
    """A remote that does what it is asked and gives no answer, once per name."""

    def __init__(self, remote, *names: str) -> None:
        self._remote, self._names = remote, set(names)

    def __getattr__(self, name: str):
        method = getattr(self._remote, name)

        async def call(*args, **named):
            answer = await method(*args, **named)
            if name in self._names:
                self._names.discard(name)
                raise Retryable("no answer")
            return answer

        return call


class Deadly:
    """A remote that does what it is asked; at the answer to ``name`` the process that asked is killed."""

    def __init__(self, remote, name: str, life: Life) -> None:
        self._remote, self._name, self._life = remote, name, life

    def __getattr__(self, name: str):
        method = getattr(self._remote, name)

        async def call(*args, **named):
            answer = await method(*args, **named)
            if name == self._name:
                self._life.die()
            return answer

        return call
