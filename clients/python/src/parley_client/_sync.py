"""Calls that block: unary with repeats, streams with repeats and resumes. Knows no service."""

import threading
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Generic, TypeVar

import grpc
from google.protobuf.message import Message

from parley_client._calls import Answer, Attempts, Method, Place, Request
from parley_client.errors import ParleyError, error_of
from parley_client.options import Options

Event = TypeVar("Event", bound=Message)


class Connection:
    """A channel, and the calls on it. Usable by several threads."""

    def __init__(self, target: str, options: Options) -> None:
        self.options = options
        self.channel = (
            grpc.insecure_channel(target, options.arguments())
            if options.plaintext
            else grpc.secure_channel(target, options.credentials(), options.arguments())
        )

    def unary(
        self, method: Method[Request, Answer], request: Request, timeout: float | None, key: str | None
    ) -> Answer:
        attempts = Attempts(method, self.options, timeout, key)
        call: Any = self.channel.unary_unary(
            method.path,
            request_serializer=type(request).SerializeToString,
            response_deserializer=method.answer.FromString,
        )
        while True:
            try:
                answer: Answer = call(request, timeout=attempts.left(), metadata=attempts.metadata)
                return answer
            except grpc.RpcError as failed:
                error = error_of(failed)
                delay = attempts.delay(error)
                if delay is None:
                    raise error from None
            threading.Event().wait(delay)

    def stream(
        self, method: Method[Request, Event], request: Request, timeout: float | None, key: str | None
    ) -> "Stream[Event]":
        return Stream(self, method, request, Attempts(method, self.options, timeout, key))

    def open(
        self, path: str, answer: type[Event], request: Message, attempts: Attempts, *, resumes: bool
    ) -> Any:
        """The call of a stream, just begun."""
        call: Any = self.channel.unary_stream(
            path, request_serializer=type(request).SerializeToString, response_deserializer=answer.FromString
        )
        metadata = self.options.metadata if resumes else attempts.metadata
        return call(request, timeout=attempts.left(), metadata=metadata)


class Stream(Generic[Event]):
    """The events of a call, each exactly once. Closing it, or leaving its `with`, cancels the call."""

    def __init__(
        self, connection: Connection, method: Method[Any, Event], request: Message, attempts: Attempts
    ) -> None:
        self._connection = connection
        self._method = method
        self._attempts = attempts
        self._place: Place | None = method.place_of(request)
        self._begun = False
        self._closed = threading.Event()
        self._call = connection.open(method.path, method.answer, request, attempts, resumes=False)
        self._request = request

    def __iter__(self) -> Iterator[Event]:
        return self

    def __next__(self) -> Event:
        while not self._closed.is_set():
            try:
                event: Event = next(self._call)
            except grpc.RpcError as failed:
                if self._closed.is_set():
                    break
                self._read_on(failed)
                continue
            except StopIteration:
                self._closed.set()
                break
            self._begun = True
            self._attempts.progressed()
            if self._place is not None:
                self._place.saw(event)
            return event
        raise StopIteration

    def close(self) -> None:
        """Cancel the call; also from another thread. The iterator then ends."""
        self._closed.set()
        self._call.cancel()

    def __enter__(self) -> "Stream[Event]":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __del__(self) -> None:
        if "_call" in self.__dict__:
            self.close()

    def _read_on(self, failed: grpc.RpcError) -> None:
        """Begin the call that gives the rest, after a pause; raise what ended the stream where there is
        none."""
        try:
            path, request, delay = self._attempts.rest(
                error_of(failed), self._method, self._request, self._place, begun=self._begun
            )
        except ParleyError:
            self._closed.set()
            raise
        if not self._closed.wait(delay):
            self._call = self._connection.open(
                path, self._method.answer, request, self._attempts, resumes=self._begun
            )
            if self._closed.is_set():  # by another thread, while the call began
                self._call.cancel()
