"""Surrounds every call: request id, authentication, limits, access, parsing, validation, errors to statuses.

The only place that catches every exception; `refusals.py` translates errors to statuses. Runs no exchange.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import grpc
import structlog
from google.protobuf.message import DecodeError

from server.content.validation import check, nul_in
from server.content.walk import check_values
from server.core.errors import (
    DeadlineExceeded,
    Internal,
    InvalidArgument,
    PermissionDenied,
    ServiceError,
    Unauthenticated,
    Violation,
)
from server.core.ids import new_id
from server.core.offload import by_size_one_at_a_time
from server.core.telemetry.meter import NO_METER, Meter, MethodMeter
from server.core.telemetry.notes import note_org
from server.core.telemetry.tracing import NO_TRACING, Tracing
from server.rpc.access import admits, answers_with_bodies, check_sent, needs_key, only_stores, requests_in
from server.rpc.activity import Traffic
from server.rpc.announcing import Announcing, serialized
from server.rpc.arrivals import Arrivals
from server.rpc.call import Call, enter
from server.rpc.connection import Connection, Surroundings, check_headers
from server.rpc.context import Handler, Served, asynchronous
from server.rpc.idempotency import Idempotency, serve_of
from server.rpc.key_ends import KeyEnds
from server.rpc.observing import Observed
from server.rpc.open_methods import OpenMethods
from server.rpc.rate_limits import Limits
from server.storage.keys import Caller, Keys

log = structlog.get_logger()

_OURS = "/parley.v1."
_PATH_IDS = ("id", "chatId", "agent_id", "response_id", "conversation_id", "item_id")
"""Members that HTTP has in the path: an invalid id there is answered as not found."""
_LONGEST_KEY = 256
"""Characters. A longer text cannot be one of our keys, and gets no digest, which would be remembered."""
_KEYLESS_SECONDS = 3
"""How long a caller without a key may take to send a message. So little that it need not be counted while it
waits: others could otherwise keep Envoy from asking for health."""
_LONG_ANSWER = 64 << 10
"""Bytes. A longer answer counts as unread by its key's callers until they have read it."""
_MANY = 1_000
"""Values in a request. With more of them only the first error is named: naming each takes 20 µs."""
_MOST_KEYLESS_BYTES = 66_000
"""Of a message without a key: a form of 64 KiB and an id. Envoy refuses larger forms itself."""
_TOO_LARGE_WITHOUT_KEY = "the request is larger than 64 KiB, which is the most this method takes; send less"
_ESCAPED_NUL = b"\\u0000"
"""As JSON has it."""
_SHOWN_IN = ("authorization", "x-api-key", "api-key")
"""The one before decides. The last is what Azure's clients send."""
_NO_KEY = "a valid key is required: send it as `Authorization: Bearer <key>` or `x-api-key: <key>`"


class CallInterceptor(grpc.aio.ServerInterceptor):
    """Wraps every method: the service's own, health and reflection.

    Each is served as a stream, so that the caller is authenticated and counted before its message is read.
    """

    def __init__(
        self,
        keys: Keys,
        key_ends: KeyEnds,
        idempotency: Idempotency,
        limits: Limits,
        traffic: Traffic,
        *,
        call_seconds: float,
        message_seconds: float,
        meter: Meter = NO_METER,
        tracing: Tracing = NO_TRACING,
        connection_seconds: float,
    ) -> None:
        self._meter = meter
        self._tracing = tracing
        self._keys = keys
        self._key_ends = key_ends
        self._traffic = traffic
        self._idempotency = idempotency
        self._limits = limits
        self._call_seconds = call_seconds
        self._with_key = Arrivals(message_seconds)
        self._keyless = Arrivals(min(message_seconds, _KEYLESS_SECONDS))
        self._open = OpenMethods(limits, self._keyless)
        self._wrapped: dict[str, grpc.RpcMethodHandler[Any, Any]] = {}
        self._around_requests = Surroundings(
            limits,
            key_ends,
            idempotency,
            self._authenticated,
            self._while_key_lasts,
            _read_by_size,
            connection_seconds,
        )

    async def intercept_service(
        self,
        continuation: "Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler[Any, Any] | None]]",
        handler_call_details: grpc.HandlerCallDetails,
    ) -> "grpc.RpcMethodHandler[Any, Any] | None":
        """Return the wrapped handler of a method; each method is wrapped once."""
        method = handler_call_details.method
        wrapped = self._wrapped.get(method)
        if wrapped is None:
            handler = await continuation(handler_call_details)
            if handler is None:
                return None
            wrap = self._wrap_open
            if method.startswith(_OURS):
                wrap = self.wrap_connection if handler.request_streaming else self._wrap
            wrapped = self._wrapped[method] = wrap(method, asynchronous(handler))
        return wrapped

    def wrap_connection(self, method: str, handler: Handler) -> "grpc.RpcMethodHandler[Any, Any]":
        """Return the handler of a method with many requests, with everything that surrounds it and each of
        them. The connection is a call under way for as long as it is open."""
        serve: Any = handler.stream_stream

        async def served(call: Call, announcing: Announcing) -> None:
            announcing.is_connection = True
            with self._traffic.of(announcing):
                check_headers(call)
                caller = await self._authenticated(call, announcing.context)
                assert caller is not None
                note_org(caller.org_name or caller.org_id)
                with self._limits.call:
                    if standing := self._limits.acquire(caller):
                        announcing.headers = standing.headers
                        standing.check()
                    with self._limits.call_of(caller):
                        _check_access(call, caller)
                        await announcing.send_initial_metadata(())  # it is open, and may be idle for long
                        connection = Connection(
                            self._around_requests, call._replace(caller=caller), announcing, handler
                        )
                        await serve(connection, announcing)

        counting = self._meter.method(method, streams=True)
        return _handler(_guarded(method, served, counting, self._tracing), streams=True)

    def _wrap(self, method: str, handler: Handler) -> "grpc.RpcMethodHandler[Any, Any]":
        """Return the handler with everything that surrounds it."""
        handler = self._idempotency.around(method, handler)
        serve, parse = serve_of(handler), handler.request_deserializer
        serve = serve if handler.unary_stream else _within(self._call_seconds, serve)
        bodies = handler.unary_stream is not None and answers_with_bodies(method)

        async def admitted(call: Call, announcing: Announcing) -> Any:
            """Check the key's access and limits before anything of the request is read."""
            caller = await self._authenticated(call, announcing.context)
            if caller is None:
                raw = await self._only_message(self._keyless, announcing)
                if len(raw) > _MOST_KEYLESS_BYTES:
                    raise InvalidArgument(_TOO_LARGE_WITHOUT_KEY)
                with self._limits.keyless:
                    return await answered(call, raw, announcing)
            note_org(caller.org_name or caller.org_id)
            with self._limits.call:
                if standing := self._limits.acquire(caller):
                    announcing.headers = standing.headers
                    standing.check()
                self._limits.check_unread(caller)
                with self._limits.call_of(caller):
                    _check_access(call, caller)
                    raw = await self._only_message(self._with_key, announcing)
                    return await answered(call._replace(caller=caller), raw, announcing)

        async def answered(call: Call, raw: bytes, announcing: Announcing) -> Any:
            enter(call)
            announcing.writes_bodies = bodies
            self._limits.acquire_bytes(call.caller, len(raw), runs_model=not only_stores(method))
            request = await _read_by_size(parse, raw, call.caller)
            del raw
            answer = await self._while_key_lasts(call.caller, announcing, serve(request, announcing))
            await announcing.announce()
            if handler.unary_stream and not bodies:
                return None
            last = announcing.last if bodies else answer
            return self._reserved_while_unread(call, last, announcing.context)

        async def served(call: Call, announcing: Announcing) -> Any:
            with self._traffic.of(announcing):
                return await admitted(call, announcing)

        counting = self._meter.method(method, streams=handler.unary_stream is not None)
        guarded = _guarded(method, served, counting, self._tracing)
        return _handler(guarded, streams=handler.response_streaming and not bodies)

    def _reserved_while_unread(self, call: Call, answer: Any, context: Served) -> bytes:
        """Return a whole answer serialized. It counts as unread until the caller has read it, because gRPC
        holds it for that long."""
        raw = serialized(answer)
        if len(raw) > _LONG_ANSWER and call.caller is not None:
            read = self._limits.reserve_unread(call.caller, len(raw))
            context.add_done_callback(lambda _: read())
        return raw

    def _wrap_open(self, method: str, handler: Handler) -> "grpc.RpcMethodHandler[Any, Any]":
        serve = self._open.serving(handler)

        async def served(_: Call, announcing: Announcing) -> Any:
            return await serve(announcing.context, announcing.refuse)

        counting = self._meter.method(method, streams=handler.response_streaming)
        guarded = _guarded(method, served, counting, self._tracing, is_open=True)
        return _handler(guarded, streams=handler.response_streaming)

    async def _only_message(self, arrivals: Arrivals, announcing: Announcing) -> bytes:
        announcing.waits = True
        try:
            return await arrivals.only(announcing.context, announcing.refuse)
        finally:
            announcing.waits = False

    async def _while_key_lasts(
        self, caller: Caller | None, announcing: Announcing, serving: Awaitable[Any]
    ) -> Any:
        """Return the result of `serving`. Raises Unauthenticated when the caller's key ends first.

        A stream that has begun has until the next check to end itself with an event that gives the reason.
        """
        bound, looks = asyncio.timeout(None), 0

        def end() -> None:
            nonlocal looks
            looks += 1
            if bound.when() is None and (looks > 1 or not announcing.has_begun):
                bound.reschedule(asyncio.get_running_loop().time())

        with self._key_ends.subscribe(caller, end):
            try:
                async with bound:
                    return await serving
            except TimeoutError:
                if not bound.expired():
                    raise
                raise Unauthenticated(
                    "the key was revoked or has expired while the call ran", reason="KEY_ENDED"
                ) from None

    async def _authenticated(self, call: Call, context: Served) -> Caller | None:
        """Return the caller; None for a method without a key. Raises Unauthenticated."""
        if not needs_key(call.method):
            return None
        _check_shown_once(context)
        caller = await self._caller(call.metadata)
        if caller is None:
            raise Unauthenticated(_NO_KEY)
        return caller

    async def _caller(self, metadata: Mapping[str, str]) -> Caller | None:
        authorization = metadata.get("authorization")
        if authorization is None:
            key = metadata.get("x-api-key", metadata.get("api-key", ""))
        else:
            scheme, _, key = authorization.partition(" ")
            if scheme.lower() != "bearer":
                return None
        key = key.strip()
        if not key or len(key) > _LONGEST_KEY:
            return None
        if self._keys.knows(key):
            return await self._keys.caller(key)
        with self._limits.stranger:
            return await self._keys.caller(key)


def _guarded(
    method: str,
    served: Callable[[Call, Announcing], Awaitable[Any]],
    counting: MethodMeter | None,
    tracing: Tracing,
    *,
    is_open: bool = False,
) -> Callable[..., Awaitable[Any]]:
    """Return the function that gRPC calls: `served`, with errors as statuses."""

    async def guarded(_: Any, context: Served) -> Any:
        call = _call_of(method, context)
        announcing = Announcing(context, call)
        context.set_trailing_metadata((("x-request-id", call.request_id),))
        with Observed(call, announcing, counting, tracing, is_open=is_open):
            try:
                return await served(call, announcing)
            except grpc.aio.AbortError:  # the call has its status already
                raise
            except asyncio.CancelledError:
                if not announcing.is_broken_off:  # the caller has disconnected
                    raise
                announcing.task.uncancel()
                await announcing.refuse_as_stopping()
            except ServiceError as error:
                await announcing.refuse(error)
            except Exception as error:  # the outermost handler: no detail may reach the caller
                log.error("call failed", method=method, request_id=call.request_id, exc_info=error)
                await announcing.refuse(Internal())

    return guarded


def _handler(guarded: Callable[..., Awaitable[Any]], *, streams: bool) -> "grpc.RpcMethodHandler[Any, Any]":
    """Return a handler that reads and parses messages itself, since gRPC answers nothing when no message
    arrives, and UNKNOWN when parsing fails.

    One that does not stream may also write before it returns. What it returns goes out together with the status,
    which spares a system call and two wake-ups here, and one in Envoy.
    """
    make = grpc.stream_stream_rpc_method_handler if streams else grpc.stream_unary_rpc_method_handler
    return make(guarded, request_deserializer=None, response_serializer=serialized)


def _check_shown_once(context: Served) -> None:
    """Raise Unauthenticated when a header has two values: choosing one would be a guess, here and in a proxy."""
    shown = [(name, value) for name, value in context.invocation_metadata() or () if name in _SHOWN_IN]
    if len(shown) > 1:
        for header in _SHOWN_IN:
            if len({value for name, value in shown if name == header}) > 1:
                raise Unauthenticated(
                    f"{header} was sent more than once, with different values; send it once, with one key"
                )


def _check_access(call: Call, caller: Caller | None) -> None:
    """Raise PermissionDenied when the caller's key may not call the method."""
    if caller is not None and not admits(call.method, publishable=caller.is_publishable):
        raise PermissionDenied("a publishable key cannot do this; use a secret key")


def _within(seconds: float, serve: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    """Return `serve` with a deadline, after which it raises DeadlineExceeded."""

    async def bounded(*arguments: Any) -> Any:
        bound = asyncio.timeout(seconds)
        try:
            async with bound:
                return await serve(*arguments)
        except TimeoutError:
            if not bound.expired():
                raise
            raise DeadlineExceeded(
                f"the call took longer than {seconds:g} s, and was broken off; ask for less at once, or "
                "for a stream"
            ) from None

    return bounded


def _call_of(method: str, context: Served) -> Call:
    metadata = {key: value for key, value in context.invocation_metadata() or () if isinstance(value, str)}
    given = metadata.get("x-request-id", "")
    # The id is sent back, and metadata with invalid text would abort the answer.
    return Call(given if given.isascii() and given.isprintable() and given else new_id(), method, metadata)


async def _read_by_size(parse: Callable[[bytes], Any], raw: bytes, caller: Caller | None) -> Any:
    return await by_size_one_at_a_time(len(raw), _read, parse, raw, caller)


def _read(parse: Callable[[bytes], Any], raw: bytes, caller: Caller | None) -> Any:
    """Return the parsed and validated request. Raises InvalidArgument or PermissionDenied."""
    try:
        request = parse(raw)
    except DecodeError:
        # JSON nested deeper than protobuf's limit of 100 messages arrives in this form too.
        raise _unreadable(
            "the request cannot be read: it is nested too deeply or is not valid UTF-8"
        ) from None
    values = check_values(request, named=_in_body)
    if (b"\0" in raw or _ESCAPED_NUL in raw) and (field := nul_in(request)) not in (None, *_PATH_IDS):
        raise InvalidArgument.of(_in_body(field), "must not contain the character NUL (U+0000); leave it out")
    if caller is not None and caller.is_publishable:
        check_sent(request)
    for one in (*requests_in(request), request):  # what is in another is named as if it came alone
        check(one, only_first=values > _MANY)
    return request


def _in_body(field: str) -> str:
    """Return a member's name as an HTTP caller knows it, whose whole body is the document."""
    return field.removeprefix("document.").removeprefix("patch.").removeprefix("create.")


def _unreadable(message: str) -> InvalidArgument:
    return InvalidArgument(message, violations=(Violation("", message, "json_invalid"),))
