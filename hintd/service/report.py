"""Saying on the two records themselves what is wrong with their link (README rule 13), where staff look."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from hintd.core.contact import SYNC_ERROR
from hintd.core.errors import Refused, Retryable
from hintd.core.model import Side
from hintd.ports import Level
from hintd.service.work import NEW

if TYPE_CHECKING:
    from hintd.service.exchange import Exchange


async def report(exchange: Exchange, sentence: str | None) -> None:
    """Say it where staff look (README rule 13), best effort: the parked item is the truth."""
    behind = [side for side in Side if exchange.told.get(side) != sentence]
    for side in behind:
        try:
            await _report_to(exchange, side, sentence)
        except (Refused, Retryable) as error:
            exchange.tell(
                Level.ERROR, "report_failed", f"the message for staff could not be written to {side}: {error}"
            )
    exchange.link = replace(exchange.link, reported=sentence)


async def _report_to(exchange: Exchange, side: Side, sentence: str | None) -> None:
    work, link = exchange.work, exchange.link
    if side is Side.HINT and not link.patient_id.startswith(NEW):
        patient = await work.remotes.hint.update_patient(
            link.patient_id, {"integration_error_message": sentence}, work.call("report")
        )
        if patient is not None:
            exchange.take(patient)
    elif side is Side.SALESFORCE and SYNC_ERROR in work.book.shape and not link.contact_id.startswith(NEW):
        answer = await work.remotes.salesforce.write_contact(
            link.contact_id, {SYNC_ERROR: sentence}, None, work.call("report")
        )
        if answer.after is not None:
            exchange.take(answer.after)
