"""Types of the gRPC stubs: callers and servers of grpc.aio."""

from collections.abc import AsyncIterator, Awaitable

import grpc.aio

from google.api.httpbody_pb2 import HttpBody
from generated.parley.v1.chat_completion_pb2 import ChatCompletion, ChatCompletionChunk
from generated.parley.v1.completion_service_pb2 import CreateChatCompletionRequest

class CompletionServiceStub:
    def __init__(self, channel: grpc.aio.Channel) -> None: ...
    CreateChatCompletion: grpc.aio.UnaryUnaryMultiCallable[CreateChatCompletionRequest, ChatCompletion]
    StreamChatCompletion: grpc.aio.UnaryStreamMultiCallable[CreateChatCompletionRequest, ChatCompletionChunk]
    PostChatCompletion: grpc.aio.UnaryStreamMultiCallable[CreateChatCompletionRequest, HttpBody]

class CompletionServiceServicer:
    def CreateChatCompletion(self, request: CreateChatCompletionRequest, context: grpc.aio.ServicerContext[CreateChatCompletionRequest, ChatCompletion]) -> Awaitable[ChatCompletion]: ...
    def StreamChatCompletion(self, request: CreateChatCompletionRequest, context: grpc.aio.ServicerContext[CreateChatCompletionRequest, ChatCompletionChunk]) -> AsyncIterator[ChatCompletionChunk] | Awaitable[None]: ...
    def PostChatCompletion(self, request: CreateChatCompletionRequest, context: grpc.aio.ServicerContext[CreateChatCompletionRequest, HttpBody]) -> AsyncIterator[HttpBody] | Awaitable[None]: ...

def add_CompletionServiceServicer_to_server(servicer: CompletionServiceServicer, server: grpc.aio.Server) -> None: ...
