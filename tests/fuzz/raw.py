"""Malformed HTTP: requests that were right, changed byte by byte, sent as they are. Starts no service.

A request that cannot be read must be answered with an error of the caller's, or with the end of the
connection.
"""

import asyncio
import random
import re
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field

AT_ONCE = 16
_PATIENCE = 0.5
"""Seconds. A request that ends too early is waited for by the edge, and by nobody else."""
_STATUS = re.compile(rb"HTTP/1\.[01] (\d{3})")
_LINES = (
    b"Content-Length: 5",
    b"Content-Length: -1",
    b"Content-Length: 99999999999999999999",
    b"Content-Length: 1\r\nContent-Length: 2",
    b"Transfer-Encoding: chunked",
    b"Transfer-Encoding: identity, chunked",
    b"Transfer-Encoding: gzip",
    b"Host: a\r\nHost: b",
    b"x_y: 1",
    b": 1",
    b"x",
    b"x : 1",
    b" x: 1",
    b"x: \x00",
    b"x: \x7f",
    b"x: \xff\xfe",
    b"\xff: 1",
    b"x'|: 1",
    b"Expect: 100-continue",
    b"Expect: 200",
    b"Connection: close, host",
    b"Upgrade: h2c",
    b"TE: trailers",
    b"Trailer: x",
    b"grpc-timeout: x",
    b"grpc-encoding: gzip",
    b"x-bin: ?",
    b"content-type: application/grpc",
    b"content-type: application/grpc-web",
    b"content-type: \xff",
    b"accept: \xff",
    b"x-request-id: \xff",
    b"x-envoy-original-path: /",
    b"x-http-status: 999",
    b"Authorization: Bearer \x00",
)
_TARGETS = (
    b"/chat",
    b"/chat/x",
    b"*",
    b"http://x/chat",
    b"//",
    b"/%",
    b"/%zz",
    b"/chat/%ff",
    b"/chat/%00",
    b"/\xff",
    b"/../..",
    b"/" + b"a" * 70_000,
    b"/chat?x=%",
    b"/chat?" + b"a=b&" * 3_000,
    b"/parley.v1.ChatService/CreateChat",
    b"",
    b"/a b",
    b"/#",
)
_METHODS = (
    b"GET",
    b"POST",
    b"PATCH",
    b"DELETE",
    b"PUT",
    b"CONNECT",
    b"PRI",
    b"get",
    b"G\x00T",
    b"",
    b"X" * 300,
    b"\xff",
    b"TRACE",
)
_BODIES = (
    b"",
    b"{",
    b"[" * 2_000,
    b'{"input": ' + b"[" * 99 + b"]" * 99 + b"}",
    b'{"input": "\\ud800"}',
    b'{"input": 1e999}',
    b"\xff\xfe",
    b'{"input": "\x00"}',
    b"null",
    b"5",
    b'{"a": 1} {"b": 2}',
    b"\xef\xbb\xbf{}",
    b'{"input": "a", "input": 1}',
    b"\x00" * 9,
    b'{"assistant": {"model": ' + b'{"a": ' * 40 + b"1" + b"}" * 40 + b"}}",
    b"a=b&c=d",
    b'{"\\u0000": 1}',
    b'{"": 1}',
)
_VERSIONS = (
    b"HTTP/1.1",
    b"HTTP/1.0",
    b"HTTP/0.9",
    b"HTTP/2.0",
    b"HTTP/1.9",
    b"http/1.1",
    b"HTTP/1.1 ",
    b"",
    b"JUNK",
)
_FAULTS = ("method", "target", "version", "headers", "body", "bytes", "end", "HTTP/2")
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_SETTINGS = bytes(3) + b"\x04" + bytes(5)


@dataclass
class Report:
    """What some requests came to: statuses, 0 for a connection that was closed without one."""

    statuses: Counter[int] = field(default_factory=Counter)
    wrong: list[tuple[int, bytes]] = field(default_factory=list)
    """Requests that were answered as a fault of ours, or not at all."""


def requests(key: str, seed: int) -> Iterator[bytes]:
    """Malformed requests without end, always the same ones. Most have one fault, so that what lies behind it
    is reached."""
    chance = random.Random(seed)
    while True:
        faults = set(chance.sample(_FAULTS, chance.choice((1, 1, 1, 2, 4))))
        if "HTTP/2" in faults:
            yield _PREFACE + chance.choice((b"", _SETTINGS)) + chance.randbytes(chance.randrange(200))
            continue
        body = chance.choice(_BODIES) if "body" in faults else b'{"input": "a"}'
        first = b" ".join(
            (
                chance.choice(_METHODS) if "method" in faults else chance.choice((b"GET", b"POST")),
                chance.choice(_TARGETS)
                if "target" in faults
                else chance.choice((b"/chat", b"/session", b"/v1/responses")),
                chance.choice(_VERSIONS) if "version" in faults else b"HTTP/1.1",
            )
        )
        lines = [b"Host: x", b"Authorization: Bearer " + key.encode(), b"Content-Length: %d" % len(body)]
        lines += chance.sample(_LINES, chance.randrange(1, 4)) if "headers" in faults else []
        chance.shuffle(lines)
        whole = bytearray(b"\r\n".join([first, *lines]) + b"\r\n\r\n" + body)
        for _ in range(chance.choice((1, 2, 20)) if "bytes" in faults else 0):
            whole[chance.randrange(len(whole))] = chance.randrange(256)
        yield bytes(whole[: chance.randrange(len(whole))] if "end" in faults else whole)


async def send(
    port: int, key: str, count: int, *, seed: int = 1, progress: Callable[[str], None] = lambda text: None
) -> Report:
    """Send so many, some at once, each on a connection of its own."""
    report, source = Report(), zip(range(count), requests(key, seed), strict=False)

    async def sender() -> None:
        for number, request in source:
            status = await _answer(port, request)
            report.statuses[status] += 1
            if status >= 500 and status != 501:
                report.wrong.append((status, request))
            progress(f"{number:,} of {count:,}")

    await asyncio.gather(*(sender() for _ in range(AT_ONCE)))
    return report


async def answers(port: int, key: str) -> bool:
    """Whether a request that is right is answered."""
    request = f"GET /session HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\n\r\n"
    return await _answer(port, request.encode()) == 200


async def _answer(port: int, request: bytes) -> int:
    """The status of the answer; 0 when the connection was closed, or waits for more than it was sent."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        with suppress(ConnectionError, TimeoutError):
            writer.write(request)
            await writer.drain()
            async with asyncio.timeout(_PATIENCE):
                found = _STATUS.match(await reader.readline())
                return int(found[1]) if found else 0
        return 0
    finally:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()
