"""What a REST request works with: the org, the time, the allowance of calls, and the transaction that it is part of."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from hintd.sandbox.faults import Faults
from hintd.sandbox.salesforce.org import Author, Org, Transaction
from hintd.sandbox.salesforce.query import Cursors
from hintd.sandbox.salesforce.refusal import Refusal

if TYPE_CHECKING:
    from hintd.sandbox.salesforce.bulk_work import Jobs


class Allowance:
    """Calls of the last 24 hours against the org's limit, counted by the hour.  A limit of 0 is no limit."""

    def __init__(self, limit: Callable[[], int], now: Callable[[], datetime]) -> None:
        self._limit = limit
        self._now = now
        self._hours: dict[datetime, int] = {}

    @property
    def limit(self) -> int:
        return self._limit()

    @property
    def used(self) -> int:
        return sum(self._hours.values())

    def spend(self) -> None:
        """Count one call.  Raises Refusal when the limit is used up."""
        now = self._now()
        hour = now.replace(minute=0, second=0, microsecond=0)
        if hour not in self._hours:
            self._hours = {h: n for h, n in self._hours.items() if h > now - timedelta(hours=24)}
            self._hours[hour] = 0
        if self.limit and self.used >= self.limit:
            raise Refusal("REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.", status=403)
        self._hours[hour] += 1


@dataclass(frozen=True)
class Work:
    """``started`` is the stamp that saves get: earlier than the commit where the org commits slowly."""

    org: Org
    now: Callable[[], datetime]
    started: datetime
    faults: Faults
    allowance: Allowance
    cursors: Cursors
    jobs: Jobs
    short_pages: bool = False
    outer: Transaction | None = None

    @contextmanager
    def transaction(self, author: Author) -> Iterator[Transaction]:
        """Saves that are committed at the end of the block, or undone with an exception; part of ``outer`` if any."""
        if self.outer is not None:
            yield self.outer
            return
        transaction = Transaction(self.org, author, self.started)
        try:
            yield transaction
        except BaseException:
            transaction.undo()
            raise
        transaction.commit(self.now())

    def inside(self, outer: Transaction) -> Work:
        return replace(self, outer=outer)

    def lock(self, record_id: str) -> None:
        """Raises Refusal where a fault holds the record's lock."""
        if self.faults.take("save", "SAVE", record_id) is not None:
            raise Refusal(
                "UNABLE_TO_LOCK_ROW", "unable to obtain exclusive access to this record or 1 records: " + record_id
            )
