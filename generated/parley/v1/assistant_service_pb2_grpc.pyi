"""Types of the gRPC stubs: callers of grpc and grpc.aio, and servers of grpc.aio."""

from collections.abc import AsyncIterator, Awaitable
from typing import overload, type_check_only

import grpc
import grpc.aio

from google.api.httpbody_pb2 import HttpBody
from generated.parley.v1.assistant_pb2 import Assistant
from generated.parley.v1.assistant_service_pb2 import CreateAssistantRequest, DeleteAssistantRequest, GetAssistantRequest, ListAssistantsRequest, ListAssistantsResponse, UpdateAssistantRequest

class AssistantServiceStub:
    @overload
    def __new__(cls, channel: grpc.Channel) -> _BlockingAssistantServiceStub: ...
    @overload
    def __new__(cls, channel: grpc.aio.Channel) -> AssistantServiceStub: ...
    CreateAssistant: grpc.aio.UnaryUnaryMultiCallable[CreateAssistantRequest, Assistant]
    PostAssistant: grpc.aio.UnaryUnaryMultiCallable[CreateAssistantRequest, HttpBody]
    ListAssistants: grpc.aio.UnaryUnaryMultiCallable[ListAssistantsRequest, ListAssistantsResponse]
    FetchAssistants: grpc.aio.UnaryUnaryMultiCallable[ListAssistantsRequest, HttpBody]
    GetAssistant: grpc.aio.UnaryUnaryMultiCallable[GetAssistantRequest, Assistant]
    FetchAssistant: grpc.aio.UnaryUnaryMultiCallable[GetAssistantRequest, HttpBody]
    UpdateAssistant: grpc.aio.UnaryUnaryMultiCallable[UpdateAssistantRequest, Assistant]
    PatchAssistant: grpc.aio.UnaryUnaryMultiCallable[UpdateAssistantRequest, HttpBody]
    DeleteAssistant: grpc.aio.UnaryUnaryMultiCallable[DeleteAssistantRequest, Assistant]
    RemoveAssistant: grpc.aio.UnaryUnaryMultiCallable[DeleteAssistantRequest, HttpBody]

@type_check_only
class _BlockingAssistantServiceStub(AssistantServiceStub):
    CreateAssistant: grpc.UnaryUnaryMultiCallable[CreateAssistantRequest, Assistant]  # type: ignore[assignment]
    PostAssistant: grpc.UnaryUnaryMultiCallable[CreateAssistantRequest, HttpBody]  # type: ignore[assignment]
    ListAssistants: grpc.UnaryUnaryMultiCallable[ListAssistantsRequest, ListAssistantsResponse]  # type: ignore[assignment]
    FetchAssistants: grpc.UnaryUnaryMultiCallable[ListAssistantsRequest, HttpBody]  # type: ignore[assignment]
    GetAssistant: grpc.UnaryUnaryMultiCallable[GetAssistantRequest, Assistant]  # type: ignore[assignment]
    FetchAssistant: grpc.UnaryUnaryMultiCallable[GetAssistantRequest, HttpBody]  # type: ignore[assignment]
    UpdateAssistant: grpc.UnaryUnaryMultiCallable[UpdateAssistantRequest, Assistant]  # type: ignore[assignment]
    PatchAssistant: grpc.UnaryUnaryMultiCallable[UpdateAssistantRequest, HttpBody]  # type: ignore[assignment]
    DeleteAssistant: grpc.UnaryUnaryMultiCallable[DeleteAssistantRequest, Assistant]  # type: ignore[assignment]
    RemoveAssistant: grpc.UnaryUnaryMultiCallable[DeleteAssistantRequest, HttpBody]  # type: ignore[assignment]

class AssistantServiceServicer:
    def CreateAssistant(self, request: CreateAssistantRequest, context: grpc.aio.ServicerContext[CreateAssistantRequest, Assistant]) -> Awaitable[Assistant]: ...
    def PostAssistant(self, request: CreateAssistantRequest, context: grpc.aio.ServicerContext[CreateAssistantRequest, HttpBody]) -> Awaitable[HttpBody]: ...
    def ListAssistants(self, request: ListAssistantsRequest, context: grpc.aio.ServicerContext[ListAssistantsRequest, ListAssistantsResponse]) -> Awaitable[ListAssistantsResponse]: ...
    def FetchAssistants(self, request: ListAssistantsRequest, context: grpc.aio.ServicerContext[ListAssistantsRequest, HttpBody]) -> Awaitable[HttpBody]: ...
    def GetAssistant(self, request: GetAssistantRequest, context: grpc.aio.ServicerContext[GetAssistantRequest, Assistant]) -> Awaitable[Assistant]: ...
    def FetchAssistant(self, request: GetAssistantRequest, context: grpc.aio.ServicerContext[GetAssistantRequest, HttpBody]) -> Awaitable[HttpBody]: ...
    def UpdateAssistant(self, request: UpdateAssistantRequest, context: grpc.aio.ServicerContext[UpdateAssistantRequest, Assistant]) -> Awaitable[Assistant]: ...
    def PatchAssistant(self, request: UpdateAssistantRequest, context: grpc.aio.ServicerContext[UpdateAssistantRequest, HttpBody]) -> Awaitable[HttpBody]: ...
    def DeleteAssistant(self, request: DeleteAssistantRequest, context: grpc.aio.ServicerContext[DeleteAssistantRequest, Assistant]) -> Awaitable[Assistant]: ...
    def RemoveAssistant(self, request: DeleteAssistantRequest, context: grpc.aio.ServicerContext[DeleteAssistantRequest, HttpBody]) -> Awaitable[HttpBody]: ...

def add_AssistantServiceServicer_to_server(servicer: AssistantServiceServicer, server: grpc.aio.Server) -> None: ...
