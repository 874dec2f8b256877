"""Connections with many requests, over WebSocket through Envoy and over gRPC: both take and give the frames of the
WebSocket mode."""

import json
from contextlib import asynccontextmanager

import grpc
from google.protobuf.json_format import MessageToDict, ParseDict
from websockets.asyncio.client import connect

from generated.parley.v1.response_service_pb2 import ConnectResponsesRequest
from generated.parley.v1.response_service_pb2_grpc import ResponseServiceStub

LAST = ("response.completed", "response.incomplete", "response.failed", "error")
OF_THE_FRAME = ("generate", "idempotency_key")


class Talk:
    """A connection that sends frames and receives events."""

    async def send(self, frame):
        raise NotImplementedError

    async def receive(self):
        raise NotImplementedError

    async def events(self):
        """All events up to the last one of a request."""
        received = [await self.receive()]
        while received[-1]["type"] not in LAST:
            received.append(await self.receive())
        return received

    async def ask(self, **members):
        """The last event of a request: its response, or its error."""
        await self.send({"type": "response.create", **members})
        last = (await self.events())[-1]
        return last.get("response", last)

    async def error(self, **members):
        """The code and the parameter of the error that a request ends in."""
        last = await self.ask(**members)
        return last["status"], last["error"]["code"], last["error"].get("param")


class WebSocketTalk(Talk):
    def __init__(self, socket):
        self.socket = socket

    async def send(self, frame):
        await self.socket.send(frame if isinstance(frame, str | bytes) else json.dumps(frame))

    async def receive(self):
        return json.loads(await self.socket.recv())


class GrpcTalk(Talk):
    def __init__(self, call):
        self.call = call

    async def send(self, frame):
        request = ConnectResponsesRequest()
        ParseDict({name: frame[name] for name in OF_THE_FRAME if name in frame}, request)
        members = {name: value for name, value in frame.items() if name not in (*OF_THE_FRAME, "type")}
        request.create.SetInParent()
        ParseDict(members, request.create)
        await self.call.write(request)

    async def receive(self):
        event = await self.call.read()
        if event.HasField("error"):
            members = MessageToDict(event.error, preserving_proto_field_name=True)
            return {"type": "error", "status": members.pop("status"), "error": members}
        return MessageToDict(event.response, preserving_proto_field_name=True)


def websocket(http_url, key, path="/v1/responses", **options):
    """A WebSocket through Envoy, which leaves the connection open for a second after its close: nobody waits for
    that here."""
    options = {"close_timeout": 0.05, **options}
    headers = {**({"authorization": f"Bearer {key}"} if key else {}), **options.pop("headers", {})}
    return connect(http_url.replace("http", "ws") + path, additional_headers=headers, proxy=None, **options)


@asynccontextmanager
async def talking(kind, service, key):
    if kind == "websocket":
        async with websocket(service.http_url, key) as socket:
            yield WebSocketTalk(socket)
        return
    async with grpc.aio.insecure_channel(service.grpc_address) as channel:
        call = ResponseServiceStub(channel).ConnectResponses(metadata=(("authorization", f"Bearer {key}"),))
        yield GrpcTalk(call)
        if not call.done():
            await call.done_writing()
            assert await call.code() is grpc.StatusCode.OK


def text_of(response):
    """The text of a response."""
    return "".join(part["text"] for item in response["output"] for part in item.get("content", ()))
