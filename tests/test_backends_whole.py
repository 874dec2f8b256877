"""Answers that are asked for whole: they say what a stream says, and end with their caller."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest

from generated.parley.v1.chat_pb2 import ContentDelta, ToolCallDelta
from generated.parley.v1.message_pb2 import Message
from server.backends.anthropic import AnthropicBackend
from server.backends.backend import Backend, Finish, ModelRequest, Ran, StateEvent, Usage
from server.backends.endpoint import Endpoint
from server.backends.openai import OpenAIBackend
from server.content.json_values import from_python
from server.core.errors import ServiceError, UpstreamError, UpstreamIncomplete, UpstreamUnavailable
from server.core.outbound.guard import AllowedHosts
from server.core.outbound.limits import Limits
from server.core.outbound.transport import HttpClient
from tests.pulled import pulled
from tests.upstream import (
    CUT,
    STALL,
    STRICT,
    Answer,
    AnthropicUpstream,
    OpenAIUpstream,
    ThinkingUpstream,
    Upstream,
    anthropic_stream,
    anthropic_text,
    chunk,
    openai_stream,
    openai_text,
    usage_chunk,
)

PROTOCOLS = (OpenAIUpstream, AnthropicUpstream)
HI = Message(role="user", content=from_python("hi"))
PARAMETERS = {"type": "object", "properties": {"x": {"type": "integer"}}}
TOOL = {"type": "function", "function": {"name": "f", "parameters": PARAMETERS}}
MODEL, FINGERPRINT, TIER = "ran-1", "fp_1", "default"
TEXT = "Grüße 🌍,\nlet me see."
REFUSAL = "I cannot help with that."
USAGE = {
    "prompt_tokens": 30,
    "completion_tokens": 20,
    "prompt_tokens_details": {"cached_tokens": 10, "cache_write_tokens": 5},
    "completion_tokens_details": {"reasoning_tokens": 5},
}
ARGUMENTS = '{"x": 1, "y": "ü"}'


@asynccontextmanager
async def backend_of(upstream: Any, limits: Limits | None = None) -> AsyncIterator[Backend]:
    async def sleep(seconds: float) -> None:
        """Take no time."""

    limits = limits or Limits()
    kind = AnthropicBackend if isinstance(upstream, AnthropicUpstream) else OpenAIBackend
    async with HttpClient(AllowedHosts(["127.0.0.1"]), limits) as http:
        yield kind(lambda _: Endpoint(upstream.base_url, "k"), http, limits, sleep=sleep)


def model_request(upstream: Any, **members: Any) -> ModelRequest:
    return ModelRequest(provider=upstream.provider, model=upstream.model, messages=[HI], **members)


async def outcome(backend: Backend, request: ModelRequest) -> dict[Any, Any]:
    """What the events of one call come to, however they are cut."""
    found: dict[Any, Any] = {}
    calls: dict[tuple[int, int], dict[str, Any]] = {}
    try:
        async for event in pulled(backend, request):
            match event:
                case ContentDelta():
                    place = ("refusal" if event.refusal else "text", event.choice)
                    found[place] = found.get(place, "") + event.text
                case ToolCallDelta():
                    call = calls.setdefault(
                        (event.choice, event.index), {"id": event.id, "name": event.name, "arguments": ""}
                    )
                    call["arguments"] += event.arguments
                case Finish() | StateEvent():
                    assert (type(event), event.choice) not in found
                    found[type(event), event.choice] = event
                case Ran() | Usage():
                    assert type(event) not in found
                    found[type(event)] = event
    except ServiceError as error:
        assert "UPSTREAM TEXT" not in repr(error.args)
        found["error"] = (type(error), error.reason)
    if "error" not in found:
        for call in calls.values():
            call["arguments"] = json.loads(call["arguments"])
    return found | calls


def as_json(document: Any) -> Answer:
    return Answer([json.dumps(document).encode()], headers={"content-type": "application/json"})


def cut(text: str) -> list[str]:
    """A text in small pieces."""
    return [text[start : start + 5] for start in range(0, len(text), 5)]


# --- the same outcome ---------------------------------------------------------------------------------------


def completion(upstream: Any, finish: str | None = None) -> tuple[Answer, Answer]:
    """Two choices, whole and streamed: text and two calls, and a refusal."""
    calls = [
        {
            "id": upstream.call_id.format(number),
            "type": "function",
            "function": {"name": "f", "arguments": arguments},
            **({} if number else upstream.in_calls),
        }
        for number, arguments in enumerate((ARGUMENTS, ""))
    ]
    ran = {"model": MODEL, "system_fingerprint": FINGERPRINT, "service_tier": TIER}
    first = {"role": "assistant", "content": TEXT, "tool_calls": calls, **upstream.in_answers}
    second = {"role": "assistant", "content": None, "refusal": REFUSAL}
    reasons = (finish or "tool_calls", finish or "stop")
    whole = {
        "object": "chat.completion",
        **ran,
        "usage": USAGE,
        "choices": [
            {"index": index, "message": message, "finish_reason": reason}
            for index, (message, reason) in enumerate(zip((first, second), reasons, strict=True))
        ],
    }
    deltas = [
        *((0, {name: piece}) for name, text in upstream.in_answers.items() for piece in cut(text)),
        *((0, {"content": piece}) for piece in cut(TEXT)),
        *((1, {"refusal": piece}) for piece in cut(REFUSAL)),
        *(
            (0, {"tool_calls": [{"index": index, **delta}]})
            for index, call in enumerate(calls)
            for delta in (
                call | {"function": {"name": "f", "arguments": ""}},
                *({"function": {"arguments": piece}} for piece in cut(call["function"]["arguments"])),
            )
        ),
    ]
    streamed = openai_stream(
        *(chunk({"role": "assistant"}, index=index, **ran) for index in (0, 1)),
        *(chunk(delta, index=index, **ran) for index, delta in deltas),
        *(chunk(finish=reason, index=index, **ran) for index, reason in enumerate(reasons)),
        usage_chunk(**{name.removesuffix("_tokens"): USAGE[name] for name in list(USAGE)[:2]}, **DETAILS),
    )
    return as_json(whole), streamed


DETAILS = {name: USAGE[name] for name in list(USAGE)[2:]}


def message(upstream: Any, finish: str | None = None) -> tuple[Answer, Answer]:
    """A message with text and two calls, and thinking where it thinks, whole and streamed."""
    uses = [
        {"type": "tool_use", "id": f"toolu_{number}", "name": "f", "input": input_}
        for number, input_ in enumerate((json.loads(ARGUMENTS), {}))
    ]
    blocks = [*upstream.in_answers, {"type": "text", "text": TEXT}, *uses]
    before = {"input_tokens": 15, "cache_read_input_tokens": 10, "cache_creation_input_tokens": 5}
    after = {"output_tokens": 20, "output_tokens_details": {"thinking_tokens": 5}}
    reason = finish or "tool_use"
    head = {"type": "message", "role": "assistant", "model": MODEL}
    whole = {**head, "content": blocks, "stop_reason": reason, "usage": before | after}
    streamed = anthropic_stream(
        {"type": "message_start", "message": {**head, "content": [], "usage": before | {"output_tokens": 1}}},
        *(event for index, block in enumerate(blocks) for event in block_events(index, block)),
        {"type": "message_delta", "delta": {"stop_reason": reason}, "usage": after},
        {"type": "message_stop"},
    )
    return as_json(whole), streamed


def block_events(index: int, block: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A block as it is streamed, character by character."""
    start: dict[str, Any] = {**block}
    deltas: list[dict[str, str]] = []
    match block["type"]:
        case "text":
            start["text"] = ""
            deltas = [{"type": "text_delta", "text": piece} for piece in cut(block["text"])]
        case "tool_use":
            start["input"] = {}
            text = json.dumps(block["input"]) if block["input"] else ""
            deltas = [{"type": "input_json_delta", "partial_json": piece} for piece in cut(text)]
        case "thinking":
            start |= {"thinking": "", "signature": ""}
            deltas = [{"type": "thinking_delta", "thinking": piece} for piece in cut(block["thinking"])]
            deltas.append({"type": "signature_delta", "signature": block["signature"]})
    return [
        {"type": "content_block_start", "index": index, "content_block": start},
        *({"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas),
        {"type": "content_block_stop", "index": index},
    ]


def is_anthropic(kind: type[Upstream]) -> bool:
    return issubclass(kind, AnthropicUpstream)


async def both(kind: Any, finish: str | None = None) -> tuple[dict[Any, Any], dict[Any, Any]]:
    """What a whole answer and a stream of it come to."""
    answers = (message if is_anthropic(kind) else completion)(kind, finish)
    members: dict[str, Any] = {"tools": [TOOL], "n": 1 if is_anthropic(kind) else 2}
    if kind is ThinkingUpstream:
        members["thinking"] = kind.in_model["thinking"]
    async with kind(answers) as upstream, backend_of(upstream) as backend:
        found = [
            await outcome(backend, model_request(upstream, streams=streams, **members))
            for streams in (False, True)
        ]
    assert upstream.flaws == []
    assert [request.body.get("stream", False) for request in upstream.requests] == [False, True]
    assert upstream.connections == 1
    return found[0], found[1]


@pytest.mark.parametrize("kind", STRICT)
async def test_whole_answer_says_what_a_stream_says(kind):
    whole, streamed = await both(kind)

    assert whole == streamed
    assert whole["text", 0] == TEXT
    assert whole[Finish, 0] == Finish(0, "tool_calls")
    assert whole[Usage] == Usage(30, 20, 10, 5, 5)
    assert [whole[0, index]["arguments"] for index in (0, 1)] == [json.loads(ARGUMENTS), {}]
    assert all(whole[0, index]["id"] and whole[0, index]["name"] == "f" for index in (0, 1))
    assert ((StateEvent, 0) in whole) == bool(kind.in_answers or getattr(kind, "in_calls", None))
    if is_anthropic(kind):
        assert whole[Ran] == Ran(MODEL)
    else:
        assert whole[Ran] == Ran(MODEL, FINGERPRINT, TIER)
        assert (whole["refusal", 1], whole[Finish, 1]) == (REFUSAL, Finish(1, "stop"))


@pytest.mark.parametrize("kind", PROTOCOLS)
@pytest.mark.parametrize("finish", ["max_tokens", "refusal", "content_filter", "length", "pause_turn"])
async def test_whole_answer_ends_as_a_stream_ends(kind, finish):
    whole, streamed = await both(kind, finish)

    if "error" in streamed:  # what another choice said by then is a matter of order
        assert whole["error"] == streamed["error"] == (UpstreamIncomplete, "UPSTREAM_INCOMPLETE")
        assert whole["text", 0] == streamed["text", 0]
    else:
        assert whole == streamed
        assert (Finish, 0) in whole


# --- asked for whole ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", STRICT)
async def test_stream_that_was_not_asked_for_is_understood(kind):
    streamed = anthropic_text("Hello world") if is_anthropic(kind) else openai_text("Hello world")
    async with kind(streamed) as upstream, backend_of(upstream) as backend:
        found = await outcome(backend, model_request(upstream, streams=False))

    assert "stream" not in upstream.requests[0].body and "stream_options" not in upstream.requests[0].body
    assert (found["text", 0], found[Finish, 0], found[Usage]) == (
        "Hello world",
        Finish(0, "stop"),
        Usage(3, 2),
    )


@pytest.mark.parametrize("kind", PROTOCOLS)
@pytest.mark.parametrize(
    ("body", "error"),
    [
        ({"error": {"message": "UPSTREAM TEXT"}}, UpstreamError),
        ({"type": "error", "error": {"type": "overloaded_error", "message": "UPSTREAM TEXT"}}, UpstreamUnavailable),
        ({"object": "error", "message": "UPSTREAM TEXT"}, UpstreamError),
    ],
)  # fmt: skip
async def test_error_with_a_good_status_is_an_error(kind, body, error):
    async with kind(as_json(body)) as upstream, backend_of(upstream) as backend:
        found = await outcome(backend, model_request(upstream, streams=False))

    assert (list(found), found["error"][0]) == (["error"], error)
    assert len(upstream.requests) == 1


@pytest.mark.parametrize("kind", PROTOCOLS)
@pytest.mark.parametrize("sent", [[], [b'{"choices": [{"mess']], ids=["nothing", "a part"])
async def test_caller_that_goes_away_closes_the_connection(kind, sent):
    async with kind(Answer([*sent, STALL])) as upstream, backend_of(upstream) as backend:
        call = asyncio.create_task(outcome(backend, model_request(upstream, streams=False)))
        await upstream.received.wait()
        call.cancel()
        await asyncio.wait([call])

        await upstream.disconnected.wait()
        assert call.cancelled()


@pytest.mark.parametrize("kind", PROTOCOLS)
async def test_whole_answer_that_is_cut_is_incomplete_and_its_connection_not_used_again(kind):
    whole = (message if is_anthropic(kind) else completion)(kind)[0].pieces[0]
    members: dict[str, Any] = {"streams": False, "n": 1 if is_anthropic(kind) else 2, "tools": [TOOL]}
    answers = [Answer([whole[:-20], CUT]), as_json(json.loads(whole))]
    async with kind(answers) as upstream, backend_of(upstream) as backend:
        cut = await outcome(backend, model_request(upstream, **members))
        found = await outcome(backend, model_request(upstream, **members))

    assert (list(cut), cut["error"][0]) == (["error"], UpstreamIncomplete)
    assert found["text", 0] == TEXT
    assert upstream.connections == 2


@pytest.mark.parametrize(
    ("members", "streams"),
    [
        ({}, False),
        ({"max_tokens": 21_333}, False),
        ({"max_tokens": 21_334}, True),
        ({"thinking": {"type": "enabled", "budgetTokens": 17_237}}, False),  # beside 4096 for the answer
        ({"thinking": {"type": "enabled", "budgetTokens": 17_238}}, True),
        ({"thinking": {"type": "enabled", "budgetTokens": 17_238}, "max_tokens": 21_333}, False),
    ],
)
async def test_claude_is_asked_for_a_stream_where_its_answer_may_be_long(members, streams):
    answer = anthropic_text("Hello") if streams else message(AnthropicUpstream)[0]
    async with AnthropicUpstream(answer) as upstream, backend_of(upstream) as backend:
        found = await outcome(backend, model_request(upstream, streams=False, **members))

    assert upstream.requests[0].body.get("stream", False) is streams
    assert found["text", 0] == ("Hello" if streams else TEXT)
