"""May hintd's user subscribe to the changes of Contacts?  Asked once, when a person checks the connection."""

from __future__ import annotations

from typing import Any

import grpc.aio

from hintd.salesforce.pubsub_api_pb2 import TopicRequest
from hintd.salesforce.pubsub_api_pb2_grpc import PubSubStub
from hintd.salesforce.stream import PubSub
from hintd.salesforce.stream_errors import CREDENTIALS_SENTENCE, Ending, classify, describe, remedy
from hintd.salesforce.subscription import call_metadata, open_channel


async def find_stream_trouble(pubsub: PubSub, *, timeout_s: float = 10.0) -> tuple[str, str] | None:
    """What keeps the stream from running and its remedy; None when it can.  Raises what getting a token raises."""
    metadata = call_metadata(await pubsub.token())
    async with open_channel(pubsub.address, tls=pubsub.tls) as channel:
        try:
            topic: Any = await PubSubStub(channel).GetTopic(
                TopicRequest(topic_name=pubsub.topic), metadata=metadata, timeout=timeout_s
            )
        except grpc.aio.AioRpcError as error:
            return describe(error), _remedy(error, pubsub)
    if not topic.can_subscribe:
        return "cannot_subscribe", f"Give hintd's user read access to Contact: it may not subscribe to {pubsub.topic}."
    return None


def _remedy(error: grpc.aio.AioRpcError, pubsub: PubSub) -> str:
    match classify(error):
        case Ending.TOKEN:
            return CREDENTIALS_SENTENCE
        case Ending.MISCONFIGURED:
            return remedy(error, pubsub.topic)
    return f"Check that {pubsub.address} can be reached from here; hintd polls meanwhile."
