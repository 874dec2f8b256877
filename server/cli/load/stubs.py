"""Calls of a load through the gRPC door. Repeats nothing: gRPC's own retries are off."""

import grpc
from google.protobuf.struct_pb2 import Value

from generated.parley.v1.chat_pb2 import Chat, ChatEvent
from generated.parley.v1.chat_service_pb2 import CreateChatRequest, GetChatRequest, ListChatsRequest
from generated.parley.v1.chat_service_pb2_grpc import ChatServiceStub
from generated.parley.v1.completion_service_pb2 import ChatCompletionInputMessage, CreateChatCompletionRequest
from generated.parley.v1.completion_service_pb2_grpc import CompletionServiceStub
from generated.parley.v1.response_service_pb2 import CreateResponseRequest
from generated.parley.v1.response_service_pb2_grpc import ResponseServiceStub
from generated.parley.v1.session_service_pb2 import CreateSessionRequest
from generated.parley.v1.session_service_pb2_grpc import SessionServiceStub
from server.cli.load.calls import CONNECTION, CUT, INCOMPLETE, SHED, Answer, Conversations, Failed, now
from server.cli.load.plan import Plan

_STREAMS_OF_A_CHANNEL = 90
"""Envoy has 100 under way on a connection, and what is more would wait in gRPC, unseen."""


class _Channel:
    """One connection, its stubs, and how many calls it has under way."""

    def __init__(self, plan: Plan) -> None:
        secure, _, address = plan.url.partition("://")
        options = (
            ("grpc.use_local_subchannel_pool", 1),  # or all channels share one connection
            ("grpc.enable_retries", 0),
            ("grpc.max_receive_message_length", -1),
        )
        address = address.rstrip("/")
        if secure in ("https", "grpcs"):
            roots = plan.ca.read_bytes() if plan.ca is not None else None
            self._channel = grpc.aio.secure_channel(address, grpc.ssl_channel_credentials(roots), options)
        else:
            self._channel = grpc.aio.insecure_channel(address, options)
        self.calls = 0
        self.chats = ChatServiceStub(self._channel)
        self.responses = ResponseServiceStub(self._channel)
        self.completions = CompletionServiceStub(self._channel)
        self.sessions = SessionServiceStub(self._channel)

    async def aclose(self) -> None:
        await self._channel.close()


class GrpcCaller:
    """Makes calls over as many connections as they need."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._metadata = (("authorization", f"Bearer {plan.key}"),)
        self._channels: list[_Channel] = []
        self._conversations = Conversations()

    async def aclose(self) -> None:
        """Close the connections."""
        for channel in self._channels:
            await channel.aclose()

    async def call(self, kind: str, text: str) -> Answer:
        """Make one call and read its answer to the end. Raises Failed."""
        channel, answer = self._least_busy(), Answer()
        channel.calls += 1
        try:
            await _CALLS[kind](self, channel, text, answer)
        except grpc.aio.AioRpcError as error:
            raise _failed(error, has_begun=answer.first is not None) from error
        finally:
            channel.calls -= 1
        return answer

    def _least_busy(self) -> _Channel:
        least = min(self._channels, key=lambda channel: channel.calls, default=None)
        if least is None or least.calls >= _STREAMS_OF_A_CHANNEL:
            least = _Channel(self._plan)
            self._channels.append(least)
        return least

    async def _chat(self, channel: _Channel, text: str, answer: Answer) -> None:
        request = CreateChatRequest(assistant_id=self._plan.assistant, input=Value(string_value=text))
        self._ended(await channel.chats.CreateChat(request, metadata=self._metadata))

    async def _stream(self, channel: _Channel, text: str, answer: Answer) -> None:
        request = CreateChatRequest(assistant_id=self._plan.assistant, input=Value(string_value=text))
        last = ChatEvent()
        async for event in channel.chats.StreamChat(request, metadata=self._metadata):
            last = event
            if event.delta.text:
                answer.arrived(now())
        if last.WhichOneof("event") not in ("completed", "failed"):
            raise Failed(CUT, "", "the stream ended before its answer did")
        self._ended(last.completed if last.HasField("completed") else last.failed)

    def _ended(self, chat: Chat) -> None:
        if chat.HasField("error"):
            raise Failed(INCOMPLETE, chat.error.code, chat.error.message)
        self._conversations.made(chat.id)

    def _response_request(self, text: str) -> CreateResponseRequest:
        return CreateResponseRequest(assistant_id=self._plan.assistant, input=Value(string_value=text))

    async def _response(self, channel: _Channel, text: str, answer: Answer) -> None:
        request = self._response_request(text)
        made = await channel.responses.CreateResponse(request, metadata=self._metadata)
        if made.HasField("error"):
            raise Failed(INCOMPLETE, made.error.code, made.error.message)

    async def _response_stream(self, channel: _Channel, text: str, answer: Answer) -> None:
        last, request = "", self._response_request(text)
        async for event in channel.responses.StreamResponse(request, metadata=self._metadata):
            last = event.type
            if event.type == "response.output_text.delta":
                answer.arrived(now())
            elif event.type in ("error", "response.failed", "response.incomplete"):
                error = event.response.error
                raise Failed(
                    INCOMPLETE, event.code or error.code or event.type, event.message or error.message
                )
        if last != "response.completed":
            raise Failed(CUT, "", "the stream ended before its answer did")

    def _completion_request(self, text: str) -> CreateChatCompletionRequest:
        message = ChatCompletionInputMessage(role="user", content=Value(string_value=text))
        return CreateChatCompletionRequest(agent_id=self._plan.assistant, messages=[message])

    async def _completion(self, channel: _Channel, text: str, answer: Answer) -> None:
        request = self._completion_request(text)
        await channel.completions.CreateChatCompletion(request, metadata=self._metadata)

    async def _completion_stream(self, channel: _Channel, text: str, answer: Answer) -> None:
        is_over, request = False, self._completion_request(text)
        async for chunk in channel.completions.StreamChatCompletion(request, metadata=self._metadata):
            if any(choice.delta.content for choice in chunk.choices):
                answer.arrived(now())
            is_over = is_over or any(choice.finish_reason for choice in chunk.choices)
        if not is_over:
            raise Failed(CUT, "", "the stream ended before its answer did")

    async def _turn(self, channel: _Channel, text: str, answer: Answer) -> None:
        session, turns = self._conversations.session() or (await self._begun_session(channel), 0)
        request = CreateChatRequest(session_id=session, input=Value(string_value=text))
        self._ended(await channel.chats.CreateChat(request, metadata=self._metadata))
        self._conversations.turned(session, turns + 1)

    async def _begun_session(self, channel: _Channel) -> str:
        request = CreateSessionRequest(assistant_id=self._plan.assistant)
        return (await channel.sessions.CreateSession(request, metadata=self._metadata)).id

    async def _read(self, channel: _Channel, text: str, answer: Answer) -> None:
        request = GetChatRequest(id=self._conversations.chat())
        await channel.chats.GetChat(request, metadata=self._metadata)

    async def _list(self, channel: _Channel, text: str, answer: Answer) -> None:
        await channel.chats.ListChats(ListChatsRequest(limit=20), metadata=self._metadata)


_CALLS = {
    "chat": GrpcCaller._chat,
    "stream": GrpcCaller._stream,
    "responses": GrpcCaller._response,
    "responses-stream": GrpcCaller._response_stream,
    "completions": GrpcCaller._completion,
    "completions-stream": GrpcCaller._completion_stream,
    "session": GrpcCaller._turn,
    "read": GrpcCaller._read,
    "list": GrpcCaller._list,
}


def _failed(error: grpc.aio.AioRpcError, *, has_begun: bool) -> Failed:
    """What a status is among the errors of a load. gRPC's own, of a connection, has nothing of a server's
    with it."""
    code, message = error.code().name, error.details() or ""
    if not error.trailing_metadata() and not error.initial_metadata():
        return Failed(CUT if has_begun else CONNECTION, code, message)
    if has_begun and not error.trailing_metadata():
        return Failed(CUT, code, message)
    return Failed(SHED if code == "RESOURCE_EXHAUSTED" else "grpc", code, message)
