"""Spans of calls and of what they ask of providers. The tracing here makes none, for a server without
`--otlp-endpoint`; that of `open_telemetry.py` makes OpenTelemetry's.

No span holds text of a conversation, a query string or a key.
"""

from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any, Protocol

Attributes = Mapping[str, str | int | float]
_NOTHING: Mapping[str, str] = {}

# A context variable, because those who send requests know nothing of spans.
_headers: ContextVar[Mapping[str, str]] = ContextVar("trace_headers", default=_NOTHING)


class Span(Protocol):
    """One call, or one request to a provider."""

    @property
    def headers(self) -> Mapping[str, str]:
        """Return what tells a server of this span: W3C traceparent."""
        ...

    def event(self, name: str) -> None:
        """Note that something happened now."""
        ...

    def end(self, attributes: Attributes, error: str | None = None) -> None:
        """End it; as an error of this type, if it is one."""
        ...


class Tracing:
    """Makes no spans."""

    def call(self, method: str, metadata: Mapping[str, str]) -> Span | None:
        """Begin the span of a call, in the trace that its metadata names, if it does."""
        return None

    def provider(self, provider: str, model: str, parent: Any) -> Span | None:
        """Begin the span of a call of a provider, within the span `parent`, if there is one."""
        return None

    async def close(self) -> None:
        """Send the spans that wait, for a few seconds at the most."""


NO_TRACING = Tracing()


def send_with(headers: Mapping[str, str]) -> None:
    """Send these headers with the requests of this task to providers."""
    _headers.set(headers)


def trace_headers() -> Mapping[str, str]:
    """Return the headers that tell a provider of the current span; usually none."""
    return _headers.get()
