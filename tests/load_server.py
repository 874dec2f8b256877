"""A server that a load calls and that behaves as a test wants: it holds requests back, sheds, and cuts streams."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from aiohttp import web

Behaviour = Callable[[web.Request], Awaitable[web.StreamResponse]]
DELTA = b'data: {"id":"1","path":"chat.output[0].content","delta":"Hi"}\n\n'


@asynccontextmanager
async def serving(behaviour: Behaviour) -> AsyncIterator[str]:
    """Answer every request like this. Yields the URL."""
    app = web.Application()

    async def answer(request: web.Request) -> web.StreamResponse:
        return await behaviour(request)

    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app, shutdown_timeout=0)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        yield f"http://{host}:{port}"
    finally:
        await runner.cleanup()


class Holding:
    """Holds every request until so many have come, and then answers all of them."""

    def __init__(self, number: int) -> None:
        self._number = number
        self._open = asyncio.Event()
        self.held = 0
        self.released_at = 0.0

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        self.held += 1
        if self.held == self._number:
            self.released_at = time.perf_counter()
            self._open.set()
        await self._open.wait()
        return whole()


def whole() -> web.Response:
    """A chat."""
    return web.json_response({"id": "1"})


async def streamed(request: web.Request, *pieces: bytes) -> web.StreamResponse:
    """A stream of these pieces that ends as it should."""
    response = web.StreamResponse(headers={"content-type": "text/event-stream"})
    await response.prepare(request)
    for piece in pieces:
        await response.write(piece)
    await response.write_eof()
    return response
