"""Types of the gRPC stubs: callers and servers of grpc.aio."""

from collections.abc import AsyncIterator, Awaitable

import grpc.aio

from generated.parley.v1.usage_service_pb2 import GetUsageRequest, GetUsageResponse

class UsageServiceStub:
    def __init__(self, channel: grpc.aio.Channel) -> None: ...
    GetUsage: grpc.aio.UnaryUnaryMultiCallable[GetUsageRequest, GetUsageResponse]

class UsageServiceServicer:
    def GetUsage(self, request: GetUsageRequest, context: grpc.aio.ServicerContext[GetUsageRequest, GetUsageResponse]) -> Awaitable[GetUsageResponse]: ...

def add_UsageServiceServicer_to_server(servicer: UsageServiceServicer, server: grpc.aio.Server) -> None: ...
