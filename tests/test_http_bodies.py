"""Methods that answer HTTP with a whole body or a stream of them, as a gRPC client reads them."""

import grpc
import httpx
import orjson
import pytest
from google.protobuf.struct_pb2 import Value

from generated.parley.v1.chat_service_pb2 import CreateChatRequest
from generated.parley.v1.chat_service_pb2_grpc import ChatServiceStub
from generated.parley.v1.completion_service_pb2 import ChatCompletionInputMessage, CreateChatCompletionRequest
from generated.parley.v1.completion_service_pb2_grpc import CompletionServiceStub
from generated.parley.v1.response_service_pb2 import CreateResponseRequest, GetResponseRequest
from generated.parley.v1.response_service_pb2_grpc import ResponseServiceStub
from tests.conftest import Org

HELLO = Value(string_value="Hello")


def completion(model: str, *, stream: bool) -> CreateChatCompletionRequest:
    message = ChatCompletionInputMessage(role="user", content=HELLO)
    return CreateChatCompletionRequest(model=model, messages=[message], stream=stream)


@pytest.fixture
async def assistant(http: httpx.AsyncClient, org: Org) -> str:
    response = await http.post("/assistant", json={"name": "whole"}, headers=org.bearer)
    return response.json()["id"]


async def test_whole_answer_is_one_body(channel: grpc.aio.Channel, org: Org, assistant: str) -> None:
    created = ResponseServiceStub(channel).PostResponse(
        CreateResponseRequest(model=assistant, input=HELLO, stream=False), metadata=org.metadata
    )
    bodies = [body async for body in created]
    read = GetResponseRequest(response_id=orjson.loads(bodies[0].data)["id"])
    calls = (
        ChatServiceStub(channel).PostChat(
            CreateChatRequest(assistant_id=assistant, input=HELLO), metadata=org.metadata
        ),
        CompletionServiceStub(channel).PostChatCompletion(
            completion(assistant, stream=False), metadata=org.metadata
        ),
        ResponseServiceStub(channel).FetchResponse(read, metadata=org.metadata),
    )
    for call in calls:
        bodies += [body async for body in call]

    assert [body.content_type for body in bodies] == ["application/json"] * 4
    assert all(orjson.loads(body.data)["id"] for body in bodies)


async def test_stream_of_bodies_ends_with_its_last_frame(
    channel: grpc.aio.Channel, org: Org, assistant: str
) -> None:
    call = CompletionServiceStub(channel).PostChatCompletion(
        completion(assistant, stream=True), metadata=org.metadata
    )
    bodies = [body async for body in call]

    assert {body.content_type for body in bodies} == {"text/event-stream"}
    assert len(bodies) > 1
    assert bodies[-1].data.endswith(b"data: [DONE]\n\n")
    assert await call.code() == grpc.StatusCode.OK


async def test_answer_that_is_repeated_under_its_key_is_the_same(
    channel: grpc.aio.Channel, org: Org, assistant: str
) -> None:
    metadata = (*org.metadata, ("idempotency-key", "one-body"))
    request = CreateChatRequest(assistant_id=assistant, input=HELLO)
    post = ChatServiceStub(channel).PostChat
    first = b"".join([body.data async for body in post(request, metadata=metadata)])
    again = b"".join([body.data async for body in post(request, metadata=metadata)])

    assert orjson.loads(first)["id"]
    assert again == first
