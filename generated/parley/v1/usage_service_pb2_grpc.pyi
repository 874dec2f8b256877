"""Types of the gRPC stubs: callers of grpc and grpc.aio, and servers of grpc.aio."""

from collections.abc import AsyncIterator, Awaitable
from typing import overload, type_check_only

import grpc
import grpc.aio

from generated.parley.v1.usage_service_pb2 import GetUsageRequest, GetUsageResponse

class UsageServiceStub:
    @overload
    def __new__(cls, channel: grpc.Channel) -> _BlockingUsageServiceStub: ...
    @overload
    def __new__(cls, channel: grpc.aio.Channel) -> UsageServiceStub: ...
    GetUsage: grpc.aio.UnaryUnaryMultiCallable[GetUsageRequest, GetUsageResponse]

@type_check_only
class _BlockingUsageServiceStub(UsageServiceStub):
    GetUsage: grpc.UnaryUnaryMultiCallable[GetUsageRequest, GetUsageResponse]  # type: ignore[assignment]

class UsageServiceServicer:
    def GetUsage(self, request: GetUsageRequest, context: grpc.aio.ServicerContext[GetUsageRequest, GetUsageResponse]) -> Awaitable[GetUsageResponse]: ...

def add_UsageServiceServicer_to_server(servicer: UsageServiceServicer, server: grpc.aio.Server) -> None: ...
