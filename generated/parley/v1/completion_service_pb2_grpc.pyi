"""Types of the gRPC stubs: callers of grpc and grpc.aio, and servers of grpc.aio."""

from collections.abc import AsyncIterator, Awaitable
from typing import overload, type_check_only

import grpc
import grpc.aio

from google.api.httpbody_pb2 import HttpBody
from generated.parley.v1.chat_completion_pb2 import ChatCompletion, ChatCompletionChunk, ChatCompletionList, ChatCompletionMessageList, DeletedChatCompletion
from generated.parley.v1.completion_service_pb2 import CreateChatCompletionRequest, DeleteChatCompletionRequest, GetChatCompletionRequest, ListChatCompletionMessagesRequest, ListChatCompletionsRequest, UpdateChatCompletionRequest

class CompletionServiceStub:
    @overload
    def __new__(cls, channel: grpc.Channel) -> _BlockingCompletionServiceStub: ...
    @overload
    def __new__(cls, channel: grpc.aio.Channel) -> CompletionServiceStub: ...
    CreateChatCompletion: grpc.aio.UnaryUnaryMultiCallable[CreateChatCompletionRequest, ChatCompletion]
    StreamChatCompletion: grpc.aio.UnaryStreamMultiCallable[CreateChatCompletionRequest, ChatCompletionChunk]
    PostChatCompletion: grpc.aio.UnaryStreamMultiCallable[CreateChatCompletionRequest, HttpBody]
    GetChatCompletion: grpc.aio.UnaryUnaryMultiCallable[GetChatCompletionRequest, ChatCompletion]
    FetchChatCompletion: grpc.aio.UnaryUnaryMultiCallable[GetChatCompletionRequest, HttpBody]
    ListChatCompletions: grpc.aio.UnaryUnaryMultiCallable[ListChatCompletionsRequest, ChatCompletionList]
    FetchChatCompletions: grpc.aio.UnaryUnaryMultiCallable[ListChatCompletionsRequest, HttpBody]
    UpdateChatCompletion: grpc.aio.UnaryUnaryMultiCallable[UpdateChatCompletionRequest, ChatCompletion]
    PostUpdateChatCompletion: grpc.aio.UnaryUnaryMultiCallable[UpdateChatCompletionRequest, HttpBody]
    DeleteChatCompletion: grpc.aio.UnaryUnaryMultiCallable[DeleteChatCompletionRequest, DeletedChatCompletion]
    ListChatCompletionMessages: grpc.aio.UnaryUnaryMultiCallable[ListChatCompletionMessagesRequest, ChatCompletionMessageList]

@type_check_only
class _BlockingCompletionServiceStub(CompletionServiceStub):
    CreateChatCompletion: grpc.UnaryUnaryMultiCallable[CreateChatCompletionRequest, ChatCompletion]  # type: ignore[assignment]
    StreamChatCompletion: grpc.UnaryStreamMultiCallable[CreateChatCompletionRequest, ChatCompletionChunk]  # type: ignore[assignment]
    PostChatCompletion: grpc.UnaryStreamMultiCallable[CreateChatCompletionRequest, HttpBody]  # type: ignore[assignment]
    GetChatCompletion: grpc.UnaryUnaryMultiCallable[GetChatCompletionRequest, ChatCompletion]  # type: ignore[assignment]
    FetchChatCompletion: grpc.UnaryUnaryMultiCallable[GetChatCompletionRequest, HttpBody]  # type: ignore[assignment]
    ListChatCompletions: grpc.UnaryUnaryMultiCallable[ListChatCompletionsRequest, ChatCompletionList]  # type: ignore[assignment]
    FetchChatCompletions: grpc.UnaryUnaryMultiCallable[ListChatCompletionsRequest, HttpBody]  # type: ignore[assignment]
    UpdateChatCompletion: grpc.UnaryUnaryMultiCallable[UpdateChatCompletionRequest, ChatCompletion]  # type: ignore[assignment]
    PostUpdateChatCompletion: grpc.UnaryUnaryMultiCallable[UpdateChatCompletionRequest, HttpBody]  # type: ignore[assignment]
    DeleteChatCompletion: grpc.UnaryUnaryMultiCallable[DeleteChatCompletionRequest, DeletedChatCompletion]  # type: ignore[assignment]
    ListChatCompletionMessages: grpc.UnaryUnaryMultiCallable[ListChatCompletionMessagesRequest, ChatCompletionMessageList]  # type: ignore[assignment]

class CompletionServiceServicer:
    def CreateChatCompletion(self, request: CreateChatCompletionRequest, context: grpc.aio.ServicerContext[CreateChatCompletionRequest, ChatCompletion]) -> Awaitable[ChatCompletion]: ...
    def StreamChatCompletion(self, request: CreateChatCompletionRequest, context: grpc.aio.ServicerContext[CreateChatCompletionRequest, ChatCompletionChunk]) -> AsyncIterator[ChatCompletionChunk] | Awaitable[None]: ...
    def PostChatCompletion(self, request: CreateChatCompletionRequest, context: grpc.aio.ServicerContext[CreateChatCompletionRequest, HttpBody]) -> AsyncIterator[HttpBody] | Awaitable[None]: ...
    def GetChatCompletion(self, request: GetChatCompletionRequest, context: grpc.aio.ServicerContext[GetChatCompletionRequest, ChatCompletion]) -> Awaitable[ChatCompletion]: ...
    def FetchChatCompletion(self, request: GetChatCompletionRequest, context: grpc.aio.ServicerContext[GetChatCompletionRequest, HttpBody]) -> Awaitable[HttpBody]: ...
    def ListChatCompletions(self, request: ListChatCompletionsRequest, context: grpc.aio.ServicerContext[ListChatCompletionsRequest, ChatCompletionList]) -> Awaitable[ChatCompletionList]: ...
    def FetchChatCompletions(self, request: ListChatCompletionsRequest, context: grpc.aio.ServicerContext[ListChatCompletionsRequest, HttpBody]) -> Awaitable[HttpBody]: ...
    def UpdateChatCompletion(self, request: UpdateChatCompletionRequest, context: grpc.aio.ServicerContext[UpdateChatCompletionRequest, ChatCompletion]) -> Awaitable[ChatCompletion]: ...
    def PostUpdateChatCompletion(self, request: UpdateChatCompletionRequest, context: grpc.aio.ServicerContext[UpdateChatCompletionRequest, HttpBody]) -> Awaitable[HttpBody]: ...
    def DeleteChatCompletion(self, request: DeleteChatCompletionRequest, context: grpc.aio.ServicerContext[DeleteChatCompletionRequest, DeletedChatCompletion]) -> Awaitable[DeletedChatCompletion]: ...
    def ListChatCompletionMessages(self, request: ListChatCompletionMessagesRequest, context: grpc.aio.ServicerContext[ListChatCompletionMessagesRequest, ChatCompletionMessageList]) -> Awaitable[ChatCompletionMessageList]: ...

def add_CompletionServiceServicer_to_server(servicer: CompletionServiceServicer, server: grpc.aio.Server) -> None: ...
