"""A TCP proxy on the loopback before a PostgreSQL server that listens on a UNIX socket: it counts requests, delays,
falls silent and cuts. Knows no protocol."""

import asyncio
from collections.abc import Callable
from types import TracebackType
from urllib.parse import parse_qs, urlsplit

from tests.cutting_proxy import reset


class PostgresProxy:
    """`async with PostgresProxy(url) as proxy`: `proxy.url` leads to the database of `url`."""

    def __init__(self, url: str, delay_seconds: float = 0) -> None:
        parts = urlsplit(url)
        [folder] = parse_qs(parts.query)["host"]
        self._target = f"{folder}/.s.PGSQL.5432"
        self._user, self._database = parts.username, parts.path
        self._delay_seconds = delay_seconds
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._passes = asyncio.Event()
        self._passes.set()
        self.requests = 0
        """How often a client sent something."""
        self.connections = 0
        self.refuses = False
        """Whether new connections are reset."""

    async def __aenter__(self) -> "PostgresProxy":
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        port = self._server.sockets[0].getsockname()[1]
        self.url = f"postgresql://{self._user}@127.0.0.1:{port}{self._database}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        self._passes.set()
        self.cut()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def hold(self) -> None:
        """Pass nothing on any more, as a server that is stopped or a network that loses everything."""
        self._passes.clear()

    def resume(self) -> None:
        """Pass on what was held, and everything that comes."""
        self._passes.set()

    def cut(self) -> None:
        """Reset every connection."""
        for writer in tuple(self._writers):
            reset(writer)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        if self.refuses:
            reset(writer)
            return
        there, back = await asyncio.open_unix_connection(self._target)
        self._writers |= {writer, back}
        for source, sink, sent in ((reader, back, self._count), (there, writer, None)):
            task = asyncio.create_task(self._pump(source, sink, sent))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def _count(self) -> None:
        self.requests += 1

    async def _pump(
        self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, sent: Callable[[], None] | None
    ) -> None:
        loop = asyncio.get_running_loop()
        try:
            while data := await source.read(65536):
                if sent is not None:
                    sent()
                await self._passes.wait()
                if self._delay_seconds:
                    loop.call_later(self._delay_seconds, sink.write, data)
                else:
                    sink.write(data)
                    await sink.drain()
        except OSError:
            pass
        finally:
            self._writers.discard(sink)
            sink.transport.abort() if sink.transport.is_closing() else sink.close()
