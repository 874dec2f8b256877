"""A cheap and exact HTTP/1.1 caller: while an answer comes it notes when which bytes arrived, and reads them
only once it is whole.

So what it costs falls outside of the times that it measures, and a machine of two cores is left to the server.
It speaks to one address over connections that stay open, and retries nothing.
"""

import asyncio
import time
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import orjson


class Answer(NamedTuple):
    """One answer as it arrived."""

    status: int
    began: float
    pieces: Sequence[tuple[float, bytes]]

    @property
    def whole(self) -> float:
        """The seconds that all of it took."""
        return self.pieces[-1][0] - self.began

    @property
    def body(self) -> bytes:
        return b"".join(data for _, data in self._bodies())

    def texts(self) -> Iterator[tuple[float, str]]:
        """The text of the answer with the seconds at which it was there, one for each arrival that brought
        some."""
        left = b""
        for at, data in self._bodies():
            *events, left = (left + data).split(b"\n\n")
            if text := "".join(map(text_of, events)):
                yield at - self.began, text

    def _bodies(self) -> Iterator[tuple[float, bytes]]:
        """The pieces without the head and the framing of chunks."""
        received, is_chunked = b"", None
        for at, data in self.pieces:
            received += data
            if is_chunked is None:
                head, found, rest = received.partition(b"\r\n\r\n")
                if not found:
                    continue
                is_chunked, received = _is_chunked(head), rest
            if is_chunked:
                body, received = _unchunked(received)
            else:
                body, received = received, b""
            yield at, body


def text_of(event: bytes) -> str:
    """What an event adds to the answer, in whichever of the forms that are compared here."""
    data = b"".join(line[6:] for line in event.split(b"\n") if line.startswith(b"data: "))
    if not data or data == b"[DONE]":
        return ""
    found = orjson.loads(data)
    if isinstance(found.get("delta"), str):
        return str(found["delta"])
    return "".join(choice["delta"].get("content") or "" for choice in found.get("choices", []))


class Connection(asyncio.Protocol):
    """One connection to a server, for one request after the other."""

    def __init__(self, address: str) -> None:
        self._host, _, self._port = address.partition(":")
        self._transport: asyncio.Transport | None = None
        self._ended: asyncio.Future[None] | None = None

    async def call(self, request: bytes) -> Answer:
        """Send a request and wait for the end of its answer."""
        loop = asyncio.get_running_loop()
        if self._transport is None or self._transport.is_closing():
            self._transport, _ = await loop.create_connection(lambda: self, self._host, int(self._port))
        self._pieces: list[tuple[float, bytes]] = []
        self._head, self._left, self._tail = b"", -1, b""
        self._ended = loop.create_future()
        began = time.perf_counter()
        self._transport.write(request)
        await self._ended
        return Answer(int(self._head[9:12]), began, self._pieces)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def connection_lost(self, error: Exception | None) -> None:
        if self._ended is not None and not self._ended.done():
            self._ended.set_exception(error or ConnectionResetError("the server closed the connection"))

    def data_received(self, data: bytes) -> None:
        self._pieces.append((time.perf_counter(), data))
        if self._left < 0 and not self._tail:
            self._head += data
            head, found, data = self._head.partition(b"\r\n\r\n")
            if not found:
                return
            self._tail = b"\r\n"
            if not _is_chunked(head):
                self._left = _length(head)
        if self._left >= 0:
            self._left -= len(data)
            if self._left > 0:
                return
        else:
            self._tail = (self._tail + data)[-7:]
            if self._tail != b"\r\n0\r\n\r\n":
                return
        if self._ended is not None:
            self._ended.set_result(None)


def request(path: str, key: str, body: dict[str, object]) -> bytes:
    raw = orjson.dumps(body)
    return (
        f"POST {path} HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer {key}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(raw)}\r\n\r\n"
    ).encode() + raw


def _is_chunked(head: bytes) -> bool:
    return b"transfer-encoding: chunked" in head.lower()


def _length(head: bytes) -> int:
    return int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])


def _unchunked(received: bytes) -> tuple[bytes, bytes]:
    """The content of the chunks that are whole, and what is left."""
    body = []
    while True:
        size, found, rest = received.partition(b"\r\n")
        length = int(size, 16) if found else 0
        if not found or len(rest) < length + 2:
            return b"".join(body), received
        body.append(rest[:length])
        received = rest[length + 2 :]
        if not length:
            return b"".join(body), b""
