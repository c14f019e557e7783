"""What is a control message, and what is not."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

import pytest

from hintd.core.batch import BatchKind, Command, Direction
from hintd.service.control_messages import (
    AbortBatch,
    BadMessage,
    PauseBatch,
    PauseSync,
    ResumeBatch,
    ResumeSync,
    StartBatch,
    StartSweep,
    read_message,
    write_answer,
)

ID = "0f8fad5b-d9cb-469f-a165-70867728950e"
COMMON = {"id": UUID(ID), "connection": "main", "requested_by": "ann"}
SECRET = "Ada Byron"


def written(kind: str = "sync.pause", /, **fields: Any) -> bytes:
    message = {"v": 1, "id": ID, "type": kind, "connection": "main", "requested_by": "ann", **fields}
    return json.dumps(message).encode()


@pytest.mark.parametrize(
    ("body", "message"),
    [
        pytest.param(written(), PauseSync(**COMMON), id="sync.pause"),
        pytest.param(written("sync.resume"), ResumeSync(**COMMON), id="sync.resume"),
        pytest.param(written("sweep.start"), StartSweep(**COMMON), id="sweep.start"),
        pytest.param(written("batch.pause", batch_id="b"), PauseBatch(**COMMON, batch_id="b"), id="batch.pause"),
        pytest.param(written("batch.resume", batch_id="b"), ResumeBatch(**COMMON, batch_id="b"), id="batch.resume"),
        pytest.param(written("batch.abort", batch_id="b"), AbortBatch(**COMMON, batch_id="b"), id="batch.abort"),
        pytest.param(
            written("batch.start", kind="run", direction="patients-to-contacts", create_unmatched=None),
            StartBatch(**COMMON, kind=BatchKind.RUN, direction=Direction.PATIENTS_TO_CONTACTS),
            id="batch.start",
        ),
        pytest.param(
            written("batch.start", kind="preview", direction="contacts-to-patients", contact_ids=["a", "b"]),
            StartBatch(
                **COMMON,
                kind=BatchKind.PREVIEW,
                direction=Direction.CONTACTS_TO_PATIENTS,
                contact_ids=("a", "b"),
            ),
            id="batch.start of Contacts",
        ),
        pytest.param(written(since="tomorrow"), PauseSync(**COMMON), id="a field of a later version"),
        pytest.param(
            written(connection="Zürich", requested_by="x" * 200),
            PauseSync(id=UUID(ID), connection="Zürich", requested_by="x" * 200),
            id="longest and not only ASCII",
        ),
    ],
)
def test_a_message_is_read(body: bytes, message: object) -> None:
    assert read_message(body) == message


@pytest.mark.parametrize(
    ("kind", "command"),
    [("batch.pause", Command.PAUSE), ("batch.resume", Command.RESUME), ("batch.abort", Command.ABORT)],
)
def test_a_message_about_a_batch_has_its_command(kind: str, command: Command) -> None:
    message = read_message(written(kind, batch_id="b"))
    assert isinstance(message, PauseBatch | ResumeBatch | AbortBatch)
    assert message.command is command


@pytest.mark.parametrize(
    ("body", "cause", "says"),
    [
        pytest.param(written(v=2), "unknown_version", "version 2", id="version"),
        pytest.param(written(SECRET), "unknown_type", "known are batch.start, batch.pause", id="type"),
        pytest.param(written(v="1"), "unreadable", "$.v", id="version as text"),
        pytest.param(written(connection=5), "unreadable", "$.connection", id="number for a text"),
        pytest.param(written(connection=""), "unreadable", "length >= 1", id="empty text"),
        pytest.param(written(requested_by="x" * 201), "unreadable", "length <= 200", id="too long"),
        pytest.param(written(requested_by="ann\n" + SECRET), "unreadable", "requested_by", id="not printable"),
        pytest.param(written("batch.abort", batch_id="b\0"), "unreadable", "batch_id", id="zero byte"),
        pytest.param(written("batch.abort"), "unreadable", "batch_id", id="missing field"),
        pytest.param(
            written("batch.start", kind=SECRET, direction="patients-to-contacts"), "unreadable", "$.kind", id="word"
        ),
        pytest.param(
            written("batch.start", kind="run", direction="contacts-to-patients", contact_ids=["a", 1]),
            "unreadable",
            "$.contact_ids[1]",
            id="number for an id",
        ),
    ],
)
def test_a_bad_message_is_refused_by_a_sentence_that_quotes_nothing_of_it(body: bytes, cause: str, says: str) -> None:
    with pytest.raises(BadMessage) as refused:
        read_message(body)
    assert (refused.value.cause, refused.value.message_id) == (cause, ID)
    assert says in str(refused.value)
    assert SECRET not in str(refused.value)


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"\xff\xfe\x00", id="bytes"),
        pytest.param(b"null", id="null"),
        pytest.param(b"[1]", id="array"),
        pytest.param(b'{"v":1', id="cut off"),
        pytest.param(b'{"v":1e400,"type":"sync.pause"}', id="number out of range"),
        pytest.param(b'{"a":' + b"[" * 100_000, id="nested without end"),
        pytest.param(b'{"v":1,"type":"\xc3("}', id="no UTF-8"),
        pytest.param(b'{"v":1,"type":"sync.pause","id":"1","connection":"c","requested_by":"r"}', id="no UUID"),
    ],
)
def test_rubbish_is_a_bad_message_without_an_id(body: bytes) -> None:
    with pytest.raises(BadMessage) as refused:
        read_message(body)
    assert (refused.value.cause, refused.value.message_id) == ("unreadable", None)


def test_an_answer_has_what_it_is_about_and_nothing_else() -> None:
    assert json.loads(write_answer(ID)) == {"v": 1, "id": ID, "ok": True}
    assert json.loads(write_answer(ID, batch_id="b")) == {"v": 1, "id": ID, "ok": True, "batch_id": "b"}
    assert json.loads(write_answer(None, refused="No.")) == {"v": 1, "id": None, "ok": False, "refused": "No."}
