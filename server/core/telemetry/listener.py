"""A small HTTP server for operators: GET of a few paths, one answer a connection, no keys.

By hand, because the HTTP servers that are installed take 25 MB, or threads, in which a server whose event loop is
stuck would still say that all is well. Knows nothing of what it answers.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from http import HTTPStatus
from typing import NamedTuple

import orjson

from server.core.config import Address

_MOST_BYTES = 16 << 10
"""Of a request, which has no body."""
_MOST_CONNECTIONS = 32
_SECONDS = 10.0
"""For one request with its answer."""


class Answer(NamedTuple):
    """What a path answers."""

    body: bytes
    status: int = 200
    type: str = "application/json"


METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"
"""Prometheus' text format."""
Answering = Callable[[], Awaitable[Answer]]


def readiness(reasons: list[str]) -> Answer:
    """Return the answer of `/readyz`: 503 with the reasons, or 200 where there is none."""
    return Answer(orjson.dumps({"ready": not reasons, "reasons": reasons}), 503 if reasons else 200)


class Listener:
    """Answers on one address. `port` is the real one after `start`."""

    def __init__(self, address: Address, paths: Mapping[str, Answering]) -> None:
        self._address = address
        self._paths = paths
        self._server: asyncio.Server | None = None
        self._serving: set[asyncio.Task[None]] = set()
        self.port = 0

    async def start(self) -> None:
        """Listen. Raises OSError when the address is taken or is none."""
        self._server = await asyncio.start_server(
            self._accept, self._address.host, self._address.port, limit=_MOST_BYTES
        )
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Close the port and every connection. Safe at any time."""
        if self._server is not None:
            self._server.close()
        for task in self._serving:
            task.cancel()
        if self._serving:
            await asyncio.wait(self._serving)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        if len(self._serving) >= _MOST_CONNECTIONS:
            writer.close()
            return
        self._serving.add(task)
        try:
            with suppress(OSError, ValueError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
                async with asyncio.timeout(_SECONDS):  # TimeoutError is an OSError
                    await self._answer(reader, writer)
        finally:
            self._serving.discard(task)
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        method, _, rest = head.decode("latin-1").partition(" ")
        path = rest.partition(" ")[0].partition("?")[0]
        answering = self._paths.get(path)
        if answering is None:
            answer = _refused(404, f"there is no such path; there are {', '.join(self._paths)}")
        elif method not in ("GET", "HEAD"):
            answer = _refused(405, "this path takes GET alone")
        else:
            answer = await answering()
        lines = [
            f"HTTP/1.1 {answer.status} {HTTPStatus(answer.status).phrase}",
            f"content-type: {answer.type}",
            f"content-length: {len(answer.body)}",
            "cache-control: no-store",
            "connection: close",
            *(["allow: GET, HEAD"] if answer.status == 405 else []),
        ]
        writer.write("\r\n".join([*lines, "\r\n"]).encode() + (b"" if method == "HEAD" else answer.body))
        await writer.drain()


def _refused(status: int, text: str) -> Answer:
    return Answer(f"{text}\n".encode(), status, "text/plain; charset=utf-8")
