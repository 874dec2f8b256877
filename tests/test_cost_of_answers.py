"""An answer costs what it is long, at every method that streams one or gives it whole.

Counts bytes, not seconds: how far memory rises for a moment in each turn of the event loop, added up. What
copies all that was said so far with every word comes to the square of it, which here is some 700 times the
answer.
"""

import asyncio
import gc
import tracemalloc
from collections.abc import AsyncIterator, Awaitable

import grpc
import pytest
from google.protobuf.message import Message
from google.protobuf.struct_pb2 import Value

from generated.parley.v1.agent_chat_service_pb2 import CreateAgentChatRequest, CreateMessageRequest
from generated.parley.v1.agent_chat_service_pb2_grpc import AgentChatServiceStub
from generated.parley.v1.chat_service_pb2 import CreateChatRequest, WatchChatRequest
from generated.parley.v1.chat_service_pb2_grpc import ChatServiceStub
from generated.parley.v1.completion_service_pb2 import ChatCompletionInputMessage, CreateChatCompletionRequest
from generated.parley.v1.history_service_pb2 import ExportHistoryRequest
from generated.parley.v1.response_service_pb2 import (
    ConnectResponsesRequest,
    CreateResponseRequest,
    GetResponseRequest,
)
from tests.conftest import Org
from tests.descriptors import METHODS, Method

WORDS = 6_000
WORD = "w" * 50
MOST = 100
"""Bytes for each byte of the answer; three to thirty are used."""
ANSWERING = (CreateChatRequest, CreateResponseRequest, CreateChatCompletionRequest, CreateMessageRequest)
"""What asks for an answer; what reads one that is on record is the others' business."""
STREAMING = [method for method in METHODS if method.streams]
REPEATED = [method for method in STREAMING if method.request in ANSWERING]
UNARY = [method for method in METHODS if not method.streams and method.request in ANSWERING]


async def requested(kind: type, words: int, org: Org, channel: grpc.aio.Channel) -> Message:
    """A request of this type for an answer of that many words, made before if it is to be read again."""
    text = Value(string_value=" ".join([WORD] * words))
    if kind is CreateChatRequest:
        return CreateChatRequest(assistant_id=org.assistant_id, input=text, stream=True)
    if kind is CreateResponseRequest:
        return CreateResponseRequest(assistant_id=org.assistant_id, input=text, stream=True)
    if kind is ConnectResponsesRequest:
        return ConnectResponsesRequest(
            create=CreateResponseRequest(assistant_id=org.assistant_id, input=text)
        )
    if kind is CreateChatCompletionRequest:
        return CreateChatCompletionRequest(
            agent_id=org.assistant_id,
            stream=True,
            messages=[ChatCompletionInputMessage(role="user", content=text)],
        )
    if kind is CreateMessageRequest:
        chat = await AgentChatServiceStub(channel).CreateAgentChat(
            CreateAgentChatRequest(agent_id=org.assistant_id), metadata=org.metadata
        )
        return CreateMessageRequest(chat_id=chat.id, content=text.string_value)
    if kind is ExportHistoryRequest:
        await streamed(text, org, channel)
        return ExportHistoryRequest()
    chat_id = await streamed(text, org, channel)
    if kind is WatchChatRequest:
        return WatchChatRequest(id=chat_id, after=words // 2)
    assert kind is GetResponseRequest, f"{kind.__name__} is new: say here how its answer is asked for"
    return GetResponseRequest(
        response_id=f"resp_{chat_id.replace('-', '')}", stream=True, starting_after=words // 2
    )


async def streamed(text: Value, org: Org, channel: grpc.aio.Channel) -> str:
    """A streamed chat that is over; its id."""
    events = [
        event
        async for event in ChatServiceStub(channel).StreamChat(
            CreateChatRequest(assistant_id=org.assistant_id, input=text), metadata=org.metadata
        )
    ]
    return events[0].chat_id


async def answered(
    method: Method, request: Message, org: Org, channel: grpc.aio.Channel, *more: tuple[str, str]
) -> int:
    """How many bytes are answered."""
    call = channel.unary_stream if method.streams else channel.unary_unary
    answer = call(method.path, request_serializer=method.request.SerializeToString)(
        request, metadata=(*org.metadata, *more), timeout=60
    )
    return sum([len(message) async for message in answer]) if method.streams else len(await answer)


IDLE_TURN = 4_096
"""Bytes that a turn of the loop may take in which everybody waits: for the journal's next commit there are thousands."""


async def work_of(doing: Awaitable[int]) -> tuple[int, int]:
    """How far memory rises in each turn of the loop, added up, and what comes of it."""
    risen = 0

    async def look() -> None:
        nonlocal risen
        before = tracemalloc.get_traced_memory()[0]
        while True:
            tracemalloc.reset_peak()
            await asyncio.sleep(0)
            now, peak = tracemalloc.get_traced_memory()
            risen, before = risen + max(0, peak - before - IDLE_TURN), now

    gc.collect()
    gc.disable()
    tracemalloc.start()
    looking = asyncio.create_task(look())
    try:
        length = await doing
        return risen, length
    finally:
        looking.cancel()
        tracemalloc.stop()
        gc.enable()


@pytest.fixture(autouse=True)
async def warm(org: Org, channel: grpc.aio.Channel) -> AsyncIterator[None]:
    """What is loaded or remembered once is none of the work."""
    await streamed(Value(string_value="hello"), org, channel)
    yield


@pytest.mark.parametrize("method", STREAMING, ids=str)
async def test_stream_costs_what_it_is_long(method: Method, org: Org, channel: grpc.aio.Channel) -> None:
    request = await requested(method.request, WORDS, org, channel)
    await answered(method, await requested(method.request, 2, org, channel), org, channel)

    work, length = await work_of(answered(method, request, org, channel))

    assert length > 3 * WORDS
    assert work < MOST * length


@pytest.mark.parametrize("method", REPEATED, ids=str)
async def test_stream_that_is_sent_again_costs_what_it_is_long(
    method: Method, org: Org, channel: grpc.aio.Channel
) -> None:
    request, key = await requested(method.request, WORDS, org, channel), ("idempotency-key", "again")
    await answered(method, request, org, channel, key)

    work, length = await work_of(answered(method, request, org, channel, key))

    assert length > 3 * WORDS
    assert work < MOST * length


@pytest.mark.parametrize("method", UNARY, ids=str)
async def test_whole_answer_costs_what_it_is_long(
    method: Method, org: Org, channel: grpc.aio.Channel
) -> None:
    request = await requested(method.request, WORDS, org, channel)
    if "stream" in request.DESCRIPTOR.fields_by_name:
        request.stream = False

    work, length = await work_of(answered(method, request, org, channel))

    assert length > 3 * WORDS
    assert work < MOST * length
