"""What bulk jobs do, each in its own time after the call that started it."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Coroutine
from typing import Any

from hintd.sandbox.salesforce import bulk_job as states
from hintd.sandbox.salesforce.bulk_job import Job
from hintd.sandbox.salesforce.query import run
from hintd.sandbox.salesforce.refusal import Refusal, not_found
from hintd.sandbox.salesforce.work import Work


class Jobs:
    """All jobs of the org, and the tasks that do them."""

    def __init__(self, delay_s: Callable[[], float]) -> None:
        self._delay_s = delay_s
        self._jobs: dict[str, Job] = {}
        self._numbers = itertools.count(1)
        self._tasks: set[asyncio.Task[None]] = set()

    def new_id(self) -> str:
        return f"750Kd{next(self._numbers):010d}IAA"

    def add(self, job: Job) -> None:
        self._jobs[job.id] = job

    def get(self, job_id: str) -> Job:
        job = self._jobs.get(job_id)
        if job is None:
            raise not_found()
        return job

    def remove(self, job: Job) -> None:
        del self._jobs[job.id]

    def start(self, job: Job, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(self._later(job, work), name=f"sandbox bulk job {job.id}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _later(self, job: Job, work: Coroutine[Any, Any, None]) -> None:
        try:
            await asyncio.sleep(self._delay_s())
            if job.state == states.UPLOADED:
                job.state = states.RUNNING
                await work
        finally:
            work.close()

    async def stop(self) -> None:
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def find(work: Work, job: Job) -> None:
    try:
        job.found = run(work.org, job.query, deleted=job.operation == "queryAll")
        job.state = states.COMPLETE
    except Refusal as refusal:
        job.state, job.message = states.FAILED, f"{refusal.code}: {refusal.message}"
