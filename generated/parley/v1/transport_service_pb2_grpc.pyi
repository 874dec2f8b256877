"""Types of the gRPC stubs: callers and servers of grpc.aio."""

from collections.abc import AsyncIterator, Awaitable

import grpc.aio

from google.api.httpbody_pb2 import HttpBody
from generated.parley.v1.transport_service_pb2 import ReceiveTwilioMessageRequest

class TransportServiceStub:
    def __init__(self, channel: grpc.aio.Channel) -> None: ...
    ReceiveTwilioMessage: grpc.aio.UnaryUnaryMultiCallable[ReceiveTwilioMessageRequest, HttpBody]

class TransportServiceServicer:
    def ReceiveTwilioMessage(self, request: ReceiveTwilioMessageRequest, context: grpc.aio.ServicerContext[ReceiveTwilioMessageRequest, HttpBody]) -> Awaitable[HttpBody]: ...

def add_TransportServiceServicer_to_server(servicer: TransportServiceServicer, server: grpc.aio.Server) -> None: ...
