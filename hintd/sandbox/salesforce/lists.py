"""Resources over many records: query and its pages, the records changed or deleted in a span, and the limits."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

from hintd.sandbox.salesforce.org import Org
from hintd.sandbox.salesforce.query import Found, run
from hintd.sandbox.salesforce.refusal import Refusal, not_found
from hintd.sandbox.salesforce.rows import render
from hintd.sandbox.salesforce.soql import malformed
from hintd.sandbox.salesforce.stamps import read_datetime, stamp
from hintd.sandbox.salesforce.wire import Answer, Call
from hintd.sandbox.salesforce.work import Work

_BATCH = re.compile(r"batchSize=(\d+)")
_CURSOR = re.compile(r"(\w+)-(\d+)")


def query(work: Work, call: Call) -> Answer:
    return _first_page(work, call, deleted=False)


def query_all(work: Work, call: Call) -> Answer:
    return _first_page(work, call, deleted=True)


def _first_page(work: Work, call: Call, *, deleted: bool) -> Answer:
    if "q" not in call.query:
        raise malformed("A query string has to be specified")
    found = run(work.org, call.query["q"], deleted=deleted)
    if found.counts_only:
        return Answer(200, {"totalSize": len(found.rows), "done": True, "records": []})
    return _page(work, call, found, None, 0)


def next_page(work: Work, call: Call) -> Answer:
    """The page at ``{cursor}-{offset}``, as ``nextRecordsUrl`` named it."""
    at = _CURSOR.fullmatch(call.params["cursor"])
    if at is None:
        raise Refusal("INVALID_QUERY_LOCATOR", "invalid query locator")
    return _page(work, call, work.cursors.found(at[1]), at[1], int(at[2]))


def _page(work: Work, call: Call, found: Found, cursor: str | None, start: int) -> Answer:
    asked = _BATCH.search(call.headers.get("sforce-query-options", ""))
    batch = min(max(int(asked[1]), 200), 2000) if asked else 2000
    end = start + work.cursors.page_length(batch, short=work.short_pages)
    shape, names = found.shape, [name for name in found.names if "." not in name]
    parents = [name.partition(".")[2] for name in found.names if "." in name]
    records = []
    for row in found.rows[start:end]:
        record = render(shape, row, names, call.version)
        if parents:
            record["Account"] = _parent(work.org, row.get("AccountId"), parents, call.version)
        records.append(record)
    done = end >= len(found.rows)
    body = {"totalSize": len(found.rows), "done": done, "records": records}
    if not done:
        cursor = cursor or work.cursors.open(found)
        body["nextRecordsUrl"] = f"/services/data/v{call.version}/query/{cursor}-{end}"
    return Answer(200, body)


def _parent(org: Org, account_id: str | None, names: list[str], version: str) -> dict[str, object] | None:
    account = org.tables["Account"].get(account_id or "")
    return None if account is None else render(org.shape_of("Account"), account, names, version)


def updated(work: Work, call: Call) -> Answer:
    """The ids of records changed in a span of whole minutes."""
    start, end = _span(work, call, timedelta(days=30))
    shape = work.org.shape_of(call.params["sobject"])
    low, high = stamp(start), stamp(end)
    ids = [row["Id"] for row in work.org.live(shape.sobject) if low <= row["LastModifiedDate"] < high]
    return Answer(200, {"ids": ids, "latestDateCovered": high})


def deleted(work: Work, call: Call) -> Answer:
    start, end = _span(work, call, timedelta(days=15))
    shape = work.org.shape_of(call.params["sobject"])
    low, high = stamp(start), stamp(end)
    rows = work.org.tables[shape.sobject].values()
    gone = [
        {"id": row["Id"], "deletedDate": row["LastModifiedDate"]}
        for row in rows
        if row["IsDeleted"] and low <= row["LastModifiedDate"] < high
    ]
    earliest = stamp(work.now() - timedelta(days=15))
    return Answer(200, {"deletedRecords": gone, "earliestDateAvailable": earliest, "latestDateCovered": high})


def _span(work: Work, call: Call, back: timedelta) -> tuple[datetime, datetime]:
    try:
        start, end = (read_datetime(call.query[name].replace(" ", "+")) for name in ("start", "end"))
    except (KeyError, ValueError):
        raise Refusal("INVALID_REPLICATION_DATE", "start and end are needed, as ISO 8601 times") from None
    start, end = (moment.replace(second=0, microsecond=0) for moment in (start, end))
    if end - start < timedelta(minutes=1) or start < work.now() - back:
        raise Refusal("INVALID_REPLICATION_DATE", "the span is too short, or begins too early")
    return start, end


def limits(work: Work, call: Call) -> Answer:
    most = work.allowance.limit or 5_000_000
    return Answer(
        200,
        {
            "DailyApiRequests": {"Max": most, "Remaining": max(most - work.allowance.used, 0)},
            "DailyBulkV2QueryJobs": {"Max": 10_000, "Remaining": 10_000},
            "DailyDeliveredPlatformEvents": {"Max": 50_000, "Remaining": 50_000},
            "DataStorageMB": {"Max": 1024, "Remaining": 1000},
        },
    )


def objects(work: Work, call: Call) -> Answer:
    names = ("Account", "Contact")
    return Answer(200, {"encoding": "UTF-8", "maxBatchSize": 200, "sobjects": [{"name": name} for name in names]})


def unknown(work: Work, call: Call) -> Answer:
    raise not_found()
