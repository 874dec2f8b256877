"""WebSocket through Envoy: the handshake, frames that are no requests, the ends of a connection, slow readers, and
the official client."""

import asyncio
import json
import socket

import httpx
import pytest
from openai import AsyncOpenAI
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.conftest import rows_of, running
from tests.connected import WebSocketTalk, websocket
from tests.upstream import STALL, Answer, Drip, OpenAIUpstream, chunk, sse


@pytest.fixture
async def opened(service, org):
    async with websocket(service.http_url, org.api) as opened:
        yield opened


async def closed(socket):
    """The frames up to the end of a connection, and the code with which it was closed."""
    frames = []
    with pytest.raises(ConnectionClosed) as end:
        while True:
            frames.append(json.loads(await socket.recv()))
    return frames, end.value.rcvd.code if end.value.rcvd else None


async def refused(connecting):
    """The answer to a handshake that is refused: its status, and its error."""
    with pytest.raises(InvalidStatus) as refusal:
        async with connecting:
            pass
    response = refusal.value.response
    return response.status_code, json.loads(response.body)["error"], response.headers


@pytest.mark.parametrize("path", ["/v1/responses", "/chat/responses", "/v1/responses?beta=1"])
async def test_both_bases_take_connections(service, org, path):
    async with websocket(service.http_url, org.api, path) as socket:
        answer = await WebSocketTalk(socket).ask(model=org.assistant_id, input="Hello")

    assert answer["status"] == "completed"


async def test_unknown_model_is_an_error_as_over_http(opened):
    assert await WebSocketTalk(opened).error(model="nobody", input="Hello") == (
        404,
        "model_not_found",
        "model",
    )


async def test_handshake_without_a_valid_key_is_unauthorized(service):
    status, error, _ = await refused(websocket(service.http_url, "api_nobody"))

    assert (status, error["type"]) == (401, "authentication_error")


async def test_handshake_with_two_keys_is_unauthorized(service, org):
    status, error, _ = await refused(
        websocket(service.http_url, org.api, headers={"Authorization": "Bearer x"})
    )

    assert (status, error["type"]) == (401, "authentication_error")


async def test_x_api_key_is_taken(service, org):
    async with websocket(service.http_url, "", headers={"x-api-key": org.secret}) as socket:
        answer = await WebSocketTalk(socket).ask(model=org.assistant_id, input="Hello")

    assert answer["status"] == "completed"


async def test_key_for_one_request_is_refused_of_a_connection(service, org):
    status, error, _ = await refused(websocket(service.http_url, org.api, headers={"idempotency-key": "k"}))

    assert (status, error["param"]) == (400, "Idempotency-Key")
    assert "idempotency_key" in error["message"]


async def test_handshake_is_answered_with_the_limits_of_the_key(opened):
    assert int(opened.response.headers["x-ratelimit-limit-requests"]) > 0
    assert opened.response.headers["x-request-id"]


@pytest.mark.parametrize(
    ("frame", "param", "said"),
    [
        ("{", None, "not JSON"),
        ("[]", None, "object"),
        ("{}", "type", "response.create"),
        ('{"type": "response.steer", "input": "x"}', "type", "response.create"),
        ('{"type": "response.create", "stream_id": "a"}', "stream_id", "one after the other"),
        ('{"type": "response.create", "input": "x", "temperature": "hot"}', "temperature", "a number"),
        ('{"type": "response.create", "input": "x", "tools": {}}', "tools", "an array of objects"),
        ('{"type": "response.create", "input": "x", "tools": [1]}', "tools[0]", "an object"),
        (
            '{"type": "response.create", "input": "x", "max_output_tokens": 1.5}',
            "max_output_tokens",
            "an integer",
        ),
        (
            '{"type": "response.create", "input": "x", "max_output_tokens": 3e9}',
            "max_output_tokens",
            "an integer",
        ),
        ('{"type": "response.create", "input": "x", "store": "no"}', "store", "true or false"),
        ('{"type": "response.create", "input": "x", "generate": 0}', "generate", "true or false"),
        ('{"type": "response.create", "input": "x", "model": 7}', "model", "a string"),
        (
            '{"type": "response.create", "input": "x", "metadata": {"n": 9007199254740993}}',
            "metadata",
            "2^53",
        ),
        ('{"type": "response.create", "input": "a\\u0000b"}', "input", "NUL"),
        ('{"type": "response.create", "input": "\\ud800"}', None, "not JSON"),
        ('{"type": "response.create", "input": ' + "[" * 200 + "]" * 200 + "}", "input", "deeper"),
        ('{"type": "response.create", "input": NaN}', None, "not JSON"),
    ],
)
async def test_frame_that_is_no_request_is_answered_and_the_connection_goes_on(
    opened, org, frame, param, said
):
    await opened.send(frame)

    error = json.loads(await opened.recv())

    assert (error["type"], error["status"], error["error"]["type"]) == ("error", 400, "invalid_request_error")
    assert error["error"]["param"] == param
    assert said in error["error"]["message"]
    answer = await WebSocketTalk(opened).ask(model=org.assistant_id, input="Hello")
    assert answer["status"] == "completed"


async def test_members_that_say_nothing_are_taken(opened, org):
    """What clients send although a connection has no use for it."""
    answer = await WebSocketTalk(opened).ask(
        model=org.assistant_id, input="Hello", stream=True, background=False, stream_options=None,
        previous_response_id=None, conversation=None, max_output_tokens=30.0, unknown={"a": 1}, generate=True,
    )  # fmt: skip

    assert (answer["status"], answer["max_output_tokens"]) == ("completed", 30)


@pytest.mark.parametrize(
    ("frame", "code"), [(b"{}", 1003), ("x" * 4_000_001, 1009)], ids=["binary", "too large"]
)
async def test_frame_that_cannot_be_taken_closes_the_connection(opened, frame, code):
    await opened.send(frame)

    assert await closed(opened) == ([], code)


async def test_frame_as_large_as_a_body_may_be_is_taken(opened, org):
    filler = "x" * 3_990_000
    last = await WebSocketTalk(opened).ask(model=org.assistant_id, input="Hello", unknown=filler)

    assert last["status"] == "completed"


async def test_more_requests_than_may_wait_close_the_connection(service, org):
    async with OpenAIUpstream(Answer([STALL])) as upstream:
        assistant = {"model": {"provider": "custom-llm", "url": upstream.base_url, "model": "m"}}
        async with websocket(service.http_url, org.api) as socket:
            for _ in range(6):
                await socket.send(
                    json.dumps({"type": "response.create", "assistant": assistant, "input": "Hi"})
                )
            _, code = await closed(socket)

    assert code == 1008


async def test_revoked_key_ends_an_idle_connection(service, org):
    made = await service.store.keys.create(org.name, "api")
    async with websocket(service.http_url, made.key) as socket:
        await WebSocketTalk(socket).ask(model=org.assistant_id, input="Hello")
        await service.store.keys.revoke(made.id)
        [error], code = await closed(socket)

    assert (error["status"], error["error"]["code"], code) == (401, "key_ended", 1008)


async def test_connection_that_has_lasted_its_time_is_told_so(tmp_path):
    async with running(tmp_path, connection_seconds=0.2) as service:
        org = await service.new_org()
        async with websocket(service.http_url, org.api) as socket:
            [error], code = await closed(socket)

    assert (error["status"], error["error"]["code"], code) == (
        400,
        "websocket_connection_limit_reached",
        1001,
    )


async def test_limits_are_those_of_calls(tmp_path):
    async with running(tmp_path, key_burst=3, key_requests_per_minute=1, key_calls=1) as service:
        org = await service.new_org()
        async with websocket(service.http_url, org.api) as socket:
            talk = WebSocketTalk(socket)
            too_many = await refused(websocket(service.http_url, org.api))
            first = await talk.ask(model=org.assistant_id, input="Hello", store=False)
            limited = await talk.ask(model=org.assistant_id, input="Hello", previous_response_id=first["id"])

    assert first["status"] == "completed"
    assert (too_many[0], too_many[1]["code"]) == (429, "too_many_calls")
    assert int(too_many[2]["retry-after"]) >= 1
    assert (limited["status"], limited["error"]["type"]) == (429, "rate_limit_error")
    assert float(limited["error"]["headers"]["retry-after"]) > 0


async def test_server_that_stops_tells_idle_connections_to_come_back(tmp_path):
    async with running(tmp_path, drain_seconds=0) as service:
        org = await service.new_org()
        async with websocket(service.http_url, org.api) as socket:
            await WebSocketTalk(socket).ask(model=org.assistant_id, input="Hello")
            await service.app.drain()
            [error], code = await closed(socket)

    assert (error["status"], error["error"]["code"], code) == (503, "server_stopping", 1012)


async def test_response_that_runs_ends_before_its_connection_does(tmp_path):
    goes_on = asyncio.Event()
    beginning = sse(chunk({"role": "assistant", "content": ""}), chunk({"content": "Hello"}))
    end = [*sse(chunk({"content": " world"}), chunk(finish="stop")), b"data: [DONE]\n\n"]
    async with (
        OpenAIUpstream(Answer([*beginning, goes_on, *end])) as upstream,
        running(tmp_path, drain_seconds=0, upstream_allow_hosts="127.0.0.1") as service,
    ):
        org = await service.new_org()
        assistant = {"model": {"provider": "custom-llm", "url": upstream.base_url, "model": "m"}}
        async with websocket(service.http_url, org.api) as socket:
            talk = WebSocketTalk(socket)
            await talk.send({"type": "response.create", "assistant": assistant, "input": "Hi"})
            while (await talk.receive())["type"] != "response.output_text.delta":
                pass
            await service.app.drain()
            goes_on.set()
            events = await talk.events()
            [error], code = await closed(socket)

    assert events[-1]["type"] == "response.completed"
    assert (error["error"]["code"], code) == ("server_stopping", 1012)


async def test_client_that_does_not_read_holds_the_model_back_until_it_counts_as_gone(tmp_path):
    beginning = sse(chunk({"role": "assistant", "content": ""}))
    piece = sse(chunk({"content": "word " * 2_000}))[0]
    narrow = socket.socket()
    narrow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    async with (
        OpenAIUpstream(Answer([*beginning, Drip(piece)])) as upstream,
        running(tmp_path, unread_seconds=0.3, upstream_allow_hosts="127.0.0.1") as service,
    ):
        org = await service.new_org()
        assistant = {"model": {"provider": "custom-llm", "url": upstream.base_url, "model": "m"}}
        narrow.connect(("127.0.0.1", int(service.http_url.rpartition(":")[2])))
        async with websocket(service.http_url, org.api, sock=narrow, max_queue=1) as unread:
            await unread.send(json.dumps({"type": "response.create", "assistant": assistant, "input": "Hi"}))
            async with asyncio.timeout(20):
                await upstream.disconnected.wait()
            [(chat_id,)] = await rows_of(service.store, "SELECT id FROM chats")
            async with httpx.AsyncClient(base_url=service.http_url, headers=org.bearer) as rest:
                told = await rest.get(f"/v1/responses/{chat_id}", params={"stream": True})

    assert '"incomplete_details":{"reason":"client_' in told.text


async def test_official_client_talks_on_one_connection(service, org):
    client = AsyncOpenAI(base_url=f"{service.http_url}/v1", api_key=org.api)
    async with client.responses.connect() as connection:
        answers = []
        for text in ("My name is Ada", "What is my name?"):
            previous = {"previous_response_id": answers[-1].id} if answers else {}
            await connection.response.create(model=org.assistant_id, input=text, store=False, **previous)
            async for event in connection:
                if event.type == "response.completed":
                    answers.append(event.response)
                    break
        await connection.response.create(model="nobody", input="Hello")
        error = await connection.recv()

    assert "Ada" in answers[-1].output_text
    assert (error.type, error.status, error.error.code) == ("error", 404, "model_not_found")
