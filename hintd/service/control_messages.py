"""Control messages: what other programs may ask of hintd, and what it answers.  The envelope is public and versioned.

On RabbitMQ a program publishes to the topic exchange ``hintd.control`` (``<prefix>.control``), with any routing key.
The body is one JSON object in UTF-8.  Every message has:

- ``v``: 1.
- ``id``: a UUID that its sender makes.  The same id is the same message: sent again it changes nothing, and who was
  refused asks anew under a new id.
- ``type``: one of those below.
- ``connection``: the connection's name.
- ``requested_by``: who asks, for batches and the log.  It is a claim that nobody checks: who may publish to the
  exchange is a matter of the broker's permissions.

Types, with the fields that they have besides:

- ``batch.start``: ``kind`` (``run``, ``preview``), ``direction`` (``patients-to-contacts``, ``contacts-to-patients``),
  and optionally ``create_unmatched`` (else as the connection is set), ``from_preview`` (the batch id of a preview that
  is done), for patients ``include_archived``, and for Contacts, unless they are a preview's, either ``upload_id`` or
  ``contact_ids``, up to 10,000 of them.
- ``batch.pause``, ``batch.resume``, ``batch.abort``: ``batch_id``.
- ``sync.pause``, ``sync.resume``: changes wait, and are lost by no pause.  A batch that is running goes on.
- ``sweep.start``: look for changes that no event told within seconds, not at the next interval; of a paused
  connection once it goes on.

Texts have 1 to 200 printable characters; null is as good as leaving an optional field out.  Unknown fields are ignored,
so that later versions may add some.  A message of an unknown type or version, or one that cannot be read, is parked.

A message with ``reply_to`` gets one answer there, by the default exchange and with its ``correlation_id``:
``{"v": 1, "id": …, "ok": true, "batch_id": …}``, the batch's id where there is one, or
``{"v": 1, "id": …, "ok": false, "refused": "a sentence"}``.  It is sent once: who needs to be sure looks at the batch.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar, TypeVar, get_args
from uuid import UUID

import msgspec
from msgspec import UNSET, Meta, UnsetType

from hintd.core.batch import BatchKind, Command, Direction

VERSION = 1

Text = Annotated[str, Meta(min_length=1, max_length=200)]


class _Message(msgspec.Struct, frozen=True, kw_only=True, tag_field="type"):
    id: UUID
    connection: Text
    requested_by: Text


class StartBatch(_Message, frozen=True, tag="batch.start"):
    kind: BatchKind
    direction: Direction
    create_unmatched: bool | None = None
    include_archived: bool | None = None
    upload_id: Text | None = None
    contact_ids: tuple[str, ...] | None = None
    from_preview: Text | None = None


class _OfBatch(_Message, frozen=True):
    command: ClassVar[Command]
    batch_id: Text


class PauseBatch(_OfBatch, frozen=True, tag="batch.pause"):
    command = Command.PAUSE


class ResumeBatch(_OfBatch, frozen=True, tag="batch.resume"):
    command = Command.RESUME


class AbortBatch(_OfBatch, frozen=True, tag="batch.abort"):
    command = Command.ABORT


class PauseSync(_Message, frozen=True, tag="sync.pause"):
    pass


class ResumeSync(_Message, frozen=True, tag="sync.resume"):
    pass


class StartSweep(_Message, frozen=True, tag="sweep.start"):
    pass


CommandBatch = PauseBatch | ResumeBatch | AbortBatch
Message = StartBatch | CommandBatch | PauseSync | ResumeSync | StartSweep

TYPES = tuple(kind.__struct_config__.tag for kind in get_args(Message))


class _Envelope(msgspec.Struct, frozen=True):
    v: int
    type: str


class _Named(msgspec.Struct, frozen=True):
    id: UUID


class _Answer(msgspec.Struct, frozen=True):
    v: int
    id: str | None
    ok: bool
    batch_id: str | UnsetType = UNSET
    refused: str | UnsetType = UNSET


class BadMessage(ValueError):
    """No control message that this hintd understands: ``str()`` is a sentence that quotes nothing of it, ``cause`` a
    word, ``message_id`` the sender's where it can be read."""

    def __init__(self, cause: str, sentence: str, message_id: str | None) -> None:
        super().__init__(sentence)
        self.cause = cause
        self.message_id = message_id


_named = msgspec.json.Decoder(_Named)
_envelope = msgspec.json.Decoder(_Envelope)
_message: msgspec.json.Decoder[Message] = msgspec.json.Decoder(Message)

T = TypeVar("T")


def read_message(body: bytes) -> Message:
    """Raises BadMessage."""
    envelope = _decode(body, _envelope)
    if envelope.v != VERSION:
        sentence = f"The control message is of version {envelope.v}; this hintd understands version {VERSION}."
        raise BadMessage("unknown_version", sentence, _id(body))
    if envelope.type not in TYPES:
        sentence = f"The type of the control message is unknown; known are {', '.join(TYPES)}."
        raise BadMessage("unknown_type", sentence, _id(body))
    message = _decode(body, _message)
    for name, text in _texts(message):
        if not text.isprintable():
            sentence = f"The control message has characters that do not print in its {name}."
            raise BadMessage("unreadable", sentence, _id(body))
    return message


def write_answer(message_id: str | None, *, batch_id: str | None = None, refused: str | None = None) -> bytes:
    answer = _Answer(VERSION, message_id, refused is None, batch_id or UNSET, refused or UNSET)
    return msgspec.json.encode(answer)


def _decode(body: bytes, decoder: msgspec.json.Decoder[T]) -> T:
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        raise BadMessage("unreadable", _readable(error), _id(body)) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise BadMessage("unreadable", "The control message is no valid JSON.", None) from None


def _id(body: bytes) -> str | None:
    try:
        return str(_named.decode(body).id)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _readable(error: msgspec.ValidationError) -> str:
    """What msgspec says names fields and types, but for a word that it does not know, which it quotes."""
    what, _, place = str(error).partition(" - at ")
    what = "an unknown word" if what.startswith("Invalid enum") else what
    return f"The control message cannot be read: {what}{f' at {place}' if place else ''}."


def _texts(message: Message) -> Iterator[tuple[str, str]]:
    for name in message.__struct_fields__:
        value = getattr(message, name)
        if isinstance(value, str):
            yield name, value
