"""What happens around every call: request id, key → caller, key kind, parsing, rules, error → status.

The only place that catches every exception, and the only one that turns errors into statuses. Runs no exchange.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import quote

import grpc
import structlog
from google.protobuf import any_pb2
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

from server.access import KEYLESS_METHODS, PUBLISHABLE_METHODS
from server.call import Call, enter
from server.errors import Internal, InvalidArgument, PermissionDenied, ServiceError, Unauthenticated, Violation, shortened
from server.idempotency import Idempotency
from server.ids import new_id
from server.json_values import MAX_DEPTH, nests_too_deeply
from server.storage.keys import Caller, Keys
from server.validation import check, nul_in
from server.wire.errors import door_of, header_of, http_status

log = structlog.get_logger()

_OURS = "/parley.v1."
_MOST_BYTES = 5_000
"""Of an error's text and details, which clients take 8 KB of when written in base64."""
_PATH_IDS = ("id", "chatId", "agent_id", "response_id", "conversation_id", "item_id")
"""Members that HTTP has in the path: what is no id there is absent, and not wrong."""
_NO_KEY = "a valid key is required: send it as `Authorization: Bearer <key>` or `x-api-key: <key>`"


class CallInterceptor(grpc.aio.ServerInterceptor):
    """Wraps every method of ours; health and reflection pass as they are."""

    def __init__(self, keys: Keys, idempotency: Idempotency) -> None:
        self._keys = keys
        self._idempotency = idempotency
        self._wrapped: dict[str, grpc.RpcMethodHandler] = {}

    async def intercept_service(self, continuation: Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler]],
                                handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        method = handler_call_details.method
        wrapped = self._wrapped.get(method)
        if wrapped is None:
            handler = await continuation(handler_call_details)
            if handler is None or not method.startswith(_OURS):
                return handler
            wrapped = self._wrapped[method] = self._wrap(method, handler)
        return wrapped

    def _wrap(self, method: str, handler: grpc.RpcMethodHandler) -> grpc.RpcMethodHandler:
        """The handler with everything around it. It parses for itself: gRPC would answer a bad request with UNKNOWN."""
        handler = self._idempotency.around(method, handler)
        serve, parse = handler.unary_stream or handler.unary_unary, handler.request_deserializer

        async def guarded(raw: bytes, context: grpc.aio.ServicerContext) -> Any:
            call = _call_of(method, context)
            context.set_trailing_metadata((("x-request-id", call.request_id),))
            try:
                enter(replace(call, caller=self._admit(call)))
                request = _parsed(parse, raw)
                check(request)
                return await serve(request, context)
            except ServiceError as error:
                await _refuse(context, call, error)
            except Exception as error:  # the outermost: nothing of it may reach the caller
                log.error("call failed", method=method, request_id=call.request_id, exc_info=error)
                await _refuse(context, call, Internal())

        make = grpc.unary_stream_rpc_method_handler if handler.unary_stream else grpc.unary_unary_rpc_method_handler
        return make(guarded, request_deserializer=None, response_serializer=handler.response_serializer)

    def _admit(self, call: Call) -> Caller | None:
        """Who calls; None at a method that takes no key. Raises Unauthenticated or PermissionDenied."""
        if call.method.removeprefix(_OURS) in KEYLESS_METHODS:
            return None
        caller = self._caller(call.metadata)
        if caller is None:
            raise Unauthenticated(_NO_KEY)
        if caller.is_publishable and call.method.removeprefix(_OURS) not in PUBLISHABLE_METHODS:
            raise PermissionDenied("a publishable key cannot do this; use a secret key")
        return caller

    def _caller(self, metadata: Mapping[str, str]) -> Caller | None:
        authorization = metadata.get("authorization")
        if authorization is None:
            key = metadata.get("x-api-key", "")
        else:
            scheme, _, key = authorization.partition(" ")
            if scheme.lower() != "bearer":
                return None
        return self._keys.caller(key.strip()) if key else None


def _call_of(method: str, context: grpc.aio.ServicerContext) -> Call:
    metadata = {key: value for key, value in context.invocation_metadata() or () if isinstance(value, str)}
    given = metadata.get("x-request-id", "")
    # It is sent back, and metadata that is no text would break the answer off.
    return Call(given if given.isascii() and given.isprintable() and given else new_id(), method, metadata)


def _parsed(parse: Callable[[bytes], Any], raw: bytes) -> Any:
    try:
        request = parse(raw)
    except DecodeError:
        # Also what JSON nested deeper than protobuf's limit of 100 messages becomes.
        raise _unreadable("the request cannot be read: it is nested too deeply or is not valid UTF-8") from None
    if b"\0" in raw and (field := nul_in(request)) not in (None, *_PATH_IDS):
        # An HTTP caller's whole body is the document.
        field = field.removeprefix("document.").removeprefix("patch.")
        raise InvalidArgument.of(field, "must not contain the character NUL (U+0000); leave it out")
    if nests_too_deeply(request):
        raise _unreadable(f"JSON in the request must not be nested deeper than {MAX_DEPTH} levels")
    return request


def _unreadable(message: str) -> InvalidArgument:
    return InvalidArgument(message, violations=(Violation("", message, "json_invalid"),))


async def _refuse(context: grpc.aio.ServicerContext, call: Call, error: ServiceError) -> None:
    trailing: list[tuple[str, str | bytes]] = [("x-request-id", call.request_id)]
    if error.retry_after is not None:
        trailing.append(("retry-after", str(max(1, round(error.retry_after)))))
    if call.http_path is None:
        details = _fitting_details(error)
        message = details.message
        trailing.append(("grpc-status-details-bin", details.SerializeToString()))
    else:
        door = door_of(call)
        message = shortened(error, 0).message
        trailing += [("x-http-status", str(http_status(error, door))), ("x-http-error", header_of(error, door))]
    await context.abort(error.code, message, tuple(trailing))


def _fitting_details(error: ServiceError) -> status_pb2.Status:
    """The details of an error, cut to what a header may have: a larger one ends the connection and every call on it."""
    details, shown = _details(error), len(error.violations)
    while len(quote(details.message)) + details.ByteSize() > _MOST_BYTES:
        details, shown = _details(shortened(error, shown)), max(1, shown // 2)  # one always fits
    return details


def _details(error: ServiceError) -> status_pb2.Status:
    """google.rpc.ErrorInfo, and BadRequest where fields are named."""
    details = [error_details_pb2.ErrorInfo(reason=error.reason, domain="parley")]
    if error.violations:
        details.append(error_details_pb2.BadRequest(field_violations=[
            error_details_pb2.BadRequest.FieldViolation(field=one.field, description=one.message)
            for one in error.violations]))
    packed = []
    for detail in details:
        packed.append(any_pb2.Any())
        packed[-1].Pack(detail)
    return status_pb2.Status(code=error.code.value[0], message=error.message, details=packed)
