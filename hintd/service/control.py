"""Doing what a control message asks (README rule 8).

Stands between the queue (``hintd.service.control_queue``) and the services that the command line and the API use too.
What is done is a row in Postgres before the message is settled, and done only where it is not done yet, so that a
repeated message changes nothing.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import assert_never

from hintd.core.batch import Batch, CommandRefused
from hintd.core.contact_list import Line, LineKind
from hintd.core.model import Outcome, OutcomeKind
from hintd.core.salesforce_id import contact_id
from hintd.ports import BatchRunning, Connection, NoSuchBatch
from hintd.service.batches import (
    MOST_IDS,
    BatchRefused,
    BatchRequest,
    CallsLeft,
    check_request,
    command_batch,
    start_batch,
)
from hintd.service.control_messages import (
    AbortBatch,
    CommandBatch,
    Message,
    PauseBatch,
    PauseSync,
    ResumeBatch,
    ResumeSync,
    StartBatch,
    StartSweep,
)
from hintd.service.failures import foreseen
from hintd.service.steering import ask_for_sweep, paused, resumed
from hintd.service.work import Stores


class ControlRefused(Exception):
    """A rule forbids it; ``str()`` is a sentence that says which, and what to do."""


@dataclass(frozen=True, slots=True)
class Done:
    """What came of a message.  ``told``: a sentence for the log, or why it was refused."""

    outcome: Outcome
    told: str
    batch_id: str | None = None

    @property
    def is_refused(self) -> bool:
        return self.outcome.kind is OutcomeKind.IGNORED


@dataclass(frozen=True, slots=True)
class Terms:
    """What starting a batch takes besides the message."""

    calls_left: CallsLeft
    stamp_all: bool


def refused(sentence: str) -> Done:
    return Done(Outcome(OutcomeKind.IGNORED, "refused"), sentence)


async def obey(stores: Stores, connection: Connection, message: Message, terms: Terms, *, now: datetime) -> Done:
    """Raises nothing but what the stores raise: a refusal is a ``Done`` too."""
    try:
        return await _obey(stores, connection, message, terms, now)
    except (BatchRefused, BatchRunning, CommandRefused, ControlRefused, NoSuchBatch) as error:
        known = foreseen(error)
        return refused(str(error) if known is None else known.sentence)


async def repeat(stores: Stores, connection: Connection, message: Message, end: OutcomeKind) -> Done:
    """What came of a message that ended before: nothing more, and the same answer as far as it is known."""
    if end is OutcomeKind.IGNORED:
        return refused(f"Control message {message.id} was refused before. Ask again under a new id.")
    batch_id = None
    if isinstance(message, StartBatch):
        started = await stores.batches.of_request(connection.id, str(message.id))
        batch_id = None if started is None else started.id
    elif isinstance(message, CommandBatch):
        batch_id = message.batch_id
    return _done(False, f"Control message {message.id} came again.", batch_id)


async def _obey(stores: Stores, connection: Connection, message: Message, terms: Terms, now: datetime) -> Done:
    match message:
        case StartBatch():
            return await _start(stores, connection, message, terms, now)
        case PauseBatch() | ResumeBatch() | AbortBatch():
            return await _command(stores, connection, message, now)
        case PauseSync():
            return await _steer(stores, connection, paused(connection, message.requested_by), message)
        case ResumeSync():
            return await _steer(stores, connection, resumed(connection), message)
        case StartSweep():
            _refuse_disconnected(connection)
            await ask_for_sweep(stores.cursors, connection.id)
            return _done(True, f"{message.requested_by} asked for a sweep.")
        case _:
            assert_never(message)


def _done(changed: bool, told: str, batch_id: str | None = None) -> Done:
    outcome = Outcome(OutcomeKind.APPLIED, "obeyed") if changed else Outcome(OutcomeKind.NO_CHANGE, "repeated")
    return Done(outcome, told, batch_id)


async def _start(stores: Stores, connection: Connection, message: StartBatch, terms: Terms, now: datetime) -> Done:
    started = await stores.batches.of_request(connection.id, str(message.id))
    if started is not None:
        return _done(False, f"Batch {started.id} was started before.", started.id)
    if message.upload_id is not None and message.contact_ids is not None:
        raise ControlRefused("Give either upload_id or contact_ids.")
    request = BatchRequest(
        kind=message.kind,
        direction=message.direction,
        requested_by=message.requested_by,
        request_id=str(message.id),
        create_unmatched=message.create_unmatched,
        include_archived=message.include_archived or False,
        upload_id=message.upload_id,
        from_preview=message.from_preview,
    )
    if message.contact_ids is not None:
        check_request(request, has_ids=True)
        request = replace(request, upload_id=await _store(stores, connection, message.contact_ids, now))
    batch = await start_batch(
        stores, connection, request, now=now, calls_left=terms.calls_left, stamp_all=terms.stamp_all
    )
    return _done(True, f"{message.requested_by} asked for the {batch.kind} {batch.id} of {batch.direction}.", batch.id)


async def _store(stores: Stores, connection: Connection, ids: Sequence[str], now: datetime) -> str:
    """The message's ids are stored as if they had come as a file, a line each: the upload's id."""
    if len(ids) > MOST_IDS:
        raise ControlRefused(f"A message carries up to {MOST_IDS} Contact ids, not {len(ids)}. Upload them as a file.")
    lines = _lines(ids)
    if not any(line.kind is LineKind.ID for line in lines):
        raise ControlRefused("There is no Contact id in contact_ids: they have 15 or 18 characters and begin with 003.")
    return (await stores.uploads.add(connection.id, _streamed(lines), at=now)).id


def _lines(ids: Sequence[str]) -> list[Line]:
    lines, seen = list[Line](), set[str]()
    for number, text in enumerate(ids, start=1):
        found = contact_id(text)
        if found is None:
            lines.append(Line(number, LineKind.IGNORED))
            continue
        lines.append(Line(number, LineKind.REPEATED if found in seen else LineKind.ID, found))
        seen.add(found)
    return lines


async def _streamed(lines: Sequence[Line]) -> AsyncIterator[Line]:
    for line in lines:
        yield line


async def _command(stores: Stores, connection: Connection, message: CommandBatch, now: datetime) -> Done:
    before = await stores.batches.get(message.batch_id)
    if before.connection_id != connection.id:
        raise ControlRefused(f"There is no batch {message.batch_id} of connection {connection.name}.")
    after = await command_batch(stores, before.id, message.command, now=now)
    told = f"{message.requested_by} asked to {message.command} batch {before.id}."
    return _done(_standing(before) != _standing(after), told, before.id)


def _standing(batch: Batch) -> tuple[object, ...]:
    return batch.state, batch.wanted


async def _steer(stores: Stores, before: Connection, after: Connection, message: PauseSync | ResumeSync) -> Done:
    _refuse_disconnected(before)
    if after != before:
        await stores.connections.change(after)
    told = f"{message.requested_by} asked to {'pause' if isinstance(message, PauseSync) else 'resume'} the sync."
    return _done(after != before, told)


def _refuse_disconnected(connection: Connection) -> None:
    if connection.state == "disconnected":
        raise ControlRefused(f"Connection {connection.name} is disconnected. Connect it again first.")
