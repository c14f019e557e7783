"""``hintd run``: the roles as named tasks in one group, and the stop in two steps.

Returning is as fatal as raising for an eternal task: either ends the group and with it the process, and the service's
supervisor starts it again.  On SIGTERM or SIGINT the roles stop taking and finish what is in hand; after the deadline,
or on a second signal, they are cancelled, and what was unsettled comes back by itself.
"""

from __future__ import annotations

import asyncio
import gc
import signal
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack
from enum import StrEnum
from typing import Any

import structlog
from aiohttp import web

from hintd.batching import run_batches
from hintd.composition import House, api_token, open_house
from hintd.config import Config, secret, split_listen
from hintd.desk import make_desk
from hintd.hint.listener import Intake, Receipt, make_public_app
from hintd.rounds import schedule
from hintd.service.consume import Consumer
from hintd.service.control import Terms
from hintd.service.control_queue import ControlQueue
from hintd.service.ingest import relay
from hintd.streams import run_streams
from hintd.watch import ConnectionWatch
from hintd.web.api import Terms as ApiTerms
from hintd.web.api import make_api_app
from hintd.web.operator import make_operator_app

log = structlog.get_logger()


class Role(StrEnum):
    LISTENER = "listener"
    STREAM = "stream"
    WORKER = "worker"
    SCHEDULER = "scheduler"
    PAGE = "page"


async def run(config: Config, roles: Sequence[Role]) -> None:
    """Run until a signal stops it.  Raises what a role raised."""
    async with open_house(config) as house:
        daemon = Daemon(house, frozenset(roles or Role))
        await daemon.run()


class Daemon:
    """One process of hintd: its roles, its readiness, and its stop."""

    def __init__(self, house: House, roles: frozenset[Role]) -> None:
        self._house, self._roles = house, roles
        self._watch = ConnectionWatch(house)
        self._stopping = asyncio.Event()
        self._trouble: dict[str, str] = {}

    async def run(self) -> None:
        self._listen_for_signals()
        async with AsyncExitStack() as stack:
            await self._watch.look()
            await self._serve(stack)
            _spare_collector()
            log.info("started", role=",".join(sorted(self._roles)), address=self._house.config.service.public_listen)
            await self._until_stopped()
        log.info("stopped")

    def stop(self, why: str = "asked") -> None:
        """The first call stops taking; the second cancels."""
        if self._stopping.is_set() and self._main is not None:
            self._main.cancel()
        log.info("stopping", signal=why)
        self._stopping.set()

    _main: asyncio.Task[None] | None = None

    def _listen_for_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop, number.name)

    async def _until_stopped(self) -> None:
        self._main = asyncio.create_task(self._run_tasks(), name="roles")
        stop = asyncio.create_task(self._stopping.wait(), name="stop")
        await asyncio.wait({self._main, stop}, return_when=asyncio.FIRST_COMPLETED)
        stop.cancel()
        if not self._main.done():
            _, late = await asyncio.wait({self._main}, timeout=self._house.config.service.stop_timeout_s)
            if late:
                log.warning("stop_deadline_passed")
                self._main.cancel()
        try:
            await self._main
        except asyncio.CancelledError:
            pass

    async def _run_tasks(self) -> None:
        async with asyncio.TaskGroup() as group:
            eternal = [
                group.create_task(self._eternal(name, work), name=name) for name, work in self._eternal_tasks().items()
            ]
            finishing = [group.create_task(work(), name=name) for name, work in self._finishing_tasks().items()]
            await self._stopping.wait()
            await asyncio.gather(*finishing)
            for task in eternal:
                task.cancel()

    async def _eternal(self, name: str, work: Callable[[], Awaitable[object]]) -> None:
        await work()
        raise RuntimeError(f"the task {name} ended, which it never should")

    def _eternal_tasks(self) -> Mapping[str, Callable[[], Awaitable[object]]]:
        house = self._house
        tasks: dict[str, Callable[[], Awaitable[object]]] = {"watch connections": self._watch.run}
        if Role.STREAM in self._roles:
            tasks["streams"] = lambda: run_streams(house, self._watch)
        if Role.SCHEDULER in self._roles:
            tasks["rounds"] = lambda: schedule(house, self._watch)
        if house.has_relay and self._roles & {Role.LISTENER, Role.SCHEDULER}:
            tasks["relay"] = lambda: relay(house.inbox_bus, house.bus)
        if Role.WORKER in self._roles:
            tasks["dead letters"] = self._consumer().run_dead
        return tasks

    def _finishing_tasks(self) -> Mapping[str, Callable[[], Coroutine[Any, Any, None]]]:
        """Tasks that stop taking when asked, and finish what is in hand."""
        if Role.WORKER not in self._roles:
            return {}
        house, watch = self._house, self._watch
        return {
            "changes": lambda: self._consumer().run(self._stopping),
            "control": lambda: self._control().run(self._stopping),
            "batches": lambda: run_batches(house, watch, self._stopping),
        }

    def _consumer(self) -> Consumer:
        house = self._house
        return Consumer(
            bus=house.bus,
            react=self._watch.react,
            unseal=house.keys.unseal,
            parking=house.stores.parking,
            now=house.now,
            chance=house.chance,
            observe=house.observe,
            pause=self._watch.pause,
            prefetch=house.config.service.workers_prefetch,
        )

    def _control(self) -> ControlQueue:
        house = self._house
        return ControlQueue(
            bus=house.bus,
            stores=house.stores,
            terms=Terms(house.calls_left, house.config.sync.stamp == "all"),
            now=house.now,
            chance=house.chance,
            accepted=house.metrics.event_accepted,
            settled=house.metrics.control_settled,
        )

    # --- the two ports ---

    async def _serve(self, stack: AsyncExitStack) -> None:
        service = self._house.config.service
        if Role.LISTENER in self._roles:
            await _start_site(stack, self._public_app(), service.public_listen, "service.public_listen")
        api = self._api() if Role.PAGE in self._roles else None
        operator = make_operator_app(self._render_metrics, self._problems, token=service.metrics_token, api=api)
        await _start_site(stack, operator, service.operator_listen, "service.operator_listen")

    def _public_app(self) -> web.Application:
        house, hint = self._house, self._house.config.hint
        intake = Intake(
            secret=secret(hint.webhook_secret, hint.webhook_secret_file, "hint.webhook_secret").encode(),
            accept=house.ingest.accept,
            known_practice=self._watch.knows,
            count=self._count_receipt,
            now=house.now,
            max_body_bytes=house.config.limits.max_body_bytes,
        )
        return make_public_app(intake, unready=self._problems)

    def _api(self) -> web.Application:
        house, limits = self._house, self._house.config.limits
        terms = ApiTerms(
            token=api_token(house.config),
            max_body_bytes=limits.max_body_bytes,
            max_upload_bytes=limits.max_upload_bytes,
        )
        return make_api_app(make_desk(house), terms)

    def _count_receipt(self, receipt: Receipt) -> None:
        self._house.metrics.webhook_answered(receipt.value)

    def _problems(self) -> Mapping[str, str]:
        """Which parts are not ready, and why."""
        problems = dict(self._watch.problems())
        trouble = getattr(self._house.bus, "trouble", None)
        if trouble:
            problems["bus"] = trouble
        if self._stopping.is_set():
            problems["process"] = "stopping"
        return problems

    async def _render_metrics(self) -> bytes:
        await self._watch.refresh_gauges()
        return self._house.metrics.render()


def _spare_collector() -> None:
    """What the start has made stays until the end: a full collection would walk it each time, for tens of ms."""
    gc.collect()
    gc.freeze()


async def _start_site(stack: AsyncExitStack, app: web.Application, listen: str, setting: str) -> None:
    host, port = split_listen(listen, f"[{setting}]")
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=5.0, handle_signals=False)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    await web.TCPSite(runner, host, port, reuse_port=None).start()
