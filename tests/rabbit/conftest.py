from __future__ import annotations

from collections.abc import AsyncIterator

import aio_pika
import pytest
from aio_pika.abc import AbstractChannel

from hintd.rabbit.bus import RabbitBus
from hintd.rabbit.topology import split_url


@pytest.fixture
async def bus(amqp_url: str) -> AsyncIterator[RabbitBus]:
    async with RabbitBus(amqp_url) as bus:
        await bus.wait_connected(10)
        yield bus


@pytest.fixture
async def channel(amqp_url: str) -> AsyncIterator[AbstractChannel]:
    """Another program's channel to the same broker."""
    connection = await aio_pika.connect(split_url(amqp_url)[0])
    async with connection, connection.channel(on_return_raises=True) as channel:
        yield channel
