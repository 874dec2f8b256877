"""OpenAI-compatible providers, against a real local server that misbehaves as scripted."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from structlog.testing import capture_logs

from generated.parley.v1.chat_pb2 import ContentDelta, ToolCallDelta
from generated.parley.v1.message_pb2 import Message
from server.backends.backend import Finish, ModelRequest, Ran, Usage
from server.backends.calls import retry_after
from server.backends.endpoint import Endpoint
from server.backends.openai import OpenAIBackend
from server.content.json_values import from_python
from server.core.errors import (
    InvalidArgument,
    ServiceError,
    UpstreamError,
    UpstreamIncomplete,
    UpstreamRateLimited,
    UpstreamTimeout,
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
    Drip,
    MistralUpstream,
    OpenAIUpstream,
    chunk,
    failure,
    openai_stream,
    openai_text,
    rate_limited,
    sse,
    usage_chunk,
)

HI = Message(role="user", content=from_python("hi"))
SECRET = "sk-SECRET"
TOOL = {"type": "function", "function": {"name": "f"}}
IMPATIENT = Limits(stall_seconds=0.25)  # connecting counts


class Slept(list[float]):
    """A sleep that only takes notes."""

    async def __call__(self, seconds: float) -> None:
        self.append(seconds)


@asynccontextmanager
async def backend_of(
    base_url: str,
    limits: Limits | None = None,
    sleep: Slept | None = None,
    allowed: tuple[str, ...] = ("127.0.0.1",),
) -> AsyncIterator[OpenAIBackend]:
    limits = limits or Limits()
    async with HttpClient(AllowedHosts(allowed), limits) as http:
        yield OpenAIBackend(
            lambda _: Endpoint(base_url, SECRET), http, limits, sleep=Slept() if sleep is None else sleep
        )


def model_request(*messages: Message, provider: str = "openai", **members: Any) -> ModelRequest:
    return ModelRequest(provider=provider, model="scripted-1", messages=messages or (HI,), **members)


async def run(answers: Any, request: ModelRequest | None = None, **options: Any) -> list[Any]:
    """All events of one call, an error last."""
    async with OpenAIUpstream(answers) as upstream, backend_of(upstream.base_url, **options) as backend:
        return await collected(backend, request or model_request())


async def collected(backend: OpenAIBackend, request: ModelRequest) -> list[Any]:
    events: list[Any] = []
    try:
        async for event in pulled(backend, request):
            events.append(event)
    except ServiceError as error:
        events.append(error)
    return events


async def error_of(answers: Any, request: ModelRequest | None = None, **options: Any) -> ServiceError:
    error = (await run(answers, request, **options))[-1]
    assert isinstance(error, ServiceError)
    assert "UPSTREAM TEXT" not in repr(error.args) and SECRET not in repr(error.args)
    return error


async def sent(request: ModelRequest) -> dict[str, Any]:
    """The body that a request is sent as."""
    async with OpenAIUpstream(openai_text("ok")) as upstream, backend_of(upstream.base_url) as backend:
        await collected(backend, request)
    return upstream.requests[0].body


def text(events: list[Any], choice: int = 0) -> str:
    return "".join(
        event.text for event in events if isinstance(event, ContentDelta) and event.choice == choice
    )


# What is said


async def test_text_streams_with_model_finish_and_usage():
    answer = openai_stream(
        chunk({"role": "assistant", "content": ""}, system_fingerprint="fp_1"), chunk({"content": "Hello"}),
        chunk({"content": " world"}), chunk(finish="stop"),
        usage_chunk(5, 7, prompt_tokens_details={"cached_tokens": 4, "cache_write_tokens": 1},
                    completion_tokens_details={"reasoning_tokens": 3}),
    )  # fmt: skip

    assert await run(answer) == [
        Ran("scripted-1", "fp_1"),
        ContentDelta(text="Hello"),
        ContentDelta(text=" world"),
        Finish(0, "stop"),
        Usage(5, 7, 4, 3, 1),
    ]


async def test_request_is_sent_as_chat_completions_and_nothing_else_leaves(monkeypatch):
    monkeypatch.setenv("OPENAI_ORG_ID", "org-of-the-operator")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-the-operator")
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "Authorization: Bearer sk-of-the-operator\nX-Secret: 1")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    request = model_request(
        temperature=0.5, max_tokens=9, stop=["x"], seed=1, n=2, top_p=0.1, reasoning_effort="low"
    )
    async with OpenAIUpstream(openai_text("ok")) as upstream, backend_of(upstream.base_url) as backend:
        await collected(backend, request)

    [received] = upstream.requests
    assert (received.method, received.path) == ("POST", "/v1/chat/completions")
    assert received.headers["authorization"] == f"Bearer {SECRET}"
    assert received.headers["accept-encoding"] == "identity"
    assert set(received.headers) == {
        "host", "connection", "authorization", "accept", "content-type", "user-agent", "content-length",
        "accept-encoding",
    }  # fmt: skip
    assert received.body == {
        "model": "scripted-1", "messages": [{"role": "user", "content": "hi"}], "stream": True,
        "stream_options": {"include_usage": True}, "temperature": 0.5, "max_completion_tokens": 9, "stop": ["x"],
        "seed": 1, "n": 2, "top_p": 0.1, "reasoning_effort": "low",
    }  # fmt: skip


async def test_messages_of_every_kind_are_sent():
    calls = [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]
    image = {"type": "image_url", "image_url": {"url": "https://x.example/i.png"}}
    messages = [
        Message(role="developer", message="Be brief."),
        Message(role="user", content=from_python([{"type": "input_text", "text": "see"}, image]), name="Ann"),
        Message(role="assistant", tool_calls=from_python(calls)),
        Message(role="tool", content=from_python("done"), tool_call_id="c1", name="f"),
    ]
    common = [
        {"role": "user", "name": "Ann", "content": [{"type": "text", "text": "see"}, image]},
        {"role": "assistant", "content": None, "tool_calls": calls},
        {"role": "tool", "tool_call_id": "c1", "content": "done"},
    ]

    assert (await sent(model_request(*messages)))["messages"] == [
        {"role": "developer", "content": "Be brief."},
        *common,
    ]
    other = await sent(model_request(*messages, provider="custom-llm", max_tokens=5))
    assert other["messages"] == [{"role": "system", "content": "Be brief."}, *common]
    assert other["max_tokens"] == 5


def history(*ids: str) -> list[Message]:
    """A history in which every call has an answer of its own, and the last one is followed by what the user
    says."""
    messages = [HI]
    for call_id in ids:
        call = {"id": call_id, "type": "function", "function": {"name": "f", "arguments": "{}"}}
        messages += [
            Message(role="assistant", tool_calls=from_python([call])),
            Message(role="tool", tool_call_id=call_id, content=from_python("done")),
        ]
    return [*messages, HI]


@pytest.mark.parametrize(
    ("provider", "upstream"),
    [("openai", OpenAIUpstream), ("groq", OpenAIUpstream), ("mistral", MistralUpstream)],
)
async def test_ids_are_sent_in_the_form_of_the_provider_each_for_one_call(provider, upstream):
    messages = history(
        "call_0", "call_0", "abcdefghi", "", "c" * 41 if provider != "groq" else "c", "functions.f:0"
    )
    async with upstream(openai_text("ok")) as server, backend_of(server.base_url) as backend:
        for _ in range(2):
            await collected(backend, model_request(*messages, provider=provider))

    first, second = (request.body["messages"] for request in server.requests)
    ids = [call["id"] for message in first for call in message.get("tool_calls", ())]
    assert server.flaws == []
    assert first == second
    assert len(set(ids)) == 6
    assert [message["tool_call_id"] for message in first if message["role"] == "tool"] == ids
    assert [call_id for call_id in ids if call_id in ("call_0", "abcdefghi", "functions.f:0")] == (
        ["abcdefghi"] if provider == "mistral" else ["call_0", "abcdefghi", "functions.f:0"]
    )


async def test_calls_of_one_message_with_one_id_are_kept_apart():
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    sent_ = (
        await sent(
            model_request(
                HI,
                Message(role="assistant", tool_calls=from_python([call, call])),
                *(
                    Message(role="tool", tool_call_id="c", content=from_python(result_text))
                    for result_text in ("one", "two")
                ),
            )
        )
    )["messages"]

    assert [(message["tool_call_id"], message["content"]) for message in sent_[2:]] == [
        (sent_[1]["tool_calls"][0]["id"], "one"),
        (sent_[1]["tool_calls"][1]["id"], "two"),
    ]
    assert sent_[2]["tool_call_id"] != sent_[3]["tool_call_id"]


async def test_mistral_is_sent_an_answer_between_a_result_and_the_user():
    bodies = {
        provider: await sent(model_request(*history("abcdefghi"), provider=provider))
        for provider in ("openai", "mistral")
    }
    roles = {provider: [message["role"] for message in body["messages"]] for provider, body in bodies.items()}

    assert roles["openai"] == ["user", "assistant", "tool", "user"]
    assert roles["mistral"] == ["user", "assistant", "tool", "assistant", "user"]


async def test_tool_calls_stream_by_index_with_id_and_name_first():
    deltas = [
        {"index": 0, "id": "a", "type": "function", "function": {"name": "f", "arguments": ""}},
        {"index": 0, "function": {"arguments": '{"x":'}},
        {"index": 0, "id": "a", "function": {"name": "f", "arguments": "1}"}},
        {"index": 1, "id": "b", "function": {"name": "g"}},
    ]
    answer = openai_stream(*(chunk({"tool_calls": [delta]}) for delta in deltas), chunk(finish="stop"))

    assert await run(answer) == [
        Ran("scripted-1"),
        ToolCallDelta(index=0, id="a", name="f"),
        ToolCallDelta(index=0, arguments='{"x":'),
        ToolCallDelta(index=0, arguments="1}"),
        ToolCallDelta(index=1, id="b", name="g"),
        ToolCallDelta(index=1, arguments="{}"),
        Finish(0, "tool_calls"),
    ]


async def test_tool_calls_without_index_are_distinguished_by_id():
    deltas = [
        {"id": "a", "function": {"name": "f", "arguments": {"x": 1}}},
        {"id": "b", "function": {"name": "g"}},
    ]
    events = await run(openai_stream(chunk({"tool_calls": deltas}), chunk(finish="tool_calls")))

    assert [(e.index, e.id, e.arguments) for e in events if isinstance(e, ToolCallDelta) and e.id] == [
        (0, "a", '{"x": 1}'),
        (1, "b", ""),
    ]


def piece(arguments: str | None = None, **members: Any) -> dict[str, Any]:
    """One delta of a tool call; `name` is its function's."""
    function = {name: members.pop(name) for name in ("name",) if name in members}
    return {**members, "function": {**function, **({} if arguments is None else {"arguments": arguments})}}


def calls_of(events: list[Any]) -> list[tuple[str, str, str]]:
    """Id, name and arguments of each call, as their deltas say them; the first delta of a call names it."""
    found: dict[int, list[str]] = {}
    for event in events:
        if isinstance(event, ToolCallDelta):
            assert bool(event.name) == bool(event.id) == (event.index not in found)
            found.setdefault(event.index, [event.id, event.name, ""])[2] += event.arguments
    assert list(found) == list(range(len(found)))
    return [(call_id, name, arguments) for call_id, name, arguments in found.values()]


A, B = ("a", "f", '{"x":1}'), ("b", "g", '{"y":2}')


@pytest.mark.parametrize(
    ("deltas", "expected"),
    [
        ([piece(A[2], index=0, id="a", name="f"), piece(B[2], index=0, id="b", name="g")], [A, B]),
        (
            [
                piece("", index=0, id="a", name="f"),
                piece('{"x":', index=0),
                piece("1}", index=0),
                piece("", index=0, id="b", name="g"),
                piece('{"y":', index=0),
                piece("2}", index=0),
            ],
            [A, B],
        ),
        (
            [piece(A[2], index=0, id="a", name="f"), piece('{"x":2}', index=0, id="b", name="f")],
            [A, ("b", "f", '{"x":2}')],
        ),
        (
            [
                piece(A[2], index=0, id="a", name="f"),
                piece("", index=0, id="b"),
                piece(B[2], index=0, name="g"),
            ],
            [A, B],
        ),
        (
            [
                piece('{"x":', index=0, id="a", name="f"),
                piece('{"y":', index=0, id="b", name="g"),
                piece("1}", index=0, id="a"),
                piece("2}", index=0, id="b"),
            ],
            [A, B],
        ),
        ([piece('{"x":', index=0, id="a", name="f"), piece("1}", index=0, id="a", name="f")], [A]),
        ([piece('{"x":', index=0, id="a", name="f"), piece("1}", index=0, id="other")], [A]),
        ([piece('{"x":', index=0, id="a"), piece("1}", index=0, name="f")], [A]),
        (
            [
                piece('{"x":', index=0, id="a", name=""),
                piece("1", index=0, name=None),
                piece("}", index=0, name="f"),
            ],
            [A],
        ),
        (
            [
                piece("", index=0, id="a"),
                piece("", index=1, id="b"),
                piece(B[2], index=1, name="g"),
                piece(A[2], index=0, name="f"),
            ],
            [B, A],
        ),
        ([piece("", index=0), piece(A[2], index=0, id="a", name="f")], [A]),
        (
            [
                piece("", id="a"),
                piece("", id="b", name="g"),
                piece(A[2], id="a", name="f"),
                piece(B[2], id="b"),
            ],
            [B, A],
        ),
        ([piece(A[2], index=0, id="a", name="f"), piece("", index=0, id="other")], [A]),
        ([piece(A[2], index=0, id="a", name="f"), piece("", index=1)], [A]),
    ],
    ids=[
        "one-index",
        "one-index-in-pieces",
        "one-index-and-name",
        "one-index-late-name",
        "one-index-by-turns",
        "name-again",
        "another-id",
        "late-name",
        "empty-name",
        "late-names",
        "late-id",
        "late-name-no-index",
        "nothing-more",
        "nothing",
    ],
)
async def test_calls_of_compatible_servers_are_distinguished_and_named(deltas, expected):
    events = await run(
        openai_stream(*(chunk({"tool_calls": [delta]}) for delta in deltas), chunk(finish="tool_calls"))
    )

    assert calls_of(events) == expected
    assert events[-1] == Finish(0, "tool_calls")


@pytest.mark.parametrize(
    "deltas",
    [
        [piece(A[2], index=0, name="f"), piece(B[2], index=0, name="g")],
        [piece(A[2], name="f"), piece(B[2], name="g")],
        [piece(A[2], index=0, id="a", name="f"), piece(B[2], index=1, id="a", name="g")],
    ],
    ids=["one-index", "nothing", "one-id"],
)
async def test_calls_have_ids_of_their_own(deltas):
    first, second = calls_of(
        await run(openai_stream(chunk({"tool_calls": deltas}), chunk(finish="tool_calls")))
    )

    assert (first[1:], second[1:]) == (A[1:], B[1:])
    assert first[0] != second[0]


@pytest.mark.parametrize(
    "deltas",
    [
        [
            {"function_call": {"name": "f", "arguments": ""}},
            {"function_call": {"arguments": '{"x":'}},
            {"function_call": {"arguments": "1}"}},
        ],
        [{"function_call": {"name": "f", "arguments": '{"x":1}'}, "tool_calls": []}],
        [{"function_call": {"name": "f", "arguments": {"x": 1}}}],
    ],
    ids=["in-pieces", "whole", "object"],
)
async def test_function_call_of_older_servers_is_a_tool_call(deltas):
    events = await run(openai_stream(*map(chunk, deltas), chunk(finish="function_call")))

    ((call_id, name, arguments),) = calls_of(events)
    assert (name, json.loads(arguments)) == ("f", {"x": 1})
    assert call_id.startswith("call_")
    assert events[-1] == Finish(0, "tool_calls")


@pytest.mark.parametrize("reason", ["tool_calls", "function_call", "tool_use", "stop"])
async def test_finish_reason_promises_no_calls_that_are_not_there(reason):
    events = await run(
        openai_stream(chunk({"content": "Hi", "tool_calls": [piece(index=0)]}), chunk(finish=reason))
    )

    assert (text(events), calls_of(events), events[-1]) == ("Hi", [], Finish(0, "stop"))


async def test_call_without_a_name_is_an_error_unless_it_was_cut():
    nameless = chunk({"tool_calls": [piece('{"x":1}', index=0, id="a")]})

    assert type(await error_of(openai_stream(nameless, chunk(finish="tool_calls")))) is UpstreamError
    assert (await run(openai_stream(nameless, chunk(finish="length"))))[1:] == [Finish(0, "length")]


@pytest.mark.parametrize(
    "delta",
    [
        {"reasoning_content": 1},
        {"reasoning_content": ["hm"]},
        {"reasoning_content": ""},
        {"reasoning_details": "hm"},
        {"reasoning_details": ["hm", None]},
        {"tool_calls": [{"extra_content": "hm"}]},
    ],
    ids=str,
)
async def test_odd_reasoning_is_not_kept(delta):
    call = {"index": 0, "id": "c1", "function": {"name": "f", "arguments": "{}"}}
    delta = {**delta, "tool_calls": [{**call, **delta.get("tool_calls", [{}])[0]}]}

    events = await run(openai_stream(chunk(delta), chunk(finish="stop")), model_request(tools=[TOOL]))

    assert [type(event) for event in events] == [Ran, ToolCallDelta, Finish]


@pytest.mark.parametrize(
    "value", ["\ud800", json.loads("[" * 300 + "]" * 300)], ids=["half a character", "deep"]
)
@pytest.mark.parametrize("member", ["extra_content", "reasoning_details"])
async def test_state_that_cannot_be_kept_is_an_error(member, value):
    call = {"index": 0, "id": "c1", "function": {"name": "f"}}
    delta = (
        {"tool_calls": [{**call, member: {"x": value}}]}
        if member == "extra_content"
        else {"tool_calls": [call], member: [{"x": value}]}
    )

    error = await error_of(openai_stream(chunk(delta), chunk(finish="stop")), model_request(tools=[TOOL]))

    assert isinstance(error, UpstreamError)


async def test_reasoning_counts_as_generated():
    endless = [chunk({"reasoning_content": "x" * 60}) for _ in range(3)]

    error = await error_of(
        openai_stream(*endless, chunk(finish="stop")),
        model_request(tools=[TOOL]),
        limits=Limits(generated_characters=150),
    )

    assert isinstance(error, UpstreamError)


async def test_choices_are_kept_apart_and_finish_once():
    answer = openai_stream(
        chunk({"content": "a"}), chunk({"content": "b"}, index=1), chunk(finish="stop"), chunk(finish="stop"),
        chunk({"content": "late"}), chunk({"content": "c"}, index=7), chunk(finish="length", index=1),
    )  # fmt: skip
    events = await run(answer, model_request(n=2))

    assert (text(events), text(events, 1)) == ("a", "b")
    assert [event for event in events if isinstance(event, Finish)] == [
        Finish(0, "stop"),
        Finish(1, "length"),
    ]


@pytest.mark.parametrize(
    "chunks",
    [
        [{"choices": [{"message": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"}]}],
        [
            {"choices": None},
            {"choices": [None]},
            chunk({"content": "Hi"}, extra={"a": 1}),
            chunk(finish="STOP"),
        ],
        [
            {"choices": [{"index": None, "delta": {"content": [{"type": "text", "text": "Hi"}]}}]},
            chunk(finish="eos"),
        ],
        [chunk({"content": "Hi"}, finish=""), chunk({"content": None}, finish="end_turn")],
        [chunk({"refusal": "Hi"}), chunk({"reasoning_content": "hm"}), chunk(finish="stop")],
    ],
    ids=["message", "nulls", "parts", "empty-finish", "refusal"],
)
async def test_servers_that_differ_are_understood(chunks):
    events = await run(openai_stream(*chunks))

    assert text(events) == "Hi"
    assert events[-1] == Finish(0, "stop")


async def test_usage_in_every_chunk_is_emitted_once():
    usage = {"usage": {"prompt_tokens": 1, "completion_tokens": 1}}
    events = await run(
        openai_stream(chunk({"content": "a"}, **usage), chunk(finish="stop", **usage), usage_chunk(1, 9))
    )

    assert [event for event in events if isinstance(event, Usage)] == [Usage(1, 9)]


async def test_lone_surrogate_is_replaced():
    assert (
        text(
            await run(openai_stream('{"choices":[{"delta":{"content":"a\\ud800"},"finish_reason":"stop"}]}'))
        )
        == "a?"
    )


# Faults in the middle of a stream


@pytest.mark.parametrize(
    "pieces",
    [
        sse(chunk({"content": "Hello"})),
        [*sse(chunk({"content": "Hello"})), b"data: [DONE]\n\n"],
        [*sse(chunk({"content": "Hello"})), CUT],
        [*sse(chunk({"content": "Hello"})), b'data: {"choices', CUT],
        sse(chunk({"content": "Hello"}), chunk(finish="abort")),
    ],
    ids=["end", "done-without-finish", "cut", "cut-in-event", "unknown-finish"],
)
async def test_stream_without_finish_reason_is_incomplete_and_keeps_the_text(pieces):
    events = await run(Answer(pieces))

    assert text(events) == "Hello"
    assert isinstance(events[-1], UpstreamIncomplete)


async def test_stream_with_fewer_choices_than_asked_for_is_incomplete():
    assert isinstance(await error_of(openai_text("one"), model_request(n=2)), UpstreamIncomplete)


async def test_stream_cut_after_the_last_finish_is_complete():
    events = await run(Answer([*sse(chunk({"content": "Hi"}), chunk(finish="stop")), CUT]))

    assert events == [Ran("scripted-1"), ContentDelta(text="Hi"), Finish(0, "stop")]


@pytest.mark.parametrize(
    "piece",
    [
        b"data: not json\n\n", b"data: [1]\n\n", b"data: null\n\n", b'data: "x"\n\n', b"data: \xff\xfe\n\n",
        b"data: " + b"[" * 20_000 + b"\n\n",
    ],
    ids=["text", "array", "null", "string", "not-utf8", "nested"],
)  # fmt: skip
async def test_garbage_is_an_error(piece):
    assert type(await error_of(Answer([*sse(chunk({"content": "Hi"})), piece]))) is UpstreamError


async def test_error_in_the_stream_is_an_error_without_its_text():
    answer = Answer(sse(chunk({"content": "Hi"}), {"error": {"message": "UPSTREAM TEXT", "code": 502}}))

    assert type(await error_of(answer)) is UpstreamError


async def test_stall_times_out_and_closes_the_connection():
    answer = Answer([*sse(chunk({"content": "Hi"})), STALL])
    async with OpenAIUpstream(answer) as upstream, backend_of(upstream.base_url, IMPATIENT) as backend:
        events = await collected(backend, model_request())

        assert text(events) == "Hi"
        assert isinstance(events[-1], UpstreamTimeout)
        await upstream.disconnected.wait()


@pytest.mark.parametrize("piece", [sse(chunk({"content": "x"}))[0], b": ping\n\n"], ids=["text", "comments"])
async def test_endless_answer_ends_at_the_deadline(piece):
    answer = Answer([Drip(piece)])
    async with OpenAIUpstream(answer) as upstream, backend_of(upstream.base_url) as backend:
        assert isinstance((await collected(backend, model_request(timeout_seconds=1)))[-1], UpstreamTimeout)
        await upstream.disconnected.wait()


@pytest.mark.parametrize(
    ("piece", "limits"),
    [
        (b"x" * 4096, Limits(event_bytes=100_000)),
        (b"data: x\n", Limits(event_bytes=1000)),
        (b": comment\r\n", Limits(event_bytes=1000)),
        (b": comment\n\n", Limits(body_bytes=1000)),
        (sse(chunk({"content": "x" * 100}))[0], Limits(generated_characters=1000)),
        (
            sse(chunk({"tool_calls": [{"index": 0, "function": {"arguments": ""}}]}))[0],
            Limits(generated_characters=20),
        ),
    ],
    ids=["line", "event", "comments", "body", "text", "tool-calls"],
)
async def test_what_is_too_large_is_an_error_and_closes_the_connection(piece, limits):
    async with (
        OpenAIUpstream(Answer([Drip(piece, seconds=0)])) as upstream,
        backend_of(upstream.base_url, limits) as backend,
    ):
        error = (await collected(backend, model_request()))[-1]

        assert type(error) is UpstreamError
        await upstream.disconnected.wait()


async def test_events_within_the_limit_pass_however_they_are_cut():
    whole = b"".join([*sse(chunk({"content": "Hello"}), chunk(finish="stop")), b"data: [DONE]\r\n\r\n"])
    events = await run(Answer([bytes([byte]) for byte in whole]), limits=Limits(event_bytes=200))

    assert text(events) == "Hello"
    assert events[-1] == Finish(0, "stop")


async def test_compressed_answer_is_refused():
    answer = Answer([b"\x1f\x8b"], headers={"content-type": "text/event-stream", "content-encoding": "gzip"})

    assert type(await error_of(answer)) is UpstreamError


async def test_closing_the_iterator_closes_the_connection():
    answer = Answer([*sse(chunk({"content": "Hi"})), STALL])
    async with OpenAIUpstream(answer) as upstream, backend_of(upstream.base_url) as backend:
        async with aclosing(pulled(backend, model_request())) as events:
            await anext(events)

        await upstream.disconnected.wait()


@pytest.mark.parametrize(
    "pieces", [[STALL], [*sse(chunk({"content": "Hi"})), STALL]], ids=["before", "after"]
)
async def test_cancelling_the_reader_closes_the_connection(pieces):
    async with OpenAIUpstream(Answer(pieces)) as upstream, backend_of(upstream.base_url) as backend:
        reader = asyncio.create_task(collected(backend, model_request()))
        await upstream.received.wait()
        reader.cancel()

        with pytest.raises(asyncio.CancelledError):
            await reader
        await upstream.disconnected.wait()


async def test_connection_is_used_again_after_a_whole_answer():
    async with OpenAIUpstream(openai_text("Hi")) as upstream, backend_of(upstream.base_url) as backend:
        await collected(backend, model_request())
        await collected(backend, model_request())

    assert (len(upstream.requests), upstream.connections) == (2, 1)


# Refusals and retries


@pytest.mark.parametrize("status", [408, 409, 429, 500, 502, 503, 504, 529])
async def test_passing_failure_is_retried(status):
    slept = Slept()
    events = await run(
        [failure(status, retry_after="0"), failure(status, retry_after="7"), openai_text("Hi")], sleep=slept
    )

    assert text(events) == "Hi"
    assert slept == [0, 7]


async def test_retries_are_bounded_and_logged_without_secrets():
    slept = Slept()
    with capture_logs() as logs:
        error = await error_of(failure(500), sleep=slept)

    assert type(error) is UpstreamError
    assert [log["event"] for log in logs] == ["model_call_retried", "model_call_retried", "model_call_failed"]
    assert SECRET not in json.dumps(logs) and "UPSTREAM TEXT" not in json.dumps(logs)


async def test_nothing_is_retried_after_the_stream_began():
    async with (
        OpenAIUpstream([Answer([*sse(chunk({"content": "Hi"})), CUT]), openai_text("again")]) as upstream,
        backend_of(upstream.base_url) as backend,
    ):
        assert isinstance((await collected(backend, model_request()))[-1], UpstreamIncomplete)

    assert len(upstream.requests) == 1


@pytest.mark.parametrize("retry_after_seconds", ["61", "599"])
async def test_retry_after_beyond_patience_is_passed_on_at_once(retry_after_seconds):
    slept = Slept()
    error = await error_of(rate_limited(retry_after_seconds), sleep=slept)

    assert (type(error), error.retry_after, slept) == (UpstreamRateLimited, float(retry_after_seconds), [])


async def test_retry_after_beyond_the_deadline_is_passed_on_at_once():
    slept = Slept()
    error = await error_of(rate_limited("20"), model_request(timeout_seconds=10), sleep=slept)

    assert (type(error), error.retry_after, slept) == (UpstreamRateLimited, 20, [])


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "3"}, 3),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after-ms": "250", "retry-after": "9"}, 0.25),
        ({"retry-after": format_datetime(datetime(2026, 1, 1, 0, 0, 30, tzinfo=UTC), usegmt=True)}, 30),
        ({"retry-after": format_datetime(datetime(2025, 1, 1, tzinfo=UTC) - timedelta(days=1))}, 0),
        ({"retry-after": "-3"}, 0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "1e999"}, None),
        ({}, None),
    ],
)
def test_retry_after_is_read_in_every_form(headers, seconds):
    assert retry_after(headers, datetime(2026, 1, 1, tzinfo=UTC).timestamp()) == seconds


@pytest.mark.parametrize(
    ("status", "kind", "http_status", "reason"),
    [
        (400, InvalidArgument, 400, "UPSTREAM_REFUSED_REQUEST"),
        (413, InvalidArgument, 400, "UPSTREAM_REFUSED_REQUEST"),
        (422, InvalidArgument, 400, "UPSTREAM_REFUSED_REQUEST"),
        (401, UpstreamError, 502, "UPSTREAM_CREDENTIALS_REFUSED"),
        (403, UpstreamError, 502, "UPSTREAM_CREDENTIALS_REFUSED"),
        (404, UpstreamError, 502, "UPSTREAM_MODEL_NOT_FOUND"),
        (302, UpstreamError, 502, "UPSTREAM_ERROR"),
        (418, UpstreamError, 502, "UPSTREAM_ERROR"),
        (500, UpstreamError, 502, "UPSTREAM_ERROR"),
        (503, UpstreamUnavailable, 503, "UPSTREAM_UNAVAILABLE"),
        (529, UpstreamUnavailable, 503, "UPSTREAM_UNAVAILABLE"),
        (408, UpstreamTimeout, 504, "UPSTREAM_TIMEOUT"),
        (429, UpstreamRateLimited, 429, "UPSTREAM_RATE_LIMITED"),
    ],
)
async def test_refusal_has_our_own_words(status, kind, http_status, reason):
    error = await error_of(failure(status, location="http://127.0.0.1:9/"))

    assert (type(error), error.http_status, error.reason) == (kind, http_status, reason)


async def test_known_code_of_a_refusal_is_kept_and_others_are_not():
    known = await error_of(
        failure(400, {"error": {"message": "UPSTREAM TEXT", "code": "context_length_exceeded"}})
    )
    other = await error_of(failure(400, {"error": {"message": "UPSTREAM TEXT", "code": "UPSTREAM TEXT"}}))

    assert (known.reason, other.reason) == ("CONTEXT_LENGTH_EXCEEDED", "UPSTREAM_REFUSED_REQUEST")


async def test_refused_credentials_are_called_by_their_owner():
    operators, assistants = (
        await error_of(failure(401)),
        await error_of(failure(401), model_request(api_key="sk-a")),
    )

    assert "operator's" in operators.message and "assistant's" in assistants.message


@pytest.mark.parametrize(
    "body", [b"\xff" * 1_000_000, b"[" * 100_000, b'{"error": 7}', b'{"error": {"code": {}}}']
)
async def test_error_body_of_any_kind_is_survived(body):
    assert isinstance(await error_of(failure(400, body)), InvalidArgument)


async def test_error_body_that_never_ends_times_out():
    answer = Answer([Drip(b"x")], 400)

    assert isinstance(await error_of(answer, limits=IMPATIENT), UpstreamTimeout)


async def test_silence_before_the_answer_times_out():
    assert isinstance(await error_of(Answer([STALL], status=0), limits=IMPATIENT), UpstreamTimeout)


async def test_server_that_is_not_there_is_unavailable_after_retries():
    async with OpenAIUpstream(Answer()) as upstream:
        base_url = upstream.base_url
    slept = Slept()
    async with backend_of(base_url, sleep=slept) as backend:
        [error] = await collected(backend, model_request())

    assert (type(error), len(slept)) == (UpstreamUnavailable, 2)


async def test_compatible_server_that_refuses_stream_options_is_asked_without_them():
    async with (
        OpenAIUpstream([failure(422), openai_text("Hi")]) as upstream,
        backend_of(upstream.base_url) as backend,
    ):
        events = await collected(backend, model_request(provider="custom-llm"))

    assert text(events) == "Hi"
    assert ["stream_options" in request.body for request in upstream.requests] == [True, False]


async def test_private_address_that_is_not_listed_is_not_connected_to():
    async with (
        OpenAIUpstream(openai_text("Hi")) as upstream,
        backend_of(upstream.base_url, allowed=()) as backend,
    ):
        error = (await collected(backend, model_request()))[-1]

    assert (type(error), error.reason, upstream.connections) == (UpstreamError, "UPSTREAM_ADDRESS_REFUSED", 0)
    assert "PARLEY_UPSTREAM_ALLOW_HOSTS" in error.message


async def test_name_that_resolves_to_a_private_address_is_not_connected_to():
    async def resolve(host: str, port: int) -> list[str]:
        return ["127.0.0.1", "::1"]

    async with (
        OpenAIUpstream(openai_text("Hi")) as upstream,
        HttpClient(AllowedHosts(), Limits(), resolve) as http,
    ):
        url = f"http://rebound.example:{upstream.port}/v1"
        events = await collected(OpenAIBackend(lambda _: Endpoint(url, SECRET), http), model_request())

    assert (events[-1].reason, upstream.connections) == ("UPSTREAM_ADDRESS_REFUSED", 0)


async def test_name_is_resolved_once_and_the_checked_address_is_connected_to():
    answers = [["127.0.0.1"], ["192.0.2.1"]]

    async def resolve(host: str, port: int) -> list[str]:
        return answers.pop(0)

    allowed = AllowedHosts(["own.example+private"])
    async with (
        OpenAIUpstream(openai_text("Hi")) as upstream,
        HttpClient(allowed, Limits(), resolve) as http,
    ):
        url = f"http://own.example:{upstream.port}/v1"
        events = await collected(OpenAIBackend(lambda _: Endpoint(url, SECRET), http), model_request())

    assert text(events) == "Hi"
    assert answers == [["192.0.2.1"]]


async def test_name_that_does_not_resolve_is_unavailable():
    async def resolve(host: str, port: int) -> list[str]:
        raise OSError("UPSTREAM TEXT")

    async with HttpClient(AllowedHosts(), Limits(), resolve) as http:
        backend = OpenAIBackend(lambda _: Endpoint("http://x.example", SECRET), http, sleep=Slept())
        [error] = await collected(backend, model_request())

    assert type(error) is UpstreamUnavailable
