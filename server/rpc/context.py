"""Types for the parts of grpc.aio that this server uses and that grpc's own types describe only partly.
Contains no behaviour."""

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable, Sequence
from typing import Any, Never, Protocol, TypeVar

import grpc

Sent = TypeVar("Sent", contravariant=True)
Metadata = Sequence[tuple[str, str]]


class Context(Protocol[Sent]):
    """A call as services see it: the target of its metadata and messages."""

    async def write(self, message: Sent, /) -> None: ...

    async def send_initial_metadata(self, metadata: Metadata, /) -> None: ...


class Served(Context[Any], Protocol):
    """The same call as gRPC provides it."""

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
    """A method as grpc.aio serves it. Exactly one of the last four members is set."""

    request_streaming: bool
    response_streaming: bool
    request_deserializer: Callable[[bytes], Any]
    response_serializer: Callable[[Any], bytes]
    unary_unary: Callable[[Any, Context[Any]], Awaitable[Any]] | None
    unary_stream: Callable[[Any, Context[Any]], Awaitable[None]] | None
    stream_unary: Callable[[AsyncIterator[Any], Context[Any]], Awaitable[Any]] | None
    stream_stream: Callable[[AsyncIterator[Any], Context[Any]], AsyncGenerator[Any]] | None


def asynchronous(handler: "grpc.RpcMethodHandler[Any, Any]") -> Handler:
    """Return the same handler, typed."""
    return handler  # type: ignore[return-value]  # grpc types handlers as a synchronous server calls them
