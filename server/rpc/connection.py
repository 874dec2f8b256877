"""A call with many requests: each is authenticated, limited, checked and repeated like a call of its own.

One that is refused is answered, and the connection goes on; one without a valid key ends it, as do the stop of the
server and the end of its time. One request runs at a time. Knows no service, and no form of an error.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import grpc

from server.core.errors import (
    FailedPrecondition,
    InvalidArgument,
    ServerStopping,
    ServiceError,
    Unauthenticated,
    Violation,
)
from server.rpc.announcing import Announcing
from server.rpc.call import Call, enter
from server.rpc.context import Context, Handler, Metadata, asynchronous
from server.rpc.idempotency import HEADER, Idempotency
from server.rpc.key_ends import KeyEnds
from server.rpc.rate_limits import Limits
from server.storage.keys import Caller

_KEY_ENDED = "the key was revoked or has expired while the connection was open"
_NO_HEADER = (
    "names one request, and a connection has many: send it as idempotency_key in the request that it is for"
)

Request = TypeVar("Request")
Answer = TypeVar("Answer")


class Requests(Protocol):
    """The requests of a connection, as its service sees them."""

    async def serve_each(
        self,
        serve: Callable[[Any, Context[Any]], Awaitable[None]],
        refusal: Callable[[ServiceError, Any], Any],
    ) -> None:
        """Serve each request until the caller sends no more; one that fails is answered with its `refusal`."""
        ...


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What surrounds each request of every connection of a server."""

    limits: Limits
    key_ends: KeyEnds
    idempotency: Idempotency
    authenticate: Callable[[Call, Any], Awaitable[Caller | None]]
    while_key_lasts: Callable[[Caller | None, Announcing, Awaitable[Any]], Awaitable[Any]]
    read: Callable[[Callable[[bytes], Any], bytes, Caller | None], Awaitable[Any]]
    connection_seconds: float


def check_headers(call: Call) -> None:
    """Raise InvalidArgument for a header that can only be one request's."""
    if HEADER in call.metadata:
        raise InvalidArgument(
            f"Idempotency-Key {_NO_HEADER}",
            violations=(Violation("Idempotency-Key", _NO_HEADER, "idempotency_key_invalid", "header"),),
        )


class Connection:
    """The requests of one call. As `Requests`, for the service that serves them."""

    def __init__(self, around: Surroundings, call: Call, announcing: Announcing, handler: Handler) -> None:
        self._around = around
        self._call = call
        self._announcing = announcing
        self._handler = handler

    async def serve_each(
        self,
        serve: Callable[[Any, Context[Any]], Awaitable[None]],
        refusal: Callable[[ServiceError, Any], Any],
    ) -> None:
        """Serve each request until the caller sends no more. Raises the error that ends the connection."""
        seconds = self._around.connection_seconds
        over = FailedPrecondition(
            f"the connection has lasted the {seconds / 60:g} minutes that one may; open a new one",
            reason="WEBSOCKET_CONNECTION_LIMIT_REACHED",
        )
        timer = asyncio.get_running_loop().call_later(seconds, self._announcing.end_soon, over)
        try:
            while (raw := await self._next()) is not None:
                await self._serve(raw, serve, refusal)
        finally:
            timer.cancel()

    async def _next(self) -> bytes | None:
        """Return the next request, or None when there are no more. While it waits, nothing else keeps the
        connection from being ended."""
        announcing = self._announcing
        if announcing.ending is not None:
            raise announcing.ending

        def key_ended() -> None:
            announcing.end_soon(Unauthenticated(_KEY_ENDED, reason="KEY_ENDED"))

        with self._around.key_ends.subscribe(self._call.caller, key_ended):
            announcing.waits = True
            try:
                raw = await announcing.context.read()
            finally:
                announcing.waits = False
        return None if raw is grpc.aio.EOF else raw

    async def _serve(
        self,
        raw: bytes,
        serve: Callable[[Any, Context[Any]], Awaitable[None]],
        refusal: Callable[[ServiceError, Any], Any],
    ) -> None:
        request: Any = None
        try:
            caller = await self._admitted(len(raw))
            request = await self._around.read(self._handler.request_deserializer, raw, caller)
            # in a task, so that what it enters (call, claim) ends with it
            running = asyncio.create_task(self._run(request, serve))
            await self._around.while_key_lasts(caller, self._announcing, running)
        except (Unauthenticated, ServerStopping):
            raise
        except ServiceError as error:
            await self._announcing.write(refusal(error, request))

    async def _admitted(self, size: int) -> Caller | None:
        """Check and count a request as a call is checked and counted, except among the calls under way: there
        the connection is, which runs one request at a time."""
        limits = self._around.limits
        caller = await self._around.authenticate(self._call, self._announcing.context)
        if standing := limits.acquire(caller):
            standing.check()
        if caller is not None:
            limits.check_unread(caller)
        limits.acquire_bytes(caller, size)
        return caller

    async def _run(self, request: Any, serve: Callable[[Any, Context[Any]], Awaitable[None]]) -> None:
        context = _RequestContext(self._announcing)
        if not request.HasField("idempotency_key"):
            enter(self._call)
            await serve(request, context)
            return
        enter(self._call._replace(metadata={**self._call.metadata, HEADER: request.idempotency_key}))
        one: Any = grpc.unary_stream_rpc_method_handler(
            serve, response_serializer=self._handler.response_serializer
        )
        await self._around.idempotency.once(asynchronous(one), request, context)


class _RequestContext:
    """The context of one request. Its metadata goes nowhere: a connection has only that with which it began."""

    def __init__(self, announcing: Announcing) -> None:
        self._announcing = announcing

    async def write(self, message: Any) -> None:
        """Write an event."""
        await self._announcing.write(message)

    async def send_initial_metadata(self, metadata: Metadata) -> None:
        """Do nothing."""
