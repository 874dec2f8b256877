"""The context of one call, as interceptors and services see it: it sends metadata before the messages and can
end the call early.

Serves nothing, and knows neither keys nor limits.
"""

import asyncio
from contextlib import suppress
from typing import Any, Protocol, cast

import grpc

from server.content.walk import readable
from server.core.errors import ServerStopping, ServiceError
from server.rpc.call import Call
from server.rpc.context import Context, Metadata, Sent, Served
from server.rpc.refusals import refuse

_CLOSING = "the server is stopping, and takes no more requests on this connection; open a new one"
_STOPPING = "the server is stopping, and has broken the call off; send it again"


def serialized(answer: Any) -> bytes:
    """Serialize an answer with text that JSON can represent; bytes are returned unchanged, because they were
    serialized for several readers."""
    return answer if isinstance(answer, bytes) else readable(answer)


class Ends(Protocol):
    """The context of a call that can be given its last message ahead of its status."""

    async def write_last(self, message: Any, /) -> None: ...


async def write_last(context: Context[Sent], message: Sent) -> None:
    """Write what a stream of HTTP bodies ends with. It goes out when the method returns, in one piece with the
    status."""
    await cast(Ends, context).write_last(message)  # generated services say that they get gRPC's own context


class Announcing:
    """The context of a call, which sends `headers` before the first message, together with the service's own
    metadata."""

    def __init__(self, context: Served, call: Call) -> None:
        self.context = context
        self._call = call
        self.headers: tuple[tuple[str, str], ...] = ()
        """Headers that are not sent yet."""
        task = asyncio.current_task()
        assert task is not None
        self.task: asyncio.Task[None] = task
        self.has_begun = False
        """Whether a message was sent."""
        self.is_broken_off = False
        self.waits = False
        """Whether its message is still read. That must not be cancelled: see `arrivals.py`."""
        self.writes_bodies = False
        """Whether HTTP bodies are written: to gRPC their method is one that answers once, and may write only bytes
        before that."""
        self.refused: ServiceError | None = None
        """What it was ended with."""
        self.ok_status = "200"
        """The HTTP status of a call that succeeds."""
        self.is_connection = False
        """Whether it has many requests."""
        self.ending: ServiceError | None = None
        """Why a connection is to end once nothing runs on it."""
        self.last: Any = b""
        """The last HTTP body of a stream, or an empty one."""
        self._ending: asyncio.Task[None] | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.context, name)

    def break_off(self) -> None:
        """End the call; its caller learns that the server is stopping."""
        self.is_broken_off = True
        if self.waits:
            self._ending = asyncio.create_task(self._end(_stopping()))
        else:
            self.task.cancel()

    def end_soon(self, error: ServiceError) -> None:
        """End a connection with `error`: at once when it waits for a request, otherwise when it would wait."""
        if self.ending is None:
            self.ending = error
            if self.waits:
                self._ending = asyncio.create_task(self._end_waiting(error))

    def retire(self) -> None:
        """End a connection soon; its caller learns that the server is stopping."""
        if self.is_connection:
            self.end_soon(ServerStopping(_CLOSING, retry_after=1))

    async def _end_waiting(self, error: ServiceError) -> None:
        if self.waits:  # otherwise a request came meanwhile, and is served first
            await self._end(error)

    async def _end(self, error: ServiceError) -> None:
        # InternalError: the caller has disconnected meanwhile
        with suppress(grpc.aio.AbortError, grpc.aio.InternalError):
            await self.refuse(error)

    async def send_initial_metadata(self, metadata: Metadata) -> None:
        """Send the service's metadata together with `headers`."""
        headers, self.headers = self.headers, ()
        self.ok_status = next((value for name, value in metadata if name == "x-http-status"), self.ok_status)
        await self.context.send_initial_metadata((*metadata, *headers))

    async def announce(self) -> None:
        """Send `headers` unless they are sent already, and mark the call as begun."""
        self.has_begun = True
        if self.headers:
            await self.send_initial_metadata(())

    async def refuse(self, error: ServiceError) -> None:
        """End the call with an error. Raises grpc.aio.AbortError."""
        self.refused = error
        await refuse(self.context, self._call, error, self.headers)

    async def refuse_as_stopping(self) -> None:
        """End the call because the server is stopping. Raises grpc.aio.AbortError."""
        await self.refuse(_stopping())

    async def write(self, message: Any) -> None:
        """Write a message, after the headers."""
        await self.announce()
        # from now on there is nothing in between
        self.write = self._write_body if self.writes_bodies else self.context.write  # type: ignore[method-assign, assignment]
        await self.write(message)

    async def _write_body(self, body: Any) -> None:
        await self.context.write(serialized(body))

    async def write_last(self, message: Any) -> None:
        self.last = message


def _stopping() -> ServiceError:
    return ServerStopping(_STOPPING, retry_after=1)
