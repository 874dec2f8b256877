"""The stand-ins for providers refuse what real ones refuse, and nothing that is sound."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.strict import flaw_in_completion, flaw_in_messages, flaw_in_mistral
from tests.upstream import (
    AnthropicUpstream,
    MistralUpstream,
    OpenAIUpstream,
    anthropic_text,
    openai_text,
)

USER = {"role": "user", "content": "hello"}
ANSWER = {"role": "assistant", "content": "hi"}


def calling(*ids: str, **function: str) -> dict[str, Any]:
    return {"role": "assistant", "content": None, "tool_calls": [
        {"id": call_id, "type": "function", "function": {"name": "f", "arguments": "{}", **function}} for call_id in ids]}


def result(call_id: str = "c1") -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": call_id, "content": "done"}


def blocks(role: str, *content: dict[str, Any]) -> dict[str, Any]:
    return {"role": role, "content": list(content)}


def text(said: str = "hello") -> dict[str, Any]:
    return {"type": "text", "text": said}


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
    "order": ([USER, calling("abcdefghi"), result("abcdefghi"), USER], "Unexpected role 'user' after role 'tool'"),
}
IN_MESSAGES = {
    "nothing": ([], "empty array"),
    "system": ([blocks("system", text())], "Unexpected role"),
    "no block": ([blocks("user")], "non-empty content"),
    "empty": ([blocks("user", text(), text(""))], "must be non-empty"),
    "blank": ([blocks("user", text()), blocks("assistant", text("\n"))], "non-whitespace"),
    "unanswered": ([blocks("assistant", use()), blocks("user", text())], "without `tool_result` blocks immediately after"),
    "unanswered at the end": ([blocks("assistant", use())], "without `tool_result` blocks immediately after"),
    "result of nothing": ([blocks("user", used())], "unexpected `tool_use_id`"),
    "text before a result": ([blocks("assistant", use()), blocks("user", text(), used())], "must come first"),
    "one id twice": ([blocks("assistant", use()), blocks("user", used())] * 2, "must be unique"),
    "id": ([blocks("assistant", use("a:b")), blocks("user", used("a:b"))], "String should match pattern"),
    "name": ([blocks("assistant", use(name="a.b")), blocks("user", used())], "String should match pattern"),
    "input": ([blocks("assistant", use(input="{")), blocks("user", used())], "valid dictionary"),
}


def cases(flaw_in: Callable[[dict[str, Any]], str | None], flaws: dict[str, Any]) -> list[Any]:
    return [pytest.param(flaw_in, messages, said, id=f"{flaw_in.__name__}-{name}")
            for name, (messages, said) in flaws.items()]


@pytest.mark.parametrize(("flaw_in", "messages", "said"), [
    *cases(flaw_in_completion, IN_COMPLETIONS), *cases(flaw_in_mistral, IN_COMPLETIONS),
    *cases(flaw_in_mistral, IN_MISTRAL), *cases(flaw_in_messages, IN_MESSAGES)])
def test_what_a_provider_refuses_is_refused(flaw_in, messages, said):
    assert said in (flaw_in({"messages": messages}) or "")


@pytest.mark.parametrize(("flaw_in", "messages"), [
    (flaw_in_completion, [{"role": "system", "content": "Be brief."}, calling("a", "b"), result("b"), result("a"), USER]),
    (flaw_in_completion, [USER, {"role": "assistant", "content": None, "refusal": "No."}, USER, ANSWER]),
    (flaw_in_completion, [calling("c1"), result(), calling("c1"), result(), ANSWER]),
    (flaw_in_mistral, [USER, calling("abcdefghi"), result("abcdefghi"), ANSWER, USER]),
    (flaw_in_messages, [blocks("user", text()), blocks("assistant", text(), use("a"), use("b")),
                        blocks("user", used("b"), used("a"), text()), blocks("assistant", text())]),
])
def test_what_is_sound_is_taken(flaw_in, messages):
    assert flaw_in({"messages": messages}) is None


@pytest.mark.parametrize(("upstream", "path", "messages"), [
    (OpenAIUpstream(openai_text("ok")), "/v1/chat/completions", IN_COMPLETIONS["unanswered"][0]),
    (MistralUpstream(openai_text("ok")), "/v1/chat/completions", IN_MISTRAL["order"][0]),
    (AnthropicUpstream(anthropic_text("ok")), "/v1/messages", IN_MESSAGES["blank"][0]),
], ids=["openai", "mistral", "anthropic"])
async def test_upstreams_refuse_it(upstream, path, messages):
    async with upstream, httpx.AsyncClient() as client:
        answer = await client.post(f"http://127.0.0.1:{upstream.port}{path}", json={"messages": messages})

    assert answer.status_code == 400
    assert upstream.flaws == [answer.json()["error"]["message"]]
