"""Types of the gRPC stubs: callers of grpc and grpc.aio, and servers of grpc.aio."""

from collections.abc import AsyncIterator, Awaitable
from typing import overload, type_check_only

import grpc
import grpc.aio

from google.api.httpbody_pb2 import HttpBody
from generated.parley.v1.transport_service_pb2 import ReceiveTwilioMessageRequest

class TransportServiceStub:
    @overload
    def __new__(cls, channel: grpc.Channel) -> _BlockingTransportServiceStub: ...
    @overload
    def __new__(cls, channel: grpc.aio.Channel) -> TransportServiceStub: ...
    ReceiveTwilioMessage: grpc.aio.UnaryUnaryMultiCallable[ReceiveTwilioMessageRequest, HttpBody]

@type_check_only
class _BlockingTransportServiceStub(TransportServiceStub):
    ReceiveTwilioMessage: grpc.UnaryUnaryMultiCallable[ReceiveTwilioMessageRequest, HttpBody]  # type: ignore[assignment]

class TransportServiceServicer:
    def ReceiveTwilioMessage(self, request: ReceiveTwilioMessageRequest, context: grpc.aio.ServicerContext[ReceiveTwilioMessageRequest, HttpBody]) -> Awaitable[HttpBody]: ...

def add_TransportServiceServicer_to_server(servicer: TransportServiceServicer, server: grpc.aio.Server) -> None: ...
