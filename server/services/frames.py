"""Server-sent events as they are written over HTTP. Knows no event of any door."""

import asyncio

from google.api.httpbody_pb2 import HttpBody

from server.rpc.context import Context
from server.wire import sse

SILENT_SECONDS = 15.0


class Frames:
    """What one stream writes: events in order, and a comment line after so long without a byte.

    Proxies and clients take a connection that is silent for dead. No comment comes before the first event:
    until then the call may still be answered with an error's status.
    """

    def __init__(self, context: Context[HttpBody], silent_seconds: float) -> None:
        self._context = context
        self._silent_seconds = silent_seconds
        self._now = asyncio.get_running_loop().time
        self._written_at = 0.0
        self._writing = asyncio.Lock()
        self._commenting: asyncio.Task[None] | None = None

    async def __aenter__(self) -> "Frames":
        return self

    async def __aexit__(self, *raised: object) -> None:
        if self._commenting is not None:
            self._commenting.cancel()
            # Its exception, if it has one, is that the caller is gone, which the call hears by itself.
            await asyncio.gather(self._commenting, return_exceptions=True)

    async def write(self, frames: bytes) -> None:
        async with self._writing:
            await self._context.write(HttpBody(content_type="text/event-stream", data=frames))
            self._written_at = self._now()
        if self._commenting is None:
            self._commenting = asyncio.create_task(self._comment())

    async def _comment(self) -> None:
        while True:
            left = self._written_at + self._silent_seconds - self._now()
            if left > 0 or self._writing.locked():
                await asyncio.sleep(max(left, 0) or self._silent_seconds)
            else:
                await self.write(sse.COMMENT)
                await asyncio.sleep(0)  # a write that does not wait would keep the loop to itself
