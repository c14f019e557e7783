"""Batches (README rules 6 to 8): asked for, steered and looked at.  The workers do the work."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from hintd.composition import House
from hintd.core.batch import Batch, BatchRow, Command, RowOutcome
from hintd.core.contact_list import ContactListReader, Line
from hintd.desk.finding import find_connected, find_connection
from hintd.service.batch_answers import BatchJson, batch_json
from hintd.service.batches import BatchRequest, command_batch, start_batch
from hintd.web.shapes import BatchStartedJson, UploadJson


@dataclass(frozen=True, slots=True)
class HouseBatches:
    house: House

    async def all(self, name: str, *, limit: int) -> Sequence[BatchJson]:
        connection = await find_connection(self.house, name)
        found = await self.house.stores.batches.all(connection.id, limit=limit)
        return [batch_json(each, name, self.house.now()) for each in found]

    async def start(self, name: str, request: BatchRequest) -> BatchStartedJson:
        house = self.house
        made = await start_batch(
            house.stores,
            await find_connected(house, name),
            request,
            now=house.now(),
            calls_left=house.calls_left,
            stamp_all=house.config.sync.stamp == "all",
        )
        return {"batch_id": made.id, "message": made.message}

    async def upload(self, name: str, chunks: AsyncIterator[bytes]) -> UploadJson:
        house = self.house
        connection = await find_connected(house, name)
        lines = _lines(chunks, ContactListReader(house.config.limits.max_csv_rows))
        made = await house.stores.uploads.add(connection.id, lines, at=house.now())
        return {"upload_id": made.id, "ids": made.ids, "repeated": made.repeated, "ignored": made.ignored}

    async def status(self, batch_id: str) -> BatchJson:
        return await self._shown(await self.house.stores.batches.get(batch_id))

    async def command(self, batch_id: str, command: Command) -> BatchJson:
        return await self._shown(await command_batch(self.house.stores, batch_id, command, now=self.house.now()))

    async def rows(self, batch_id: str, *, after: int, limit: int, outcome: RowOutcome | None) -> Sequence[BatchRow]:
        return await self.house.stores.batch_work.rows(batch_id, after=after, limit=limit, outcome=outcome)

    async def _shown(self, batch: Batch) -> BatchJson:
        names = {connection.id: connection.name for connection in await self.house.stores.connections.all()}
        return batch_json(batch, names[batch.connection_id], self.house.now())


async def _lines(chunks: AsyncIterator[bytes], reader: ContactListReader) -> AsyncIterator[Line]:
    async for chunk in chunks:
        for line in reader.feed(chunk):
            yield line
    for line in reader.finish():
        yield line
