"""How a change notice travels on the bus.

Body, version 1: the two bytes ``H1``, the header's length as four bytes big-endian, the header as JSON, and the sealed
snapshot, which may be empty.  The header carries ids and times only; patients' values are in the sealed part.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

import msgspec

from hintd.core.model import Change, Notice, Side, Source

MAGIC = b"H1"
_HEAD = len(MAGIC) + 4

Seal = Callable[[bytes], bytes]


class Header(msgspec.Struct, frozen=True):
    id: str
    source: Source
    connection: str
    side: Side
    record_id: str
    change: Change
    stamp: datetime | None
    accepted_at: datetime


class BadEnvelope(ValueError):
    """The message is no change notice that this version understands; ``str()`` says why, without its content."""

    def __init__(self, sentence: str, notice_id: str | None = None) -> None:
        super().__init__(sentence)
        self.notice_id = notice_id


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Header)


def pack_notice(notice: Notice, seal: Seal) -> bytes:
    header = _encoder.encode(
        Header(
            notice.id,
            notice.source,
            notice.connection,
            notice.side,
            notice.record_id,
            notice.change,
            notice.stamp,
            notice.accepted_at,
        )
    )
    snapshot = seal(notice.snapshot) if notice.snapshot is not None else b""
    return b"".join((MAGIC, len(header).to_bytes(4, "big"), header, snapshot))


def unpack_notice(body: bytes, unseal: Seal, *, attempt: int = 1) -> Notice:
    """Raises BadEnvelope; and what ``unseal`` raises is turned into one, with the notice's id."""
    if body[:2] != MAGIC:
        raise BadEnvelope("the message does not begin like a change notice of version 1")
    end = _HEAD + int.from_bytes(body[2:_HEAD], "big")
    try:
        header = _decoder.decode(body[_HEAD:end])
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise BadEnvelope("the header of the change notice cannot be read") from error
    notice = Notice(
        id=header.id,
        source=header.source,
        connection=header.connection,
        side=header.side,
        record_id=header.record_id,
        change=header.change,
        stamp=header.stamp,
        accepted_at=header.accepted_at,
        attempt=attempt,
    )
    if len(body) == end:
        return notice
    try:
        return replace(notice, snapshot=unseal(body[end:]))
    except Exception as error:  # whatever the injected unsealing raises, the message stays unreadable
        raise BadEnvelope("the snapshot cannot be unsealed with the configured keys", header.id) from error
