"""The stand-ins for providers refuse what real ones refuse, and nothing that is sound."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.strict import (
    flaw_in_completion,
    flaw_in_deepseek,
    flaw_in_gemini,
    flaw_in_messages,
    flaw_in_mistral,
    flaw_in_openai,
)
from tests.upstream import (
    AnthropicUpstream,
    DeepSeekUpstream,
    GeminiUpstream,
    MistralUpstream,
    OpenAIUpstream,
    anthropic_text,
    openai_text,
)

CUSTOM = {"type": "custom", "custom": {"name": "run"}}
FLAT_GRAMMAR = {"type": "custom", "custom": {"name": "run", "format": {"type": "grammar", "syntax": "lark"}}}
USER = {"role": "user", "content": "hello"}
ANSWER = {"role": "assistant", "content": "hi"}
SYSTEM = {"role": "system", "content": "Be brief."}


def calling(*ids: str, **function: str) -> dict[str, Any]:
    return {
        "role": "assistant",
        "content": None,
        "tool_calls": [
            {"id": call_id, "type": "function", "function": {"name": "f", "arguments": "{}", **function}}
            for call_id in ids
        ],
    }


def result(call_id: str = "c1", **members: Any) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": call_id, "content": "done", **members}


def signed(*ids: str) -> dict[str, Any]:
    """Calls as Gemini makes them: the first of them is signed."""
    message = calling(*ids)
    del message["content"]
    message["tool_calls"][0]["extra_content"] = {"google": {"thought_signature": "s"}}
    return message


def blocks(role: str, *content: dict[str, Any]) -> dict[str, Any]:
    return {"role": role, "content": list(content)}


def text(words: str = "hello") -> dict[str, Any]:
    return {"type": "text", "text": words}


def use(call_id: str = "c1", **members: Any) -> dict[str, Any]:
    return {"type": "tool_use", "id": call_id, "name": "f", "input": {}, **members}


def used(call_id: str = "c1") -> dict[str, Any]:
    return {"type": "tool_result", "tool_use_id": call_id, "content": "done"}


IN_COMPLETIONS = {
    "nothing": ([], "empty array"),
    "unanswered": ([USER, calling("c1"), USER], "must be followed by tool messages"),
    "unanswered at the end": ([USER, calling("c1")], "must be followed by tool messages"),
    "half answered": ([USER, calling("a", "b"), result("b")], "must be followed by tool messages"),
    "answered late": ([calling("c1"), USER, result()], "must be followed by tool messages"),
    "result of nothing": ([USER, result()], "must be a response"),
    "result of another": ([calling("c1"), result(), result("c2")], "must be a response"),
    "two results": ([calling("c1"), result(), result()], "must be a response"),
    "long id": ([calling("c" * 41), result("c" * 41)], "string too long"),
    "empty id": ([calling(""), result("")], "string too long"),
    "name": ([calling("c1", name="a.b"), result()], "does not match pattern"),
    "no name": ([calling("c1", name=""), result()], "does not match pattern"),
    "half a call": ([calling("c1", arguments='{"x":'), result()], "Failed to parse tool call arguments"),
    "no object": ([calling("c1", arguments="[]"), result()], "Failed to parse tool call arguments"),
    "blank answer": ([USER, {"role": "assistant", "content": ""}, USER], "either content or tool_calls"),
    "null": ([{"role": "user", "content": None}], "got null instead"),
}
IN_MISTRAL = {
    "id": ([USER, calling("call_abcd"), result("call_abcd")], "with a length of 9"),
    "order": (
        [USER, calling("abcdefghi"), result("abcdefghi"), USER],
        "Unexpected role 'user' after role 'tool'",
    ),
    "late system": ([USER, ANSWER, SYSTEM, USER], "Unexpected role 'system' after role 'assistant'"),
    "last": ([USER, ANSWER], "Expected last role User or Tool"),
    "prefix": ([USER, {**ANSWER, "prefix": True}, USER], "must be last message"),
    "name": ([{**USER, "name": "Ann"}], "extra_forbidden: ['body', 'messages', 0, 'user', 'name']"),
    "refusal": ([USER, {**ANSWER, "refusal": "No."}, USER], "'assistant', 'refusal']"),
    "reasoning": ([USER, {**ANSWER, "reasoning_content": "hm"}, USER], "'assistant', 'reasoning_content']"),
    "developer": ([{**SYSTEM, "role": "developer"}, USER], "extra_forbidden"),
}
TEXT = {"content": "Let me see."}
THOUGHT = {"reasoning_content": "hm"}
IN_DEEPSEEK = {
    "developer": ([{**SYSTEM, "role": "developer"}, USER], "unknown variant `developer`"),
    "one id twice": (
        [USER, calling("c1") | THOUGHT, result(), calling("c1") | THOUGHT, result()],
        "Duplicate value",
    ),
    "refusal alone": (
        [USER, {"role": "assistant", "content": "", "refusal": "No."}, USER],
        "content or tool_calls must be",
    ),
    "call without reasoning": ([USER, calling("c1"), result()], "must be passed back"),
    "call of an earlier turn": (
        [USER, calling("c1"), result(), ANSWER | THOUGHT, USER],
        "must be passed back",
    ),
    "answer to a result": ([USER, calling("c1") | THOUGHT, result(), ANSWER, USER], "must be passed back"),
    "last": ([USER, ANSWER], "must be a user message"),
}
IN_GEMINI = {
    "system alone": ([SYSTEM], "contents is not specified"),
    "empty": ([{"role": "user", "content": ""}], "must not be empty"),
    "empty part": ([{"role": "user", "content": [text(), text("")]}], "empty text parameter"),
    "call at the beginning": (
        [SYSTEM, signed("c1"), result(name="f")],
        "comes immediately after a user turn",
    ),
    "call behind an answer": (
        [USER, ANSWER, signed("c1"), result(name="f")],
        "comes immediately after a user turn",
    ),
    "result without a name": ([USER, signed("c1"), result()], "Name cannot be empty"),
    "null": ([USER, signed("c1") | {"content": None}, result(name="f")], "not a string: null"),
    "no signature": ([USER, calling("c1") | TEXT, result(name="f")], "missing a thought_signature"),
    "no signature in the second step": (
        [USER, signed("a"), result("a", name="f"), calling("b") | TEXT, result("b", name="f")],
        "missing a thought_signature",
    ),
    "refusal": ([USER, {**ANSWER, "refusal": "No."}, USER], 'Unknown name "refusal"'),
    "reasoning": ([USER, {**ANSWER, "reasoning_content": "hm"}, USER], 'Unknown name "reasoning_content"'),
}
IN_MESSAGES = {
    "nothing": ([], "empty array"),
    "system": ([blocks("system", text())], "Unexpected role"),
    "no block": ([blocks("user")], "non-empty content"),
    "empty": ([blocks("user", text(), text(""))], "must be non-empty"),
    "blank": ([blocks("user", text()), blocks("assistant", text("\n"))], "non-whitespace"),
    "unanswered": (
        [blocks("assistant", use()), blocks("user", text())],
        "without `tool_result` blocks immediately after",
    ),
    "unanswered at the end": ([blocks("assistant", use())], "without `tool_result` blocks immediately after"),
    "result of nothing": ([blocks("user", used())], "unexpected `tool_use_id`"),
    "text before a result": ([blocks("assistant", use()), blocks("user", text(), used())], "must come first"),
    "one id twice": ([blocks("assistant", use()), blocks("user", used())] * 2, "must be unique"),
    "id": ([blocks("assistant", use("a:b")), blocks("user", used("a:b"))], "String should match pattern"),
    "name": ([blocks("assistant", use(name="a.b")), blocks("user", used())], "String should match pattern"),
    "input": ([blocks("assistant", use(input="{")), blocks("user", used())], "valid dictionary"),
}


def cases(flaw_in: Callable[[dict[str, Any]], str | None], flaws: dict[str, Any]) -> list[Any]:
    return [
        pytest.param(flaw_in, messages, expected, id=f"{flaw_in.__name__}-{name}")
        for name, (messages, expected) in flaws.items()
    ]


@pytest.mark.parametrize(
    ("flaw_in", "messages", "expected"),
    [
        *(
            case
            for flaw_in in (flaw_in_openai, flaw_in_mistral, flaw_in_deepseek, flaw_in_gemini)
            for case in cases(flaw_in, IN_COMPLETIONS)
        ),
        *cases(flaw_in_mistral, IN_MISTRAL),
        *cases(flaw_in_deepseek, IN_DEEPSEEK),
        *cases(flaw_in_gemini, IN_GEMINI),
        *cases(flaw_in_messages, IN_MESSAGES),
    ],
)
def test_what_a_provider_refuses_is_refused(flaw_in, messages, expected):
    assert expected in (flaw_in({"messages": messages}) or "")


@pytest.mark.parametrize(
    ("flaw_in", "members", "expected"),
    [
        (
            flaw_in_openai,
            {"tools": [{"type": "custom", "custom": {}}]},
            "Missing required parameter: 'tools[0].custom.name'",
        ),
        (
            flaw_in_openai,
            {"tools": [FLAT_GRAMMAR]},
            "Missing required parameter: 'tools[0].custom.format.grammar'",
        ),
        *(
            (
                flaw_in,
                {"tools": [CUSTOM]},
                "'function' is a required property, expected an object - 'tools.0'",
            )
            for flaw_in in (flaw_in_mistral, flaw_in_deepseek, flaw_in_gemini)
        ),
        (flaw_in_openai, {"top_k": 1}, "Unrecognized request argument supplied: top_k"),
        *(
            (flaw_in_mistral, {name: 1}, f"['body', '{name}']: Extra inputs")
            for name in ("seed", "stream_options", "max_completion_tokens", "store")
        ),
        *(
            (flaw_in_gemini, {name: 1}, f'Unknown name "{name}"')
            for name in ("seed", "frequency_penalty", "presence_penalty", "store")
        ),
        (
            flaw_in_deepseek,
            {"response_format": {"type": "json_schema"}},
            "response_format type is unavailable",
        ),
        (flaw_in_deepseek, {"tool_choice": "required"}, "does not support this tool_choice"),
        (
            flaw_in_deepseek,
            {"tool_choice": {"type": "function", "function": {"name": "f"}}},
            "not support this tool_choice",
        ),
        *(
            (flaw_in_messages, {name: 1}, f"{name}: Extra inputs are not permitted")
            for name in ("temperature", "seed", "frequency_penalty", "response_format")
        ),
    ],
)
def test_members_that_a_provider_refuses_are_refused(flaw_in, members, expected):
    messages = [blocks("user", text())] if flaw_in is flaw_in_messages else [USER]

    assert expected in (flaw_in({"model": "m", "messages": messages, **members}) or "")
    assert flaw_in({"model": "m", "messages": messages, "max_tokens": 1, "stream": True}) is None


THINKS = {"type": "thinking", "thinking": "hm", "signature": "s"}
ENABLED = {"thinking": {"type": "enabled", "budget_tokens": 1024}}
ROUND = [blocks("user", text()), blocks("assistant", use()), blocks("user", used())]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"messages": ROUND, **ENABLED}, "but found `tool_use`"),
        (
            {"messages": [*ROUND[:1], blocks("assistant", text(), use()), *ROUND[2:]], **ENABLED},
            "but found `text`",
        ),
        (
            {"messages": [*ROUND[:1], blocks("assistant", {**THINKS, "signature": ""}, use()), *ROUND[2:]]},
            "Field required",
        ),
        (
            {"messages": ROUND[:1], "tool_choice": {"type": "any"}, **ENABLED},
            "when tool_choice forces tool use",
        ),
        (
            {
                "messages": ROUND[:1],
                "tool_choice": {"type": "tool", "name": "f"},
                "thinking": {"type": "adaptive"},
            },
            "forces tool",
        ),
    ],
)
def test_what_claude_refuses_while_it_thinks_is_refused(body, expected):
    assert expected in (flaw_in_messages(body) or "")


@pytest.mark.parametrize(
    "body",
    [
        {"messages": ROUND},
        {"messages": [*ROUND[:1], blocks("assistant", THINKS, use()), *ROUND[2:]], **ENABLED},
        # the round is over
        {"messages": [*ROUND, blocks("assistant", text()), blocks("user", text())], **ENABLED},
        {"messages": ROUND, "thinking": {"type": "adaptive"}},
        {"messages": ROUND[:1], "tool_choice": {"type": "auto"}, **ENABLED},
    ],
)
def test_what_claude_takes_while_it_thinks_is_taken(body):
    assert flaw_in_messages(body) is None


def tool(name: str = "f", **members: Any) -> dict[str, Any]:
    """As completions have it; without parameters when those are None."""
    given = {"name": name, "parameters": {"type": "object", "properties": {"x": {}}}, **members}
    return {
        "type": "function",
        "function": {member: value for member, value in given.items() if value is not None},
    }


def claude_tool(name: str = "f", **schema: Any) -> dict[str, Any]:
    return {"name": name, "input_schema": {"type": "object", **schema}}


@pytest.mark.parametrize(
    ("flaw_in", "tools", "expected"),
    [
        *(
            (flaw_in, tools, expected)
            for flaw_in in (flaw_in_openai, flaw_in_mistral, flaw_in_deepseek, flaw_in_gemini)
            for tools, expected in (
                ([tool("a.b")], "string does not match pattern"),
                ([tool("f" * 65)], "string does not match pattern"),
                ([tool(parameters={})], "got 'type: None'"),
                ([tool(parameters={"type": "object"})], "object schema missing properties"),
                ([tool(), tool()], "must be unique"),
            )
        ),
        *(
            (flaw_in, [tool(f"f{number}") for number in range(129)], "array too long")
            for flaw_in in (flaw_in_openai, flaw_in_deepseek)
        ),
        (flaw_in_mistral, [tool(required=["x"])], "'function', 'required']: Extra inputs"),
        (flaw_in_mistral, [tool(parameters=None)], "'function', 'parameters']: Field required"),
        (flaw_in_gemini, [tool("1f")], "Must start with a letter"),
        (flaw_in_gemini, [tool(parameters={"type": "object", "properties": {}})], "should be non-empty"),
        (flaw_in_messages, [claude_tool(), claude_tool()], "must be unique"),
        (flaw_in_messages, [claude_tool("a.b")], "should match pattern"),
        (flaw_in_messages, [claude_tool(type=None)], "input_schema.type"),
    ],
)
def test_tools_that_a_provider_refuses_are_refused(flaw_in, tools, expected):
    messages = [blocks("user", text())] if flaw_in is flaw_in_messages else [USER]
    well_formed = (
        [claude_tool(), claude_tool("g")] if flaw_in is flaw_in_messages else [tool(strict=True), tool("g")]
    )

    assert expected in (flaw_in({"messages": messages, "tools": tools}) or "")
    assert flaw_in({"messages": messages, "tools": well_formed}) is None


@pytest.mark.parametrize(
    ("flaw_in", "messages"),
    [
        (flaw_in_completion, [SYSTEM, calling("a", "b"), result("b"), result("a"), USER]),
        (flaw_in_completion, [USER, {"role": "assistant", "content": None, "refusal": "No."}, USER, ANSWER]),
        (flaw_in_completion, [calling("c1"), result(), calling("c1"), result(), ANSWER]),
        (flaw_in_mistral, [USER, calling("abcdefghi"), result("abcdefghi"), ANSWER, USER]),
        (flaw_in_mistral, [SYSTEM, USER, {**ANSWER, "prefix": True}]),
        (
            flaw_in_deepseek,
            [
                USER,
                ANSWER,
                USER,
                calling("a", "b") | THOUGHT,
                result("a"),
                result("b"),
                ANSWER | THOUGHT,
                USER,
            ],
        ),
        (
            flaw_in_gemini,
            [SYSTEM, USER, signed("a", "b"), result("b", name="f"), result("a", name="f"), ANSWER, USER],
        ),
        # only the current turn is looked at
        (flaw_in_gemini, [USER, calling("c1") | TEXT, result(name="f"), USER]),
        (
            flaw_in_messages,
            [
                blocks("user", text()),
                blocks("assistant", text(), use("a"), use("b")),
                blocks("user", used("b"), used("a"), text()),
                blocks("assistant", text()),
            ],
        ),
    ],
)
def test_what_is_sound_is_taken(flaw_in, messages):
    assert flaw_in({"messages": messages}) is None


@pytest.mark.parametrize(
    ("flaw_in", "model", "messages", "members"),
    [
        (
            flaw_in_deepseek,
            "deepseek-chat",
            [USER, calling("c1"), result(), ANSWER],
            {"tool_choice": "required"},
        ),
        (flaw_in_gemini, "gemini-2.5-flash", [USER, calling("c1") | TEXT, result(name="f")], {}),
    ],
)
def test_models_that_do_not_think_take_more(flaw_in, model, messages, members):
    assert flaw_in({"model": model, "messages": messages, **members}) is None


@pytest.mark.parametrize(
    ("upstream", "path", "messages", "status"),
    [
        (OpenAIUpstream(openai_text("ok")), "/v1/chat/completions", IN_COMPLETIONS["unanswered"][0], 400),
        (MistralUpstream(openai_text("ok")), "/v1/chat/completions", IN_MISTRAL["order"][0], 400),
        (MistralUpstream(openai_text("ok")), "/v1/chat/completions", IN_MISTRAL["name"][0], 422),
        (DeepSeekUpstream(openai_text("ok")), "/v1/chat/completions", IN_DEEPSEEK["developer"][0], 400),
        (GeminiUpstream(openai_text("ok")), "/v1/chat/completions", IN_GEMINI["no signature"][0], 400),
        (AnthropicUpstream(anthropic_text("ok")), "/v1/messages", IN_MESSAGES["blank"][0], 400),
    ],
    ids=["openai", "mistral", "mistral-members", "deepseek", "gemini", "anthropic"],
)
async def test_upstreams_refuse_it(upstream, path, messages, status):
    async with upstream, httpx.AsyncClient() as client:
        answer = await client.post(f"http://127.0.0.1:{upstream.port}{path}", json={"messages": messages})

    assert answer.status_code == status
    assert upstream.flaws == [answer.json()["error"]["message"]]
