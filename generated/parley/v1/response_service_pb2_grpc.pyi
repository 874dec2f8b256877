"""Types of the gRPC stubs: callers of grpc and grpc.aio, and servers of grpc.aio."""

from collections.abc import AsyncIterator, Awaitable
from typing import overload, type_check_only

import grpc
import grpc.aio

from google.api.httpbody_pb2 import HttpBody
from generated.parley.v1.item_pb2 import ItemList
from generated.parley.v1.response_pb2 import Response, ResponseStreamEvent
from generated.parley.v1.response_service_pb2 import CancelResponseRequest, CompactResponseRequest, CompactedResponse, ConnectResponsesEvent, ConnectResponsesRequest, CountInputTokensRequest, CreateResponseRequest, DeleteResponseRequest, DeletedResponse, GetResponseRequest, InputTokens, ListInputItemsRequest

class ResponseServiceStub:
    @overload
    def __new__(cls, channel: grpc.Channel) -> _BlockingResponseServiceStub: ...
    @overload
    def __new__(cls, channel: grpc.aio.Channel) -> ResponseServiceStub: ...
    CreateResponse: grpc.aio.UnaryUnaryMultiCallable[CreateResponseRequest, Response]
    StreamResponse: grpc.aio.UnaryStreamMultiCallable[CreateResponseRequest, ResponseStreamEvent]
    PostResponse: grpc.aio.UnaryStreamMultiCallable[CreateResponseRequest, HttpBody]
    ConnectResponses: grpc.aio.StreamStreamMultiCallable[ConnectResponsesRequest, ConnectResponsesEvent]
    GetResponse: grpc.aio.UnaryUnaryMultiCallable[GetResponseRequest, Response]
    WatchResponse: grpc.aio.UnaryStreamMultiCallable[GetResponseRequest, ResponseStreamEvent]
    FetchResponse: grpc.aio.UnaryStreamMultiCallable[GetResponseRequest, HttpBody]
    DeleteResponse: grpc.aio.UnaryUnaryMultiCallable[DeleteResponseRequest, DeletedResponse]
    CancelResponse: grpc.aio.UnaryUnaryMultiCallable[CancelResponseRequest, Response]
    PostCancelResponse: grpc.aio.UnaryUnaryMultiCallable[CancelResponseRequest, HttpBody]
    CompactResponse: grpc.aio.UnaryUnaryMultiCallable[CompactResponseRequest, CompactedResponse]
    CountInputTokens: grpc.aio.UnaryUnaryMultiCallable[CountInputTokensRequest, InputTokens]
    ListInputItems: grpc.aio.UnaryUnaryMultiCallable[ListInputItemsRequest, ItemList]

@type_check_only
class _BlockingResponseServiceStub(ResponseServiceStub):
    CreateResponse: grpc.UnaryUnaryMultiCallable[CreateResponseRequest, Response]  # type: ignore[assignment]
    StreamResponse: grpc.UnaryStreamMultiCallable[CreateResponseRequest, ResponseStreamEvent]  # type: ignore[assignment]
    PostResponse: grpc.UnaryStreamMultiCallable[CreateResponseRequest, HttpBody]  # type: ignore[assignment]
    ConnectResponses: grpc.StreamStreamMultiCallable[ConnectResponsesRequest, ConnectResponsesEvent]  # type: ignore[assignment]
    GetResponse: grpc.UnaryUnaryMultiCallable[GetResponseRequest, Response]  # type: ignore[assignment]
    WatchResponse: grpc.UnaryStreamMultiCallable[GetResponseRequest, ResponseStreamEvent]  # type: ignore[assignment]
    FetchResponse: grpc.UnaryStreamMultiCallable[GetResponseRequest, HttpBody]  # type: ignore[assignment]
    DeleteResponse: grpc.UnaryUnaryMultiCallable[DeleteResponseRequest, DeletedResponse]  # type: ignore[assignment]
    CancelResponse: grpc.UnaryUnaryMultiCallable[CancelResponseRequest, Response]  # type: ignore[assignment]
    PostCancelResponse: grpc.UnaryUnaryMultiCallable[CancelResponseRequest, HttpBody]  # type: ignore[assignment]
    CompactResponse: grpc.UnaryUnaryMultiCallable[CompactResponseRequest, CompactedResponse]  # type: ignore[assignment]
    CountInputTokens: grpc.UnaryUnaryMultiCallable[CountInputTokensRequest, InputTokens]  # type: ignore[assignment]
    ListInputItems: grpc.UnaryUnaryMultiCallable[ListInputItemsRequest, ItemList]  # type: ignore[assignment]

class ResponseServiceServicer:
    def CreateResponse(self, request: CreateResponseRequest, context: grpc.aio.ServicerContext[CreateResponseRequest, Response]) -> Awaitable[Response]: ...
    def StreamResponse(self, request: CreateResponseRequest, context: grpc.aio.ServicerContext[CreateResponseRequest, ResponseStreamEvent]) -> AsyncIterator[ResponseStreamEvent] | Awaitable[None]: ...
    def PostResponse(self, request: CreateResponseRequest, context: grpc.aio.ServicerContext[CreateResponseRequest, HttpBody]) -> AsyncIterator[HttpBody] | Awaitable[None]: ...
    def ConnectResponses(self, request: AsyncIterator[ConnectResponsesRequest], context: grpc.aio.ServicerContext[ConnectResponsesRequest, ConnectResponsesEvent]) -> AsyncIterator[ConnectResponsesEvent] | Awaitable[None]: ...
    def GetResponse(self, request: GetResponseRequest, context: grpc.aio.ServicerContext[GetResponseRequest, Response]) -> Awaitable[Response]: ...
    def WatchResponse(self, request: GetResponseRequest, context: grpc.aio.ServicerContext[GetResponseRequest, ResponseStreamEvent]) -> AsyncIterator[ResponseStreamEvent] | Awaitable[None]: ...
    def FetchResponse(self, request: GetResponseRequest, context: grpc.aio.ServicerContext[GetResponseRequest, HttpBody]) -> AsyncIterator[HttpBody] | Awaitable[None]: ...
    def DeleteResponse(self, request: DeleteResponseRequest, context: grpc.aio.ServicerContext[DeleteResponseRequest, DeletedResponse]) -> Awaitable[DeletedResponse]: ...
    def CancelResponse(self, request: CancelResponseRequest, context: grpc.aio.ServicerContext[CancelResponseRequest, Response]) -> Awaitable[Response]: ...
    def PostCancelResponse(self, request: CancelResponseRequest, context: grpc.aio.ServicerContext[CancelResponseRequest, HttpBody]) -> Awaitable[HttpBody]: ...
    def CompactResponse(self, request: CompactResponseRequest, context: grpc.aio.ServicerContext[CompactResponseRequest, CompactedResponse]) -> Awaitable[CompactedResponse]: ...
    def CountInputTokens(self, request: CountInputTokensRequest, context: grpc.aio.ServicerContext[CountInputTokensRequest, InputTokens]) -> Awaitable[InputTokens]: ...
    def ListInputItems(self, request: ListInputItemsRequest, context: grpc.aio.ServicerContext[ListInputItemsRequest, ItemList]) -> Awaitable[ItemList]: ...

def add_ResponseServiceServicer_to_server(servicer: ResponseServiceServicer, server: grpc.aio.Server) -> None: ...
