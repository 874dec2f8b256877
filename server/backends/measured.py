"""Calls of model providers as operators see them: how long they take, how they end, when tokens come.

Wraps a backend and changes nothing of what it does.
"""

import asyncio
import time
from collections.abc import Sequence

from generated.parley.v1.chat_pb2 import ContentDelta, ToolCallDelta
from server.backends.backend import Backend, Emit, ModelEvent, ModelRequest
from server.core.errors import ServiceError
from server.telemetry.meter import Meter
from server.telemetry.notes import current_notes


class MeasuredBackend:
    """The backend of a server with metrics."""

    def __init__(self, backend: Backend, meter: Meter) -> None:
        self._backend = backend
        self._meter = meter

    async def generate(self, request: ModelRequest, emit: Emit) -> None:
        """As the wrapped backend."""
        began = time.perf_counter()
        tokens = _Tokens(request, emit, self._meter)
        status = "ok"
        try:
            await self._backend.generate(request, tokens.emit)
        except asyncio.CancelledError:
            status = "cancelled"
            raise
        except ServiceError as error:
            # what taking the events raises is no fault of the provider
            status = "cancelled" if tokens.were_refused else error.reason.lower()
            raise
        finally:
            self._meter.provider_called(request.provider, status, time.perf_counter() - began)

    async def close(self) -> None:
        """Close the wrapped backend."""
        await self._backend.close()


class _Tokens:
    """Passes events on, and measures when those with text come."""

    def __init__(self, request: ModelRequest, emit: Emit, meter: Meter) -> None:
        self._provider = request.provider
        self._streams = request.streams
        self._emit = emit
        self._meter = meter
        self._last: float | None = None
        self.were_refused = False
        """Whether passing them on has not succeeded."""

    async def emit(self, events: Sequence[ModelEvent]) -> None:
        if self._streams and any(isinstance(event, ContentDelta | ToolCallDelta) for event in events):
            self._measure()
        self.were_refused = True
        await self._emit(events)
        self.were_refused = False

    def _measure(self) -> None:
        now = time.perf_counter()
        if self._last is not None:
            self._meter.inter_token(self._provider, now - self._last)
        elif (notes := current_notes()) and notes.begin_tokens():
            self._meter.first_token(self._provider, now - notes.started)
        self._last = now
