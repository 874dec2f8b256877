"""Types of the gRPC stubs: callers and servers of grpc.aio."""

from collections.abc import AsyncIterator, Awaitable

import grpc.aio

from generated.parley.v1.model_service_pb2 import GetModelRequest, ListModelsRequest, ListModelsResponse, Model

class ModelServiceStub:
    def __init__(self, channel: grpc.aio.Channel) -> None: ...
    ListModels: grpc.aio.UnaryUnaryMultiCallable[ListModelsRequest, ListModelsResponse]
    GetModel: grpc.aio.UnaryUnaryMultiCallable[GetModelRequest, Model]

class ModelServiceServicer:
    def ListModels(self, request: ListModelsRequest, context: grpc.aio.ServicerContext[ListModelsRequest, ListModelsResponse]) -> Awaitable[ListModelsResponse]: ...
    def GetModel(self, request: GetModelRequest, context: grpc.aio.ServicerContext[GetModelRequest, Model]) -> Awaitable[Model]: ...

def add_ModelServiceServicer_to_server(servicer: ModelServiceServicer, server: grpc.aio.Server) -> None: ...
