"""The Bulk API 2.0 as resources: jobs are created, fed, asked after and read; what they do is in ``bulk_work``."""

from __future__ import annotations

from dataclasses import replace

from hintd.sandbox.salesforce import bulk_job as states
from hintd.sandbox.salesforce.bulk_job import ENDED, Job, found_as_csv, read_csv
from hintd.sandbox.salesforce.bulk_work import LOADS, find, load
from hintd.sandbox.salesforce.describe import Shape
from hintd.sandbox.salesforce.org import Author
from hintd.sandbox.salesforce.refusal import Refusal
from hintd.sandbox.salesforce.soql import Query, parse
from hintd.sandbox.salesforce.stamps import stamp
from hintd.sandbox.salesforce.wire import Answer, Call
from hintd.sandbox.salesforce.work import Work

_MOST_BYTES = 150 * 2**20
_MOST_ROWS = 50_000  # of a page of results


def create_ingest(work: Work, call: Call) -> Answer:
    body = call.record()
    operation, external_id = str(body.get("operation")), str(body.get("externalIdFieldName") or "Id")
    if operation not in LOADS:
        raise Refusal("INVALIDJOB", f"Invalid operation: {operation}")
    shape = work.org.shape_of(str(body.get("object")))
    if operation == "upsert":
        shape.external_id(external_id)
    job = Job(work.jobs.new_id(), operation, stamp(work.now()), _bulk(call), shape.sobject, external_id)
    work.jobs.add(job)
    return Answer(200, job.shown(call.version))


def upload(work: Work, call: Call) -> Answer:
    job = work.jobs.get(call.params["id"], query=False)
    if job.state != states.OPEN or job.upload:
        raise Refusal("INVALIDJOBSTATE", f"Job {job.id} takes no upload now")
    if not isinstance(call.body, str) or len(call.body) > _MOST_BYTES:
        raise Refusal("INVALIDBATCH", "An upload is CSV of at most 150 MB")
    job.upload = call.body
    return Answer(201)


def change(work: Work, call: Call) -> Answer:
    """Close the upload, which starts the job, or abort it."""
    query = "/query/" in call.path
    job, wanted = work.jobs.get(call.params["id"], query=query), call.record().get("state")
    if wanted == states.UPLOADED and job.state == states.OPEN and not query:
        job.state, job.rows, job.upload = states.UPLOADED, read_csv(job.upload), ""
        work.jobs.start(job, load(work, job, call))
    elif wanted == states.ABORTED and job.state not in ENDED:
        job.state = states.ABORTED
    else:
        raise Refusal("INVALIDJOBSTATE", f"Job {job.id} is {job.state}: it cannot become {wanted}")
    return Answer(200, job.shown(call.version))


def show_ingest(work: Work, call: Call) -> Answer:
    return Answer(200, work.jobs.get(call.params["id"], query=False).shown(call.version))


def show_query(work: Work, call: Call) -> Answer:
    return Answer(200, work.jobs.get(call.params["id"], query=True).shown(call.version))


def delete(work: Work, call: Call) -> Answer:
    job = work.jobs.get(call.params["id"], query="/query/" in call.path)
    if job.state not in ENDED:
        raise Refusal("INVALIDJOBSTATE", f"Job {job.id} is {job.state}: abort it first")
    work.jobs.remove(job)
    return Answer(204)


def ingest_results(work: Work, call: Call) -> Answer:
    job, which = work.jobs.get(call.params["id"], query=False), call.path.rstrip("/").rpartition("/")[2]
    if job.state not in ENDED:
        raise Refusal("INVALIDJOBSTATE", f"Job {job.id} is {job.state}: it has no results yet")
    return Answer(200, job.results(which))


def create_query(work: Work, call: Call) -> Answer:
    body = call.record()
    operation, soql = str(body.get("operation")), str(body.get("query") or "")
    if operation not in ("query", "queryAll"):
        raise Refusal("INVALIDJOB", f"Invalid operation: {operation}")
    query = parse(soql)
    shape = work.org.shape_of(query.sobject)
    _check_query(shape, query)
    job = Job(work.jobs.new_id(), operation, stamp(work.now()), _bulk(call), shape.sobject, query=soql)
    job.state = states.UPLOADED
    work.jobs.add(job)
    work.jobs.start(job, find(work, job))
    return Answer(200, job.shown(call.version))


def query_results(work: Work, call: Call) -> Answer:
    job = work.jobs.get(call.params["id"], query=True)
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


def _bulk(call: Call) -> Author:
    """Change events name the API that a save came through."""
    return replace(call.author, origin=call.author.origin.replace("/rest/", "/bulkapi/"))


def _check_query(shape: Shape, query: Query) -> None:
    if query.counts_only or query.offset:
        raise Refusal("API_ERROR", "A bulk query takes neither COUNT nor OFFSET")
    for name in query.names:
        if "." not in name and shape.column(name).type == "address":
            raise Refusal("API_ERROR", f"A bulk query takes no compound field: {name}")
