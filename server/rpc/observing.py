"""What operators see of every call: its line in the log, its span, its counts. Decides nothing, and reads no message.

A call is `ChatService.CreateChat`; one over HTTP is named by its HTTP method and path too, without the query.
"""

import asyncio
import logging
import time
from types import TracebackType

import grpc
import structlog

from server.core.errors import ServerStopping
from server.core.telemetry.logs import CALL
from server.core.telemetry.meter import MethodMeter
from server.core.telemetry.notes import CallNotes, enter
from server.core.telemetry.tracing import NO_TRACING, Span, Tracing
from server.rpc.announcing import Announcing
from server.rpc.call import Call
from server.wire.errors import door_of, http_status

log = structlog.get_logger()

_LONGEST = 200
"""Characters of a path or a request id: callers choose both."""
_CALLER_GONE = 499
"""The HTTP status of a call whose caller has left, as proxies log it."""
_OURS = (
    grpc.StatusCode.UNKNOWN,
    grpc.StatusCode.INTERNAL,
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.DATA_LOSS,
)
"""Codes that say that the caller is not at fault: these lines are warnings."""
_NAMES = {
    code: "".join(word.capitalize() for word in code.name.split("_"))
    for code in grpc.StatusCode
    if code is not grpc.StatusCode.OK
} | {grpc.StatusCode.OK: "OK"}
"""The codes as metrics name them: `NotFound`, as in Go. (There is `Canceled`, with one l.)"""
_NAMES[grpc.StatusCode.CANCELLED] = "Canceled"


class Observed:
    """`with Observed(call, announcing):` surrounds one call. `announcing` has its status when it ends."""

    __slots__ = ("_announcing", "_call", "_counting", "_is_open", "notes")

    def __init__(
        self,
        call: Call,
        announcing: Announcing,
        counting: MethodMeter | None = None,
        tracing: Tracing = NO_TRACING,
        *,
        is_open: bool = False,
    ) -> None:
        """`is_open`: a call of health or reflection, which are logged as `debug`: health is asked all the time."""
        self._counting = counting
        self._call = call
        self._announcing = announcing
        self._is_open = is_open
        self.notes = CallNotes(call.request_id, time.perf_counter())
        if not is_open:
            self.notes.span = tracing.call(call.method, call.metadata)

    def __enter__(self) -> "Observed":
        enter(self.notes)
        if self._counting:
            self._counting.begin()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        code = self._code(kind)
        if self._counting:
            self._counting.end(_NAMES[code], time.perf_counter() - self.notes.started)
        if self.notes.span:
            self._end_span(self.notes.span, code)
        is_ours = code in _OURS and not self._comes_back()
        level = logging.DEBUG if self._is_open else logging.WARNING if is_ours else logging.INFO
        if log.is_enabled_for(level):
            self._write(level, code)

    def _comes_back(self) -> bool:
        """Return whether this was a connection that a stopping server lets go, as it is meant to."""
        return self._announcing.is_connection and isinstance(self._announcing.refused, ServerStopping)

    def _end_span(self, span: Span, code: grpc.StatusCode) -> None:
        call, notes = self._call, self.notes
        attributes: dict[str, str | int] = {
            "rpc.grpc.status_code": code.value[0],
            "parley.request_id": notes.request_id[:_LONGEST],
        }
        if call.http_path is not None:
            attributes |= {
                "http.request.method": call.metadata.get("x-envoy-original-method", ""),
                "url.path": call.http_path.partition("?")[0][:_LONGEST],
                "http.response.status_code": self._http_status(code),
            }
        known = {"org": notes.org, "chat": notes.chat, "failure": notes.failure}
        attributes |= {f"parley.{name}": value for name, value in known.items() if value is not None}
        refused = self._announcing.refused
        span.end(attributes, (refused.reason.lower() if refused else code.name) if code in _OURS else None)

    def _code(self, kind: type[BaseException] | None) -> grpc.StatusCode:
        if self._announcing.refused is not None:
            return self._announcing.refused.code
        if kind is None:
            return grpc.StatusCode.OK
        if issubclass(kind, asyncio.CancelledError):
            return grpc.StatusCode.CANCELLED
        number = self._announcing.code()  # the call was ended past us
        return next((one for one in grpc.StatusCode if one.value[0] == number), grpc.StatusCode.UNKNOWN)

    def _http_status(self, code: grpc.StatusCode) -> int:
        if (refused := self._announcing.refused) is not None:
            return http_status(refused, door_of(self._call.method, self._call.metadata))
        return _CALLER_GONE if code is grpc.StatusCode.CANCELLED else int(self._announcing.ok_status)

    def _write(self, level: int, code: grpc.StatusCode) -> None:
        call, notes, refused = self._call, self.notes, self._announcing.refused
        members: dict[str, object] = {
            "method": call.method.removeprefix("/").removeprefix("parley.v1.").replace("/", ".")
        }
        if call.http_path is not None:
            path = call.http_path.partition("?")[0][:_LONGEST]
            members["http"] = f"{call.metadata.get('x-envoy-original-method', '')[:10]} {path}"
            members["status"] = self._http_status(code)
        members |= {"code": code.name, "ms": round((time.perf_counter() - notes.started) * 1000, 2)}
        if refused is not None:
            members["reason"] = refused.reason
        if notes.org is not None:
            members["org"] = notes.org
        if notes.chat is not None:
            members["chat"] = notes.chat
        if notes.prompt_tokens is not None:
            members |= {"prompt_tokens": notes.prompt_tokens, "completion_tokens": notes.completion_tokens}
        if notes.failure is not None:
            members["failure"] = notes.failure
        members["request_id"] = notes.request_id[:_LONGEST]
        log.log(level, CALL, **members)
