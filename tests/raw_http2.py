"""HTTP/2 by hand, for callers that do not read, do not finish, or say too much. Decides nothing by itself."""

import asyncio
from collections.abc import Callable, Iterable

import h2.config
import h2.connection
import h2.events
import h2.settings

SECONDS = 20
Headers = Iterable[tuple[str, str]]


class Http2:
    """`async with Http2("127.0.0.1:8080") as connection`: one connection, and all that was answered on it.

    `window`: how many bytes of each answer the server may send unread; what is read is acknowledged all the
    same.
    """

    def __init__(self, address: str, *, window: int = 65_535) -> None:
        self._address = address
        config = h2.config.H2Configuration(header_encoding="utf-8", validate_outbound_headers=False)
        self._connection = h2.connection.H2Connection(config)
        self._connection.local_settings = h2.settings.Settings(
            initial_values={
                h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: window,
                h2.settings.SettingCodes.ENABLE_PUSH: 0,
            }
        )
        self.headers: dict[int, dict[str, str]] = {}
        """Of every answer, trailers included, by its stream."""
        self.bodies: dict[int, bytes] = {}
        self.ended: set[int] = set()
        self.reset: set[int] = set()
        self.most_streams = 0
        """How many at a time the server takes."""
        self.is_closed = False
        self._changed = asyncio.Event()

    async def __aenter__(self) -> "Http2":
        host, _, port = self._address.rpartition(":")
        self._reader, self._writer = await asyncio.open_connection(host, int(port))
        self._connection.initiate_connection()
        self._receiving = asyncio.create_task(self._receive())
        await self.until(lambda: self.most_streams)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._receiving.cancel()
        await asyncio.wait([self._receiving])
        self._writer.close()

    def open(
        self, method: str, path: str, headers: Headers = (), *, body: bytes = b"", end: bool = True
    ) -> int:
        """Begin a request, and end it unless told otherwise; returns its stream."""
        stream = self._connection.get_next_available_stream_id()
        self._connection.send_headers(
            stream,
            [
                (":method", method),
                (":scheme", "http"),
                (":path", path),
                (":authority", self._address),
                *headers,
            ],
            end_stream=end and not body,
        )
        if body:
            self._connection.send_data(stream, body, end_stream=end)
        self._flush()
        return stream

    def call(self, method: str, metadata: Headers = (), *, body: bytes = b"", end: bool = True) -> int:
        """Begin a gRPC call of `/package.Service/Method`; without a body it has no message."""
        return self.open(
            "POST",
            method,
            (("te", "trailers"), ("content-type", "application/grpc"), *metadata),
            body=body,
            end=end,
        )

    def send(self, stream: int, body: bytes, *, end: bool = True) -> None:
        """More of a request that was begun."""
        self._connection.send_data(stream, body, end_stream=end)
        self._flush()

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait until `condition` is true, which is asked whenever something has come."""
        async with asyncio.timeout(SECONDS):
            while not condition():
                self._changed.clear()
                await self._changed.wait()

    async def answers(self, *streams: int) -> list[dict[str, str]]:
        """The headers and trailers of these streams, once each has ended or was reset."""
        await self.until(lambda: self.ended | self.reset >= set(streams))
        return [self.headers.get(stream, {}) for stream in streams]

    async def _receive(self) -> None:
        self._flush()
        while data := await self._reader.read(1 << 16):
            for event in self._connection.receive_data(data):
                self._consume(event)
            self._flush()
            self._changed.set()
        self.is_closed = True
        self._changed.set()

    def _consume(self, event: h2.events.Event) -> None:
        match event:
            case h2.events.RemoteSettingsChanged():
                self.most_streams = self._connection.remote_settings.max_concurrent_streams
            case h2.events.ResponseReceived() | h2.events.TrailersReceived():
                headers = self.headers.setdefault(event.stream_id, {})
                headers.update(event.headers)  # type: ignore[arg-type]  # text: see header_encoding
            case h2.events.DataReceived():
                self.bodies[event.stream_id] = self.bodies.get(event.stream_id, b"") + event.data
                self._connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            case h2.events.StreamEnded():
                self.ended.add(event.stream_id)
            case h2.events.StreamReset():
                self.reset.add(event.stream_id)
            case h2.events.ConnectionTerminated():
                self.is_closed = True

    def _flush(self) -> None:
        if data := self._connection.data_to_send():
            self._writer.write(data)


def framed(message: bytes) -> bytes:
    """A message as gRPC sends it."""
    return b"\0" + len(message).to_bytes(4, "big") + message
