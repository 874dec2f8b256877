"""Translates errors to the end of a call: a gRPC status with details, or over HTTP the status and body of the
door.

The only place where an error becomes a status. Catches nothing, and logs nothing.
"""

import math
import sys
from urllib.parse import quote

from google.protobuf import any_pb2
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from server.core.errors import ServiceError, shortened
from server.rpc.call import Call
from server.rpc.context import Served
from server.wire.errors import door_of, header_of, http_status

_MOST_BYTES = 5_000
"""Of an error's text and details, of which clients accept 8 KB in base64."""


async def refuse(
    context: Served, call: Call, error: ServiceError, headers: tuple[tuple[str, str], ...]
) -> None:
    """End a call with the status of an error, in the form of its door. Raises grpc.aio.AbortError."""
    # gRPC keeps a refused call in a reference cycle. The traceback, and the request with it, would wait for
    # the garbage collector.
    for led in (error, sys.exception()):
        if led is not None:
            led.__traceback__ = led.__context__ = led.__cause__ = None
    trailing: list[tuple[str, str | bytes]] = [("x-request-id", call.request_id), *headers]
    if error.retry_after is not None:
        trailing += [
            ("retry-after", str(max(1, math.ceil(error.retry_after)))),
            ("retry-after-ms", str(max(1, math.ceil(error.retry_after * 1000)))),
        ]
    if call.http_path is None:
        details = _fitting_details(error)
        message = details.message
        trailing.append(("grpc-status-details-bin", details.SerializeToString()))
    else:
        door = door_of(call.method, call.metadata)
        message = shortened(error, 0).message
        trailing += [
            ("x-http-status", str(http_status(error, door))),
            ("x-http-error", header_of(error, door)),
        ]
    await context.abort(error.code, message, tuple(trailing))


def _fitting_details(error: ServiceError) -> status_pb2.Status:
    """Return the details of an error, cut to the limit of a header: a larger one ends the connection and
    every call on it."""
    details, shown = _details(error), len(error.violations)
    while len(quote(details.message)) + details.ByteSize() > _MOST_BYTES:
        details, shown = _details(shortened(error, shown)), max(1, shown // 2)  # one violation always fits
    return details


def _details(error: ServiceError) -> status_pb2.Status:
    """Return google.rpc.ErrorInfo, and BadRequest when fields are named."""
    details: list[Message] = [error_details_pb2.ErrorInfo(reason=error.reason, domain="parley")]
    if error.violations:
        details.append(
            error_details_pb2.BadRequest(
                field_violations=[
                    error_details_pb2.BadRequest.FieldViolation(field=one.field, description=one.message)
                    for one in error.violations
                ]
            )
        )
    packed = []
    for detail in details:
        packed.append(any_pb2.Any())
        packed[-1].Pack(detail)
    return status_pb2.Status(code=error.code.value[0], message=error.message, details=packed)
