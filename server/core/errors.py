"""The errors that callers see.

    ServiceError
    ├── InvalidArgument      400  the request is wrong; names the fields
    │   ├── IdempotencyKeyReused  the key belongs to another request
    │   └── TooLarge         413  more bytes than this key may send at once
    ├── Unauthenticated      401  no key, or not one of ours
    ├── PermissionDenied     403  a key of the wrong kind
    ├── NotFound             404  absent, or another org's
    ├── FailedPrecondition   400  right request, wrong state
    │   └── ConversationFull      it holds as much as it may
    ├── Aborted              409  two callers in each other's way
    │   ├── IdempotencyKeyInUse   the first request with the key still runs
    │   ├── ChangedMeanwhile      others changed the record first, again and again
    │   ├── SessionBusy           the session's exchanges before this one took too long
    │   └── AnswerLost            it was carried out, and what it was answered is not known
    ├── ResourceExhausted    429  try again later
    │   ├── RateLimited           this key or org asks for more than it may
    │   └── Overloaded            the server is asked for more than it can
    ├── DeadlineExceeded     504  it took too long here
    ├── StorageUnavailable   503  nothing was written
    ├── ServerStopping       503  it stops before the answer is whole
    ├── Internal             500  a bug here
    └── UpstreamError        502, 503, 504 or 429  the model provider failed

Each carries its gRPC status and its HTTP status; `rpc/interceptor.py` converts, `wire/errors.py` gives the
door's shape. Does not log, and holds no text of a caught exception.
"""

from typing import NamedTuple

from grpc import StatusCode

BROKEN_OFF = frozenset({"client_disconnected", "client_stalled", "cancelled", "server_stopped"})
"""The codes of a chat whose answer was broken off from outside. Forms without a word for that end it in an
error."""


class Violation(NamedTuple):
    """One violation in a request."""

    field: str
    """Path as the caller wrote it: `name`, `input[0].role`; empty when the whole request is meant."""
    message: str
    rule: str = "invalid"
    """Machine-readable kind, for the completions door's `type`."""
    place: str = "body"
    """Where the field is: in the `body` or a `header`."""


class ServiceError(Exception):
    """An error for the caller. `message` is for a person, `reason` (UPPER_SNAKE) for a program."""

    code = StatusCode.INTERNAL
    http_status = 500
    reason = "INTERNAL"

    def __init__(
        self,
        message: str,
        *,
        reason: str | None = None,
        violations: tuple[Violation, ...] = (),
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.reason = reason or type(self).reason
        self.violations = violations
        self.retry_after = retry_after


class InvalidArgument(ServiceError):
    """The request is wrong; names the fields."""

    code = StatusCode.INVALID_ARGUMENT
    http_status = 400
    reason = "INVALID_ARGUMENT"

    @classmethod
    def of(
        cls, field: str, message: str, *, rule: str = "invalid", reason: str | None = None
    ) -> "InvalidArgument":
        """Return the error of one field; the message names it."""
        return cls(f"{field} {message}", violations=(Violation(field, message, rule),), reason=reason)


class Internal(ServiceError):
    """A bug in the server. The detail is in the log, under the request id."""

    def __init__(self) -> None:
        super().__init__("internal error; the request id names it in the server's log")


class Unauthenticated(ServiceError):
    """The key is missing, unknown, revoked or expired."""

    code = StatusCode.UNAUTHENTICATED
    http_status = 401
    reason = "UNAUTHENTICATED"


class PermissionDenied(ServiceError):
    """The key is of the wrong kind for this call."""

    code = StatusCode.PERMISSION_DENIED
    http_status = 403
    reason = "PERMISSION_DENIED"

    @classmethod
    def of(cls, field: str, message: str) -> "PermissionDenied":
        """Return the error of one field that the key may not send; the message names it."""
        return cls(f"{field} {message}", violations=(Violation(field, message, "permission_denied"),))


class NotFound(ServiceError):
    """The record is absent, or another org's."""

    code = StatusCode.NOT_FOUND
    http_status = 404
    reason = "NOT_FOUND"

    @classmethod
    def of(cls, noun: str, violations: tuple[Violation, ...] = ()) -> "NotFound":
        """Return the error of a record that its caller knows by this noun."""
        return cls(f"{noun} not found", reason=f"{noun.upper()}_NOT_FOUND", violations=violations)


class FailedPrecondition(ServiceError):
    """The request is valid, but the record is in the wrong state."""

    code = StatusCode.FAILED_PRECONDITION
    http_status = 400
    reason = "FAILED_PRECONDITION"


class ConversationFull(FailedPrecondition):
    """A conversation has reached its size limit. `stored_bytes` and `most` are bytes."""

    reason = "CONVERSATION_FULL"

    def __init__(self, stored_bytes: int, most: float) -> None:
        super().__init__(
            f"the conversation holds {stored_bytes} bytes and has no room for this message: it may hold {most:.0f} "
            "with this kind of key; begin a new one, from a summary (POST /v1/responses/compact) if need be"
        )


class Aborted(ServiceError):
    """The call conflicts with another call."""

    code = StatusCode.ABORTED
    http_status = 409
    reason = "CONFLICT"


class IdempotencyKeyReused(InvalidArgument):
    """The Idempotency-Key belongs to another request."""

    reason = "IDEMPOTENCY_KEY_REUSED"

    def __init__(self) -> None:
        text = "was used for another request; send a new key with a new request"
        super().__init__(
            f"Idempotency-Key {text}",
            violations=(Violation("Idempotency-Key", text, "idempotency_key_reused", "header"),),
        )


class IdempotencyKeyInUse(Aborted):
    """The first request with the Idempotency-Key is still running."""

    reason = "IDEMPOTENCY_KEY_IN_USE"

    def __init__(self) -> None:
        super().__init__("a request with this Idempotency-Key is still running; try again when it is over")


class ChangedMeanwhile(Aborted):
    """A change was based on a version of a record that is no longer the latest: nothing of it is stored."""

    reason = "CHANGED_MEANWHILE"

    def __init__(self, noun: str) -> None:
        super().__init__(
            f"the {noun} was changed by another request meanwhile, and nothing of this one is stored; send it "
            "again",
            retry_after=1,
        )


class SessionBusy(Aborted):
    """An exchange waited too long for earlier ones in its session: nothing of it has run."""

    reason = "SESSION_BUSY"

    def __init__(self, waited_seconds: float, noun: str = "session") -> None:
        super().__init__(
            f"the {noun} is still busy with an earlier message after {waited_seconds:g} s; try again when "
            "that is answered",
            retry_after=1,
        )


class TooLarge(InvalidArgument):
    """A request has more bytes than its key may send at once."""

    http_status = 413
    reason = "REQUEST_TOO_LARGE"

    def __init__(self, size: int, most: int) -> None:
        super().__init__(
            f"the request has {size} bytes, and may have {most} with a publishable key; send less at once, or "
            "send it with an api or a secret key"
        )


class AnswerLost(Aborted):
    """A request was carried out, but its answer was incomplete, too long to store, deleted or not to be
    stored."""

    reason = "IDEMPOTENT_ANSWER_LOST"

    def __init__(self, record: str, *, is_stored: bool = True) -> None:
        """`record` is the noun and the id of the created record; empty when that has no id."""
        made = f" and made {record}, which may be read by its id unless it was deleted" if record else ""
        why = (
            "; its whole answer is not kept" if is_stored else " with store: false, so its answer is not kept"
        )
        super().__init__(
            f"the request of this Idempotency-Key was carried out{made}{why}. To do it once more, send a new "
            "key"
        )


class ResourceExhausted(ServiceError):
    """A limit is reached; the caller can try again later."""

    code = StatusCode.RESOURCE_EXHAUSTED
    http_status = 429
    reason = "RESOURCE_EXHAUSTED"


class RateLimited(ResourceExhausted):
    """The key or its org exceeds its limit."""

    reason = "RATE_LIMIT_EXCEEDED"


class Overloaded(ResourceExhausted):
    """The server exceeds its capacity."""

    reason = "OVERLOADED"


class DeadlineExceeded(ServiceError):
    """The call took too long in this server."""

    code = StatusCode.DEADLINE_EXCEEDED
    http_status = 504
    reason = "DEADLINE_EXCEEDED"


class StorageUnavailable(ServiceError):
    """The database is unavailable; nothing was written."""

    code = StatusCode.UNAVAILABLE
    http_status = 503
    reason = "STORAGE_UNAVAILABLE"


class ServerStopping(ServiceError):
    """The server stops before the call is answered, or answered in full."""

    code = StatusCode.UNAVAILABLE
    http_status = 503
    reason = "SERVER_STOPPING"


class UpstreamError(ServiceError):
    """The model provider failed. `error_code` is the Chat's `error.code` for it."""

    code = StatusCode.UNAVAILABLE
    http_status = 502
    reason = "UPSTREAM_ERROR"
    error_code = "upstream_error"


class UpstreamUnavailable(UpstreamError):
    """The provider is unreachable or overloaded; the same call may succeed later."""

    http_status = 503
    reason = "UPSTREAM_UNAVAILABLE"


class UpstreamTimeout(UpstreamError):
    """The provider did not answer, or stopped sending, within the deadline."""

    code = StatusCode.DEADLINE_EXCEEDED
    http_status = 504
    reason = "UPSTREAM_TIMEOUT"
    error_code = "upstream_timeout"


class UpstreamIncomplete(UpstreamError):
    """The provider's stream ended without its end marker."""

    reason = "UPSTREAM_INCOMPLETE"
    error_code = "upstream_incomplete"


class UpstreamRateLimited(UpstreamError):
    """The provider limits the rate of calls, and retries within the deadline did not help."""

    code = StatusCode.RESOURCE_EXHAUSTED
    http_status = 429
    reason = "UPSTREAM_RATE_LIMITED"


_MOST_CHARACTERS = 150


def shortened(error: ServiceError, violations: int) -> ServiceError:
    """Return the error with its texts cut and only its first `violations`, to fit into the header of an
    answer."""
    short = ServiceError(
        _cut(error.message),
        reason=error.reason,
        retry_after=error.retry_after,
        violations=tuple(
            Violation(_cut(one.field), _cut(one.message), one.rule) for one in error.violations[:violations]
        ),
    )
    short.code, short.http_status = error.code, error.http_status
    return short


def _cut(text: str) -> str:
    return text if len(text) <= _MOST_CHARACTERS else text[: _MOST_CHARACTERS - 1] + "…"
