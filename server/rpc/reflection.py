"""gRPC reflection, v1 and v1alpha: what this server's protos declare, for clients that have none of them.

The answers are the library's. Its v1alpha is served under both names, since the messages of v1 have the same
bytes, and it looks in descriptors that find methods too. Takes no key, and knows no service by name.
"""

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import grpc
from google.protobuf import json_format
from google.protobuf.descriptor import Descriptor, FieldDescriptor, FileDescriptor, ServiceDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.descriptor_pool import Default, DescriptorPool
from grpc_reflection.v1alpha import reflection, reflection_pb2, reflection_pb2_grpc

V1ALPHA = reflection.SERVICE_NAME
V1 = V1ALPHA.replace("v1alpha", "v1")
_METHOD = "ServerReflectionInfo"
T = TypeVar("T")


def add_reflection(server: grpc.aio.Server, services: Iterable[str]) -> None:
    """Serve reflection that lists these services and itself."""
    servicer: Any = reflection.aio.ReflectionServicer([*services, V1ALPHA, V1], pool=_Descriptors())
    reflection_pb2_grpc.add_ServerReflectionServicer_to_server(servicer, server)
    handler: grpc.RpcMethodHandler[Any, Any] = grpc.stream_stream_rpc_method_handler(
        servicer.ServerReflectionInfo,
        request_deserializer=reflection_pb2.ServerReflectionRequest.FromString,
        response_serializer=reflection_pb2.ServerReflectionResponse.SerializeToString,
    )
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(V1, {_METHOD: handler}),))


class _Descriptors:
    """Those of the process and of v1, as the library asks for them. Raises KeyError where there is none."""

    def __init__(self) -> None:
        self._pools = (Default(), _v1())

    def FindFileByName(self, name: str) -> FileDescriptor:
        return self._first(lambda pool: pool.FindFileByName(name))

    def FindFileContainingSymbol(self, symbol: str) -> FileDescriptor:
        """The pool's own search, which knows everything but methods."""
        try:
            return self._first(lambda pool: pool.FindFileContainingSymbol(symbol))
        except KeyError:
            service, _, method = symbol.rpartition(".")
            found: ServiceDescriptor = self._first(lambda pool: pool.FindServiceByName(service))
            return found.methods_by_name[method].containing_service.file

    def FindMessageTypeByName(self, name: str) -> Descriptor:
        return self._first(lambda pool: pool.FindMessageTypeByName(name))

    def FindExtensionByNumber(self, message: Descriptor, number: int) -> FieldDescriptor:
        return Default().FindExtensionByNumber(message, number)

    def FindAllExtensions(self, message: Descriptor) -> list[FieldDescriptor]:
        return list(Default().FindAllExtensions(message))

    def _first(self, find: Callable[[DescriptorPool], T]) -> T:
        process, own = self._pools
        try:
            return find(process)
        except KeyError:
            return find(own)


def _v1() -> DescriptorPool:
    """The descriptor of v1, which the library does not have: that of v1alpha with its package renamed.

    In a pool of its own, so that one that a later library brings along does not clash with it.
    """
    alpha = FileDescriptorProto()
    reflection_pb2.DESCRIPTOR.CopyToProto(alpha)
    renamed = json_format.MessageToJson(alpha).replace("v1alpha", "v1")
    pool = DescriptorPool()
    pool.Add(json_format.Parse(renamed, FileDescriptorProto()))
    return pool
