"""What only gRPC callers see: statuses with google.rpc details, metadata, event streams."""

import re
from collections.abc import Awaitable
from typing import Any

import grpc
import grpc_testing
import pytest
from google.protobuf.struct_pb2 import Value

from generated.parley.v1 import (
    agent_chat_service_pb2,
    chat_service_pb2,
    completion_service_pb2,
    session_service_pb2,
)
from generated.parley.v1.agent_chat_service_pb2_grpc import AgentChatServiceStub
from generated.parley.v1.chat_pb2 import Chat, ChatEvent, ContentDelta
from generated.parley.v1.chat_service_pb2 import CreateChatRequest, GetChatRequest
from generated.parley.v1.chat_service_pb2_grpc import ChatServiceStub
from generated.parley.v1.completion_service_pb2_grpc import CompletionServiceStub
from generated.parley.v1.session_service_pb2_grpc import SessionServiceStub
from server.core.ids import new_id
from tests.conftest import Org, Service, rows_of
from tests.contract.doors import UNKNOWN_ID, Door, details_of

Raw = grpc.aio.UnaryUnaryMultiCallable[bytes, Any]

UUID = r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"


def chat_request(text: str, **members: Any) -> CreateChatRequest:
    return CreateChatRequest(input=Value(string_value=text), **members)


async def refused(call: Awaitable[object]) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await call
    return error.value


# --- errors -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "request_", "code", "reason", "fields"),
    [
        pytest.param(
            "ChatService/CreateChat",
            CreateChatRequest(assistant_id=UNKNOWN_ID, name="n" * 41),
            grpc.StatusCode.INVALID_ARGUMENT,
            "INVALID_ARGUMENT",
            {"input": "is required", "name": "must be at most 40 characters"},
            id="proto rules",
        ),
        pytest.param(
            "ChatService/CreateChat",
            chat_request("x"),
            grpc.StatusCode.INVALID_ARGUMENT,
            "INVALID_ARGUMENT",
            {
                "assistantId": "must name who answers (or send assistant, squadId, squad, previousChatId, or the "
                "sessionId of a session that has one)"
            },
            id="nobody",
        ),
        pytest.param(
            "ChatService/CreateChat",
            chat_request("x", session_id=UNKNOWN_ID, previous_chat_id=UNKNOWN_ID),
            grpc.StatusCode.INVALID_ARGUMENT,
            "INVALID_ARGUMENT",
            {"": "sessionId and previousChatId are mutually exclusive: send one of them"},
            id="exclusion",
        ),
        pytest.param(
            "ChatService/CreateChat",
            chat_request("a\0b", assistant_id=UNKNOWN_ID),
            grpc.StatusCode.INVALID_ARGUMENT,
            "INVALID_ARGUMENT",
            {"input": "must not contain the character NUL (U+0000); leave it out"},
            id="NUL",
        ),
        pytest.param(
            "ChatService/CreateChat",
            chat_request("x", assistant_id=UNKNOWN_ID),
            grpc.StatusCode.NOT_FOUND,
            "ASSISTANT_NOT_FOUND",
            {},
            id="assistant",
        ),
        pytest.param(
            "ChatService/GetChat",
            GetChatRequest(id="x"),
            grpc.StatusCode.NOT_FOUND,
            "CHAT_NOT_FOUND",
            {},
            id="chat",
        ),
        pytest.param(
            "SessionService/GetSession",
            session_service_pb2.GetSessionRequest(id=UNKNOWN_ID),
            grpc.StatusCode.NOT_FOUND,
            "SESSION_NOT_FOUND",
            {},
            id="session",
        ),
        pytest.param(
            "AgentChatService/CreateAgentChat",
            agent_chat_service_pb2.CreateAgentChatRequest(),
            grpc.StatusCode.INVALID_ARGUMENT,
            "INVALID_ARGUMENT",
            {"agentId": "is required: the id of the assistant that answers"},
            id="agent",
        ),
        pytest.param(
            "CompletionService/CreateChatCompletion",
            completion_service_pb2.CreateChatCompletionRequest(agent_id=UNKNOWN_ID, n=0),
            grpc.StatusCode.INVALID_ARGUMENT,
            "INVALID_ARGUMENT",
            {
                "messages": "must contain at least 1 item(s)",
                "n": "must be greater than or equal to 1 and less than or equal to 16",
            },
            id="completion",
        ),
    ],
)
async def test_error_has_a_status_a_reason_and_the_fields(
    channel: grpc.aio.Channel,
    org: Org,
    method: str,
    request_: Any,
    code: Any,
    reason: str,
    fields: dict[str, Any],
) -> None:
    service, _, name = method.partition("/")
    stub = {
        "ChatService": ChatServiceStub,
        "SessionService": SessionServiceStub,
        "AgentChatService": AgentChatServiceStub,
        "CompletionService": CompletionServiceStub,
    }[service](channel)

    error = await refused(getattr(stub, name)(request_, metadata=org.metadata))

    info, bad = details_of(error)
    assert (error.code(), info.reason, info.domain) == (code, reason, "parley")
    assert {one.field: one.description for one in bad.field_violations} == fields
    assert [name for name, _ in error.trailing_metadata() if name.startswith("x-http-")] == []


async def test_session_that_is_over_is_a_failed_precondition(
    channel: grpc.aio.Channel, native: Door, org: Org
) -> None:
    session = await native.create_session(assistantId=org.assistant_id, status="completed")

    error = await refused(
        ChatServiceStub(channel).CreateChat(
            chat_request("x", session_id=session["id"]), metadata=org.metadata
        )
    )

    assert (error.code(), details_of(error)[0].reason) == (
        grpc.StatusCode.FAILED_PRECONDITION,
        "SESSION_COMPLETED",
    )


async def test_request_that_is_no_message_is_invalid(channel: grpc.aio.Channel, org: Org) -> None:
    call: Raw = channel.unary_unary(
        "/parley.v1.ChatService/CreateChat", response_deserializer=Chat.FromString
    )

    error = await refused(call(b"\xff\xff\xff", metadata=org.metadata))

    assert (error.code(), error.details()) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        "the request cannot be read: it is nested too deeply or is not valid UTF-8",
    )


async def test_request_with_a_malformed_unknown_member_is_invalid(
    channel: grpc.aio.Channel, org: Org
) -> None:
    call: Raw = channel.unary_unary(
        "/parley.v1.ChatService/CreateChat", response_deserializer=Chat.FromString
    )

    error = await refused(call(b"\x2b\x60\x40\x00\x60\x2c", metadata=org.metadata))

    assert (error.code(), error.details()) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        "the request cannot be read: a member that is not in its proto is malformed",
    )


async def test_unknown_method_is_unimplemented(channel: grpc.aio.Channel, org: Org) -> None:
    call: Raw = channel.unary_unary("/parley.v1.ChatService/Nothing")

    assert (await refused(call(b"", metadata=org.metadata))).code() == grpc.StatusCode.UNIMPLEMENTED


# --- metadata -----------------------------------------------------------------------------------------------


async def test_every_answer_has_a_request_id_in_its_trailing_metadata(
    channel: grpc.aio.Channel, org: Org
) -> None:
    stub = ChatServiceStub(channel)
    unary = stub.CreateChat(chat_request("x", assistant_id=org.assistant_id), metadata=org.metadata)
    stream = stub.StreamChat(chat_request("x", assistant_id=org.assistant_id), metadata=org.metadata)
    await unary
    async for _ in stream:
        pass
    failed = await refused(stub.GetChat(GetChatRequest(id="x"), metadata=org.metadata))
    no_key = await refused(stub.GetChat(GetChatRequest(id="x")))

    ids = [
        dict(trailing)["x-request-id"]
        for trailing in (
            await unary.trailing_metadata(),
            await stream.trailing_metadata(),
            failed.trailing_metadata(),
            no_key.trailing_metadata(),
        )
    ]
    assert len(set(ids)) == 4
    assert all(re.fullmatch(UUID, one) for one in ids)


async def test_request_id_of_the_caller_is_kept(channel: grpc.aio.Channel, org: Org) -> None:
    metadata = (*org.metadata, ("x-request-id", "mine-1"))

    failed = await refused(ChatServiceStub(channel).GetChat(GetChatRequest(id="x"), metadata=metadata))

    assert dict(failed.trailing_metadata())["x-request-id"] == "mine-1"


async def test_caller_cannot_pass_for_http(channel: grpc.aio.Channel, org: Org) -> None:
    """Without Envoy's headers there is no HTTP form of anything: the details are there, the status headers
    are not."""
    failed = await refused(ChatServiceStub(channel).GetChat(GetChatRequest(id="x"), metadata=org.metadata))

    names = {name for name, _ in failed.trailing_metadata() if not name.startswith("x-ratelimit-")}
    assert names == {"x-request-id", "grpc-status-details-bin"}


# --- streams ------------------------------------------------------------------------------------------------


async def test_events_are_started_deltas_and_the_completed_chat(
    channel: grpc.aio.Channel, native: Door, org: Org
) -> None:
    request = chat_request("a b", assistant_id=org.assistant_id)

    events = [event async for event in ChatServiceStub(channel).StreamChat(request, metadata=org.metadata)]

    started, *deltas, completed = events
    chat = completed.completed
    assert [event.WhichOneof("event") for event in events] == ["started", *["delta"] * 4, "completed"]
    assert {event.chat_id for event in events} == {chat.id}
    assert (started.model, started.system_fingerprint, started.message_id) == (
        "offline-1",
        "fp_offline",
        chat.output[0].id,
    )
    assert (started.started.status, started.started.id, len(started.started.output)) == (
        "in_progress",
        chat.id,
        0,
    )
    assert [event.delta for event in deltas] == [
        ContentDelta(text=text) for text in ("You", " said:", " a", " b")
    ]
    assert chat == await ChatServiceStub(channel).GetChat(GetChatRequest(id=chat.id), metadata=org.metadata)


async def test_terminal_event_comes_after_the_commit(
    channel: grpc.aio.Channel, service: Service, org: Org
) -> None:
    """What the last event tells is on disk by then, in the very moment it is received."""
    stub = ChatServiceStub(channel)
    async for event in stub.StreamChat(
        chat_request("x", assistant_id=org.assistant_id), metadata=org.metadata
    ):
        [(found,)] = await rows_of(service.store, "SELECT count(*) FROM chats WHERE id = ?", [event.chat_id])
        if event.WhichOneof("event") == "completed":
            assert found == 1


async def test_message_of_an_agents_chat_can_be_streamed(
    channel: grpc.aio.Channel, native: Door, org: Org
) -> None:
    chat = await native.create_agent_chat(agentId=org.assistant_id)
    request = agent_chat_service_pb2.CreateMessageRequest(chat_id=chat["id"], content="a")

    events = [
        event async for event in AgentChatServiceStub(channel).StreamMessage(request, metadata=org.metadata)
    ]

    assert {event.session_id for event in events} == {chat["id"]}
    assert "".join(event.delta.text for event in events) == "You said: a"
    messages = (await native.list_messages(chatId=chat["id"]))["messages"]
    assert [message["content"] for message in messages] == ["a", "You said: a"]


async def test_grpc_passes_through_envoy_as_it_is(service: Service, org: Org) -> None:
    async with grpc.aio.insecure_channel(service.http_url.removeprefix("http://")) as channel:
        stub = ChatServiceStub(channel)
        request = chat_request("a", assistant_id=org.assistant_id)

        chat = await stub.CreateChat(request, metadata=org.metadata)
        events = [event async for event in stub.StreamChat(request, metadata=org.metadata)]
        error = await refused(stub.GetChat(GetChatRequest(id="x"), metadata=org.metadata))

    assert (chat.output[0].message, events[-1].WhichOneof("event")) == ("You said: a", "completed")
    assert (error.code(), details_of(error)[0].reason) == (grpc.StatusCode.NOT_FOUND, "CHAT_NOT_FOUND")


# --- a client of the generated stubs, against grpc_testing --------------------------------------------------
#
# grpc_testing plays the server for code that calls stubs of the synchronous stack. The service itself cannot
# be tested with it: its server half has no aio, runs no interceptors, and its abort_with_status raises
# NotImplementedError.

CREATE, STREAM = (
    chat_service_pb2.DESCRIPTOR.services_by_name["ChatService"].methods_by_name[name]
    for name in ("CreateChat", "StreamChat")
)


@pytest.fixture
def played() -> Any:
    return grpc_testing.channel(
        [chat_service_pb2.DESCRIPTOR.services_by_name["ChatService"]], grpc_testing.strict_real_time()
    )


def test_unary_stub_sends_the_request_and_gives_the_answer(played: Any) -> None:
    future = ChatServiceStub(played).CreateChat.future(
        chat_request("x"), metadata=(("authorization", "Bearer k"),)
    )

    metadata, request, rpc = played.take_unary_unary(CREATE)
    rpc.send_initial_metadata(())
    rpc.terminate(Chat(id=new_id(), status="completed"), (), grpc.StatusCode.OK, "")

    assert (request, dict(metadata)["authorization"]) == (chat_request("x"), "Bearer k")
    assert future.result().status == "completed"


def test_streaming_stub_gives_the_events_and_then_the_status(played: Any) -> None:
    events = [ChatEvent(chat_id="c", delta=ContentDelta(text=text)) for text in ("a", "b")]
    call = ChatServiceStub(played).StreamChat(chat_request("x"))

    _, request, rpc = played.take_unary_stream(STREAM)
    rpc.send_initial_metadata(())
    received = []
    for event in events:
        rpc.send_response(event)
        received.append(next(call))
    rpc.terminate((), grpc.StatusCode.UNAVAILABLE, "broken off")

    with pytest.raises(grpc.RpcError) as error:
        next(call)
    assert (request, received) == (chat_request("x"), events)
    assert (error.value.code(), error.value.details()) == (grpc.StatusCode.UNAVAILABLE, "broken off")
