"""Types of the gRPC stubs: callers and servers of grpc.aio."""

from collections.abc import AsyncIterator, Awaitable

import grpc.aio

from generated.parley.v1.session_pb2 import Session
from generated.parley.v1.session_service_pb2 import CreateSessionRequest, DeleteSessionRequest, GetSessionRequest, ListSessionsRequest, ListSessionsResponse, UpdateSessionRequest

class SessionServiceStub:
    def __init__(self, channel: grpc.aio.Channel) -> None: ...
    CreateSession: grpc.aio.UnaryUnaryMultiCallable[CreateSessionRequest, Session]
    ListSessions: grpc.aio.UnaryUnaryMultiCallable[ListSessionsRequest, ListSessionsResponse]
    GetSession: grpc.aio.UnaryUnaryMultiCallable[GetSessionRequest, Session]
    UpdateSession: grpc.aio.UnaryUnaryMultiCallable[UpdateSessionRequest, Session]
    DeleteSession: grpc.aio.UnaryUnaryMultiCallable[DeleteSessionRequest, Session]

class SessionServiceServicer:
    def CreateSession(self, request: CreateSessionRequest, context: grpc.aio.ServicerContext[CreateSessionRequest, Session]) -> Awaitable[Session]: ...
    def ListSessions(self, request: ListSessionsRequest, context: grpc.aio.ServicerContext[ListSessionsRequest, ListSessionsResponse]) -> Awaitable[ListSessionsResponse]: ...
    def GetSession(self, request: GetSessionRequest, context: grpc.aio.ServicerContext[GetSessionRequest, Session]) -> Awaitable[Session]: ...
    def UpdateSession(self, request: UpdateSessionRequest, context: grpc.aio.ServicerContext[UpdateSessionRequest, Session]) -> Awaitable[Session]: ...
    def DeleteSession(self, request: DeleteSessionRequest, context: grpc.aio.ServicerContext[DeleteSessionRequest, Session]) -> Awaitable[Session]: ...

def add_SessionServiceServicer_to_server(servicer: SessionServiceServicer, server: grpc.aio.Server) -> None: ...
