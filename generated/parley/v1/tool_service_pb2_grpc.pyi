"""Types of the gRPC stubs: callers of grpc and grpc.aio, and servers of grpc.aio."""

from collections.abc import AsyncIterator, Awaitable
from typing import overload, type_check_only

import grpc
import grpc.aio

from google.api.httpbody_pb2 import HttpBody
from generated.parley.v1.tool_pb2 import Tool
from generated.parley.v1.tool_service_pb2 import CreateToolRequest, DeleteToolRequest, GetToolRequest, ListToolsRequest, ListToolsResponse, UpdateToolRequest

class ToolServiceStub:
    @overload
    def __new__(cls, channel: grpc.Channel) -> _BlockingToolServiceStub: ...
    @overload
    def __new__(cls, channel: grpc.aio.Channel) -> ToolServiceStub: ...
    CreateTool: grpc.aio.UnaryUnaryMultiCallable[CreateToolRequest, Tool]
    PostTool: grpc.aio.UnaryUnaryMultiCallable[CreateToolRequest, HttpBody]
    ListTools: grpc.aio.UnaryUnaryMultiCallable[ListToolsRequest, ListToolsResponse]
    FetchTools: grpc.aio.UnaryUnaryMultiCallable[ListToolsRequest, HttpBody]
    GetTool: grpc.aio.UnaryUnaryMultiCallable[GetToolRequest, Tool]
    FetchTool: grpc.aio.UnaryUnaryMultiCallable[GetToolRequest, HttpBody]
    UpdateTool: grpc.aio.UnaryUnaryMultiCallable[UpdateToolRequest, Tool]
    PatchTool: grpc.aio.UnaryUnaryMultiCallable[UpdateToolRequest, HttpBody]
    DeleteTool: grpc.aio.UnaryUnaryMultiCallable[DeleteToolRequest, Tool]
    RemoveTool: grpc.aio.UnaryUnaryMultiCallable[DeleteToolRequest, HttpBody]

@type_check_only
class _BlockingToolServiceStub(ToolServiceStub):
    CreateTool: grpc.UnaryUnaryMultiCallable[CreateToolRequest, Tool]  # type: ignore[assignment]
    PostTool: grpc.UnaryUnaryMultiCallable[CreateToolRequest, HttpBody]  # type: ignore[assignment]
    ListTools: grpc.UnaryUnaryMultiCallable[ListToolsRequest, ListToolsResponse]  # type: ignore[assignment]
    FetchTools: grpc.UnaryUnaryMultiCallable[ListToolsRequest, HttpBody]  # type: ignore[assignment]
    GetTool: grpc.UnaryUnaryMultiCallable[GetToolRequest, Tool]  # type: ignore[assignment]
    FetchTool: grpc.UnaryUnaryMultiCallable[GetToolRequest, HttpBody]  # type: ignore[assignment]
    UpdateTool: grpc.UnaryUnaryMultiCallable[UpdateToolRequest, Tool]  # type: ignore[assignment]
    PatchTool: grpc.UnaryUnaryMultiCallable[UpdateToolRequest, HttpBody]  # type: ignore[assignment]
    DeleteTool: grpc.UnaryUnaryMultiCallable[DeleteToolRequest, Tool]  # type: ignore[assignment]
    RemoveTool: grpc.UnaryUnaryMultiCallable[DeleteToolRequest, HttpBody]  # type: ignore[assignment]

class ToolServiceServicer:
    def CreateTool(self, request: CreateToolRequest, context: grpc.aio.ServicerContext[CreateToolRequest, Tool]) -> Awaitable[Tool]: ...
    def PostTool(self, request: CreateToolRequest, context: grpc.aio.ServicerContext[CreateToolRequest, HttpBody]) -> Awaitable[HttpBody]: ...
    def ListTools(self, request: ListToolsRequest, context: grpc.aio.ServicerContext[ListToolsRequest, ListToolsResponse]) -> Awaitable[ListToolsResponse]: ...
    def FetchTools(self, request: ListToolsRequest, context: grpc.aio.ServicerContext[ListToolsRequest, HttpBody]) -> Awaitable[HttpBody]: ...
    def GetTool(self, request: GetToolRequest, context: grpc.aio.ServicerContext[GetToolRequest, Tool]) -> Awaitable[Tool]: ...
    def FetchTool(self, request: GetToolRequest, context: grpc.aio.ServicerContext[GetToolRequest, HttpBody]) -> Awaitable[HttpBody]: ...
    def UpdateTool(self, request: UpdateToolRequest, context: grpc.aio.ServicerContext[UpdateToolRequest, Tool]) -> Awaitable[Tool]: ...
    def PatchTool(self, request: UpdateToolRequest, context: grpc.aio.ServicerContext[UpdateToolRequest, HttpBody]) -> Awaitable[HttpBody]: ...
    def DeleteTool(self, request: DeleteToolRequest, context: grpc.aio.ServicerContext[DeleteToolRequest, Tool]) -> Awaitable[Tool]: ...
    def RemoveTool(self, request: DeleteToolRequest, context: grpc.aio.ServicerContext[DeleteToolRequest, HttpBody]) -> Awaitable[HttpBody]: ...

def add_ToolServiceServicer_to_server(servicer: ToolServiceServicer, server: grpc.aio.Server) -> None: ...
