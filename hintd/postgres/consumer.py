"""One consumer of an inbox queue: claims in runs, hands out one by one, and settles.

``Hands`` knows every message in hand of the process, so that one statement renews all their leases, also of those
whose consumer has stopped taking and whose work is still being finished.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

from hintd.ports import BusDown, Delivery
from hintd.postgres.bell import Bell
from hintd.postgres.inbox import Claimed, Inbox

Settled = Callable[[], None]


class Hands:
    def __init__(self, inbox: Inbox, bell: Bell, *, lease_s: float) -> None:
        self.inbox = inbox
        self.bell = bell
        self.lease_s = lease_s
        self._held: dict[tuple[int, int], Claimed] = {}

    async def claim(self, queue: str, limit: int) -> list[Claimed]:
        claimed = await self.inbox.claim(queue, limit=limit, lease_s=self.lease_s)
        self._held.update({(c.id, c.turn): c for c in claimed})
        return claimed

    def drop(self, claimed: Claimed) -> None:
        self._held.pop((claimed.id, claimed.turn), None)

    async def give_back(self, claimed: Claimed, delay_s: float, *, counted: bool) -> None:
        await self.inbox.give_back(claimed, delay_s=delay_s, counted=counted)
        # The poll alone would round a short delay up to its interval.
        asyncio.get_running_loop().call_later(delay_s, self.bell.ring, claimed.queue)

    async def let_go(self) -> None:
        held, self._held = list(self._held.values()), {}
        await asyncio.gather(*(self.inbox.give_back(claimed, counted=False) for claimed in held))

    async def renew_for_ever(self) -> None:
        while True:
            await asyncio.sleep(self.lease_s / 3)
            if not self._held:
                continue
            try:
                await self.inbox.renew(list(self._held.values()), lease_s=self.lease_s)
            except BusDown:
                pass  # the lease outlasts two of these; after that the messages come back


class InboxDelivery:
    """One message in hand.  Whatever becomes of settling it, it is out of our hands: unsettled it comes back."""

    def __init__(self, claimed: Claimed, hands: Hands, settled: Settled) -> None:
        self.body = claimed.body
        self.attempt = claimed.attempt
        self._claimed = claimed
        self._hands = hands
        self._settled = settled

    async def ack(self) -> None:
        await self._settle(self._hands.inbox.ack(self._claimed))

    async def retry(self, delay_s: float) -> None:
        await self._settle(self._hands.give_back(self._claimed, delay_s, counted=True))

    async def release(self) -> None:
        await self._settle(self._hands.give_back(self._claimed, 0.0, counted=False))

    async def answer(self, body: bytes) -> None:
        """The table keeps no way back to a sender, who finds the answer in the batch's row or in the log."""

    async def _settle(self, settling: Awaitable[None]) -> None:
        try:
            await settling
        finally:
            self._hands.drop(self._claimed)
            self._settled()


class Consumer:
    """An iterator of deliveries with at most ``prefetch`` of them unsettled."""

    def __init__(self, hands: Hands, queue: str, *, prefetch: int, poll_s: float) -> None:
        self._hands = hands
        self._queue = queue
        self._room = prefetch
        self._poll_s = poll_s
        self._ready: asyncio.Queue[InboxDelivery | BaseException] = asyncio.Queue()
        self._wake = asyncio.Event()
        self._wants_room = False
        self._stopping = False

    def __aiter__(self) -> AsyncIterator[Delivery]:
        return self

    async def __anext__(self) -> Delivery:
        got = await self._ready.get()
        if isinstance(got, BaseException):
            raise got
        return got

    def stop(self) -> None:
        self._stopping = True
        self._wake.set()

    def fail(self, error: BaseException) -> None:
        self._ready.put_nowait(error)

    async def feed(self) -> None:
        """Until ``stop``; not to be cancelled in the midst of a claim, whose messages would be out until their lease
        ends."""
        self._hands.bell.add(self._queue, self._wake)
        try:
            while not self._stopping:
                await self._claim_or_wait()
        except Exception as error:  # the iterator raises it to whoever consumes
            self.fail(error)
        finally:
            self._hands.bell.remove(self._queue, self._wake)
            await self._give_back_ready()

    async def _claim_or_wait(self) -> None:
        self._wake.clear()
        asked = self._room
        got = await self._claim(asked) if asked else 0
        if got < asked or not asked:
            self._wants_room = not asked
            await self._wait()

    async def _claim(self, limit: int) -> int:
        try:
            claimed = await self._hands.claim(self._queue, limit)
        except BusDown:
            return 0  # wait and look again
        self._room -= len(claimed)
        for message in claimed:
            self._ready.put_nowait(InboxDelivery(message, self._hands, self._made_room))
        return len(claimed)

    def _made_room(self) -> None:
        self._room += 1
        if self._wants_room:  # else the queue was empty, and it is a new message that wakes us
            self._wake.set()

    async def _wait(self) -> None:
        try:
            async with asyncio.timeout(self._poll_s):
                await self._wake.wait()
        except TimeoutError:
            pass

    async def _give_back_ready(self) -> None:
        waiting = [self._ready.get_nowait() for _ in range(self._ready.qsize())]
        deliveries = [one for one in waiting if isinstance(one, InboxDelivery)]
        for outcome in await asyncio.gather(*(one.release() for one in deliveries), return_exceptions=True):
            if isinstance(outcome, BaseException) and not isinstance(outcome, BusDown):
                raise outcome
