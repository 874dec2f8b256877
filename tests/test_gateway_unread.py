"""Callers that do not read their answers: how much of Envoy's memory they may hold.

With the real Envoy and envoy.yaml, its limits made small.
"""

import asyncio
import socket
from contextlib import AsyncExitStack, asynccontextmanager

import httpx
import pytest

from gateway.launcher import CONFIG, Gateway
from generated.parley.v1 import chat_pb2
from tests.raw_http2 import Http2
from tests.test_gateway import Chats, Upstream

KEY = (("authorization", "Bearer abc"),)
LARGE = 3_000_000
SMALL_HEAP = {"max_heap_size_bytes": ("1073741824", str(200 << 20))}


pytestmark = pytest.mark.usefixtures("quiet")


@pytest.fixture
def quiet(caplog):
    """gRPC logs every answer whose stream was reset, at length."""
    caplog.set_level(100, "grpc._cython.cygrpc")


class LargeChats(Chats):
    async def GetChat(self, request, context):
        return chat_pb2.Chat(id=request.id, name="x" * (LARGE if request.id == "large" else 1))


@pytest.fixture(scope="module")
async def upstream():
    server = Upstream()
    server.chats = LargeChats()
    await server.start()
    yield server
    await server.server.stop(None)


@asynccontextmanager
async def edge(upstream, folder, **changes):
    """Envoy with some texts of envoy.yaml replaced."""
    config = CONFIG.read_text()
    for name, value in changes.items():
        before, after = value
        assert config.count(f"{name}: {before}") == 1
        config = config.replace(f"{name}: {before}", f"{name}: {after}")
    (folder / "envoy.yaml").write_text(config)
    gateway = Gateway(
        http=("127.0.0.1", 0),
        upstreams=[("127.0.0.1", upstream.port)],
        run_dir=folder,
        config=folder / "envoy.yaml",
    )
    await gateway.start()
    await gateway.ready()
    try:
        yield f"127.0.0.1:{gateway.http_port}", gateway
    finally:
        await gateway.stop(1)


async def read_whole(address):
    async with httpx.AsyncClient(base_url=f"http://{address}", timeout=20, verify=False) as http:
        return (await http.get("/chat/c1", headers=dict(KEY))).status_code


@pytest.mark.parametrize(("path", "sent"), [("/openapi.json", 50), ("/pages/scalar.js", 20)])
async def test_large_file_is_given_out_a_few_times_a_second(upstream, tmp_path, path, sent):
    """Large answers without a key: Envoy holds all of each until it is read."""
    once = {"fill_interval": ("1s", "3600s")}
    async with edge(upstream, tmp_path, **once) as (address, _), AsyncExitStack() as connections:
        statuses = []
        for _ in range(3):
            unread = await connections.enter_async_context(Http2(address, window=0))
            answers = [unread.open("GET", path) for _ in range(100)]
            await unread.until(lambda: unread.headers.keys() >= set(answers))  # noqa: B023
            statuses += [unread.headers[answer] for answer in answers]
        others = await read_whole(address)

    refused = [headers for headers in statuses if headers[":status"] == "429"]
    assert {headers[":status"] for headers in statuses} == {"200", "429"}
    assert len(refused) == 300 - sent
    assert {
        (headers["retry-after"], headers["content-type"], headers["access-control-allow-origin"])
        for headers in refused
    } == {("1", "application/json", "*")}
    assert others == 200


async def test_document_that_is_not_read_is_given_up(upstream, tmp_path):
    short = {"stream_flush_timeout": ("120s", "0.1s")}
    async with edge(upstream, tmp_path, **short) as (address, _), Http2(address, window=0) as unread:
        answers = [unread.open("GET", "/openapi.json") for _ in range(3)]
        await unread.until(lambda: unread.reset >= set(answers))

    assert [unread.headers[answer][":status"] for answer in answers] == ["200"] * 3


async def test_largest_unread_answers_go_when_memory_runs_short(upstream, tmp_path):
    """They would be more than twice as large as the heap; others are served all the while."""
    async with edge(upstream, tmp_path, **SMALL_HEAP) as (address, _), AsyncExitStack() as connections:
        reset = 0
        for _ in range(3):
            unread = await connections.enter_async_context(Http2(address, window=0))
            for _ in range(16):  # a little at a time: what is held is looked at twenty times a second
                answers = [unread.open("GET", "/chat/large", KEY) for _ in range(2)]
                await unread.until(lambda: unread.headers.keys() | unread.reset >= set(answers))  # noqa: B023
                assert await read_whole(address) == 200
            reset += len(unread.reset)

    assert reset


async def test_connections_whose_answer_is_not_read_are_closed_when_memory_runs_short(upstream, tmp_path):
    """Those of HTTP/1.1: Envoy holds what is left of an answer in the connection, and counts it to no
    stream."""
    early = {"scaling_threshold": ("0.50, saturation_threshold: 0.65", "0.30, saturation_threshold: 0.35")}
    async with (
        edge(upstream, tmp_path, **SMALL_HEAP, **early) as (address, gateway),
        AsyncExitStack() as connections,
    ):
        for _ in range(25):
            unread = connections.enter_context(socket.socket())
            unread.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            unread.connect(("127.0.0.1", gateway.http_port))
            unread.sendall(b"GET /chat/large HTTP/1.1\r\nhost: x\r\nauthorization: Bearer a\r\n\r\n")
        async with asyncio.timeout(20):
            while await gateway._stat("http.edge.downstream_cx_idle_timeout") == 0:  # noqa: ASYNC110
                await asyncio.sleep(0)

        assert await read_whole(address) == 200
