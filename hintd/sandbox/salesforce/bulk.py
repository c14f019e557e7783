"""The Bulk API 2.0 as resources: jobs that query are created, asked after and read; they are done in ``bulk_work``."""

from __future__ import annotations

from hintd.sandbox.salesforce import bulk_job as states
from hintd.sandbox.salesforce.bulk_job import ENDED, Job, found_as_csv
from hintd.sandbox.salesforce.bulk_work import find
from hintd.sandbox.salesforce.describe import Shape
from hintd.sandbox.salesforce.refusal import Refusal
from hintd.sandbox.salesforce.soql import Query, parse
from hintd.sandbox.salesforce.stamps import stamp
from hintd.sandbox.salesforce.wire import Answer, Call
from hintd.sandbox.salesforce.work import Work

_MOST_ROWS = 50_000  # of a page of results


def abort(work: Work, call: Call) -> Answer:
    job, wanted = work.jobs.get(call.params["id"]), call.record().get("state")
    if wanted != states.ABORTED or job.state in ENDED:
        raise Refusal("INVALIDJOBSTATE", f"Job {job.id} is {job.state}: it cannot become {wanted}")
    job.state = states.ABORTED
    return Answer(200, job.shown(call.version))


def show(work: Work, call: Call) -> Answer:
    return Answer(200, work.jobs.get(call.params["id"]).shown(call.version))


def delete(work: Work, call: Call) -> Answer:
    job = work.jobs.get(call.params["id"])
    if job.state not in ENDED:
        raise Refusal("INVALIDJOBSTATE", f"Job {job.id} is {job.state}: abort it first")
    work.jobs.remove(job)
    return Answer(204)


def create_query(work: Work, call: Call) -> Answer:
    body = call.record()
    operation, soql = str(body.get("operation")), str(body.get("query") or "")
    if operation not in ("query", "queryAll"):
        raise Refusal("INVALIDJOB", f"Invalid operation: {operation}")
    query = parse(soql)
    shape = work.org.shape_of(query.sobject)
    _check_query(shape, query)
    job = Job(work.jobs.new_id(), operation, stamp(work.now()), shape.sobject, soql)
    work.jobs.add(job)
    work.jobs.start(job, find(work, job))
    return Answer(200, job.shown(call.version))


def query_results(work: Work, call: Call) -> Answer:
    job = work.jobs.get(call.params["id"])
    if job.found is None:
        raise Refusal("INVALIDJOBSTATE", f"Job {job.id} is {job.state}: it has no results yet")
    start = _read_locator(job, call.query.get("locator"))
    asked = int(call.query.get("maxRecords", _MOST_ROWS))
    end = min(start + min(asked, _MOST_ROWS), len(job.found.rows))
    locator = "null" if end == len(job.found.rows) else f"{job.id[-8:]}-{end}"
    headers = {"Sforce-Locator": locator, "Sforce-NumberOfRecords": str(end - start)}
    return Answer(200, found_as_csv(work, job.found, start, end), headers)


def _read_locator(job: Job, locator: str | None) -> int:
    if not locator:
        return 0
    head, _, place = locator.partition("-")
    if head != job.id[-8:] or not place.isdigit():
        raise Refusal("INVALIDLOCATOR", "The locator is not of this job")
    return int(place)


def _check_query(shape: Shape, query: Query) -> None:
    if query.counts_only or query.offset:
        raise Refusal("API_ERROR", "A bulk query takes neither COUNT nor OFFSET")
    for name in query.names:
        if "." not in name and shape.column(name).type == "address":
            raise Refusal("API_ERROR", f"A bulk query takes no compound field: {name}")
