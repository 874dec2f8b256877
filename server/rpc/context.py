"""What a call and a method are to this server: those parts of grpc.aio that it uses, of which grpc's own
types say little.

Types, and nothing that does anything.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable, Sequence
from typing import Any, Never, Protocol, TypeVar

import grpc

Sent = TypeVar("Sent", contravariant=True)
Metadata = Sequence[tuple[str, str]]


class Context(Protocol[Sent]):
    """A call as services see it: where its messages and what goes ahead of them are written."""

    async def write(self, message: Sent, /) -> None: ...

    async def send_initial_metadata(self, metadata: Metadata, /) -> None: ...


class Served(Context[Any], Protocol):
    """The same call as gRPC has it."""

    async def read(self) -> Any: ...

    def invocation_metadata(self) -> Iterable[tuple[str, str | bytes]] | None: ...

    def set_trailing_metadata(self, metadata: Metadata, /) -> None: ...

    def add_done_callback(self, callback: Callable[[Any], None], /) -> None: ...

    async def abort(
        self,
        code: grpc.StatusCode,
        details: str = "",
        trailing_metadata: Sequence[tuple[str, str | bytes]] = (),
        /,
    ) -> Never: ...


class Handler(Protocol):
    """A method as grpc.aio serves it. Of the last four one is there."""

    request_streaming: bool
    response_streaming: bool
    request_deserializer: Callable[[bytes], Any]
    response_serializer: Callable[[Any], bytes]
    unary_unary: Callable[[Any, Context[Any]], Awaitable[Any]] | None
    unary_stream: Callable[[Any, Context[Any]], Awaitable[None]] | None
    stream_unary: Callable[[AsyncIterator[Any], Context[Any]], Awaitable[Any]] | None
    stream_stream: Callable[[AsyncIterator[Any], Context[Any]], AsyncGenerator[Any]] | None


def asynchronous(handler: "grpc.RpcMethodHandler[Any, Any]") -> Handler:
    """The same handler."""
    return handler  # type: ignore[return-value]  # grpc types handlers as a synchronous server calls them
