"""Running an exchange under a lease and storing what came of it, in one transaction, before its message is settled."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

from hintd.core.errors import RemoteError
from hintd.core.match import IndexRow
from hintd.core.model import Notice, Outcome, OutcomeKind, Record
from hintd.ports import LogEntry, Settlement, StoreDown, Taken, ToPark
from hintd.service.exchange import Exchange
from hintd.service.snapshots import index_row
from hintd.service.work import Work

Part = Callable[[Exchange], Awaitable[Outcome]]


async def run_and_settle(work: Work, taken: Taken, notice: Notice | None, part: Part) -> Outcome:
    """Run ``part`` on the link and settle.  When a remote stops it half-way, what was done until then is stored, the
    notice stays unsettled, and the remote's error goes on to the caller."""
    with work.hands.holding(taken.link.id):
        exchange = Exchange(work, taken.link, taken.fence)
        try:
            outcome = await part(exchange)
        except RemoteError:
            await _store(exchange, taken, None, None)
            raise
        except BaseException:
            await asyncio.shield(work.stores.links.give_back(taken))
            raise
        await _store(exchange, taken, notice, outcome)
        return outcome


async def _store(exchange: Exchange, taken: Taken, notice: Notice | None, outcome: Outcome | None) -> None:
    links = exchange.work.stores.links
    try:
        await links.settle(_settlement(exchange, taken, notice, outcome))
    except StoreDown:
        # Often a connection was cut and the server stands: without this the link would wait for its lease to end.
        with suppress(StoreDown):
            await links.give_back(taken)
        raise


def _settlement(exchange: Exchange, taken: Taken, notice: Notice | None, outcome: Outcome | None) -> Settlement:
    work = exchange.work
    mended = outcome is not None and outcome.kind is not OutcomeKind.PARKED and bool(exchange.wrote)
    return Settlement(
        connection_id=work.connection.id,
        at=work.now(),
        notice=notice,
        outcome=outcome,
        link=exchange.update(),
        park=tuple(exchange.park) if outcome is not None else (),
        unpark=mended,
        unlinked_by_person=exchange.parted,
        log=tuple(exchange.log),
        index=_rows(exchange),
    )


def _rows(exchange: Exchange) -> tuple[IndexRow, ...]:
    records: list[Record] = [r for r in (exchange.patient, exchange.contact) if r is not None]
    rows = tuple(row for r in records if (row := index_row(r)) is not None)
    return rows if exchange.gone is None else (*rows, exchange.gone)


async def settle_unlinked(
    work: Work,
    notice: Notice,
    outcome: Outcome,
    *,
    row: IndexRow | None = None,
    park: tuple[ToPark, ...] = (),
    log: tuple[LogEntry, ...] = (),
) -> Outcome:
    """Settle a notice about a record that has no link."""
    await work.stores.links.settle(
        Settlement(
            connection_id=work.connection.id,
            at=work.now(),
            notice=notice,
            outcome=outcome,
            park=park,
            log=log,
            index=(row,) if row is not None else (),
        )
    )
    return outcome
