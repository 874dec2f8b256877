"""Traces of real calls, from Envoy through the server to a provider, as a collector takes them in."""

import asyncio
import json
import sys
from contextlib import asynccontextmanager

import grpc
import pytest
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc
from pydantic import ValidationError

from server.app import App
from server.core.config import Settings
from server.storage.store import opened
from tests.processes import Serving
from tests.test_admin import ANY_PORT
from tests.test_serve import chat_body, client_of
from tests.upstream import OpenAIUpstream, failure, openai_text

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
TRACEPARENT = f"00-{TRACE}-{PARENT}-01"
MODEL = {"model": {"provider": "openai", "model": "gpt-4o-mini"}}
SECRET = "WHAT NOBODY IS TO READ"


class Collector(trace_service_pb2_grpc.TraceServiceServicer):
    """A collector that keeps what it gets: real OTLP over gRPC."""

    def __init__(self):
        self.raw = b""
        self._spans = []
        self._more = asyncio.Event()

    async def Export(self, request, _):
        self.raw += request.SerializeToString()
        for of_resource in request.resource_spans:
            [service] = [
                one.value.string_value for one in of_resource.resource.attributes if one.key == "service.name"
            ]
            self._spans += [(service, span) for scope in of_resource.scope_spans for span in scope.spans]
        self._more.set()
        return trace_service_pb2.ExportTraceServiceResponse()

    async def spans(self, trace_id, number):
        """The spans of a trace, once it has so many."""
        async with asyncio.timeout(30):
            while len(found := [one for one in self._spans if one[1].trace_id.hex() == trace_id]) < number:
                self._more.clear()
                await self._more.wait()
        return found


@asynccontextmanager
async def collecting():
    server, collector = grpc.aio.server(), Collector()
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(collector, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield collector, f"http://127.0.0.1:{port}"
    finally:
        await server.stop(0)


def attributes_of(span):
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in span.attributes}


async def test_a_call_is_one_trace_from_envoy_to_the_provider(tmp_path):
    async with (
        collecting() as (collector, endpoint),
        OpenAIUpstream([openai_text(SECRET, usage=(3, 2)), failure(400)]) as upstream,
        Serving(
            tmp_path,
            "--otlp-endpoint",
            endpoint,
            PARLEY_PROVIDER_KEYS=json.dumps({"openai": "sk-hidden"}),
            PARLEY_PROVIDER_URLS=json.dumps({"openai": upstream.base_url}),
            PARLEY_MODEL_ALLOW_HOSTS="127.0.0.1",
        ) as parley,
        client_of(parley) as client,
    ):
        body = {"assistant": MODEL, "input": SECRET, "stream": True}
        served = await client.post(f"/chat?q={SECRET}", json=body, headers={"traceparent": TRACEPARENT})
        failed = await client.post("/chat", json={"assistant": MODEL, "input": SECRET})
        spans = await collector.spans(TRACE, 3)
        sent = [one.headers["traceparent"].split("-") for one in upstream.requests]
        of_failed = await collector.spans(sent[-1][1], 3)
        stopped = await parley.stop()

    [edge] = [span for service, span in spans if service == "parley-edge"]
    [call] = [span for _, span in spans if span.name == "parley.v1.ChatService/PostChat"]
    [model] = [span for _, span in spans if span.name == "chat gpt-4o-mini"]
    assert served.status_code == 200 and failed.status_code == 400
    assert edge.parent_span_id.hex() == PARENT
    assert (call.parent_span_id, model.parent_span_id) == (edge.span_id, call.span_id)
    assert (call.kind, model.kind) == (call.SPAN_KIND_SERVER, call.SPAN_KIND_CLIENT)
    assert sent[0][1:3] == [TRACE, model.span_id.hex()]
    assert attributes_of(call) | {
        "rpc.grpc.status_code": 0,
        "http.response.status_code": 200,
        "url.path": "/chat",
        "parley.org": "dev",
        "parley.request_id": served.headers["x-request-id"],
    } == attributes_of(call)
    assert attributes_of(model) == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-4o-mini",
        "gen_ai.usage.input_tokens": 3,
        "gen_ai.usage.output_tokens": 2,
    }
    assert [event.name for event in model.events] == ["first token"]
    [refused] = [span for _, span in of_failed if span.name == "chat gpt-4o-mini"]
    assert refused.status.code == refused.status.STATUS_CODE_ERROR
    assert attributes_of(refused)["error.type"] == "upstream_refused_request"
    assert (call.status.code, model.status.code) == (call.status.STATUS_CODE_UNSET,) * 2
    assert not any(secret in collector.raw for secret in (SECRET.encode(), b"sk-hidden", b"WHAT%20NOBODY"))
    assert stopped.code == 0


async def test_fault_of_the_server_is_an_error_and_one_of_the_caller_is_not(tmp_path):
    async with collecting() as (collector, endpoint), opened(tmp_path) as store:
        app = App(Settings(data=tmp_path, grpc=ANY_PORT, otlp_endpoint=endpoint), store)
        await app.start()
        key = (await store.keys.create("acme", "api")).key
        async with grpc.aio.insecure_channel(f"127.0.0.1:{app.grpc_port}") as channel:
            get = channel.unary_unary("/parley.v1.ChatService/GetChat")
            metadata = (("authorization", f"Bearer {key}"), ("traceparent", TRACEPARENT))
            for request in (b"\x0a\x01x", b"\xff"):
                with pytest.raises(grpc.aio.AioRpcError):
                    await get(request, metadata=metadata)
            app.store.chats.get = None
            with pytest.raises(grpc.aio.AioRpcError):
                await get(b"\x0a\x01x", metadata=metadata)
        await app.stop(0)
        spans = await collector.spans(TRACE, 3)

    ends = [(attributes_of(span).get("rpc.grpc.status_code"), span.status.code) for _, span in spans]
    assert sorted(ends) == [(3, 0), (5, 0), (13, 2)]


async def test_collector_that_is_gone_is_logged_and_holds_up_nobody(tmp_path):
    async with Serving(tmp_path, "--otlp-endpoint", "http://127.0.0.1:9") as parley:
        async with client_of(parley) as client:
            assert (await client.post("/chat", json=chat_body(parley, "Hello"))).status_code == 200
        stopped = await parley.stop()

    assert stopped.code == 0
    assert set(stopped.faults) <= {"traces_not_sent"}


async def test_providers_are_told_of_no_trace_without_the_setting(tmp_path):
    async with (
        OpenAIUpstream([openai_text("Hi")]) as upstream,
        Serving(
            tmp_path,
            PARLEY_PROVIDER_URLS=json.dumps({"openai": upstream.base_url}),
            PARLEY_MODEL_ALLOW_HOSTS="127.0.0.1",
        ) as parley,
        client_of(parley) as client,
    ):
        body = {"assistant": MODEL, "input": "Hi"}
        await client.post("/chat", json=body, headers={"traceparent": TRACEPARENT})

    assert ["traceparent" in one.headers for one in upstream.requests] == [False]


async def test_setting_without_the_extra_says_how_to_install_it(tmp_path, monkeypatch):
    for name in [name for name in sys.modules if name.startswith("server.core.telemetry.open_telemetry")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "opentelemetry", None)

    async with opened(tmp_path) as store:
        with pytest.raises(ValueError, match=r"pip install 'parley-server\[traces\]'"):
            App(Settings(data=tmp_path, grpc=ANY_PORT, otlp_endpoint="http://127.0.0.1:4317"), store)


@pytest.mark.parametrize("value", ["collector:4317", "http://collector", "ftp://collector:4317"])
def test_endpoint_that_is_no_url_is_refused(value):
    with pytest.raises(ValidationError, match="HOST:PORT"):
        Settings(otlp_endpoint=value)
