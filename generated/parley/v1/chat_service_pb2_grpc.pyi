"""Types of the gRPC stubs: callers of grpc and grpc.aio, and servers of grpc.aio."""

from collections.abc import AsyncIterator, Awaitable
from typing import overload, type_check_only

import grpc
import grpc.aio

from google.api.httpbody_pb2 import HttpBody
from generated.parley.v1.chat_pb2 import Chat, ChatEvent
from generated.parley.v1.chat_service_pb2 import CreateChatRequest, DeleteChatRequest, GetChatRequest, ListChatsRequest, ListChatsResponse, WatchChatRequest

class ChatServiceStub:
    @overload
    def __new__(cls, channel: grpc.Channel) -> _BlockingChatServiceStub: ...
    @overload
    def __new__(cls, channel: grpc.aio.Channel) -> ChatServiceStub: ...
    CreateChat: grpc.aio.UnaryUnaryMultiCallable[CreateChatRequest, Chat]
    StreamChat: grpc.aio.UnaryStreamMultiCallable[CreateChatRequest, ChatEvent]
    WatchChat: grpc.aio.UnaryStreamMultiCallable[WatchChatRequest, ChatEvent]
    PostChat: grpc.aio.UnaryStreamMultiCallable[CreateChatRequest, HttpBody]
    ListChats: grpc.aio.UnaryUnaryMultiCallable[ListChatsRequest, ListChatsResponse]
    GetChat: grpc.aio.UnaryUnaryMultiCallable[GetChatRequest, Chat]
    DeleteChat: grpc.aio.UnaryUnaryMultiCallable[DeleteChatRequest, Chat]

@type_check_only
class _BlockingChatServiceStub(ChatServiceStub):
    CreateChat: grpc.UnaryUnaryMultiCallable[CreateChatRequest, Chat]  # type: ignore[assignment]
    StreamChat: grpc.UnaryStreamMultiCallable[CreateChatRequest, ChatEvent]  # type: ignore[assignment]
    WatchChat: grpc.UnaryStreamMultiCallable[WatchChatRequest, ChatEvent]  # type: ignore[assignment]
    PostChat: grpc.UnaryStreamMultiCallable[CreateChatRequest, HttpBody]  # type: ignore[assignment]
    ListChats: grpc.UnaryUnaryMultiCallable[ListChatsRequest, ListChatsResponse]  # type: ignore[assignment]
    GetChat: grpc.UnaryUnaryMultiCallable[GetChatRequest, Chat]  # type: ignore[assignment]
    DeleteChat: grpc.UnaryUnaryMultiCallable[DeleteChatRequest, Chat]  # type: ignore[assignment]

class ChatServiceServicer:
    def CreateChat(self, request: CreateChatRequest, context: grpc.aio.ServicerContext[CreateChatRequest, Chat]) -> Awaitable[Chat]: ...
    def StreamChat(self, request: CreateChatRequest, context: grpc.aio.ServicerContext[CreateChatRequest, ChatEvent]) -> AsyncIterator[ChatEvent] | Awaitable[None]: ...
    def WatchChat(self, request: WatchChatRequest, context: grpc.aio.ServicerContext[WatchChatRequest, ChatEvent]) -> AsyncIterator[ChatEvent] | Awaitable[None]: ...
    def PostChat(self, request: CreateChatRequest, context: grpc.aio.ServicerContext[CreateChatRequest, HttpBody]) -> AsyncIterator[HttpBody] | Awaitable[None]: ...
    def ListChats(self, request: ListChatsRequest, context: grpc.aio.ServicerContext[ListChatsRequest, ListChatsResponse]) -> Awaitable[ListChatsResponse]: ...
    def GetChat(self, request: GetChatRequest, context: grpc.aio.ServicerContext[GetChatRequest, Chat]) -> Awaitable[Chat]: ...
    def DeleteChat(self, request: DeleteChatRequest, context: grpc.aio.ServicerContext[DeleteChatRequest, Chat]) -> Awaitable[Chat]: ...

def add_ChatServiceServicer_to_server(servicer: ChatServiceServicer, server: grpc.aio.Server) -> None: ...
