"""Anthropic's messages, against a real local server that misbehaves as scripted."""

from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Any

import pytest

from generated.parley.v1.chat_pb2 import ContentDelta, ReasoningDelta, ToolCallDelta
from generated.parley.v1.message_pb2 import Message
from server.backends.anthropic import AnthropicBackend
from server.backends.backend import Finish, ModelRequest, Ran, Usage
from server.backends.endpoint import Endpoint
from server.content.json_values import from_python
from server.core.errors import (
    InvalidArgument,
    ServiceError,
    UpstreamError,
    UpstreamIncomplete,
    UpstreamRateLimited,
    UpstreamUnavailable,
)
from server.core.outbound.guard import AllowedHosts
from server.core.outbound.limits import Limits
from server.core.outbound.transport import HttpClient
from tests.pulled import pulled
from tests.upstream import (
    CUT,
    STALL,
    Answer,
    AnthropicUpstream,
    anthropic_stream,
    anthropic_text,
    failure,
    rate_limited,
    sse,
)

SECRET = "sk-SECRET"
HI = Message(role="user", content=from_python("hi"))


@asynccontextmanager
async def backend_of(
    base_url: str, limits: Limits, allowed: tuple[str, ...]
) -> AsyncIterator[AnthropicBackend]:
    async def sleep(seconds: float) -> None:
        """Take no time."""

    async with HttpClient(AllowedHosts(allowed), limits) as http:
        yield AnthropicBackend(lambda _: Endpoint(base_url, SECRET), http, limits, sleep=sleep)


def model_request(*messages: Message, **members: Any) -> ModelRequest:
    return ModelRequest(provider="anthropic", model="scripted-1", messages=messages or (HI,), **members)


async def collected(backend: AnthropicBackend, request: ModelRequest) -> list[Any]:
    events: list[Any] = []
    try:
        async for event in pulled(backend, request):
            events.append(event)
    except ServiceError as error:
        assert "UPSTREAM TEXT" not in repr(error.args) and SECRET not in repr(error.args)
        events.append(error)
    return events


async def run(
    answers: Any, request: ModelRequest | None = None, limits: Limits | None = None,
    allowed: tuple[str, ...] = ("127.0.0.1",),
) -> list[Any]:  # fmt: skip
    """All events of one call, an error last."""
    limits = limits or Limits()
    async with (
        AnthropicUpstream(answers) as upstream,
        backend_of(upstream.base_url, limits, allowed) as backend,
    ):
        return await collected(backend, request or model_request())


async def sent(request: ModelRequest) -> dict[str, Any]:
    async with (
        AnthropicUpstream(anthropic_text("ok")) as upstream,
        backend_of(upstream.base_url, Limits(), ("127.0.0.1",)) as backend,
    ):
        error = [event for event in await collected(backend, request) if isinstance(event, ServiceError)]
    if error:
        raise error[0]
    return upstream.requests[0].body


def beginning(text: str = "Hello") -> list[bytes]:
    """A stream as far as its first text."""
    start = {"type": "message_start", "message": {"model": "scripted-1", "usage": {"input_tokens": 1}}}
    delta = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}}
    return sse(start, delta, event_names=True)


async def test_text_streams_with_model_finish_and_usage():
    assert await run(anthropic_text("Hello world")) == [
        Ran("scripted-1"),
        ContentDelta(text="Hello"),
        ContentDelta(text=" world"),
        Finish(0, "stop"),
        Usage(3, 2),
    ]


async def test_cached_and_thinking_tokens_are_counted():
    answer = anthropic_stream(
        {"type": "message_start", "message": {"model": "m", "usage": {
            "input_tokens": 5, "cache_read_input_tokens": 20, "cache_creation_input_tokens": 100, "output_tokens": 1}}},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"},
         "usage": {"output_tokens": 9, "input_tokens": None, "output_tokens_details": {"thinking_tokens": 4}}},
        {"type": "message_stop"},
    )  # fmt: skip

    assert (await run(answer))[-1] == Usage(125, 9, 20, 4, 100)


@pytest.mark.parametrize(
    ("stop_reason", "finish"),
    [
        ("end_turn", "stop"), ("stop_sequence", "stop"), ("max_tokens", "length"),
        ("refusal", "content_filter"), ("model_context_window_exceeded", "length"),
    ],
)  # fmt: skip
async def test_stop_reason_becomes_finish_reason(stop_reason, finish):
    assert Finish(0, finish) in await run(anthropic_text("Hi", stop_reason=stop_reason))


async def test_tool_use_streams_as_tool_calls_and_thinking_as_reasoning():
    def tool_use(index: int, id_: str, name: str) -> dict[str, Any]:
        block = {"type": "tool_use", "id": id_, "name": name, "input": {}}
        return {"type": "content_block_start", "index": index, "content_block": block}

    def json_delta(index: int, text: str) -> dict[str, Any]:
        return {
            "type": "content_block_delta",
            "index": index,
            "delta": {"type": "input_json_delta", "partial_json": text},
        }

    answer = anthropic_stream(
        {"type": "message_start", "message": {"model": "m"}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "thinking", "thinking": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "hm"}},
        {"type": "content_block_stop", "index": 0},
        tool_use(1, "a", "f"),
        json_delta(1, ""), json_delta(1, '{"x"'), json_delta(1, ":1}"),
        {"type": "content_block_stop", "index": 1},
        tool_use(2, "b", "g"),
        {"type": "content_block_stop", "index": 2},
        {"type": "message_delta", "delta": {"stop_reason": "tool_use"}},
        {"type": "message_stop"},
    )  # fmt: skip

    assert await run(answer) == [
        Ran("m"),
        ReasoningDelta(summary=True),
        ReasoningDelta(text="hm", summary=True),
        ToolCallDelta(index=0, id="a", name="f"),
        ToolCallDelta(index=0, arguments='{"x"'),
        ToolCallDelta(index=0, arguments=":1}"),
        ToolCallDelta(index=1, id="b", name="g"),
        ToolCallDelta(index=1, arguments="{}"),
        Finish(0, "tool_calls"),
    ]


@pytest.mark.parametrize(
    ("block", "stop_reason", "finish"),
    [
        ({"type": "text", "text": "Hi"}, "tool_use", "stop"),
        ({"type": "tool_use", "id": "a", "name": "f", "input": {}}, "end_turn", "tool_calls"),
        ({"type": "tool_use", "id": "a", "name": "f", "input": {}}, "max_tokens", "length"),
    ],
)
async def test_finish_reason_says_whether_there_are_calls(block, stop_reason, finish):
    events = await run(
        anthropic_stream(
            {"type": "content_block_start", "index": 0, "content_block": block},
            {"type": "content_block_stop", "index": 0},
            {"type": "message_delta", "delta": {"stop_reason": stop_reason}},
            {"type": "message_stop"},
        )
    )

    assert events[-1] == Finish(0, finish)


@pytest.mark.parametrize(
    "block", [{"name": "f"}, {"id": "a"}, {"id": "", "name": "f"}, {"id": "a", "name": None}]
)
async def test_call_that_nobody_could_answer_is_an_error(block):
    (error,) = await run(
        anthropic_stream(
            {
                "type": "content_block_start",
                "index": 0,
                "content_block": {"type": "tool_use", "input": {}, **block},
            }
        )
    )

    assert type(error) is UpstreamError


async def test_conversation_is_sent_in_turns_with_system_apart():
    calls = [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"x":1}'}}]
    parts = [
        {"type": "text", "text": "see"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
        {"type": "image_url", "image_url": {"url": "https://x.example/i.png"}},
    ]
    body = await sent(model_request(
        Message(role="system", message="Be brief."),
        Message(role="assistant", message="Welcome!"),
        Message(role="user", content=from_python(parts)),
        Message(role="user", message="and this"),
        Message(role="assistant", message="", tool_calls=from_python(calls)),
        Message(role="tool", message="done", tool_call_id="c1"),
        Message(role="developer", message="In French."),
    ))  # fmt: skip

    assert body["system"] == "Be brief.\n\nIn French."
    assert body["messages"] == [
        {"role": "user", "content": [{"type": "text", "text": "(The conversation begins.)"}]},
        {"role": "assistant", "content": [{"type": "text", "text": "Welcome!"}]},
        {"role": "user", "content": [
            {"type": "text", "text": "see"},
            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}},
            {"type": "image", "source": {"type": "url", "url": "https://x.example/i.png"}},
            {"type": "text", "text": "and this"},
        ]},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "c1", "name": "f", "input": {"x": 1}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c1", "content": "done"}]},
    ]  # fmt: skip


async def test_blank_text_is_left_out():
    calls = [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]
    body = await sent(model_request(
        Message(role="system", message=" \n"),
        Message(role="user", content=from_python([{"type": "text", "text": "see"}, {"type": "text", "text": " "}])),
        Message(role="assistant", content=from_python([{"type": "refusal", "refusal": "\n"}]),
                tool_calls=from_python(calls)),
        Message(role="tool", message="\n", tool_call_id="c1"),
        Message(role="user", message="\t"),
    ))  # fmt: skip

    assert "system" not in body
    assert body["messages"] == [
        {"role": "user", "content": [{"type": "text", "text": "see"}]},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "c1", "name": "f", "input": {}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c1", "content": ""}]},
    ]  # fmt: skip


async def test_ids_are_sent_in_the_form_of_the_api_each_for_one_call():
    messages = [HI]
    for call_id in ("call_0", "call_0", "functions.f:0", "", "c" * 65):
        call = {"id": call_id, "type": "function", "function": {"name": "f", "arguments": "{}"}}
        messages += [
            Message(role="assistant", tool_calls=from_python([call])),
            Message(role="tool", tool_call_id=call_id, message="done"),
        ]
    async with (
        AnthropicUpstream(anthropic_text("ok")) as upstream,
        backend_of(upstream.base_url, Limits(), ("127.0.0.1",)) as backend,
    ):
        await collected(backend, model_request(*messages))

    blocks = [block for message in upstream.requests[0].body["messages"] for block in message["content"]]
    ids = [block["id"] for block in blocks if block["type"] == "tool_use"]
    assert upstream.flaws == []
    assert ids[0] == "call_0" and len(set(ids)) == 5
    assert [block["tool_use_id"] for block in blocks if block["type"] == "tool_result"] == ids


async def test_settings_are_sent_under_the_names_of_the_api():
    function = {"name": "f", "description": "d", "parameters": {"properties": {}}, "strict": True}
    schema = {"type": "object", "properties": {}}
    body = await sent(model_request(
        stop=["x"], thinking={"type": "enabled", "budgetTokens": 2000}, tools=[{"type": "function", "function": function}],
        tool_choice="auto", parallel_tool_calls=False, reasoning_effort="minimal", temperature=0.5, top_p=0.5, seed=1,
        response_format={"type": "json_schema", "json_schema": {"name": "n", "schema": schema}},
        more={"user": "u1", "safety_identifier": "s1"},
    ))  # fmt: skip

    assert body == {
        "model": "scripted-1", "max_tokens": 6096, "stream": True, "stop_sequences": ["x"],
        "messages": [{"role": "user", "content": [{"type": "text", "text": "hi"}]}],
        "thinking": {"type": "enabled", "budget_tokens": 2000},
        "tools": [{"name": "f", "description": "d", "strict": True, "input_schema": {"type": "object", "properties": {}}}],
        "tool_choice": {"type": "auto", "disable_parallel_tool_use": True},
        "output_config": {"format": {"type": "json_schema", "schema": schema}, "effort": "low"},
        "metadata": {"user_id": "s1"},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("choice", "sent_choice"),
    [
        ("auto", {"type": "auto"}),
        ("none", {"type": "none"}),
        ("required", {"type": "any"}),
        ({"type": "function", "function": {"name": "f"}}, {"type": "tool", "name": "f"}),
    ],
)
async def test_tool_choice_is_sent(choice, sent_choice):
    tools = [{"type": "function", "function": {"name": "f"}}]

    assert (await sent(model_request(tools=tools, tool_choice=choice)))["tool_choice"] == sent_choice


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (model_request(n=2), "n"),
        (model_request(response_format={"type": "json_object"}), "response_format"),
        (model_request(Message(role="system", message="x")), "input"),
        (model_request(Message(role="user", content=from_python([{"type": "input_audio"}]))), "input"),
    ],
    ids=["n", "json-object", "nothing-said", "audio"],
)
async def test_what_the_api_cannot_do_is_refused_naming_the_field(request_, field):
    with pytest.raises(InvalidArgument) as refused:
        await sent(request_)

    assert [violation.field for violation in refused.value.violations] == [field]


async def test_environment_of_the_operator_does_not_leave(monkeypatch):
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-of-the-operator")
    monkeypatch.setenv("ANTHROPIC_CUSTOM_HEADERS", "authorization: Bearer sk-of-the-operator\nx-secret: 1")
    async with (
        AnthropicUpstream(anthropic_text("ok")) as upstream,
        backend_of(upstream.base_url, Limits(), ("127.0.0.1",)) as backend,
    ):
        await collected(backend, model_request())

    [received] = upstream.requests
    assert (received.method, received.path) == ("POST", "/v1/messages")
    assert received.headers["authorization"] == f"Bearer {SECRET}"
    assert "sk-of-the-operator" not in repr(received) and "x-secret" not in received.headers


@pytest.mark.parametrize(
    ("pieces", "kind"),
    [
        ([], UpstreamIncomplete),
        ([CUT], UpstreamIncomplete),
        (sse({"type": "message_stop"}, event_names=True), UpstreamIncomplete),
        ([b"event: message_delta\ndata: not json\n\n"], UpstreamError),
        ([b"event: message_delta\ndata: []\n\n"], UpstreamError),
        (
            sse({"type": "error", "error": {"type": "overloaded_error"}}, event_names=True),
            UpstreamUnavailable,
        ),
        (
            sse({"type": "error", "error": {"type": "rate_limit_error"}}, event_names=True),
            UpstreamRateLimited,
        ),
        (
            sse({"type": "error", "error": {"type": "x", "message": "UPSTREAM TEXT"}}, event_names=True),
            UpstreamError,
        ),
        ([b"x" * 200_000], UpstreamError),
    ],
    ids=["end", "cut", "no-stop-reason", "text", "array", "overloaded", "rate", "error", "huge-line"],
)
async def test_faulty_stream_is_an_error_and_keeps_the_text(pieces, kind):
    events = await run(Answer([*beginning(), *pieces]), limits=Limits(event_bytes=100_000))

    assert events[:-1] == [Ran("scripted-1"), ContentDelta(text="Hello")]
    assert type(events[-1]) is kind


@pytest.mark.parametrize(
    "event",
    [
        {"type": "message_start", "message": None},
        {
            "type": "content_block_start",
            "index": [],
            "content_block": {"type": "tool_use", "id": "a", "name": "f", "input": 7},
        },
        {"type": "content_block_delta", "index": {}, "delta": {"type": "text_delta", "text": 7}},
        {"type": "message_delta", "delta": {"stop_reason": {}}, "usage": {"output_tokens": "x"}},
        {"type": "content_block_stop"},
        {"type": "later_event"},
    ],
    ids=lambda event: event["type"],
)
async def test_odd_event_is_survived(event):
    events = await run(Answer([*sse(event, event_names=True), *anthropic_text("Hi").pieces]))

    assert Finish(0, "stop") in events or Finish(0, "tool_calls") in events


async def test_failure_before_the_stream_is_retried():
    events = await run([failure(529), rate_limited(), anthropic_text("Hi")])

    assert ContentDelta(text="Hi") in events


async def test_refusal_has_our_own_words():
    [error] = await run(failure(401, {"type": "error", "error": {"message": "UPSTREAM TEXT"}}))

    assert (type(error), error.reason) == (UpstreamError, "UPSTREAM_CREDENTIALS_REFUSED")


async def test_private_address_that_is_not_listed_is_not_connected_to():
    [error] = await run(anthropic_text("Hi"), allowed=())

    assert error.reason == "UPSTREAM_ADDRESS_REFUSED"


async def test_closing_the_iterator_closes_the_connection():
    async with (
        AnthropicUpstream(Answer([*beginning(), STALL])) as upstream,
        backend_of(upstream.base_url, Limits(), ("127.0.0.1",)) as backend,
    ):
        async with aclosing(pulled(backend, model_request())) as events:
            await anext(events)

        await upstream.disconnected.wait()


async def test_connection_is_used_again_after_a_whole_answer():
    async with (
        AnthropicUpstream(anthropic_text("Hi")) as upstream,
        backend_of(upstream.base_url, Limits(), ("127.0.0.1",)) as backend,
    ):
        await collected(backend, model_request())
        await collected(backend, model_request())

    assert (len(upstream.requests), upstream.connections) == (2, 1)
