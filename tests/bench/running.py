"""Starts what is measured: the service as `parley serve`, and its peers."""

import asyncio
import json
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import grpc
from google.protobuf.json_format import ParseDict

from generated.parley.v1.chat_service_pb2 import CreateChatRequest
from tests.bench.load import Caller, Http, tree
from tests.processes import SECONDS, Serving, free_address


class Parley(NamedTuple):
    """The service, with limits off unless they are what is measured."""

    process: Serving
    keys: dict[str, str]
    pids: list[int]

    @property
    def server(self) -> int:
        """The process of the gRPC server, without Envoy."""
        return self.pids[0]

    def http(self, body: dict, path: str = "/chat") -> Http:
        body = {"assistantId": self.keys["assistantId"], **body}
        return Http(self.process.http, path, self.keys["api"], json.dumps(body).encode())

    def grpc(self, channel: grpc.aio.Channel, method: str, body: dict) -> Caller:
        request = ParseDict(
            {"assistantId": self.keys["assistantId"], **body}, CreateChatRequest()
        ).SerializeToString()
        return raw_caller(
            channel,
            f"/parley.v1.ChatService/{method}",
            request,
            self.metadata,
            streams=method.startswith("Stream"),
        )

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        return (("authorization", f"Bearer {self.keys['api']}"),)


@asynccontextmanager
async def parley(**environment: object) -> AsyncIterator[Parley]:
    with tempfile.TemporaryDirectory(prefix="parley-bench-") as folder:
        async with Serving(Path(folder) / "data", **{"PARLEY_LIMITS": "off", **environment}) as process:
            keys = json.loads((process.data / "dev-keys.json").read_bytes())
            yield Parley(process, keys, tree(process.pid))
            await process.stop()


@asynccontextmanager
async def peer(name: str) -> AsyncIterator[tuple[str, list[int]]]:
    """Its address and its processes, once it listens."""
    address = free_address()
    with tempfile.TemporaryDirectory(prefix="parley-bench-") as folder:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.bench.peers", name, address.partition(":")[2], folder
        )
        try:
            await listening(address)
            yield address, [process.pid]
        finally:
            process.kill()
            await process.wait()


def raw_caller(
    channel: grpc.aio.Channel, method: str, request: bytes, metadata: tuple = (), *, streams: bool = False
) -> Caller:
    call = channel.unary_stream(method) if streams else channel.unary_unary(method)

    async def unary() -> float:
        await call(request, metadata=metadata)
        return 0.0

    async def stream() -> float:
        async for _ in call(request, metadata=metadata):
            pass
        return 0.0

    return stream if streams else unary


async def listening(address: str, seconds: float = SECONDS) -> None:
    """Wait until something accepts connections there."""
    host, _, port = address.partition(":")
    async with asyncio.timeout(seconds):
        while True:
            try:
                _, writer = await asyncio.open_connection(host, int(port))
            except OSError:
                await asyncio.sleep(0.02)
                continue
            writer.close()
            return
