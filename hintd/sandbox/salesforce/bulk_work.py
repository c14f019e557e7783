"""What bulk jobs do, each in its own time after the call that started it."""

from __future__ import annotations

import asyncio
import itertools
import re
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import replace
from typing import Any

from hintd.sandbox.salesforce import bulk_job as states
from hintd.sandbox.salesforce import collections
from hintd.sandbox.salesforce.bulk_job import Job, Outcome
from hintd.sandbox.salesforce.describe import Shape
from hintd.sandbox.salesforce.query import run
from hintd.sandbox.salesforce.refusal import Refusal, not_found
from hintd.sandbox.salesforce.wire import Answer, Call
from hintd.sandbox.salesforce.work import Work

_CHUNK = 200  # records of one transaction
_CLEAR = "#N/A"
_NUMBER = re.compile(r"-?\d+(\.\d+)?", re.ASCII)
LOADS: Mapping[str, Callable[[Work, Call], Answer]] = {
    "insert": collections.create,
    "update": collections.update,
    "upsert": collections.upsert,
}


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

    def get(self, job_id: str, *, query: bool) -> Job:
        job = self._jobs.get(job_id)
        if job is None or bool(job.query) is not query:
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


async def load(work: Work, job: Job, call: Call) -> None:
    shape = work.org.shape_of(job.sobject)
    unknown = [name for name in (job.rows[0] if job.rows else ()) if name not in shape.columns]
    if unknown:
        job.state, job.message = states.FAILED, f"InvalidBatch : Field name not found : {unknown[0]}"
        return
    for start in range(0, len(job.rows), _CHUNK):
        await asyncio.sleep(0)  # others are served between two transactions
        if job.state != states.RUNNING:
            return
        _load_chunk(replace(work, started=work.now()), job, shape, call, job.rows[start : start + _CHUNK])
    job.state = states.COMPLETE


def _load_chunk(work: Work, job: Job, shape: Shape, call: Call, rows: list[dict[str, str]]) -> None:
    attributes = {"attributes": {"type": job.sobject}}
    records = [{**attributes, **_fields(shape, row)} for row in rows]
    part = replace(
        call,
        body={"allOrNone": False, "records": records},
        author=job.author,
        params={"sobject": job.sobject, "column": job.external_id},
    )
    for row, result in zip(rows, LOADS[job.operation](work, part).body, strict=True):
        job.outcomes.append(_outcome(row, result))


def _fields(shape: Shape, row: Mapping[str, str]) -> dict[str, Any]:
    """A row's cells as values: an empty one changes nothing, and a mark clears."""
    return {name: _value(shape, name, text) for name, text in row.items() if text != ""}


def _value(shape: Shape, name: str, text: str) -> Any:
    if text == _CLEAR:
        return None
    is_number = shape.columns[name].type == "double" and _NUMBER.fullmatch(text)
    return float(text) if is_number else text


def _outcome(row: Mapping[str, str], result: Mapping[str, Any]) -> Outcome:
    if result["success"]:
        return Outcome(row, result["id"], result.get("created", False))
    error = result["errors"][0]
    return Outcome(
        row, row.get("Id", ""), error=f"{error['statusCode']}:{error['message']}:{','.join(error['fields'])} --"
    )
