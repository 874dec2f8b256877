"""A conversation goes on whatever one turn of it left behind, at every door; the providers refuse what real
ones refuse."""

from contextlib import suppress
from typing import Any

import pytest

from server.content.well_formed import NO_RESULT
from tests.contract.doors import CallError, Door
from tests.contract.test_session_turns import DOORS
from tests.upstream import (
    CUT,
    Answer,
    AnthropicUpstream,
    OpenAIUpstream,
    Upstream,
    anthropic_stream,
    anthropic_text,
    chunk,
    openai_stream,
    openai_text,
    sse,
)

TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}


def call(arguments: str) -> dict[str, Any]:
    return chunk(
        {
            "tool_calls": [
                {
                    "index": 0,
                    "id": "c1",
                    "type": "function",
                    "function": {"name": "f", "arguments": arguments},
                }
            ]
        }
    )


WHOLE = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
LEFT_BEHIND = {
    "unanswered": (
        openai_stream(call("{}"), chunk(finish="tool_calls")),
        [
            {"role": "assistant", "content": None, "tool_calls": [WHOLE]},
            {"role": "tool", "tool_call_id": "c1", "content": NO_RESULT},
        ],
    ),
    "cut by length": (openai_stream(call('{"x":'), chunk(finish="length")), []),
    "cut after text": (
        openai_stream(chunk({"content": "Hm"}), call('{"x":'), chunk(finish="length")),
        [{"role": "assistant", "content": "Hm"}],
    ),
    "broken stream": (Answer([*sse(call('{"x":')), CUT]), []),
    "blank": (openai_text("\n"), []),
    "nothing": (openai_stream(chunk(finish="stop")), []),
}


async def agent_of(door: Door, upstream: Upstream, provider: str = "custom-llm") -> str:
    model = {"provider": provider, "url": upstream.base_url, "model": "m", "tools": [TOOL]}
    found: str = (await door.create_assistant(document={"model": model}))["id"]
    return found


@pytest.mark.parametrize("send_text", DOORS.values(), ids=DOORS)
@pytest.mark.parametrize(("answer", "sent"), LEFT_BEHIND.values(), ids=LEFT_BEHIND)
async def test_session_goes_on(door: Door, send_text: Any, answer: Any, sent: Any) -> None:
    async with OpenAIUpstream([answer, openai_text("fine")]) as upstream:
        agent = await agent_of(door, upstream)
        session = (await door.create_session(assistantId=agent))["id"]
        with suppress(CallError):  # a stream that broke off
            await send_text(door, session, agent, "go")
        before = (await door.get_session(id=session))["messages"]
        await send_text(door, session, agent, "never mind")
        messages = (await door.get_session(id=session))["messages"]

    assert upstream.flaws == []
    assert upstream.requests[1].body["messages"] == [
        {"role": "user", "content": "go"},
        *sent,
        {"role": "user", "content": "never mind"},
    ]
    assert messages[-1]["content"] == "fine"
    assert messages[: len(before)] == before  # what is stored stays as it was


@pytest.mark.parametrize("patched", [False, True], ids=["made with", "patched"])
async def test_session_of_any_messages_goes_on(door: Door, patched: bool) -> None:
    messages = [
        {"role": "tool", "tool_call_id": "gone", "content": "of nothing"},
        {"role": "user", "content": "go"},
        {"role": "assistant", "tool_calls": [WHOLE]},
        {"role": "user", "content": "hello?"},
    ]
    async with OpenAIUpstream(openai_text("fine")) as upstream:
        agent = await agent_of(door, upstream)
        session = (
            await door.create_session(assistantId=agent, **({} if patched else {"messages": messages}))
        )["id"]
        if patched:
            await door.update_session(id=session, messages=messages)
        chat = await door.create_chat(input="and now", sessionId=session)

    assert upstream.flaws == []
    assert [message["role"] for message in upstream.requests[0].body["messages"]] == [
        "user",
        "assistant",
        "tool",
        "user",
        "user",
    ]
    assert chat["output"][0]["content"] == "fine"


async def test_late_result_is_sent_behind_its_call(door: Door) -> None:
    async with OpenAIUpstream([LEFT_BEHIND["unanswered"][0], openai_text("fine")]) as upstream:
        agent = await agent_of(door, upstream)
        first = await door.create_chat(input="go", assistantId=agent)
        second = await door.create_chat(input="hello?", previousChatId=first["id"])
        await door.create_chat(
            previousChatId=second["id"],
            input=[
                {"role": "tool", "tool_call_id": "c1", "content": "done"},
                {"role": "user", "content": "there"},
            ],
        )

    assert upstream.flaws == []
    assert [message["content"] for message in upstream.requests[2].body["messages"]] == [
        "go",
        None,
        "done",
        "hello?",
        "fine",
        "there",
    ]


async def test_claude_goes_on_after_a_blank_answer(door: Door) -> None:
    blank = anthropic_stream(
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "\n"}},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}},
        {"type": "message_stop"},
    )
    async with AnthropicUpstream([blank, anthropic_text("fine")]) as upstream:
        agent = await agent_of(door, upstream, "anthropic")
        first = await door.create_chat(input="go", assistantId=agent)
        second = await door.create_chat(input="still there?", previousChatId=first["id"])

    assert upstream.flaws == []
    assert (first["output"][0]["content"], second["output"][0]["content"]) == ("\n", "fine")
