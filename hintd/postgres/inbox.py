"""The inbox: durable queues in a table.  The embedded bus is made of it, and what RabbitMQ cannot take waits here.

A message in hand is one that is due again when its lease ends, so a killed consumer's messages come back by
themselves.  Deliveries are counted when claiming, not when settling, so that a message which kills its consumer
cannot loop for ever.  All methods raise BusDown when Postgres is not there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

from hintd.ports import BusDown, StoreDown
from hintd.postgres.grouped import Grouped
from hintd.postgres.pool import Database

CHANNEL = "hintd_inbox"  # notifications; the payload is the queue that got a message
DEAD = "dead"  # the queue of dead letters

_PUT = "insert into inbox (queue, key, body) select $1, key, body from unnest($2::text[], $3::bytea[]) as p (key, body)"

# A statement of its own: within the insert's transaction it would make every commit take the lock of all notifications.
# It is a commit of its own too, so it is not made more often than anybody can feel.
_TELL_EVERY_S = 0.005
_NOTIFY = "select pg_notify('hintd_inbox', queue) from unnest($1::text[]) as queue"

# What was delivered $4 times without ever being given back goes to the dead letters instead.
_CLAIM = """
with due as (
    select id, strikes >= $4 and queue <> 'dead' as is_dead from inbox
    where queue = $1 and due_at <= now() order by due_at, id limit $2 for update skip locked
)
update inbox set
    queue = case when is_dead then 'dead' else queue end,
    turn = turn + 1,
    attempts = attempts + (not is_dead)::integer,
    strikes = case when is_dead then 0 else strikes + 1 end,
    due_at = case when is_dead then now() else now() + $3 end
from due where inbox.id = due.id
returning inbox.id, inbox.queue, key, body, turn, attempts
"""

# Without a look at the turn: who has settled a message has settled it, however late.
_ACK = "delete from inbox where id = any($1::bigint[])"

_GIVE_BACK = """
update inbox set
    due_at = now() + given.delay,
    turn = inbox.turn + 1,
    attempts = inbox.attempts - (not given.counted)::integer,
    strikes = case when given.counted then 0 else greatest(inbox.strikes - 1, 0) end
from unnest($1::bigint[], $2::integer[], $3::interval[], $4::boolean[]) as given (id, turn, delay, counted)
where inbox.id = given.id and inbox.turn = given.turn
"""

_RENEW = """
update inbox set due_at = now() + $3
from unnest($1::bigint[], $2::integer[]) as held (id, turn)
where inbox.id = held.id and inbox.turn = held.turn
"""

_WAITING = "select queue, count(*) as messages from inbox group by queue"


@dataclass(frozen=True, slots=True)
class Claimed:
    """A message in hand until its lease ends.  ``turn`` makes what is done with it too late do nothing."""

    id: int
    queue: str
    key: str
    body: bytes
    turn: int
    attempt: int


@dataclass(frozen=True, slots=True)
class _Return:
    claimed: Claimed
    delay: timedelta
    counted: bool


@contextmanager
def _as_bus() -> Iterator[None]:
    try:
        yield
    except StoreDown as error:
        raise BusDown(str(error)) from error


class Inbox:
    """``delivery_limit``: so often may a message be delivered without being given back."""

    def __init__(self, database: Database, *, delivery_limit: int = 20) -> None:
        self._db = database
        self._limit = delivery_limit
        self._puts: dict[str, Grouped[tuple[str, bytes]]] = {}
        self._unheard: set[str] = set()  # queues whose new messages other processes have not been told of
        self._telling: asyncio.Task[None] | None = None
        self._acks = Grouped(self._ack_all)
        self._returns = Grouped(self._give_back_all)

    async def put(self, queue: str, body: bytes, key: str) -> None:
        """Returns when the message is committed."""
        group = self._puts.get(queue)
        if group is None:
            group = self._puts[queue] = Grouped(partial(self._put_all, queue))
        await group.add((key.replace("\0", ""), body))  # text in Postgres cannot hold NUL

    async def claim(self, queue: str, *, limit: int, lease_s: float) -> list[Claimed]:
        """Up to ``limit`` messages that are due, oldest first; ours for ``lease_s`` seconds."""
        with _as_bus():
            rows = await self._db.rows(_CLAIM, queue, limit, timedelta(seconds=lease_s), self._limit)
        claimed = [Claimed(r["id"], r["queue"], r["key"], r["body"], r["turn"], r["attempts"]) for r in rows]
        return sorted((c for c in claimed if c.queue == queue), key=lambda c: c.id)

    async def ack(self, claimed: Claimed) -> None:
        await self._acks.add(claimed.id)

    async def give_back(self, claimed: Claimed, *, delay_s: float = 0.0, counted: bool = True) -> None:
        """Due again after ``delay_s``; ``counted`` False: as if it had never been delivered."""
        await self._returns.add(_Return(claimed, timedelta(seconds=delay_s), counted))

    async def renew(self, held: Sequence[Claimed], *, lease_s: float) -> None:
        """Ours for ``lease_s`` more seconds, but for those that were taken over."""
        with _as_bus():
            await self._db.run(_RENEW, [c.id for c in held], [c.turn for c in held], timedelta(seconds=lease_s))

    async def waiting(self) -> Mapping[str, int]:
        """Messages by queue, delayed ones and those in hand included."""
        with _as_bus():
            return {row["queue"]: row["messages"] for row in await self._db.rows(_WAITING)}

    async def _put_all(self, queue: str, messages: Sequence[tuple[str, bytes]]) -> None:
        with _as_bus():
            await self._db.run(_PUT, queue, [key for key, _ in messages], [body for _, body in messages])
        self._unheard.add(queue)
        if self._telling is None:
            self._telling = asyncio.create_task(self._tell_others(), name="notify")

    async def _tell_others(self) -> None:
        """Nobody waits for it, and what is lost of it the others find by their own looking."""
        try:
            while self._unheard:
                queues = list(self._unheard)
                self._unheard.clear()
                with suppress(StoreDown):
                    await self._db.run(_NOTIFY, queues)
                await asyncio.sleep(_TELL_EVERY_S)
        finally:
            self._telling = None

    async def _ack_all(self, ids: Sequence[int]) -> None:
        with _as_bus():
            await self._db.run(_ACK, ids)

    async def _give_back_all(self, given: Sequence[_Return]) -> None:
        turns = [(g.claimed.id, g.claimed.turn, g.delay, g.counted) for g in given]
        with _as_bus():
            await self._db.run(_GIVE_BACK, *(list(column) for column in zip(*turns, strict=True)))
