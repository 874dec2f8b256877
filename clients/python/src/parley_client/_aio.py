"""Calls on an event loop: unary with repeats, streams with repeats and resumes. Knows no service."""

import asyncio
from collections.abc import AsyncIterator
from types import TracebackType
from typing import Any, Generic, TypeVar

import grpc
import grpc.aio
from google.protobuf.message import Message

from parley_client._calls import Answer, Attempts, Method, Place, Request
from parley_client.errors import ParleyError, error_of
from parley_client.options import Options

Event = TypeVar("Event", bound=Message)


class AsyncConnection:
    """A channel, and the calls on it."""

    def __init__(self, target: str, options: Options) -> None:
        self.options = options
        self.channel = (
            grpc.aio.insecure_channel(target, options.arguments())
            if options.plaintext
            else grpc.aio.secure_channel(target, options.credentials(), options.arguments())
        )

    async def unary(
        self,
        method: Method[Request, Answer],
        request: Request,
        timeout: float | None,  # noqa: ASYNC109 # goes to the server as the call's deadline
        key: str | None,
    ) -> Answer:
        attempts = Attempts(method, self.options, timeout, key)
        call: Any = self.channel.unary_unary(
            method.path,
            request_serializer=type(request).SerializeToString,
            response_deserializer=method.answer.FromString,
        )
        while True:
            try:
                answer: Answer = await call(request, timeout=attempts.left(), metadata=attempts.metadata)
                return answer
            except grpc.RpcError as failed:
                error = error_of(failed)
                delay = attempts.delay(error)
                if delay is None:
                    raise error from None
            await asyncio.sleep(delay)

    def stream(
        self, method: Method[Request, Event], request: Request, timeout: float | None, key: str | None
    ) -> "AsyncStream[Event]":
        return AsyncStream(self, method, request, Attempts(method, self.options, timeout, key))

    def open(
        self, path: str, answer: type[Event], request: Message, attempts: Attempts, *, resumes: bool
    ) -> Any:
        """The call of a stream, just begun."""
        call: Any = self.channel.unary_stream(
            path, request_serializer=type(request).SerializeToString, response_deserializer=answer.FromString
        )
        metadata = self.options.metadata if resumes else attempts.metadata
        return call(request, timeout=attempts.left(), metadata=metadata)


class AsyncStream(Generic[Event]):
    """The events of a call, each exactly once. Closing it, or leaving its `async with`, cancels the call."""

    def __init__(
        self, connection: AsyncConnection, method: Method[Any, Event], request: Message, attempts: Attempts
    ) -> None:
        self._connection = connection
        self._method = method
        self._attempts = attempts
        self._place: Place | None = method.place_of(request)
        self._begun = False
        self._closed = asyncio.Event()
        self._call = connection.open(method.path, method.answer, request, attempts, resumes=False)
        self._request = request

    def __aiter__(self) -> AsyncIterator[Event]:
        return self

    async def __anext__(self) -> Event:
        while not self._closed.is_set():
            try:
                event = await self._call.read()
            except grpc.RpcError as failed:
                if self._closed.is_set():
                    break
                await self._read_on(failed)
                continue
            except asyncio.CancelledError:
                if self._closed.is_set() and not _is_cancelled():
                    break
                raise
            if event is grpc.aio.EOF:
                self._closed.set()
                break
            self._begun = True
            self._attempts.progressed()
            if self._place is not None:
                self._place.saw(event)
            answer: Event = event
            return answer
        raise StopAsyncIteration

    async def aclose(self) -> None:
        """Cancel the call; also from another task. The iterator then ends."""
        self._closed.set()
        self._call.cancel()

    async def __aenter__(self) -> "AsyncStream[Event]":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def _read_on(self, failed: grpc.RpcError) -> None:
        """Begin the call that gives the rest, after a pause; raise what ended the stream where there is
        none."""
        try:
            path, request, delay = self._attempts.rest(
                error_of(failed), self._method, self._request, self._place, begun=self._begun
            )
        except ParleyError:
            self._closed.set()
            raise
        try:
            await asyncio.wait_for(self._closed.wait(), delay)
        except TimeoutError:
            self._call = self._connection.open(
                path, self._method.answer, request, self._attempts, resumes=self._begun
            )


def _is_cancelled() -> bool:
    """Whether this task is cancelled, and not the call alone."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
