"""Types of the gRPC stubs: callers of grpc and grpc.aio, and servers of grpc.aio."""

from collections.abc import AsyncIterator, Awaitable
from typing import overload, type_check_only

import grpc
import grpc.aio

from google.api.httpbody_pb2 import HttpBody
from generated.parley.v1.squad_pb2 import Squad
from generated.parley.v1.squad_service_pb2 import CreateSquadRequest, DeleteSquadRequest, GetSquadRequest, ListSquadsRequest, ListSquadsResponse, UpdateSquadRequest

class SquadServiceStub:
    @overload
    def __new__(cls, channel: grpc.Channel) -> _BlockingSquadServiceStub: ...
    @overload
    def __new__(cls, channel: grpc.aio.Channel) -> SquadServiceStub: ...
    CreateSquad: grpc.aio.UnaryUnaryMultiCallable[CreateSquadRequest, Squad]
    PostSquad: grpc.aio.UnaryUnaryMultiCallable[CreateSquadRequest, HttpBody]
    ListSquads: grpc.aio.UnaryUnaryMultiCallable[ListSquadsRequest, ListSquadsResponse]
    FetchSquads: grpc.aio.UnaryUnaryMultiCallable[ListSquadsRequest, HttpBody]
    GetSquad: grpc.aio.UnaryUnaryMultiCallable[GetSquadRequest, Squad]
    FetchSquad: grpc.aio.UnaryUnaryMultiCallable[GetSquadRequest, HttpBody]
    UpdateSquad: grpc.aio.UnaryUnaryMultiCallable[UpdateSquadRequest, Squad]
    PatchSquad: grpc.aio.UnaryUnaryMultiCallable[UpdateSquadRequest, HttpBody]
    DeleteSquad: grpc.aio.UnaryUnaryMultiCallable[DeleteSquadRequest, Squad]
    RemoveSquad: grpc.aio.UnaryUnaryMultiCallable[DeleteSquadRequest, HttpBody]

@type_check_only
class _BlockingSquadServiceStub(SquadServiceStub):
    CreateSquad: grpc.UnaryUnaryMultiCallable[CreateSquadRequest, Squad]  # type: ignore[assignment]
    PostSquad: grpc.UnaryUnaryMultiCallable[CreateSquadRequest, HttpBody]  # type: ignore[assignment]
    ListSquads: grpc.UnaryUnaryMultiCallable[ListSquadsRequest, ListSquadsResponse]  # type: ignore[assignment]
    FetchSquads: grpc.UnaryUnaryMultiCallable[ListSquadsRequest, HttpBody]  # type: ignore[assignment]
    GetSquad: grpc.UnaryUnaryMultiCallable[GetSquadRequest, Squad]  # type: ignore[assignment]
    FetchSquad: grpc.UnaryUnaryMultiCallable[GetSquadRequest, HttpBody]  # type: ignore[assignment]
    UpdateSquad: grpc.UnaryUnaryMultiCallable[UpdateSquadRequest, Squad]  # type: ignore[assignment]
    PatchSquad: grpc.UnaryUnaryMultiCallable[UpdateSquadRequest, HttpBody]  # type: ignore[assignment]
    DeleteSquad: grpc.UnaryUnaryMultiCallable[DeleteSquadRequest, Squad]  # type: ignore[assignment]
    RemoveSquad: grpc.UnaryUnaryMultiCallable[DeleteSquadRequest, HttpBody]  # type: ignore[assignment]

class SquadServiceServicer:
    def CreateSquad(self, request: CreateSquadRequest, context: grpc.aio.ServicerContext[CreateSquadRequest, Squad]) -> Awaitable[Squad]: ...
    def PostSquad(self, request: CreateSquadRequest, context: grpc.aio.ServicerContext[CreateSquadRequest, HttpBody]) -> Awaitable[HttpBody]: ...
    def ListSquads(self, request: ListSquadsRequest, context: grpc.aio.ServicerContext[ListSquadsRequest, ListSquadsResponse]) -> Awaitable[ListSquadsResponse]: ...
    def FetchSquads(self, request: ListSquadsRequest, context: grpc.aio.ServicerContext[ListSquadsRequest, HttpBody]) -> Awaitable[HttpBody]: ...
    def GetSquad(self, request: GetSquadRequest, context: grpc.aio.ServicerContext[GetSquadRequest, Squad]) -> Awaitable[Squad]: ...
    def FetchSquad(self, request: GetSquadRequest, context: grpc.aio.ServicerContext[GetSquadRequest, HttpBody]) -> Awaitable[HttpBody]: ...
    def UpdateSquad(self, request: UpdateSquadRequest, context: grpc.aio.ServicerContext[UpdateSquadRequest, Squad]) -> Awaitable[Squad]: ...
    def PatchSquad(self, request: UpdateSquadRequest, context: grpc.aio.ServicerContext[UpdateSquadRequest, HttpBody]) -> Awaitable[HttpBody]: ...
    def DeleteSquad(self, request: DeleteSquadRequest, context: grpc.aio.ServicerContext[DeleteSquadRequest, Squad]) -> Awaitable[Squad]: ...
    def RemoveSquad(self, request: DeleteSquadRequest, context: grpc.aio.ServicerContext[DeleteSquadRequest, HttpBody]) -> Awaitable[HttpBody]: ...

def add_SquadServiceServicer_to_server(servicer: SquadServiceServicer, server: grpc.aio.Server) -> None: ...
