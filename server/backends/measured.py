"""Calls of model providers as operators see them: how long they take, how they end, when tokens come; and their
spans.

Wraps a backend and changes nothing of what it does, but that providers are told of the span.
"""

import asyncio
import time
from collections.abc import Sequence

from generated.parley.v1.chat_pb2 import ContentDelta, ToolCallDelta
from server.backends.backend import Backend, Emit, ModelEvent, ModelRequest, Usage
from server.core.errors import ServiceError
from server.core.telemetry.meter import Meter
from server.core.telemetry.notes import current_notes
from server.core.telemetry.tracing import Span, Tracing, send_with


class MeasuredBackend:
    """The backend of a server with metrics or traces."""

    def __init__(self, backend: Backend, meter: Meter, tracing: Tracing) -> None:
        self._backend = backend
        self._meter = meter
        self._tracing = tracing

    async def generate(self, request: ModelRequest, emit: Emit) -> None:
        """As the wrapped backend."""
        began, notes = time.perf_counter(), current_notes()
        span = self._tracing.provider(request.provider, request.model, notes and notes.span)
        if span:
            send_with(span.headers)
        tokens = _Tokens(request, emit, self._meter, span)
        status, error = "ok", None
        try:
            await self._backend.generate(request, tokens.emit)
        except asyncio.CancelledError:
            status = "cancelled"
            raise
        except ServiceError as failure:
            # what taking the events raises is no fault of the provider
            status = "cancelled" if tokens.were_refused else failure.reason.lower()
            error = None if tokens.were_refused else status
            raise
        finally:
            self._meter.provider_called(request.provider, status, time.perf_counter() - began)
            if span:
                span.end(tokens.used, error)

    async def close(self) -> None:
        """Close the wrapped backend."""
        await self._backend.close()


class _Tokens:
    """Passes events on, and measures when those with text come."""

    def __init__(self, request: ModelRequest, emit: Emit, meter: Meter, span: Span | None) -> None:
        self._provider = request.provider
        self._streams = request.streams
        self._emit = emit
        self._meter = meter
        self._span = span
        self._last: float | None = None
        self.used: dict[str, int] = {}
        """What the provider says it used, as spans name it."""
        self.were_refused = False
        """Whether passing them on has not succeeded."""

    async def emit(self, events: Sequence[ModelEvent]) -> None:
        for event in events:
            if isinstance(event, Usage):
                self.used = {
                    "gen_ai.usage.input_tokens": event.prompt_tokens,
                    "gen_ai.usage.output_tokens": event.completion_tokens,
                }
        if self._streams and any(isinstance(event, ContentDelta | ToolCallDelta) for event in events):
            self._measure()
        self.were_refused = True
        await self._emit(events)
        self.were_refused = False

    def _measure(self) -> None:
        now = time.perf_counter()
        if self._last is not None:
            self._meter.inter_token(self._provider, now - self._last)
        else:
            if self._span:
                self._span.event("first token")
            if (notes := current_notes()) and notes.begin_tokens():
                self._meter.first_token(self._provider, now - notes.started)
        self._last = now
