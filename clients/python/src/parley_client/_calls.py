"""What the sync and the async client share: the methods, what may be repeated, where a stream stands.

Calls nothing, and never waits.
"""

import random
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar, cast

import grpc
from google.protobuf.message import Message
from parley.v1.chat_pb2 import ChatEvent
from parley.v1.chat_service_pb2 import WatchChatRequest
from parley.v1.response_pb2 import ResponseStreamEvent
from parley.v1.response_service_pb2 import GetResponseRequest

from parley_client.errors import Aborted, Internal, NotFound, ParleyError, ResourceExhausted, Unavailable
from parley_client.options import Options, Retry

Request = TypeVar("Request", bound=Message)
Answer = TypeVar("Answer", bound=Message)

_FINAL = frozenset({"UPSTREAM_ERROR", "UPSTREAM_INCOMPLETE"})
"""Reasons of UNAVAILABLE that a repeat does not change: the model provider refused or broke off."""
_IN_USE = "IDEMPOTENCY_KEY_IN_USE"


class Place(Protocol):
    """Where a stream stands, and the call that reads on from there."""

    path: str

    def saw(self, event: Message) -> None: ...
    def request(self) -> Message | None:
        """None while the events have named nothing that can be watched."""


class ChatPlace:
    """By the sequence of the events of a chat."""

    path = "/parley.v1.ChatService/WatchChat"

    def __init__(self) -> None:
        self._request: WatchChatRequest | None = None

    def saw(self, event: Message) -> None:
        one = cast(ChatEvent, event)
        self._request = WatchChatRequest(id=one.chat_id, after=one.sequence)

    def request(self) -> Message | None:
        return self._request


class ResponsePlace:
    """By the sequence number of the events of a response, whose id its lifecycle events have."""

    path = "/parley.v1.ResponseService/WatchResponse"

    def __init__(self) -> None:
        self._request = GetResponseRequest()

    def saw(self, event: Message) -> None:
        one = cast(ResponseStreamEvent, event)
        self._request.starting_after = one.sequence_number
        if one.HasField("response"):
            self._request.response_id = one.response.id

    def watching(self, request: Message) -> "ResponsePlace":
        """Of a stream that is a watch already, whose later events do not name the response."""
        self._request.response_id = cast(GetResponseRequest, request).response_id
        return self

    def request(self) -> Message | None:
        return self._request if self._request.response_id else None


@dataclass(frozen=True)
class Method(Generic[Request, Answer]):
    """One method of a service."""

    path: str
    answer: type[Answer]
    reads: bool = False
    """Changes nothing, so it may be repeated."""
    keyed: bool = False
    """Takes an Idempotency-Key, under which it may be repeated."""
    place: Callable[[], Place] | None = None
    """Of a stream that can be resumed."""

    def place_of(self, request: Message) -> Place | None:
        place = self.place and self.place()
        return place.watching(request) if self.reads and isinstance(place, ResponsePlace) else place


class Attempts:
    """The attempts of one call: its metadata, the time that is left, and the delay before the next one."""

    def __init__(
        self, method: Method[Request, Answer], options: Options, timeout: float | None, key: str | None
    ) -> None:
        if key is not None and not method.keyed:
            raise ValueError(f"{method.path} takes no idempotency_key; leave it out")
        self.metadata = options.metadata
        if method.keyed:
            self.metadata += (("idempotency-key", key or uuid.uuid4().hex),)
        self._retry: Retry = options.retry
        self._repeatable = method.reads or method.keyed
        self._deadline = None if timeout is None else time.monotonic() + timeout
        self._made = 0
        self._cut: ParleyError | None = None

    def left(self) -> float | None:
        """Seconds until the deadline."""
        return None if self._deadline is None else max(0.0, self._deadline - time.monotonic())

    def progressed(self) -> None:
        """An event came: what failed before it counts no more."""
        self._made = 0
        self._cut = None

    def delay(self, error: ParleyError) -> float | None:
        """Seconds until the call is repeated; None when it is not."""
        self._made += 1
        if self._made >= self._retry.attempts or not self._may_repeat(error):
            return None
        return self._in_time(error)

    def resume_delay(self, error: ParleyError) -> float | None:
        """Seconds until a stream that has begun is read on; None when it is not."""
        self._made += 1
        self._cut = self._cut or error
        if self._made >= self._retry.attempts or not (_is_cut(error) or _is_refused(error)):
            return None
        return self._in_time(error)

    def end_of(self, error: ParleyError) -> ParleyError:
        """What a stream ends with: what cut it, where nothing is stored that could be read on."""
        return self._cut if self._cut is not None and isinstance(error, NotFound) else error

    def rest(
        self,
        error: ParleyError,
        method: Method[Any, Any],
        request: Message,
        place: Place | None,
        *,
        begun: bool,
    ) -> tuple[str, Message, float]:
        """The path and the request that give the rest of a stream that `error` cut, and the seconds until then.
        Raises what ended the stream where there is none."""
        path = method.path
        if begun:
            watched = place.request() if place else None
            if place is None or watched is None:
                raise error from None
            path, request = place.path, watched
            delay = self.resume_delay(error)
        else:
            delay = self.delay(error)
        if delay is None:
            raise self.end_of(error) from None
        return path, request, delay

    def _may_repeat(self, error: ParleyError) -> bool:
        if _is_refused(error):
            return True
        if isinstance(error, Aborted) and error.reason == _IN_USE:
            return self._made > 1  # an earlier attempt of this call still runs; before that, another caller's
        return self._repeatable and isinstance(error, Unavailable) and error.reason not in _FINAL

    def _in_time(self, error: ParleyError) -> float | None:
        longest = min(self._retry.longest_delay, self._retry.first_delay * 2 ** (self._made - 1))
        delay = longest * random.uniform(0.5, 1.0) + (error.retry_after or 0.0)
        left = self.left()
        return delay if left is None or delay < left else None


def _is_refused(error: ParleyError) -> bool:
    """Whether nothing of the call has run, and the server says when to call again."""
    return isinstance(error, Aborted | ResourceExhausted) and error.retry_after is not None


def _is_cut(error: ParleyError) -> bool:
    """Whether the connection broke, or the server stops: a status of the transport has no reason."""
    if isinstance(error, Unavailable):
        return True
    return not error.reason and (isinstance(error, Internal) or error.code is grpc.StatusCode.UNKNOWN)
