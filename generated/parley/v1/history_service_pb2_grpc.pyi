"""Types of the gRPC stubs: callers of grpc and grpc.aio, and servers of grpc.aio."""

from collections.abc import AsyncIterator, Awaitable
from typing import overload, type_check_only

import grpc
import grpc.aio

from generated.parley.v1.history_service_pb2 import ExportHistoryRequest, ExportHistoryResponse, ImportHistoryRequest, ImportHistoryResponse

class HistoryServiceStub:
    @overload
    def __new__(cls, channel: grpc.Channel) -> _BlockingHistoryServiceStub: ...
    @overload
    def __new__(cls, channel: grpc.aio.Channel) -> HistoryServiceStub: ...
    ExportHistory: grpc.aio.UnaryStreamMultiCallable[ExportHistoryRequest, ExportHistoryResponse]
    ImportHistory: grpc.aio.UnaryUnaryMultiCallable[ImportHistoryRequest, ImportHistoryResponse]

@type_check_only
class _BlockingHistoryServiceStub(HistoryServiceStub):
    ExportHistory: grpc.UnaryStreamMultiCallable[ExportHistoryRequest, ExportHistoryResponse]  # type: ignore[assignment]
    ImportHistory: grpc.UnaryUnaryMultiCallable[ImportHistoryRequest, ImportHistoryResponse]  # type: ignore[assignment]

class HistoryServiceServicer:
    def ExportHistory(self, request: ExportHistoryRequest, context: grpc.aio.ServicerContext[ExportHistoryRequest, ExportHistoryResponse]) -> AsyncIterator[ExportHistoryResponse] | Awaitable[None]: ...
    def ImportHistory(self, request: ImportHistoryRequest, context: grpc.aio.ServicerContext[ImportHistoryRequest, ImportHistoryResponse]) -> Awaitable[ImportHistoryResponse]: ...

def add_HistoryServiceServicer_to_server(servicer: HistoryServiceServicer, server: grpc.aio.Server) -> None: ...
