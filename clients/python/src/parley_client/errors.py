"""The errors of calls, a class for each gRPC status, read from what the server sends with it.

    ParleyError
    ├── InvalidArgument, Unauthenticated, PermissionDenied, NotFound, FailedPrecondition, Aborted
    ├── ResourceExhausted, Unavailable, DeadlineExceeded, Internal, Cancelled
    └── ParleyError itself for every other status

Decides nothing about repeats.
"""

from collections.abc import Iterable
from typing import NamedTuple, Protocol, cast

import grpc
from google.protobuf.message import DecodeError
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo
from google.rpc.status_pb2 import Status


class Violation(NamedTuple):
    """One thing wrong with a request."""

    field: str
    description: str


class ParleyError(Exception):
    """A call failed. The text is for a person, `reason` (UPPER_SNAKE) for a program."""

    def __init__(
        self,
        message: str,
        code: grpc.StatusCode,
        *,
        reason: str = "",
        violations: tuple[Violation, ...] = (),
        request_id: str = "",
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.reason = reason
        """Empty where the server did not answer, as when a connection breaks."""
        self.violations = violations
        self.request_id = request_id
        """Names the call in the server's log; empty where the server did not answer."""
        self.retry_after = retry_after
        """Seconds after which the server takes the call again; None where it does not say."""

    def __str__(self) -> str:
        named = ", ".join(
            part for part in (self.reason, self.request_id and f"request {self.request_id}") if part
        )
        return f"{self.message} ({named})" if named else self.message


class InvalidArgument(ParleyError):
    """The request is wrong; `violations` names the fields."""


class Unauthenticated(ParleyError):
    """No key, or an unknown one."""


class PermissionDenied(ParleyError):
    """A key of the wrong kind."""


class NotFound(ParleyError):
    """Absent, or another org's."""


class FailedPrecondition(ParleyError):
    """The request is right and the record's state is not."""


class Aborted(ParleyError):
    """Two callers are in each other's way, or the answer of a repeated request is lost."""


class ResourceExhausted(ParleyError):
    """Too many calls; `retry_after` says when to call again."""


class Unavailable(ParleyError):
    """The server cannot be reached or is stopping, or its model provider failed."""


class DeadlineExceeded(ParleyError):
    """The deadline passed, here or at the model provider."""


class Internal(ParleyError):
    """A bug of the server; `request_id` names it in the server's log."""


class Cancelled(ParleyError):
    """The call was cancelled."""


_CLASSES: dict[grpc.StatusCode, type[ParleyError]] = {
    grpc.StatusCode.INVALID_ARGUMENT: InvalidArgument,
    grpc.StatusCode.UNAUTHENTICATED: Unauthenticated,
    grpc.StatusCode.PERMISSION_DENIED: PermissionDenied,
    grpc.StatusCode.NOT_FOUND: NotFound,
    grpc.StatusCode.FAILED_PRECONDITION: FailedPrecondition,
    grpc.StatusCode.ABORTED: Aborted,
    grpc.StatusCode.RESOURCE_EXHAUSTED: ResourceExhausted,
    grpc.StatusCode.UNAVAILABLE: Unavailable,
    grpc.StatusCode.DEADLINE_EXCEEDED: DeadlineExceeded,
    grpc.StatusCode.INTERNAL: Internal,
    grpc.StatusCode.CANCELLED: Cancelled,
}


class _Failed(Protocol):
    """What both of grpc's errors have."""

    def code(self) -> grpc.StatusCode: ...
    def details(self) -> str | None: ...
    def trailing_metadata(self) -> Iterable[tuple[str, str | bytes]] | None: ...


def error_of(failed: grpc.RpcError) -> ParleyError:
    """The error of a call that ended with a status other than OK."""
    call = cast(_Failed, failed)
    trailing = {name: value for name, value in call.trailing_metadata() or ()}
    reason, violations = _details_of(trailing.get("grpc-status-details-bin"))
    code = call.code()
    return _CLASSES.get(code, ParleyError)(
        call.details() or code.name,
        code,
        reason=reason,
        violations=violations,
        request_id=_text(trailing.get("x-request-id")),
        retry_after=_seconds(_text(trailing.get("retry-after-ms"))),
    )


def _details_of(packed: str | bytes | None) -> tuple[str, tuple[Violation, ...]]:
    status, info, bad = Status(), ErrorInfo(), BadRequest()
    if isinstance(packed, bytes):
        try:
            status.ParseFromString(packed)
            for detail in status.details:
                _ = detail.Unpack(info) or detail.Unpack(bad)
        except DecodeError:  # a proxy's, in a form of its own: the status itself still says what failed
            return "", ()
    return info.reason, tuple(Violation(one.field, one.description) for one in bad.field_violations)


def _text(value: str | bytes | None) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else value or ""


def _seconds(milliseconds: str) -> float | None:
    return int(milliseconds) / 1000 if milliseconds.isascii() and milliseconds.isdigit() else None
