"""OpenTelemetry's spans, sent by OTLP over gRPC to a collector, in batches and by a thread of its own.

Loaded for `--otlp-endpoint` alone: it takes a quarter of a second. The names of attributes are those of OpenTelemetry's
semantic conventions for RPC and generative AI. Nothing global is set: a process may have several servers.
"""

import asyncio
import logging
from collections.abc import Mapping
from contextlib import suppress
from importlib.metadata import version

import structlog
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from server.core.telemetry.tracing import Attributes, Tracing

_EXPORT_SECONDS = 5
_CLOSE_SECONDS = 6.0
_LONGEST = 200
"""Characters of a name that callers choose."""
_propagator = TraceContextTextMapPropagator()
_log = structlog.get_logger()


class _Warnings(logging.Handler):
    """Puts what the exporter has to say into the log of the server."""

    def emit(self, record: logging.LogRecord) -> None:
        _log.warning("traces_not_sent", reason=record.getMessage())


class OpenTelemetry(Tracing):
    """The tracing of one server."""

    def __init__(self, endpoint: str, ratio: float) -> None:
        """`endpoint` is http://HOST:PORT, or https:// with TLS; of traces that begin here `ratio` is recorded."""
        logger = logging.getLogger("opentelemetry")
        logger.handlers, logger.propagate = [_Warnings(logging.WARNING)], False
        self._provider = TracerProvider(
            sampler=ParentBased(TraceIdRatioBased(ratio)),
            resource=Resource.create({"service.name": "parley", "service.version": version("parley-server")}),
            shutdown_on_exit=False,
        )
        exporter = OTLPSpanExporter(
            endpoint, insecure=endpoint.startswith("http://"), timeout=_EXPORT_SECONDS
        )
        self._provider.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=1_000))
        self._tracer = self._provider.get_tracer("parley")

    def call(self, method: str, metadata: Mapping[str, str]) -> "OpenSpan":
        service, _, name = method.removeprefix("/").partition("/")
        parent = _propagator.extract(
            {key: metadata[key] for key in ("traceparent", "tracestate") if key in metadata},
            context=Context(),
        )
        attributes = {"rpc.system": "grpc", "rpc.service": service, "rpc.method": name}
        return OpenSpan(
            self._tracer.start_span(
                f"{service}/{name}", context=parent, kind=trace.SpanKind.SERVER, attributes=attributes
            )
        )

    def provider(self, provider: str, model: str, parent: "OpenSpan | None") -> "OpenSpan":
        context = trace.set_span_in_context(parent.span, Context()) if parent else Context()
        attributes = {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": provider[:_LONGEST],
            "gen_ai.request.model": model[:_LONGEST],
        }
        return OpenSpan(
            self._tracer.start_span(
                f"chat {model[:_LONGEST]}", context=context, kind=trace.SpanKind.CLIENT, attributes=attributes
            )
        )

    async def close(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(_CLOSE_SECONDS):
                await asyncio.to_thread(self._provider.shutdown)


class OpenSpan:
    """A span of OpenTelemetry's."""

    def __init__(self, span: trace.Span) -> None:
        self.span = span

    @property
    def headers(self) -> Mapping[str, str]:
        carrier: dict[str, str] = {}
        _propagator.inject(carrier, trace.set_span_in_context(self.span, Context()))
        return carrier

    def event(self, name: str) -> None:
        self.span.add_event(name)

    def end(self, attributes: Attributes, error: str | None = None) -> None:
        self.span.set_attributes(dict(attributes))
        if error is not None:
            self.span.set_attribute("error.type", error)
            self.span.set_status(trace.StatusCode.ERROR)
        self.span.end()
