"""Takes WebSocket connections and serves each as a call of one method, with everything that surrounds a call.

Envoy connects here, for its clients: it says which paths may upgrade, and asks `/healthz` whether new connections
are welcome. Knows neither keys nor frames' texts.
"""

import asyncio
import socket as sockets
from collections.abc import Awaitable, Callable
from contextlib import suppress
from http import HTTPStatus
from typing import Any

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.datastructures import Headers
from websockets.http11 import Request, Response

from server.rpc.websocket.connection import MOST_BYTES, Refusal, SocketContext

_HEALTH = "/healthz"
_PING_SECONDS = 20.0
_CLOSE_SECONDS = 2.0
_BUFFER_BYTES = 32 << 10
"""What is written ahead of a client that does not read, here and, twice as much, in the kernel. By itself the kernel
takes 4 MiB a connection, and the model would never be held back."""
_HOP_BY_HOP = ("connection", "upgrade", "host")
_SILENT = HTTPStatus.UPGRADE_REQUIRED, "open a WebSocket connection here\n"

Serve = Callable[[Any, Any], Awaitable[Any]]
"""A method as gRPC calls it: it reads requests from its context, and writes messages to it."""


class Listener:
    """The connections of a server process."""

    def __init__(self, serve_call: Serve, frame_of: Callable[[Any], bytes], unread_seconds: float) -> None:
        self._serve_call = serve_call
        self._frame_of = frame_of
        self._unread_seconds = unread_seconds
        self._server: Server | None = None
        self._contexts: dict[ServerConnection, SocketContext] = {}
        self._calls: dict[ServerConnection, asyncio.Task[None]] = {}
        self._is_leaving = False
        self.port = 0

    async def start(self, host: str, port: int) -> None:
        """Listen. Raises OSError when the address is taken."""
        self._server = await serve(
            self._connected,
            sock=_listening(host, port),
            process_request=self._requested,
            process_response=self._answered,
            compression=None,  # it takes 300 KiB a connection, and events are short
            server_header=None,
            max_size=MOST_BYTES,
            max_queue=1,
            write_limit=_BUFFER_BYTES,
            ping_interval=_PING_SECONDS,
            ping_timeout=self._unread_seconds,
            close_timeout=_CLOSE_SECONDS,
        )
        self.port = next(iter(self._server.sockets)).getsockname()[1]

    def leave(self) -> None:
        """Report that new connections are to go elsewhere. Those that come are taken."""
        self._is_leaving = True

    async def close(self) -> None:
        """Take no more connections, and wait until those that are open have ended."""
        if self._server is not None:
            self._server.close(close_connections=False)
            while self._calls:
                await asyncio.wait(list(self._calls.values()))
            await self._server.wait_closed()

    async def _requested(self, socket: ServerConnection, request: Request) -> Response | None:
        """Begin the call, and return the answer when it is refused, or is no handshake."""
        if request.path == _HEALTH:
            status = HTTPStatus.SERVICE_UNAVAILABLE if self._is_leaving else HTTPStatus.OK
            return socket.respond(status, "")
        if "websocket" not in request.headers.get("upgrade", "").lower():
            return socket.respond(*_SILENT)
        sent = ((name.lower(), value) for name, value in request.headers.raw_items())
        metadata = [(name, value) for name, value in sent if name not in _HOP_BY_HOP]
        metadata.append(("x-envoy-original-path", request.path))
        context = self._contexts[socket] = SocketContext(socket, metadata, self._frame_of)
        self._calls[socket] = asyncio.create_task(self._serve(socket, context))
        try:
            await asyncio.shield(context.opened)
        except Refusal as refusal:
            headers = Headers({**refusal.headers, "content-type": "application/json", "connection": "close"})
            headers["content-length"] = str(len(refusal.body))
            return Response(refusal.status, HTTPStatus(refusal.status).phrase, headers, refusal.body)
        return None

    def _answered(self, socket: ServerConnection, request: Request, response: Response) -> None:
        """Add the headers with which the call begins."""
        context = self._contexts.get(socket)
        if context is not None and response.status_code == HTTPStatus.SWITCHING_PROTOCOLS:
            response.headers.update(context.opened.result())

    async def _serve(self, socket: ServerConnection, context: SocketContext) -> None:
        """Serve the call until it ends, or the connection does."""
        call = asyncio.ensure_future(self._serve_call(None, context))
        closed = asyncio.create_task(socket.wait_closed())
        try:
            await asyncio.wait({call, closed}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            call.cancel()
            closed.cancel()
            await asyncio.wait({call, closed})
            if not call.cancelled():
                call.exception()  # the call has told it
            del self._contexts[socket], self._calls[socket]

    async def _connected(self, socket: ServerConnection) -> None:
        """Take the frames of an open connection; it is closed when this returns."""
        call = self._calls.get(socket)
        if call is None:
            return
        await self._contexts[socket].receive()
        with suppress(asyncio.CancelledError):
            await asyncio.wait({call})


def _listening(host: str, port: int) -> sockets.socket:
    family = sockets.AF_INET6 if ":" in host else sockets.AF_INET
    listening = sockets.create_server((host, port), family=family, backlog=1024)
    listening.setsockopt(sockets.SOL_SOCKET, sockets.SO_SNDBUF, _BUFFER_BYTES)  # connections inherit it
    return listening
