"""Streams that do not end well: the caller goes away, the model breaks off, the model never begins.

The model is `tests/upstream.py`, a real server that speaks as it is told to.
"""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest

from generated.parley.v1.chat_pb2 import Chat
from generated.parley.v1.chat_service_pb2 import CreateChatRequest, ListChatsRequest
from generated.parley.v1.chat_service_pb2_grpc import ChatServiceStub
from server.storage.scope import Scope
from tests.conftest import Org, Service, running
from tests.contract.doors import COMPLETIONS, CallError, Door, Opening, Streamed, door_to, read
from tests.upstream import CUT, STALL, Answer, OpenAIUpstream, chunk, failure, openai_stream, openai_text, sse

Models = Callable[[Any], Awaitable[tuple[OpenAIUpstream, str]]]
"""Begin a model that answers so; it, and the id of an assistant that asks it."""
Assistants = Callable[[Any], Awaitable[str]]
"""The same; the id alone."""

BEGINNING = sse(
    chunk({"role": "assistant", "content": ""}), chunk({"content": "Hello"}), chunk({"content": " wor"})
)
BROKEN_OFF = "The answer of the model provider custom-llm ended before it was complete."
FAILED = "The model provider custom-llm failed."

# How a model may break off after "Hello wor", and what is told of it: code of the chat, reason, text, HTTP
# type.
BREAKS = [
    pytest.param(Answer([*BEGINNING, CUT]), "upstream_incomplete", BROKEN_OFF, id="connection cut"),
    pytest.param(Answer(BEGINNING), "upstream_incomplete", BROKEN_OFF, id="ends without a word"),
    pytest.param(
        openai_stream(chunk({"content": "Hello wor"})),
        "upstream_incomplete",
        BROKEN_OFF,
        id="done without a reason",
    ),
    pytest.param(
        Answer([*BEGINNING, *sse({"error": {"message": "UPSTREAM TEXT", "type": "server_error"}})]),
        "upstream_error",
        FAILED,
        id="error in the stream",
    ),
    pytest.param(
        Answer([*BEGINNING, b"data: {nonsense\n\n"]),
        "upstream_error",
        "The model provider custom-llm sent an answer that cannot be read.",
        id="not JSON",
    ),
]


@pytest.fixture
async def upstream_of(door: Door) -> AsyncIterator[Models]:
    """`await upstream_of(answers)`: a model that answers so, and the id of an assistant that asks it."""
    async with contextlib.AsyncExitStack() as stack:

        async def start(answers: Any) -> tuple[OpenAIUpstream, str]:
            upstream = await stack.enter_async_context(OpenAIUpstream(answers))
            return upstream, await assistant_of(door, upstream)

        yield start


async def assistant_of(door: Door, upstream: OpenAIUpstream) -> str:
    created = await door.create_assistant(
        document={"model": {"provider": "custom-llm", "url": upstream.base_url, "model": "m"}}
    )
    found: str = created["id"]
    return found


def opening(door: Door, form: str, assistant_id: str, text: str = "Hi") -> Opening:
    """One exchange as a stream, in one of the three forms."""
    if form == "completion":
        return door.stream_completion(agent_id=assistant_id, messages=[{"role": "user", "content": text}])
    stream: Callable[..., Opening] = getattr(door, f"stream_{form}")
    return stream(input=text, assistantId=assistant_id)


def whole(door: Door, form: str, assistant_id: str) -> Awaitable[Any]:
    """The same exchange without a stream."""
    if form == "completion":
        return door.create_completion(agent_id=assistant_id, messages=[{"role": "user", "content": "Hi"}])
    create: Callable[..., Awaitable[Any]] = getattr(door, f"create_{form}")
    return create(input="Hi", assistantId=assistant_id)


async def the_chat(service: Service, org: Org) -> Chat:
    """The org's one chat, once it is over."""
    async with asyncio.timeout(10):
        while True:
            chats, _ = await service.store.chats.list(Scope(org.id), ListChatsRequest())
            if chats and chats[0].status != "in_progress":
                return chats[0]
            await asyncio.sleep(0.005)


@pytest.fixture(params=["chat", "response", "completion"])
def form(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    return found


# --- the caller goes away -----------------------------------------------------------------------------------


async def test_caller_that_hangs_up_cancels_the_model_and_what_was_said_is_kept(
    door: Door, service: Service, org: Org, upstream_of: Models, form: str
) -> None:
    upstream, assistant_id = await upstream_of(Answer([*BEGINNING, STALL]))

    async with opening(door, form, assistant_id) as events:
        streamed = Streamed()
        while streamed.text != "Hello wor":
            streamed.events.append(await anext(events))

    async with asyncio.timeout(5):
        await upstream.disconnected.wait()
    chat = await the_chat(service, org)
    assert (chat.status, chat.error.code, chat.output[0].content.string_value) == (
        "incomplete",
        "client_disconnected",
        "Hello wor",
    )


@pytest.mark.parametrize("kind", ["grpc", "rest"])
async def test_slow_answer_is_cancelled_long_before_its_end(tmp_path: Path, kind: str) -> None:
    """A word a tenth of a second: the whole answer would take a quarter of an hour."""
    text = "word " * 9000
    async with running(tmp_path, offline_delay_ms=100) as service:
        for form in ("chat", "response", "completion"):
            org = await service.new_org()
            async with door_to(kind, service, org) as door:
                async with opening(door, form, org.assistant_id, text) as events:
                    await anext(events)
                chat = await the_chat(service, org)

            assert (chat.status, chat.error.code) == ("incomplete", "client_disconnected")
            assert f"You said: {text}".startswith(chat.output[0].content.string_value)


async def test_exchange_that_was_hung_up_on_may_be_continued(
    door: Door, service: Service, org: Org, upstream_of: Models
) -> None:
    upstream, assistant_id = await upstream_of([Answer([*BEGINNING, STALL]), openai_text("Go on")])
    async with door.stream_chat(input="Hi", assistantId=assistant_id) as events:
        first = await anext(events)
    await the_chat(service, org)

    chat = await door.create_chat(input="And?", previousChatId=first["id"])

    assert chat["output"][0]["content"] == "Go on"
    sent = [message["content"] for message in upstream.requests[-1].body["messages"]]
    assert (sent[0], sent[-1], len(sent)) == ("Hi", "And?", 3)
    assert "Hello wor".startswith(sent[1])


async def test_caller_that_gives_up_waiting_cancels_the_model(
    door: Door, upstream_of: Models, form: str
) -> None:
    upstream, assistant_id = await upstream_of(Answer([*BEGINNING, STALL]))
    waiting = asyncio.ensure_future(whole(door, form, assistant_id))
    async with asyncio.timeout(5):
        await upstream.received.wait()

        waiting.cancel()

        await upstream.disconnected.wait()
    with pytest.raises(asyncio.CancelledError):
        await waiting


# --- the model breaks off -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("answer", "code", "text"), BREAKS)
async def test_stream_that_the_model_breaks_off_ends_in_an_error_and_is_kept(
    door: Door, service: Service, org: Org, upstream_of: Models, form: str, answer: Any, code: str, text: str
) -> None:
    _, assistant_id = await upstream_of(answer)

    streamed = await read(opening(door, form, assistant_id))

    chat = await the_chat(service, org)
    assert (streamed.text, streamed.error) == ("Hello wor", text)
    assert (chat.status, chat.error.code, chat.error.message) == ("incomplete", code, text)
    assert chat.output[0].content.string_value == "Hello wor"


async def test_chat_stream_tells_the_error_in_a_frame_of_its_own(
    rest: Door, http: httpx.AsyncClient, org: Org, upstream_of_rest: Assistants
) -> None:
    assistant_id = await upstream_of_rest(Answer([*BEGINNING, CUT]))

    answer = await http.post(
        "/chat", json={"input": "Hi", "assistantId": assistant_id, "stream": True}, headers=org.bearer
    )

    *frames, rest_of_it = answer.content.split(b"\n\n")
    events = [json.loads(frame.removeprefix(b"data: ")) for frame in frames]
    chat_id = (await rest.list_chats())["results"][0]["id"]
    assert (answer.status_code, rest_of_it) == (200, b"")
    assert events == [
        {"id": chat_id, "path": "chat.output[0].content", "delta": "Hello"},
        {"id": chat_id, "path": "chat.output[0].content", "delta": " wor"},
        {"id": chat_id, "error": {"message": BROKEN_OFF, "code": "upstream_incomplete"}},
    ]


async def test_chat_stream_in_a_session_names_it_in_every_frame(
    rest: Door, http: httpx.AsyncClient, org: Org, upstream_of_rest: Assistants
) -> None:
    assistant_id = await upstream_of_rest(Answer([*BEGINNING, CUT]))
    session = await rest.create_session(assistantId=assistant_id)

    streamed = await read(rest.stream_chat(input="Hi", sessionId=session["id"]))

    assert [event["sessionId"] for event in streamed.events] == [session["id"]] * 3


async def test_completion_stream_tells_the_error_and_then_that_it_is_done(
    http: httpx.AsyncClient, org: Org, upstream_of_rest: Assistants
) -> None:
    assistant_id = await upstream_of_rest(Answer([*BEGINNING, CUT]))
    body = {
        "messages": [{"role": "user", "content": "Hi"}],
        "stream": True,
        "stream_options": {"include_usage": True},
    }

    answer = await http.post(COMPLETIONS.format(agent_id=assistant_id), json=body, headers=org.bearer)

    *chunks, error, done, rest_of_it = answer.content.split(b"\n\n")
    assert (answer.status_code, done, rest_of_it) == (200, b"data: [DONE]", b"")
    assert json.loads(error.removeprefix(b"data: ")) == {
        "error": {"message": BROKEN_OFF, "type": "server_error", "param": None, "code": "upstream_incomplete"}
    }
    parsed = [json.loads(one.removeprefix(b"data: ")) for one in chunks]
    assert [one["choices"][0]["delta"].get("content") for one in parsed] == ["", "Hello", " wor"]
    assert {one["choices"][0]["finish_reason"] for one in parsed} == {None}
    assert {one["usage"] for one in parsed} == {None}


async def test_response_stream_ends_its_items_fails_and_tells_the_error(
    http: httpx.AsyncClient, org: Org, upstream_of_rest: Assistants
) -> None:
    assistant_id = await upstream_of_rest(Answer([*BEGINNING, CUT]))

    answer = await http.post(
        "/chat/responses",
        json={"input": "Hi", "assistantId": assistant_id, "stream": True},
        headers=org.bearer,
    )

    *frames, done, rest_of_it = answer.content.split(b"\n\n")
    events = [json.loads(frame.partition(b"\ndata: ")[2]) for frame in frames]
    assert (answer.status_code, done, rest_of_it) == (200, b"data: [DONE]", b"")
    assert [event["type"] for event in events] == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
        "response.output_text.delta",
        "response.output_text.delta",
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.failed",
        "error",
    ]
    assert [event["sequence_number"] for event in events] == list(range(11))
    failed = events[-2]["response"]
    assert (failed["status"], failed["completed_at"], failed["incomplete_details"]) == ("failed", None, None)
    assert failed["error"] == {"code": "server_error", "message": BROKEN_OFF}
    assert [(item["status"], item["content"][0]["text"]) for item in failed["output"]] == [
        ("incomplete", "Hello wor")
    ]
    assert events[-1] == {
        "type": "error",
        "sequence_number": 10,
        "code": "upstream_incomplete",
        "message": BROKEN_OFF,
        "param": None,
    }


async def test_grpc_stream_ends_in_a_failed_event_and_a_status(
    native: Door, channel: grpc.aio.Channel, org: Org, upstream_of_native: Assistants
) -> None:
    assistant_id = await upstream_of_native(Answer([*BEGINNING, CUT]))
    request = CreateChatRequest(assistant_id=assistant_id)
    request.input.string_value = "Hi"
    call = ChatServiceStub(channel).StreamChat(request, metadata=org.metadata)

    events = []
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        async for event in call:
            events.append(event)

    assert [event.WhichOneof("event") for event in events] == ["started", "delta", "delta", "failed"]
    failed = events[-1].failed
    assert (failed.status, failed.error.code, failed.output[0].message) == (
        "incomplete",
        "upstream_incomplete",
        "Hello wor",
    )
    assert (refused.value.code(), refused.value.details()) == (grpc.StatusCode.UNAVAILABLE, BROKEN_OFF)


async def test_whole_chat_that_the_model_broke_off_is_answered_incomplete(
    door: Door, upstream_of: Models
) -> None:
    _, assistant_id = await upstream_of(Answer([*BEGINNING, CUT]))

    chat = await door.create_chat(input="Hi", assistantId=assistant_id)

    assert (chat["status"], chat["error"]) == (
        "incomplete",
        {"code": "upstream_incomplete", "message": BROKEN_OFF},
    )
    assert chat["output"][0]["content"] == "Hello wor"
    assert await door.get_chat(id=chat["id"]) == chat


@pytest.mark.parametrize("form", ["response", "completion"])
async def test_other_whole_answers_that_the_model_broke_off_are_errors_and_kept(
    door: Door, service: Service, org: Org, upstream_of: Models, form: str
) -> None:
    _, assistant_id = await upstream_of(Answer([*BEGINNING, CUT]))

    with pytest.raises(CallError) as refused:
        await whole(door, form, assistant_id)

    assert (refused.value.status, refused.value.text) == (503, BROKEN_OFF)
    assert (await the_chat(service, org)).status == "incomplete"


async def test_message_that_the_model_broke_off_is_an_error_and_kept(
    door: Door, service: Service, org: Org, upstream_of: Models
) -> None:
    _, assistant_id = await upstream_of(Answer([*BEGINNING, CUT]))
    chat = await door.create_agent_chat(agentId=assistant_id)

    with pytest.raises(CallError) as refused:
        await door.create_message(chatId=chat["id"], content="Hi")

    assert (refused.value.status, refused.value.text) == (503, BROKEN_OFF)
    messages = (await door.list_messages(chatId=chat["id"]))["messages"]
    assert [message["content"] for message in messages] == ["Hi", "Hello wor"]


@pytest.mark.parametrize(
    ("finish", "code"), [("length", "max_output_tokens"), ("content_filter", "content_filter")]
)
async def test_answer_that_the_provider_cut_is_incomplete_not_an_error(
    door: Door, service: Service, org: Org, upstream_of: Models, form: str, finish: str, code: str
) -> None:
    _, assistant_id = await upstream_of(openai_text("Hello wor", finish=finish))

    streamed = await read(opening(door, form, assistant_id))

    chat = await the_chat(service, org)
    assert (streamed.text, streamed.error) == ("Hello wor", None)
    assert (chat.status, chat.error.code) == ("incomplete", code)


# --- the model never begins ---------------------------------------------------------------------------------


@pytest.fixture
async def upstream_of_rest(rest: Door) -> AsyncIterator[Assistants]:
    async with contextlib.AsyncExitStack() as stack:

        async def start(answers: Any) -> str:
            return await assistant_of(rest, await stack.enter_async_context(OpenAIUpstream(answers)))

        yield start


@pytest.fixture
async def upstream_of_native(native: Door) -> AsyncIterator[Assistants]:
    async with contextlib.AsyncExitStack() as stack:

        async def start(answers: Any) -> str:
            return await assistant_of(native, await stack.enter_async_context(OpenAIUpstream(answers)))

        yield start


REFUSALS = [
    pytest.param(failure(500, retry_after="0"), 502, "upstream_error", FAILED, id="500"),
    pytest.param(
        failure(503, retry_after="0"),
        503,
        "upstream_unavailable",
        "The model provider custom-llm is overloaded or down.",
        id="503",
    ),
    pytest.param(
        failure(504, retry_after="0"),
        504,
        "upstream_timeout",
        "The model provider custom-llm did not answer in time.",
        id="504",
    ),
    pytest.param(
        failure(429, retry_after="0"),
        429,
        "upstream_rate_limited",
        "The model provider custom-llm limits the rate or the quota of calls.",
        id="429",
    ),
    pytest.param(
        failure(401),
        502,
        "upstream_credentials_refused",
        "The model provider custom-llm refused the operator's credentials.",
        id="401",
    ),
    pytest.param(
        failure(404),
        502,
        "upstream_model_not_found",
        "The model was not found at the model provider custom-llm.",
        id="404",
    ),
    pytest.param(openai_stream(), 502, "upstream_incomplete", BROKEN_OFF, id="empty stream"),
    pytest.param(
        Answer([b"<html>UPSTREAM TEXT"], headers={"content-type": "text/html"}),
        502,
        "upstream_incomplete",
        BROKEN_OFF,
        id="HTML",
    ),
]
KINDS = {429: "rate_limit_error"}
TITLES = {429: "Too Many Requests", 502: "Bad Gateway", 503: "Service Unavailable", 504: "Gateway Timeout"}


@pytest.mark.parametrize(("answer", "status", "code", "text"), REFUSALS)
@pytest.mark.parametrize("streaming", [False, True], ids=["whole", "streamed"])
async def test_model_that_never_begins_is_an_error_in_the_shape_of_the_door_and_nothing_is_stored(
    rest: Door,
    http: httpx.AsyncClient,
    service: Service,
    org: Org,
    upstream_of_rest: Assistants,
    answer: Any,
    status: int,
    code: str,
    text: str,
    streaming: bool,
) -> None:
    assistant_id = await upstream_of_rest(answer)
    request_body = {"input": "Hi", "assistantId": assistant_id, "stream": streaming}
    inner = {"message": text, "type": KINDS.get(status, "server_error"), "param": None, "code": code}
    expected = {
        "/chat": (request_body, {"message": text, "error": TITLES[status], "statusCode": status}),
        "/chat/responses": (request_body, {"error": inner}),
        "/v1/responses": (request_body, {"error": inner}),
        COMPLETIONS.format(agent_id=assistant_id): (
            {"messages": [{"role": "user", "content": "Hi"}], "stream": streaming, "create_session": True},
            {"detail": text, "error": inner},
        ),
    }

    for path, (body, expected_body) in expected.items():
        answered = await http.post(path, json=body, headers=org.bearer)
        assert (answered.status_code, answered.json()) == (status, expected_body)
        assert answered.headers["content-type"] == "application/json"
        assert ("retry-after" in answered.headers) == ("retry-after" in answer.headers)
    assert (await rest.list_chats())["results"] == []
    assert (await rest.list_sessions())["results"] == []


@pytest.mark.parametrize(("answer", "status", "code", "text"), REFUSALS)
async def test_model_that_never_begins_is_an_error_in_the_shape_of_the_agents_door(
    rest: Door,
    http: httpx.AsyncClient,
    org: Org,
    upstream_of_rest: Assistants,
    answer: Any,
    status: int,
    code: str,
    text: str,
) -> None:
    chat = await rest.create_agent_chat(agentId=await upstream_of_rest(answer))

    answered = await http.post(
        f"/chat/{chat['id']}/message", json={"content": "Hi"}, headers={"x-api-key": org.secret}
    )

    retry_after = {"retryAfter": 0} if "retry-after" in answer.headers else {}
    assert (answered.status_code, answered.json()) == (
        status,
        {"error": TITLES[status], "message": text, **retry_after},
    )


async def test_error_says_when_the_model_may_be_called_again(
    rest: Door, http: httpx.AsyncClient, org: Org, upstream_of_rest: Assistants
) -> None:
    """Longer than the server waits itself, so it is passed on at once."""
    chat = await rest.create_agent_chat(agentId=await upstream_of_rest(failure(429, retry_after="120")))
    text = "The model provider custom-llm limits the rate or the quota of calls."

    agents = await http.post(f"/chat/{chat['id']}/message", json={"content": "Hi"}, headers=org.bearer)
    assistants = await http.post("/chat", json={"input": "Hi", "sessionId": chat["id"]}, headers=org.bearer)

    assert (agents.status_code, agents.headers["retry-after"], agents.json()) == (
        429,
        "120",
        {"error": "Too Many Requests", "message": text, "retryAfter": 120},
    )
    assert (assistants.status_code, assistants.headers["retry-after"], assistants.json()) == (
        429,
        "120",
        {"message": text, "error": "Too Many Requests", "statusCode": 429},
    )


@pytest.mark.parametrize(("answer", "status", "code", "text"), REFUSALS)
async def test_model_that_never_begins_leaves_a_session_as_it_was(
    door: Door, upstream_of: Models, answer: Any, status: int, code: str, text: str
) -> None:
    _, assistant_id = await upstream_of(answer)
    chat = await door.create_agent_chat(agentId=assistant_id)
    before = await door.get_session(id=chat["id"])

    for call in (
        door.create_message(chatId=chat["id"], content="Hi"),
        door.create_chat(input="Hi", sessionId=chat["id"]),
        read(door.stream_chat(input="Hi", sessionId=chat["id"])),
    ):
        with pytest.raises(CallError) as refused:
            await call
        assert (refused.value.status, refused.value.text) == (503 if status == 502 else status, text)
    assert await door.get_session(id=chat["id"]) == before


async def test_model_that_cannot_be_reached_is_503(rest: Door, http: httpx.AsyncClient, org: Org) -> None:
    assistant = await rest.create_assistant(
        document={"model": {"provider": "custom-llm", "model": "m", "url": "http://127.0.0.1:1/v1"}}
    )

    answer = await http.post(
        "/chat", json={"input": "Hi", "assistantId": assistant["id"]}, headers=org.bearer
    )

    assert (answer.status_code, answer.json()["message"]) == (
        503,
        "The model provider custom-llm could not be reached.",
    )


@pytest.mark.parametrize(
    ("model", "named"),
    [
        ({"provider": "custom-llm", "model": "m", "url": "http://169.254.169.254/v1"}, "model.url"),
        ({"provider": "custom-llm", "model": "m"}, "model.url"),
        ({"provider": "minimax", "model": "m"}, "model.provider"),
        ({"provider": "openai", "model": "m"}, "model.provider"),
    ],
)
async def test_model_that_may_not_be_called_is_named(
    door: Door, form: str, model: dict[str, Any], named: str
) -> None:
    assistant = await door.create_assistant(document={"model": model})

    for call in (whole(door, form, assistant["id"]), read(opening(door, form, assistant["id"]))):
        with pytest.raises(CallError) as refused:
            await call
        assert (refused.value.status, refused.value.text.split(" ")[0]) == (400, named)


async def test_nothing_of_what_the_model_says_in_an_error_gets_out(
    rest: Door, http: httpx.AsyncClient, org: Org, upstream_of_rest: Assistants
) -> None:
    for answer in (
        failure(500, retry_after="0"),
        failure(400),
        Answer([*BEGINNING, *sse({"error": {"message": "UPSTREAM TEXT"}})]),
    ):
        assistant_id = await upstream_of_rest(answer)
        for stream in (False, True):
            body = {"input": "Hi", "assistantId": assistant_id, "stream": stream}
            answered = await http.post("/chat", json=body, headers=org.bearer)
            assert "UPSTREAM TEXT" not in answered.text
