"""Types of the gRPC stubs: callers and servers of grpc.aio."""

from collections.abc import AsyncIterator, Awaitable

import grpc.aio

from generated.parley.v1.history_service_pb2 import ExportHistoryRequest, ExportHistoryResponse, ImportHistoryRequest, ImportHistoryResponse

class HistoryServiceStub:
    def __init__(self, channel: grpc.aio.Channel) -> None: ...
    ExportHistory: grpc.aio.UnaryStreamMultiCallable[ExportHistoryRequest, ExportHistoryResponse]
    ImportHistory: grpc.aio.UnaryUnaryMultiCallable[ImportHistoryRequest, ImportHistoryResponse]

class HistoryServiceServicer:
    def ExportHistory(self, request: ExportHistoryRequest, context: grpc.aio.ServicerContext[ExportHistoryRequest, ExportHistoryResponse]) -> AsyncIterator[ExportHistoryResponse] | Awaitable[None]: ...
    def ImportHistory(self, request: ImportHistoryRequest, context: grpc.aio.ServicerContext[ImportHistoryRequest, ImportHistoryResponse]) -> Awaitable[ImportHistoryResponse]: ...

def add_HistoryServiceServicer_to_server(servicer: HistoryServiceServicer, server: grpc.aio.Server) -> None: ...
