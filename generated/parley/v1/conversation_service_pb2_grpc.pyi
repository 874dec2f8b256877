"""Types of the gRPC stubs: callers of grpc and grpc.aio, and servers of grpc.aio."""

from collections.abc import AsyncIterator, Awaitable
from typing import overload, type_check_only

import grpc
import grpc.aio

from google.protobuf.struct_pb2 import Struct
from generated.parley.v1.conversation_pb2 import Conversation
from generated.parley.v1.conversation_service_pb2 import CreateConversationRequest, CreateItemsRequest, DeleteConversationRequest, DeleteItemRequest, DeletedConversation, GetConversationRequest, GetItemRequest, ListItemsRequest, UpdateConversationRequest
from generated.parley.v1.item_pb2 import ItemList

class ConversationServiceStub:
    @overload
    def __new__(cls, channel: grpc.Channel) -> _BlockingConversationServiceStub: ...
    @overload
    def __new__(cls, channel: grpc.aio.Channel) -> ConversationServiceStub: ...
    CreateConversation: grpc.aio.UnaryUnaryMultiCallable[CreateConversationRequest, Conversation]
    GetConversation: grpc.aio.UnaryUnaryMultiCallable[GetConversationRequest, Conversation]
    UpdateConversation: grpc.aio.UnaryUnaryMultiCallable[UpdateConversationRequest, Conversation]
    DeleteConversation: grpc.aio.UnaryUnaryMultiCallable[DeleteConversationRequest, DeletedConversation]
    CreateItems: grpc.aio.UnaryUnaryMultiCallable[CreateItemsRequest, ItemList]
    ListItems: grpc.aio.UnaryUnaryMultiCallable[ListItemsRequest, ItemList]
    GetItem: grpc.aio.UnaryUnaryMultiCallable[GetItemRequest, Struct]
    DeleteItem: grpc.aio.UnaryUnaryMultiCallable[DeleteItemRequest, Conversation]

@type_check_only
class _BlockingConversationServiceStub(ConversationServiceStub):
    CreateConversation: grpc.UnaryUnaryMultiCallable[CreateConversationRequest, Conversation]  # type: ignore[assignment]
    GetConversation: grpc.UnaryUnaryMultiCallable[GetConversationRequest, Conversation]  # type: ignore[assignment]
    UpdateConversation: grpc.UnaryUnaryMultiCallable[UpdateConversationRequest, Conversation]  # type: ignore[assignment]
    DeleteConversation: grpc.UnaryUnaryMultiCallable[DeleteConversationRequest, DeletedConversation]  # type: ignore[assignment]
    CreateItems: grpc.UnaryUnaryMultiCallable[CreateItemsRequest, ItemList]  # type: ignore[assignment]
    ListItems: grpc.UnaryUnaryMultiCallable[ListItemsRequest, ItemList]  # type: ignore[assignment]
    GetItem: grpc.UnaryUnaryMultiCallable[GetItemRequest, Struct]  # type: ignore[assignment]
    DeleteItem: grpc.UnaryUnaryMultiCallable[DeleteItemRequest, Conversation]  # type: ignore[assignment]

class ConversationServiceServicer:
    def CreateConversation(self, request: CreateConversationRequest, context: grpc.aio.ServicerContext[CreateConversationRequest, Conversation]) -> Awaitable[Conversation]: ...
    def GetConversation(self, request: GetConversationRequest, context: grpc.aio.ServicerContext[GetConversationRequest, Conversation]) -> Awaitable[Conversation]: ...
    def UpdateConversation(self, request: UpdateConversationRequest, context: grpc.aio.ServicerContext[UpdateConversationRequest, Conversation]) -> Awaitable[Conversation]: ...
    def DeleteConversation(self, request: DeleteConversationRequest, context: grpc.aio.ServicerContext[DeleteConversationRequest, DeletedConversation]) -> Awaitable[DeletedConversation]: ...
    def CreateItems(self, request: CreateItemsRequest, context: grpc.aio.ServicerContext[CreateItemsRequest, ItemList]) -> Awaitable[ItemList]: ...
    def ListItems(self, request: ListItemsRequest, context: grpc.aio.ServicerContext[ListItemsRequest, ItemList]) -> Awaitable[ItemList]: ...
    def GetItem(self, request: GetItemRequest, context: grpc.aio.ServicerContext[GetItemRequest, Struct]) -> Awaitable[Struct]: ...
    def DeleteItem(self, request: DeleteItemRequest, context: grpc.aio.ServicerContext[DeleteItemRequest, Conversation]) -> Awaitable[Conversation]: ...

def add_ConversationServiceServicer_to_server(servicer: ConversationServiceServicer, server: grpc.aio.Server) -> None: ...
