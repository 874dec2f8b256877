"""Writes server-sent events over HTTP. Knows the events of no door."""

import asyncio

from google.api.httpbody_pb2 import HttpBody

from server.rpc.announcing import write_last
from server.rpc.context import Context
from server.wire import sse

SILENT_SECONDS = 15.0


class Frames:
    """The output of one stream: events in order, and comment lines during silence.

    Proxies and clients close a silent connection. No comment precedes the first event: until then the call
    can still be answered with an error's status.
    """

    def __init__(self, context: Context[HttpBody], silent_seconds: float) -> None:
        self._context = context
        self._silent_seconds = silent_seconds
        self._loop = asyncio.get_running_loop()
        self._written_at = 0.0
        self._writing = asyncio.Lock()
        self._silence: asyncio.TimerHandle | None = None
        self._commenting: asyncio.Task[None] | None = None

    async def __aenter__(self) -> "Frames":
        return self

    async def __aexit__(self, *raised: object) -> None:
        if self._silence is not None:
            self._silence.cancel()
        if self._commenting is not None:
            self._commenting.cancel()
            # A failed comment means that the caller has disconnected, which the call notices by itself.
            await asyncio.gather(self._commenting, return_exceptions=True)

    async def write(self, frames: bytes) -> None:
        """Write frames, and start watching for silence after the first ones."""
        async with self._writing:
            await self._context.write(_body(frames))
            self._written_at = self._loop.time()
        if self._silence is None:
            self._watch()

    async def write_last(self, frames: bytes) -> None:
        """Write the end of the stream, which goes out when the call returns."""
        async with self._writing:
            await write_last(self._context, _body(frames))

    def _watch(self) -> None:
        self._silence = self._loop.call_at(self._written_at + self._silent_seconds, self._look)

    def _look(self) -> None:
        """Write a comment after a silence of that length; a single timer checks, however often events are
        written."""
        if self._written_at + self._silent_seconds > self._loop.time():
            self._watch()
        elif self._writing.locked():
            self._silence = self._loop.call_later(self._silent_seconds, self._look)
        else:
            self._commenting = asyncio.create_task(self._comment())

    async def _comment(self) -> None:
        await self.write(sse.COMMENT)
        self._watch()


def _body(frames: bytes) -> HttpBody:
    return HttpBody(content_type="text/event-stream", data=frames)
