"""Types of the gRPC stubs: callers of grpc and grpc.aio, and servers of grpc.aio."""

from collections.abc import AsyncIterator, Awaitable
from typing import overload, type_check_only

import grpc
import grpc.aio

from google.api.httpbody_pb2 import HttpBody
from generated.parley.v1.chat_completion_pb2 import ChatCompletion, ChatCompletionChunk
from generated.parley.v1.completion_service_pb2 import CreateChatCompletionRequest

class CompletionServiceStub:
    @overload
    def __new__(cls, channel: grpc.Channel) -> _BlockingCompletionServiceStub: ...
    @overload
    def __new__(cls, channel: grpc.aio.Channel) -> CompletionServiceStub: ...
    CreateChatCompletion: grpc.aio.UnaryUnaryMultiCallable[CreateChatCompletionRequest, ChatCompletion]
    StreamChatCompletion: grpc.aio.UnaryStreamMultiCallable[CreateChatCompletionRequest, ChatCompletionChunk]
    PostChatCompletion: grpc.aio.UnaryStreamMultiCallable[CreateChatCompletionRequest, HttpBody]

@type_check_only
class _BlockingCompletionServiceStub(CompletionServiceStub):
    CreateChatCompletion: grpc.UnaryUnaryMultiCallable[CreateChatCompletionRequest, ChatCompletion]  # type: ignore[assignment]
    StreamChatCompletion: grpc.UnaryStreamMultiCallable[CreateChatCompletionRequest, ChatCompletionChunk]  # type: ignore[assignment]
    PostChatCompletion: grpc.UnaryStreamMultiCallable[CreateChatCompletionRequest, HttpBody]  # type: ignore[assignment]

class CompletionServiceServicer:
    def CreateChatCompletion(self, request: CreateChatCompletionRequest, context: grpc.aio.ServicerContext[CreateChatCompletionRequest, ChatCompletion]) -> Awaitable[ChatCompletion]: ...
    def StreamChatCompletion(self, request: CreateChatCompletionRequest, context: grpc.aio.ServicerContext[CreateChatCompletionRequest, ChatCompletionChunk]) -> AsyncIterator[ChatCompletionChunk] | Awaitable[None]: ...
    def PostChatCompletion(self, request: CreateChatCompletionRequest, context: grpc.aio.ServicerContext[CreateChatCompletionRequest, HttpBody]) -> AsyncIterator[HttpBody] | Awaitable[None]: ...

def add_CompletionServiceServicer_to_server(servicer: CompletionServiceServicer, server: grpc.aio.Server) -> None: ...
