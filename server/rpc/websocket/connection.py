"""One WebSocket connection as the context of a call, as gRPC gives one: requests are read as the text of frames, and
each message is written as a frame.

Before the connection is open an error is the answer to its handshake; from then on it is a frame, and the
connection ends. Knows no method, and reads no frame's text.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Never

import grpc
import orjson
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed
from websockets.frames import CloseCode

from server.rpc.context import Metadata

MOST_BYTES = 4_000_000
"""Of a frame, as of the body of a request over HTTP."""
_MOST_WAITING = 4
"""Frames that may wait while a response runs."""
_LAST_SECONDS = 1.0
"""Time to send the last frame to a client that may not be reading."""
_CODES = {
    grpc.StatusCode.UNAVAILABLE: CloseCode.SERVICE_RESTART,
    grpc.StatusCode.UNAUTHENTICATED: CloseCode.POLICY_VIOLATION,
    grpc.StatusCode.PERMISSION_DENIED: CloseCode.POLICY_VIOLATION,
    grpc.StatusCode.RESOURCE_EXHAUSTED: CloseCode.TRY_AGAIN_LATER,
    grpc.StatusCode.FAILED_PRECONDITION: CloseCode.GOING_AWAY,
}
"""How a connection closes after an error; a client opens another one after all but POLICY_VIOLATION."""


class Refusal(Exception):
    """Why a connection is not opened: the HTTP answer to its handshake."""

    def __init__(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        super().__init__(status)
        self.status = status
        self.headers = headers
        self.body = body


class SocketContext:
    """The context of the call that a connection is. It is open once the call sends its leading metadata."""

    def __init__(
        self, socket: ServerConnection, metadata: Metadata, frame_of: Callable[[Any], bytes]
    ) -> None:
        self._socket = socket
        self._metadata = metadata
        self._frame_of = frame_of
        self._waiting: deque[bytes] = deque()
        self._arrived = asyncio.Event()
        self._is_closed = False
        self.opened: asyncio.Future[Metadata] = asyncio.get_running_loop().create_future()
        """The metadata with which the call answers the handshake, or the exception Refusal."""
        self._trailing: Metadata = ()

    async def receive(self) -> None:
        """Take the frames of the client, until the connection is closed."""
        with suppress(ConnectionClosed):
            async for frame in self._socket:
                if isinstance(frame, bytes):
                    await self._socket.close(
                        CloseCode.UNSUPPORTED_DATA, "send text frames: a JSON object each"
                    )
                elif len(self._waiting) == _MOST_WAITING or self._is_full_with(frame):
                    await self._socket.close(
                        CloseCode.POLICY_VIOLATION, "wait for the end of a response before the next request"
                    )
                else:
                    self._waiting.append(frame.encode())
                    self._arrived.set()
        self._is_closed = True
        self._arrived.set()

    def _is_full_with(self, frame: str) -> bool:
        waiting = sum(map(len, self._waiting))
        return waiting > 0 and waiting + len(frame) > MOST_BYTES

    async def read(self) -> Any:
        """Return the next frame's text, or EOF once the connection is closed."""
        while not self._waiting and not self._is_closed:
            self._arrived.clear()
            await self._arrived.wait()
        return grpc.aio.EOF if self._is_closed else self._waiting.popleft()

    async def write(self, message: Any, /) -> None:
        """Send a message as a frame; waits while the client does not read."""
        with suppress(ConnectionClosed):  # the call is cancelled
            await self._socket.send(self._frame_of(message), text=True)

    async def send_initial_metadata(self, metadata: Metadata, /) -> None:
        """Open the connection."""
        self.opened.set_result(metadata)

    def invocation_metadata(self) -> Iterable[tuple[str, str | bytes]]:
        """Return the headers of the handshake."""
        return self._metadata

    def set_trailing_metadata(self, metadata: Metadata, /) -> None:
        """Remember what an answer to a refused handshake has."""
        self._trailing = metadata

    def add_done_callback(self, callback: Callable[[Any], None], /) -> None:
        """Do nothing: a connection has no whole answers."""

    async def abort(
        self,
        code: grpc.StatusCode,
        details: str = "",
        trailing_metadata: Sequence[tuple[str, str | bytes]] = (),
        /,
    ) -> Never:
        """Refuse the handshake, or send the error and close. Raises AbortError."""
        members = {name: value for name, value in trailing_metadata if isinstance(value, str)}
        status, body = int(members.pop("x-http-status")), members.pop("x-http-error").encode()
        if self.opened.done():
            await self._close_with(code, status, body)
        else:
            self.opened.set_exception(Refusal(status, members, body))
        raise grpc.aio.AbortError

    async def _close_with(self, code: grpc.StatusCode, status: int, body: bytes) -> None:
        frame = orjson.dumps({"type": "error", "status": status, **orjson.loads(body)})
        with suppress(ConnectionClosed, TimeoutError):
            async with asyncio.timeout(_LAST_SECONDS):
                await self._socket.send(frame, text=True)
        await self._socket.close(_CODES.get(code, CloseCode.INTERNAL_ERROR), "the last frame says why")
