"""Waits a bounded time for the messages of calls. Knows neither keys nor methods, and renders no error
itself.

gRPC reads a unary method's message before its handler runs, and answers nothing when none arrives: such a
call would stay for as long as its caller likes, uncounted. Methods are therefore served as streams, and their
messages are read here.

A read must not be cancelled: gRPC would still write into freed memory. A call that waits too long is ended by
its status instead, which ends the read.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import NamedTuple

import grpc

from server.core.errors import DeadlineExceeded, InvalidArgument, ServiceError
from server.rpc.context import Served

Refuse = Callable[[ServiceError], Awaitable[None]]
"""Ends a call with the status of an error, once; raises grpc.aio.AbortError."""


class _Waiting(NamedTuple):
    until: float
    refuse: Refuse


class Arrivals:
    """Calls that wait for a message, each for up to `seconds`. They share one timer, because a timer per call
    would cost more than the read."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._waiting: dict[Served, _Waiting] = {}
        """The longest first."""
        self._overdue: set[Served] = set()
        """Calls that will be ended, unless their message arrives before."""
        self._endings: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None

    async def only(self, context: Served, refuse: Refuse) -> bytes:
        """Return the only message of a call. Raises InvalidArgument when the call ends without one."""
        message = await self.next(context, refuse)
        if message is None:
            raise InvalidArgument("the call ended without a message; send one, which may be empty")
        return message

    async def next(self, context: Served, refuse: Refuse) -> bytes | None:
        """Return the next message of a call, or None at its end. Raises grpc.aio.AbortError when the call was
        ended meanwhile."""
        loop = asyncio.get_running_loop()
        self._waiting[context] = _Waiting(loop.time() + self._seconds, refuse)
        if self._timer is None:
            self._timer = loop.call_later(self._seconds, self._end_overdue)
        try:
            message = await context.read()
            return None if message is grpc.aio.EOF else message
        finally:
            self._waiting.pop(context, None)
            self._overdue.discard(context)

    def _end_overdue(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        self._timer = None
        while self._waiting:
            context, (until, refuse) = next(iter(self._waiting.items()))
            if until > now:
                self._timer = loop.call_at(until, self._end_overdue)
                return
            del self._waiting[context]
            self._overdue.add(context)
            ending = loop.create_task(self._end(context, refuse))
            self._endings.add(ending)
            ending.add_done_callback(self._endings.discard)

    async def _end(self, context: Served, refuse: Refuse) -> None:
        if context in self._overdue:
            # InternalError: the caller has disconnected meanwhile.
            with suppress(grpc.aio.AbortError, grpc.aio.InternalError):
                await refuse(
                    DeadlineExceeded(f"the message of the call did not arrive within {self._seconds:g} s")
                )
