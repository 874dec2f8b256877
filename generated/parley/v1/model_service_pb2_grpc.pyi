"""Types of the gRPC stubs: callers of grpc and grpc.aio, and servers of grpc.aio."""

from collections.abc import AsyncIterator, Awaitable
from typing import overload, type_check_only

import grpc
import grpc.aio

from generated.parley.v1.model_service_pb2 import DeleteModelRequest, DeletedModel, GetModelRequest, ListModelsRequest, ListModelsResponse, Model

class ModelServiceStub:
    @overload
    def __new__(cls, channel: grpc.Channel) -> _BlockingModelServiceStub: ...
    @overload
    def __new__(cls, channel: grpc.aio.Channel) -> ModelServiceStub: ...
    ListModels: grpc.aio.UnaryUnaryMultiCallable[ListModelsRequest, ListModelsResponse]
    GetModel: grpc.aio.UnaryUnaryMultiCallable[GetModelRequest, Model]
    DeleteModel: grpc.aio.UnaryUnaryMultiCallable[DeleteModelRequest, DeletedModel]

@type_check_only
class _BlockingModelServiceStub(ModelServiceStub):
    ListModels: grpc.UnaryUnaryMultiCallable[ListModelsRequest, ListModelsResponse]  # type: ignore[assignment]
    GetModel: grpc.UnaryUnaryMultiCallable[GetModelRequest, Model]  # type: ignore[assignment]
    DeleteModel: grpc.UnaryUnaryMultiCallable[DeleteModelRequest, DeletedModel]  # type: ignore[assignment]

class ModelServiceServicer:
    def ListModels(self, request: ListModelsRequest, context: grpc.aio.ServicerContext[ListModelsRequest, ListModelsResponse]) -> Awaitable[ListModelsResponse]: ...
    def GetModel(self, request: GetModelRequest, context: grpc.aio.ServicerContext[GetModelRequest, Model]) -> Awaitable[Model]: ...
    def DeleteModel(self, request: DeleteModelRequest, context: grpc.aio.ServicerContext[DeleteModelRequest, DeletedModel]) -> Awaitable[DeletedModel]: ...

def add_ModelServiceServicer_to_server(servicer: ModelServiceServicer, server: grpc.aio.Server) -> None: ...
