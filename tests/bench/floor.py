"""The least that a chat costs with the parts the service is made of, as a process of its own: the service's own
Envoy, a `grpc.aio` server, an aiohttp client. `python -m tests.bench.floor PORT BASE_URL`.

It knows no keys, checks and stores nothing, and sends each text on as it is read. What the service costs beyond
this is its own work; what this costs beyond a goal cannot be met with these parts.
"""

import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import grpc
import orjson
import uvloop
from google.api.httpbody_pb2 import HttpBody
from grpc_health.v1 import health_pb2, health_pb2_grpc

from gateway.launcher import Gateway
from generated.parley.v1 import chat_service_pb2_grpc
from generated.parley.v1.chat_service_pb2 import CreateChatRequest
from tests.processes import free_address


class Health(health_pb2_grpc.HealthServicer):
    """Always serving."""

    async def Check(self, request: object, context: object) -> health_pb2.HealthCheckResponse:
        return health_pb2.HealthCheckResponse(status=health_pb2.HealthCheckResponse.SERVING)


class Floor(chat_service_pb2_grpc.ChatServiceServicer):
    """POST /chat; `assistantId` is the model's name."""

    def __init__(self, client: aiohttp.ClientSession, base_url: str) -> None:
        self._client = client
        self._url = f"{base_url}/chat/completions"

    async def PostChat(self, request: CreateChatRequest, context: object) -> AsyncIterator[HttpBody]:
        body = {
            "model": request.assistant_id,
            "messages": [{"role": "user", "content": request.input.string_value}],
            "stream": request.stream,
        }
        async with self._client.post(self._url, data=orjson.dumps(body)) as answer:
            if not request.stream:
                text = orjson.loads(await answer.read())["choices"][0]["message"]["content"]
                yield _body(
                    "application/json", orjson.dumps({"output": [{"role": "assistant", "content": text}]})
                )
                return
            left = b""
            async for data in answer.content.iter_any():
                *events, left = (left + data).split(b"\n\n")
                if frames := b"".join(map(_frame, events)):
                    yield _body("text/event-stream", frames)


def _frame(event: bytes) -> bytes:
    data = event.removeprefix(b"data: ")
    if data == b"[DONE]":
        return b""
    choices = orjson.loads(data)["choices"]
    text = choices[0]["delta"].get("content") if choices else None
    return b"data: %b\n\n" % orjson.dumps({"id": "floor", "delta": text}) if text else b""


def _body(content_type: str, data: bytes) -> HttpBody:
    return HttpBody(content_type=content_type, data=data)


async def serve(port: int, base_url: str) -> None:
    address = free_address()
    server = grpc.aio.server()
    server.add_insecure_port(address)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as client:
        chat_service_pb2_grpc.add_ChatServiceServicer_to_server(Floor(client, base_url), server)
        health_pb2_grpc.add_HealthServicer_to_server(Health(), server)
        await server.start()
        host, _, grpc_port = address.partition(":")
        with tempfile.TemporaryDirectory(prefix="parley-bench-") as folder:
            gateway = Gateway(
                http=("127.0.0.1", port), upstreams=[(host, int(grpc_port))], run_dir=Path(folder)
            )
            await gateway.start()
            await gateway.ready()
            await gateway.wait()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1]), sys.argv[2]))
