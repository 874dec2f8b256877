"""Connections to model providers: which are opened, what is sent on the side, and answers that break the
rules of HTTP."""

import asyncio
import json
import socket
import struct
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from generated.parley.v1.chat_pb2 import ContentDelta
from generated.parley.v1.message_pb2 import Message
from server.backends.backend import Finish, ModelRequest
from server.backends.endpoint import Endpoint
from server.backends.openai import OpenAIBackend
from server.content.json_values import from_python
from server.core.errors import (
    ServiceError,
    UpstreamError,
    UpstreamIncomplete,
    UpstreamTimeout,
    UpstreamUnavailable,
)
from server.core.outbound.guard import AllowedHosts
from server.core.outbound.limits import Limits
from server.core.outbound.transport import TRANSPORT_ERRORS, HttpClient, Resolve, beginning
from tests.pulled import pulled
from tests.upstream import STALL, Answer, Drip, Upstream, openai_text

HI = Message(role="user", content=from_python("hi"))
COMPLETION = json.dumps({"choices": [{"message": {"content": "Hello"}}]}).encode()
WHOLE = [ContentDelta(text="Hello"), Finish(0, "stop")]
RESET = object()
"""Ends the connection with a reset."""


class Raw(Upstream):
    """Writes what it is scripted to byte by byte as it stands, head included."""

    async def _send(self, answer: Answer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        for piece in answer.pieces:
            if piece is RESET:
                linger = struct.pack("ii", 1, 0)
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                return False
            if piece is STALL or isinstance(piece, Drip):
                await self._drip(piece, reader, writer)
                return False
            writer.write(piece)
            await writer.drain()
        return answer.status != 0  # 0: the end of the connection is the end of the answer

    async def _drip(self, piece: Any, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        gone = asyncio.ensure_future(reader.read())
        while isinstance(piece, Drip) and not gone.done():
            writer.write(piece.piece)
            await asyncio.wait([gone], timeout=piece.seconds)
        await gone
        self.disconnected.set()


@asynccontextmanager
async def backend_of(
    url: str, *, allowed: Sequence[str] = ("127.0.0.1",), limits: Limits | None = None,
    resolve: Resolve | None = None,
) -> AsyncIterator[OpenAIBackend]:  # fmt: skip
    async def sleep(seconds: float) -> None:
        """Take no time."""

    limits = limits or Limits()
    async with HttpClient(AllowedHosts(allowed), limits, resolve) as http:
        yield OpenAIBackend(lambda _: Endpoint(url, "k"), http, limits, sleep=sleep)


async def asked(backend: OpenAIBackend, **members: Any) -> list[Any]:
    """All events of one call for a whole answer, an error last."""
    request = ModelRequest(provider="custom-llm", model="m", messages=[HI], streams=False, **members)
    events: list[Any] = []
    try:
        async for event in pulled(backend, request):
            events.append(event)
    except ServiceError as error:
        assert "UPSTREAM TEXT" not in repr(error.args)
        events.append(error)
    return events


# --- which connections are opened ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1", "localhost", "127.1", "2130706433", "0x7f000001", "017700000001", "0", "0.0.0.0",
        "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "１２７.0.0.1", "127。0。0。1",
    ],
)  # fmt: skip
async def test_host_that_is_a_private_address_is_not_connected_to(host):
    async with (
        Upstream(openai_text("Hello")) as upstream,
        backend_of(f"http://{host}:{upstream.port}", allowed=()) as backend,
    ):
        [error] = await asked(backend)

    assert (error.reason, upstream.connections) == ("UPSTREAM_ADDRESS_REFUSED", 0)


async def test_name_that_turns_private_between_attempts_is_not_connected_to(monkeypatch):
    found = [["8.8.8.8"], ["127.0.0.1"]]
    tried = []

    async def resolve(host: str, port: int) -> list[str]:
        return found.pop(0)

    async def create_connection(factory: Any, address: str, port: int, **_: Any) -> Any:
        tried.append(address)
        raise OSError("unreachable")

    monkeypatch.setattr(asyncio.get_running_loop(), "create_connection", create_connection)
    async with backend_of("http://rebound.example", resolve=resolve) as backend:
        [error] = await asked(backend)

    assert (error.reason, tried, found) == ("UPSTREAM_ADDRESS_REFUSED", ["8.8.8.8"], [])


async def test_private_addresses_beside_public_ones_are_passed_over(monkeypatch):
    tried = []

    async def resolve(host: str, port: int) -> list[str]:
        return ["127.0.0.1", "8.8.8.8", "10.0.0.1", "::ffff:127.0.0.1"]

    async def create_connection(factory: Any, address: str, port: int, **_: Any) -> Any:
        tried.append(address)
        raise OSError("unreachable")

    monkeypatch.setattr(asyncio.get_running_loop(), "create_connection", create_connection)
    async with backend_of("http://mixed.example", resolve=resolve) as backend:
        [error] = await asked(backend)

    assert (type(error), set(tried)) == (UpstreamUnavailable, {"8.8.8.8"})


async def test_address_that_is_connected_to_is_checked_again(monkeypatch):
    async def resolve(host: str, port: int) -> list[str]:
        return ["8.8.8.8"]

    async with (
        Upstream(openai_text("Hello")) as upstream,
        backend_of(f"http://moved.example:{upstream.port}", resolve=resolve) as backend,
    ):
        loop = asyncio.get_running_loop()
        connect = loop.create_connection
        monkeypatch.setattr(
            loop, "create_connection", lambda factory, _, port, **more: connect(factory, "127.0.0.1", port, **more)
        )  # fmt: skip
        [error] = await asked(backend)

    assert (type(error), upstream.requests) == (UpstreamUnavailable, [])


@pytest.mark.parametrize("scheme", ["unix", "http+unix", "file", "ws", "tcp", ""])
async def test_nothing_but_http_is_spoken(scheme, tmp_path):
    path, connected = tmp_path / "s", []

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connected.append(writer)
        writer.close()

    server = await asyncio.start_unix_server(accept, path)
    async with server, HttpClient(AllowedHosts(["127.0.0.1", "localhost"]), Limits()) as http:
        for url in (f"{scheme}://{path}", f"{scheme}://localhost{path}", str(path)):
            with pytest.raises((*TRANSPORT_ERRORS, ValueError)):
                await http.send("GET", url, {}, None)

    assert connected == []


# --- what is sent on the side -------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirect_is_not_followed(status):
    async with Upstream(openai_text("Hello")) as other:
        headers = {"location": f"{other.base_url}/chat/completions"}
        async with Upstream(Answer(status=status, headers=headers)) as upstream:
            async with backend_of(upstream.base_url) as backend:
                [error] = await asked(backend)

    assert (type(error), len(upstream.requests), other.connections) == (UpstreamError, 1, 0)


async def test_environment_names_no_proxy_and_no_password(monkeypatch, tmp_path):
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password secret\n")
    monkeypatch.setenv("NETRC", str(netrc))
    async with Upstream(openai_text("Hello")) as proxy, Upstream(openai_text("Hello")) as upstream:
        for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.base_url)
        async with HttpClient(AllowedHosts(["127.0.0.1"]), Limits()) as http:
            response = await http.send("GET", upstream.base_url, {}, None)
            await beginning(response, 1 << 20)

    assert proxy.connections == 0
    assert set(upstream.requests[0].headers) == {"host", "accept-encoding", "connection"}


async def test_cookies_are_not_sent_back():
    answer = openai_text("Hello")
    answer = Answer(answer.pieces, headers={**answer.headers, "set-cookie": "a=b; Path=/"})
    async with Upstream(answer) as upstream, backend_of(upstream.base_url) as backend:
        await asked(backend)
        await asked(backend)

    assert [request.headers.get("cookie") for request in upstream.requests] == [None, None]
    assert upstream.connections == 1


# --- answers that break the rules ---------------------------------------------------------------------------


def head(*lines: str, version: str = "1.1") -> bytes:
    return "\r\n".join((f"HTTP/{version} 200 OK", "content-type: application/json", *lines, "", "")).encode()


def sized(size: int, *lines: str, version: str = "1.1") -> bytes:
    return head(f"content-length: {size}", *lines, version=version)


def chunked(content: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(content), content)


CHUNKED = head("transfer-encoding: chunked")
SIZE = len(COMPLETION)
WRONG = COMPLETION.replace(b"Hello", b"Wrong")
UNTIL_CLOSED = {
    "HTTP/1.0 without a length": [head(version="1.0"), COMPLETION],
    "HTTP/1.1 without a length": [head(), COMPLETION],
}


@pytest.mark.parametrize("pieces", UNTIL_CLOSED.values(), ids=UNTIL_CLOSED)
async def test_answer_may_end_with_its_connection(pieces):
    async with Raw(Answer(pieces, status=0)) as upstream, backend_of(upstream.base_url) as backend:
        assert [await asked(backend) for _ in range(2)] == [WHOLE, WHOLE]

    assert upstream.connections == 2


REUSED = {
    "length": ([sized(SIZE) + COMPLETION], True),
    "chunks": ([CHUNKED + chunked(COMPLETION[:9]) + chunked(COMPLETION[9:]) + b"0\r\n\r\n"], True),
    "byte by byte": ([bytes([byte]) for byte in sized(SIZE) + COMPLETION], True),
    "trailers": ([CHUNKED + chunked(COMPLETION) + b"0\r\nx-trailer: 1\r\n\r\n"], True),
    "early hints": ([b"HTTP/1.1 103 Early Hints\r\n\r\n" + sized(SIZE) + COMPLETION], True),
    "closing": ([sized(SIZE, "connection: close") + COMPLETION], False),
    "HTTP/1.0": ([sized(SIZE, version="1.0") + COMPLETION], False),
    # Not the beginning of the next answer: it goes with the parser that has it.
    "half a head behind": ([CHUNKED + chunked(COMPLETION) + b"0\r\n\r\nHTTP/1.1 201 No\r\n"], True),
    "answer behind the answer": ([(sized(SIZE) + COMPLETION) * 2], False),
}


@pytest.mark.parametrize(("pieces", "reused"), REUSED.values(), ids=REUSED)
async def test_connection_is_used_again_when_nothing_is_left_on_it(pieces, reused):
    async with Raw(Answer(pieces)) as upstream, backend_of(upstream.base_url) as backend:
        assert [await asked(backend) for _ in range(2)] == [WHOLE, WHOLE]

    assert (len(upstream.requests), upstream.connections) == (2, 1 if reused else 2)


BROKEN = {
    "length too large": ([sized(SIZE + 1), WRONG], 0, UpstreamIncomplete),
    "length too small": ([sized(SIZE - 1) + WRONG], 200, UpstreamError),
    "chunk without its end": ([CHUNKED + chunked(WRONG)], 0, UpstreamIncomplete),
    "size of a chunk that is none": ([CHUNKED + b"zz\r\n" + WRONG], 200, UpstreamIncomplete),
    "size of a chunk below none": ([CHUNKED + b"-1\r\n" + WRONG], 200, UpstreamIncomplete),
    "chunk longer than its size": ([CHUNKED + b"2\r\n" + WRONG], 200, UpstreamIncomplete),
    "reset": ([sized(SIZE) + WRONG[:9], RESET], 0, UpstreamIncomplete),
    "nothing": ([sized(0)], 200, UpstreamIncomplete),
}


@pytest.mark.parametrize(("pieces", "status", "error"), BROKEN.values(), ids=BROKEN)
async def test_answer_that_is_broken_off_or_broken_is_an_error(pieces, status, error):
    good = Answer([sized(SIZE) + COMPLETION])
    async with Raw([Answer(pieces, status), good]) as upstream, backend_of(upstream.base_url) as backend:
        found = await asked(backend)
        retried = len(upstream.requests) == 2  # what is wrong came with the head, before the answer began
        again = await asked(backend)

    assert found == WHOLE if retried else [type(event) for event in found] == [error]
    assert again == WHOLE
    assert upstream.connections == (1 if pieces == [sized(0)] else 2)


HEADS = {
    "garbage behind the answer": [sized(SIZE) + COMPLETION + b"x"],
    "not HTTP": [b"SSH-2.0-OpenSSH_9.9\r\n"],
    "other version": [head(version="3.0")],
    "huge header": [head(f"x-large: {'x' * (20 << 10)}")],
    "huge headers": [head(*(f"x-{number}: 1" for number in range(300)))],
    "two lengths": [sized(SIZE, f"content-length: {SIZE + 1}") + COMPLETION],
    "length that is none": [head("content-length: -1") + COMPLETION],
    "length and chunks": [sized(SIZE, "transfer-encoding: chunked") + COMPLETION],
    "nothing": [],
}


@pytest.mark.parametrize("pieces", HEADS.values(), ids=HEADS)
async def test_head_that_cannot_be_read_is_tried_again_elsewhere(pieces):
    good = Answer([sized(SIZE) + COMPLETION])
    async with Raw([Answer(pieces, status=0), good]) as upstream, backend_of(upstream.base_url) as backend:
        assert await asked(backend) == WHOLE

    assert upstream.connections == 2


@pytest.mark.parametrize(
    "pieces",
    [
        [STALL],
        [b"HTTP/1.1 200 OK\r\nx-slow: ", Drip(b"x", seconds=0.02)],
        [Drip(b"HTTP/1.1 102 Processing\r\n\r\n", seconds=0.02)],
    ],
    ids=["silent", "slow", "never final"],
)
async def test_head_that_does_not_end_times_out_and_closes_the_connection(pieces):
    async with (
        Raw(Answer(pieces)) as upstream,
        backend_of(upstream.base_url) as backend,
    ):
        [error] = await asked(backend, timeout_seconds=0.25)

        assert type(error) is UpstreamTimeout
        await upstream.disconnected.wait()
