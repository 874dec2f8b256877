"""Health and reflection, which take no key: limited in number and duration, and separate from the limits of
callers with keys.

A health Check is always answered, however many others run: Envoy treats a server that does not answer as
dead. Renders no error, and knows no method by name.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import Any

from google.protobuf.message import DecodeError

from server.core.errors import DeadlineExceeded, InvalidArgument
from server.rpc.arrivals import Arrivals, Refuse
from server.rpc.context import Handler, Served
from server.rpc.rate_limits import Limits

Serve = Callable[[Served, Refuse], Awaitable[Any]]
_MOST_SECONDS = 600
"""Of a stream. A client that watches health then connects again, as after every end of a stream."""


class OpenMethods:
    """Wraps handlers of health and reflection."""

    def __init__(self, limits: Limits, arrivals: Arrivals) -> None:
        self._limits = limits
        self._arrivals = arrivals

    def serving(self, handler: Handler) -> Serve:
        """Return a function that serves a call of the handler's method: it returns one answer, or writes
        many. Raises ServiceError."""
        if handler.unary_unary:
            return self._unary(handler, handler.unary_unary)
        return self._lasting(handler)

    def _unary(self, handler: Handler, answer: Callable[[Any, Served], Awaitable[Any]]) -> Serve:
        async def serve(context: Served, refuse: Refuse) -> Any:
            request = _parsed(handler, await self._arrivals.only(context, refuse))
            return await answer(request, context)

        return serve

    def _lasting(self, handler: Handler) -> Serve:
        async def serve(context: Served, refuse: Refuse) -> None:
            with self._limits.open_stream:
                if handler.unary_stream:
                    request = _parsed(handler, await self._arrivals.only(context, refuse))
                    await _for_a_time(handler.unary_stream(request, context))
                elif handler.stream_stream:
                    async with aclosing(
                        handler.stream_stream(self._messages(handler, context, refuse), context)
                    ) as answers:
                        async for answer in answers:
                            await _for_a_time(context.write(answer))

        return serve

    async def _messages(self, handler: Handler, context: Served, refuse: Refuse) -> AsyncGenerator[Any]:
        while (message := await self._arrivals.next(context, refuse)) is not None:
            yield _parsed(handler, message)


def _parsed(handler: Handler, raw: bytes) -> Any:
    try:
        return handler.request_deserializer(raw)
    except DecodeError:
        raise InvalidArgument("the request cannot be read: it is not the message of this method") from None


async def _for_a_time(serving: Awaitable[None]) -> None:
    try:
        async with asyncio.timeout(_MOST_SECONDS):
            await serving
    except TimeoutError:
        raise DeadlineExceeded(
            f"the stream was open for {_MOST_SECONDS} s, as long as it may be; open it again"
        ) from None
