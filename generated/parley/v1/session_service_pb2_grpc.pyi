"""Types of the gRPC stubs: callers of grpc and grpc.aio, and servers of grpc.aio."""

from collections.abc import AsyncIterator, Awaitable
from typing import overload, type_check_only

import grpc
import grpc.aio

from generated.parley.v1.session_pb2 import Session
from generated.parley.v1.session_service_pb2 import CreateSessionRequest, DeleteSessionRequest, GetSessionRequest, ListSessionsRequest, ListSessionsResponse, UpdateSessionRequest

class SessionServiceStub:
    @overload
    def __new__(cls, channel: grpc.Channel) -> _BlockingSessionServiceStub: ...
    @overload
    def __new__(cls, channel: grpc.aio.Channel) -> SessionServiceStub: ...
    CreateSession: grpc.aio.UnaryUnaryMultiCallable[CreateSessionRequest, Session]
    ListSessions: grpc.aio.UnaryUnaryMultiCallable[ListSessionsRequest, ListSessionsResponse]
    GetSession: grpc.aio.UnaryUnaryMultiCallable[GetSessionRequest, Session]
    UpdateSession: grpc.aio.UnaryUnaryMultiCallable[UpdateSessionRequest, Session]
    DeleteSession: grpc.aio.UnaryUnaryMultiCallable[DeleteSessionRequest, Session]

@type_check_only
class _BlockingSessionServiceStub(SessionServiceStub):
    CreateSession: grpc.UnaryUnaryMultiCallable[CreateSessionRequest, Session]  # type: ignore[assignment]
    ListSessions: grpc.UnaryUnaryMultiCallable[ListSessionsRequest, ListSessionsResponse]  # type: ignore[assignment]
    GetSession: grpc.UnaryUnaryMultiCallable[GetSessionRequest, Session]  # type: ignore[assignment]
    UpdateSession: grpc.UnaryUnaryMultiCallable[UpdateSessionRequest, Session]  # type: ignore[assignment]
    DeleteSession: grpc.UnaryUnaryMultiCallable[DeleteSessionRequest, Session]  # type: ignore[assignment]

class SessionServiceServicer:
    def CreateSession(self, request: CreateSessionRequest, context: grpc.aio.ServicerContext[CreateSessionRequest, Session]) -> Awaitable[Session]: ...
    def ListSessions(self, request: ListSessionsRequest, context: grpc.aio.ServicerContext[ListSessionsRequest, ListSessionsResponse]) -> Awaitable[ListSessionsResponse]: ...
    def GetSession(self, request: GetSessionRequest, context: grpc.aio.ServicerContext[GetSessionRequest, Session]) -> Awaitable[Session]: ...
    def UpdateSession(self, request: UpdateSessionRequest, context: grpc.aio.ServicerContext[UpdateSessionRequest, Session]) -> Awaitable[Session]: ...
    def DeleteSession(self, request: DeleteSessionRequest, context: grpc.aio.ServicerContext[DeleteSessionRequest, Session]) -> Awaitable[Session]: ...

def add_SessionServiceServicer_to_server(servicer: SessionServiceServicer, server: grpc.aio.Server) -> None: ...
