"""Disconnecting a practice (README rule 11): hintd leaves Hint, and keeps no way back in.

The connection is marked as disconnected before Hint is asked, so that hintd writes nothing from then on, whether Hint
answers or not.  Every step can be repeated: what is gone already is well.  Contacts, patients and links stay as they
are, for the day on which the practice is connected again.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from typing import Protocol

from hintd.core.batch import ENDED, Command, CommandRefused
from hintd.ports import Batches, Connection, Connections

ABORT_WITHIN_S = 10.0
"""How long the workers of aborted batches are waited for; they stop within five seconds, or are not there."""

_LOOK_AGAIN_S = 0.2


class Partner(Protocol):
    """What leaving takes of the partner key.  Errors: those of ``hintd.core.errors``."""

    async def remove_webhook(self, installation_id: str, webhook_id: str) -> bool: ...
    async def deactivate(self, installation_id: str) -> object: ...


async def abort_batches(batches: Batches, connection_id: int, *, at: datetime) -> tuple[str, ...]:
    """Abort what has not ended, previews too: the ids.  Returns when it has ended, or after ``ABORT_WITHIN_S``."""
    ids = tuple(batch.id for batch in await batches.all(connection_id) if batch.state not in ENDED)
    for batch_id in ids:
        with suppress(CommandRefused):  # it has just ended
            await batches.command(batch_id, Command.ABORT, at=at)
    with suppress(TimeoutError):
        async with asyncio.timeout(ABORT_WITHIN_S):
            for batch_id in ids:
                await _until_ended(batches, batch_id)
    return ids


async def _until_ended(batches: Batches, batch_id: str) -> None:
    while True:
        if (await batches.get(batch_id)).state in ENDED:
            return
        await asyncio.sleep(_LOOK_AGAIN_S)


async def disconnect(partner: Partner, connections: Connections, connection: Connection) -> Connection:
    """Stop the sync, leave Hint, forget the tokens.  When Hint does not answer, the webhook and the tokens are still
    known, and doing it again goes on from there.  Raises what Hint's client raises."""
    left = replace(connection, state="disconnected", paused_why=None)
    await connections.change(left)
    if hook_id := left.webhook.get("id"):
        await partner.remove_webhook(left.installation_id, hook_id)
    await partner.deactivate(left.installation_id)
    left = replace(left, webhook={}, secrets={})
    await connections.change(left)
    return left
