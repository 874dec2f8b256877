"""Types of the gRPC stubs: callers of grpc and grpc.aio, and servers of grpc.aio."""

from collections.abc import AsyncIterator, Awaitable
from typing import overload, type_check_only

import grpc
import grpc.aio

from google.protobuf.empty_pb2 import Empty
from generated.parley.v1.agent_chat_pb2 import AgentChat, AgentChatWithMessages, AgentMessage
from generated.parley.v1.agent_chat_service_pb2 import CreateAgentChatRequest, CreateMessageRequest, DeleteAgentChatRequest, GetAgentChatRequest, ListAgentChatsRequest, ListAgentChatsResponse, ListMessagesRequest, ListMessagesResponse
from generated.parley.v1.chat_pb2 import ChatEvent

class AgentChatServiceStub:
    @overload
    def __new__(cls, channel: grpc.Channel) -> _BlockingAgentChatServiceStub: ...
    @overload
    def __new__(cls, channel: grpc.aio.Channel) -> AgentChatServiceStub: ...
    CreateAgentChat: grpc.aio.UnaryUnaryMultiCallable[CreateAgentChatRequest, AgentChat]
    ListAgentChats: grpc.aio.UnaryUnaryMultiCallable[ListAgentChatsRequest, ListAgentChatsResponse]
    GetAgentChat: grpc.aio.UnaryUnaryMultiCallable[GetAgentChatRequest, AgentChatWithMessages]
    DeleteAgentChat: grpc.aio.UnaryUnaryMultiCallable[DeleteAgentChatRequest, Empty]
    CreateMessage: grpc.aio.UnaryUnaryMultiCallable[CreateMessageRequest, AgentMessage]
    ListMessages: grpc.aio.UnaryUnaryMultiCallable[ListMessagesRequest, ListMessagesResponse]
    StreamMessage: grpc.aio.UnaryStreamMultiCallable[CreateMessageRequest, ChatEvent]

@type_check_only
class _BlockingAgentChatServiceStub(AgentChatServiceStub):
    CreateAgentChat: grpc.UnaryUnaryMultiCallable[CreateAgentChatRequest, AgentChat]  # type: ignore[assignment]
    ListAgentChats: grpc.UnaryUnaryMultiCallable[ListAgentChatsRequest, ListAgentChatsResponse]  # type: ignore[assignment]
    GetAgentChat: grpc.UnaryUnaryMultiCallable[GetAgentChatRequest, AgentChatWithMessages]  # type: ignore[assignment]
    DeleteAgentChat: grpc.UnaryUnaryMultiCallable[DeleteAgentChatRequest, Empty]  # type: ignore[assignment]
    CreateMessage: grpc.UnaryUnaryMultiCallable[CreateMessageRequest, AgentMessage]  # type: ignore[assignment]
    ListMessages: grpc.UnaryUnaryMultiCallable[ListMessagesRequest, ListMessagesResponse]  # type: ignore[assignment]
    StreamMessage: grpc.UnaryStreamMultiCallable[CreateMessageRequest, ChatEvent]  # type: ignore[assignment]

class AgentChatServiceServicer:
    def CreateAgentChat(self, request: CreateAgentChatRequest, context: grpc.aio.ServicerContext[CreateAgentChatRequest, AgentChat]) -> Awaitable[AgentChat]: ...
    def ListAgentChats(self, request: ListAgentChatsRequest, context: grpc.aio.ServicerContext[ListAgentChatsRequest, ListAgentChatsResponse]) -> Awaitable[ListAgentChatsResponse]: ...
    def GetAgentChat(self, request: GetAgentChatRequest, context: grpc.aio.ServicerContext[GetAgentChatRequest, AgentChatWithMessages]) -> Awaitable[AgentChatWithMessages]: ...
    def DeleteAgentChat(self, request: DeleteAgentChatRequest, context: grpc.aio.ServicerContext[DeleteAgentChatRequest, Empty]) -> Awaitable[Empty]: ...
    def CreateMessage(self, request: CreateMessageRequest, context: grpc.aio.ServicerContext[CreateMessageRequest, AgentMessage]) -> Awaitable[AgentMessage]: ...
    def ListMessages(self, request: ListMessagesRequest, context: grpc.aio.ServicerContext[ListMessagesRequest, ListMessagesResponse]) -> Awaitable[ListMessagesResponse]: ...
    def StreamMessage(self, request: CreateMessageRequest, context: grpc.aio.ServicerContext[CreateMessageRequest, ChatEvent]) -> AsyncIterator[ChatEvent] | Awaitable[None]: ...

def add_AgentChatServiceServicer_to_server(servicer: AgentChatServiceServicer, server: grpc.aio.Server) -> None: ...
