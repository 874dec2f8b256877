"""Tool rounds, sessions, chains and squads through every provider, each refusing what the real one
refuses."""

import json
from collections.abc import Awaitable, Callable
from contextlib import suppress
from itertools import permutations
from typing import Any

import pytest

from tests.contract.doors import CallError, Door, read
from tests.contract.test_session_turns import DOORS
from tests.contract.test_well_formed_histories import LEFT_BEHIND
from tests.upstream import (
    STRICT,
    Answer,
    AnthropicUpstream,
    CustomUpstream,
    DeepSeekUpstream,
    GeminiUpstream,
    OpenAIUpstream,
    ThinkingUpstream,
    Upstream,
    anthropic_stream,
    anthropic_text,
)

StandIn = OpenAIUpstream | AnthropicUpstream
PROVIDERS = pytest.mark.parametrize("kind", STRICT, ids=lambda kind: kind.__name__)
PAIRS = pytest.mark.parametrize(
    ("first", "second"), [*permutations(STRICT, 2)], ids=lambda kind: kind.__name__
)
FUNCTION = {
    "type": "function",
    "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}},
}
FOUND = Answer([b'{"sky": "clear"}'], headers={"content-type": "application/json"})


def run_here(tools: Upstream) -> dict[str, Any]:
    """A tool that the server runs."""
    return {"type": "apiRequest", "name": "look", "url": f"{tools.base_url}/sky", "method": "GET"}


def assistant(upstream: StandIn, *tools: dict[str, Any], **model: Any) -> dict[str, Any]:
    return {
        "chatSystemInstructionMode": "allow",
        "model": {
            **upstream.model_document,
            "tools": [*tools],
            "messages": [{"role": "system", "content": "You know the weather."}],
            **model,
        },
        "credentials": [{"provider": upstream.provider, "apiKey": "k"}],
    }


async def agent_of(door: Door, upstream: StandIn, *tools: dict[str, Any], **model: Any) -> str:
    found: str = (await door.create_assistant(document=assistant(upstream, *tools, **model)))["id"]
    return found


def roles(chat: dict[str, Any]) -> list[str]:
    return [message["role"] for message in chat["output"]]


def result(call: dict[str, Any], **members: Any) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": call["id"], "content": "sunny", **members}


# --- tools --------------------------------------------------------------------------------------------------


@PROVIDERS
async def test_rounds_that_the_server_runs_and_what_follows_them(door: Door, kind: type[StandIn]) -> None:
    answers = [
        kind.calls(a1="look", a2="look"),
        kind.calls(b1="look"),
        kind.text("Clear."),
        kind.text("You are welcome."),
    ]
    async with Upstream(FOUND) as tools, kind(answers) as upstream:
        agent = await agent_of(door, upstream, run_here(tools))
        first = await door.create_chat(input="How is the sky?", assistantId=agent)
        second = await door.create_chat(input="Thanks!", previousChatId=first["id"])

    assert upstream.flaws == []
    assert roles(first) == ["assistant", "tool", "tool", "assistant", "tool", "assistant"]
    assert second["output"][0]["content"] == "You are welcome."


@PROVIDERS
async def test_ids_that_come_again_in_every_round(door: Door, kind: type[StandIn]) -> None:
    answers = [
        kind.calls(a1="look"),
        kind.calls(a1="look"),
        kind.text("Clear."),
        kind.calls(a1="look"),
        kind.text("Still."),
    ]
    async with Upstream(FOUND) as tools, kind(answers) as upstream:
        agent = await agent_of(door, upstream, run_here(tools))
        first = await door.create_chat(input="How is the sky?", assistantId=agent)
        second = await door.create_chat(input="And now?", previousChatId=first["id"])

    assert upstream.flaws == []
    assert second["output"][-1]["content"] == "Still."


@PROVIDERS
@pytest.mark.parametrize("send_text", DOORS.values(), ids=DOORS)
async def test_call_that_nobody_answers(
    door: Door, kind: type[StandIn], send_text: Callable[[Door, str, str, str], Awaitable[Any]]
) -> None:
    async with kind(
        [kind.calls(a1="weather", a2="weather"), kind.text("Fine."), kind.text("Fine.")]
    ) as upstream:
        agent = await agent_of(door, upstream, FUNCTION)
        session = (await door.create_session(assistantId=agent))["id"]
        for text in ("Weather?", "Never mind.", "Still there?"):
            await send_text(door, session, agent, text)
        messages = (await door.get_session(id=session))["messages"]

    assert upstream.flaws == []
    assert messages[-1]["content"] == "Fine."


@PROVIDERS
@pytest.mark.parametrize("in_session", [False, True], ids=["chained", "in a session"])
async def test_call_that_the_caller_answers(door: Door, kind: type[StandIn], in_session: bool) -> None:
    async with kind(
        [kind.calls(a1="weather", a2="weather"), kind.text("Sunny."), kind.text("Bye.")]
    ) as upstream:
        agent = await agent_of(door, upstream, FUNCTION)
        joined = {"sessionId": (await door.create_session(assistantId=agent))["id"]} if in_session else {}
        first = await door.create_chat(input="Weather?", **(joined or {"assistantId": agent}))
        results = [result(call) for call in first["output"][0]["tool_calls"]]
        second = await door.create_chat(input=results, **(joined or {"previousChatId": first["id"]}))
        third = await door.create_chat(input="Bye", **(joined or {"previousChatId": second["id"]}))

    assert upstream.flaws == []
    assert [chat["output"][0]["content"] for chat in (second, third)] == ["Sunny.", "Bye."]


@PROVIDERS
async def test_result_and_a_question_in_one_request(door: Door, kind: type[StandIn]) -> None:
    async with kind([kind.calls(a1="weather"), kind.text("Sunny, and warm.")]) as upstream:
        agent = await agent_of(door, upstream, FUNCTION)
        first = await door.create_chat(input="Weather?", assistantId=agent)
        (call,) = first["output"][0]["tool_calls"]
        second = await door.create_chat(
            previousChatId=first["id"],
            input=[
                result(call),
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": "And is it warm?"},
            ],
        )

    assert upstream.flaws == []
    assert second["output"][0]["content"] == "Sunny, and warm."


# --- answers that leave nothing sound behind ----------------------------------------------------------------


HALF = [
    {
        "type": "content_block_start",
        "index": 0,
        "content_block": {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {}},
    },
    {
        "type": "content_block_delta",
        "index": 0,
        "delta": {"type": "input_json_delta", "partial_json": '{"x":'},
    },
]
OF_CLAUDE = {
    "cut by length": anthropic_stream(
        *HALF, {"type": "message_delta", "delta": {"stop_reason": "max_tokens"}}, {"type": "message_stop"}
    ),
    "broken stream": anthropic_stream(*HALF),
    "blank": anthropic_text("\n"),
    "nothing": anthropic_stream(
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}}, {"type": "message_stop"}
    ),
}


@pytest.mark.parametrize(
    ("kind", "answer"),
    [
        *(
            pytest.param(kind, answer, id=f"{kind.__name__}-{name}")
            for kind in STRICT
            if kind.provider != "anthropic"
            for name, (answer, _) in LEFT_BEHIND.items()
        ),
        *(
            pytest.param(AnthropicUpstream, answer, id=f"anthropic-{name}")
            for name, answer in OF_CLAUDE.items()
        ),
    ],
)
async def test_conversation_goes_on_whatever_an_answer_left_behind(
    door: Door, kind: type[StandIn], answer: Answer
) -> None:
    async with kind([answer, kind.text("Fine.")]) as upstream:
        agent = await agent_of(door, upstream, FUNCTION)
        session = (await door.create_session(assistantId=agent))["id"]
        with suppress(CallError):  # a stream that broke off
            await door.create_chat(input="Weather?", sessionId=session)
        chat = await door.create_chat(input="Never mind.", sessionId=session)

    assert upstream.flaws == []
    assert chat["output"][0]["content"] == "Fine."


# --- histories that others made -----------------------------------------------------------------------------


CALLED = {
    "role": "assistant",
    "content": None,
    "tool_calls": [
        {"id": "made elsewhere", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
    ],
}
RESULT = {"role": "tool", "tool_call_id": "made elsewhere", "content": "sunny"}
QUESTION = {"role": "user", "content": "And now?"}
REPLY = {"role": "assistant", "content": "Hello."}
HISTORIES = {
    "call at the beginning": [CALLED, RESULT, QUESTION],
    "call behind an answer": [QUESTION, REPLY, CALLED, RESULT, REPLY, QUESTION],
    "call that is open": [QUESTION, CALLED, RESULT],
    "system message behind an answer": [
        QUESTION,
        REPLY,
        {"role": "system", "content": "Be brief."},
        QUESTION,
    ],
    "system message at the end": [QUESTION, {"role": "system", "content": "Be brief."}],
    "developer message": [{"role": "developer", "content": "Be brief."}, QUESTION],
    "several system messages": [
        {"role": "system", "content": "Be brief."},
        {"role": "system", "content": "Be kind."},
        QUESTION,
    ],
    "names": [QUESTION | {"name": "Ann"}, REPLY | {"name": "Bob"}, QUESTION | {"name": "Cid"}],
    "refusal": [QUESTION, {"role": "assistant", "content": None, "refusal": "I cannot."}, QUESTION],
    "refusal in parts": [
        QUESTION,
        {"role": "assistant", "content": [{"type": "refusal", "refusal": "I cannot."}]},
        QUESTION,
    ],
    "users in a row": [QUESTION, QUESTION, REPLY, REPLY, QUESTION],
    "greeting": [REPLY, QUESTION],
    "blank part": [
        {"role": "user", "content": [{"type": "text", "text": ""}, {"type": "text", "text": "Hi"}]}
    ],
}


@PROVIDERS
@pytest.mark.parametrize("messages", HISTORIES.values(), ids=HISTORIES)
async def test_history_is_taken(door: Door, kind: type[StandIn], messages: list[dict[str, Any]]) -> None:
    async with kind(kind.text("Fine.")) as upstream:
        agent = await agent_of(door, upstream, FUNCTION)
        chat = await door.create_chat(input=messages, assistantId=agent)
        completion = await door.create_completion(agent_id=agent, messages=messages)

    assert upstream.flaws == []
    assert chat["output"][0]["content"] == "Fine."
    assert completion["choices"][0]["message"]["content"] == "Fine."
    sent = str([request.body for request in upstream.requests])
    assert all(text in sent for message in messages for text in texts(message))


def texts(message: dict[str, Any]) -> list[str]:
    parts = (
        message["content"] if isinstance(message["content"], list) else [{"text": message["content"] or ""}]
    )
    return [*(part.get("text", part.get("refusal")) for part in parts), message.get("refusal", "")]


@PROVIDERS
async def test_first_message_of_an_assistant(door: Door, kind: type[StandIn]) -> None:
    async with kind(kind.text("Fine.")) as upstream:
        made = await door.create_assistant(
            document=assistant(upstream) | {"firstMessage": "Hello, I am Ada."}
        )
        session = (await door.create_session(assistantId=made["id"]))["id"]
        chat = await door.create_chat(input="How are you?", sessionId=session)

    assert upstream.flaws == []
    assert chat["output"][0]["content"] == "Fine."


@PROVIDERS
async def test_members_that_tune_an_answer_are_sent_to_whom_they_are_known(
    door: Door, kind: type[StandIn]
) -> None:
    async with kind(kind.text("Fine.")) as upstream:
        agent = await agent_of(door, upstream, FUNCTION, temperature=0.5, maxTokens=50)
        completion = await door.create_completion(
            agent_id=agent,
            messages=[QUESTION],
            seed=7,
            top_p=0.5,
            frequency_penalty=0.5,
            presence_penalty=0.5,
            stop=["x"],
            parallel_tool_calls=False,
            tool_choice="auto",
            tools=[FUNCTION | {"function": {"name": "own", "strict": False}}],
        )

    assert upstream.flaws == []
    assert completion["choices"][0]["message"]["content"] == "Fine."
    assert upstream.requests[0].body.get({"mistral": "random_seed"}.get(kind.provider, "seed")) == {
        "google": None,
        "anthropic": None,
    }.get(kind.provider, 7)


@pytest.mark.parametrize(
    ("kind", "members", "field"),
    [
        (
            DeepSeekUpstream,
            {
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"name": "a", "schema": {"type": "object"}},
                }
            },
            "response_format",
        ),
        (DeepSeekUpstream, {"tool_choice": "required"}, "tool_choice"),
        (DeepSeekUpstream, {"messages": [QUESTION, REPLY]}, "input"),
        (ThinkingUpstream, {"tool_choice": "required"}, "tool_choice"),
    ],
)
async def test_what_would_change_the_answer_is_refused_by_name(
    door: Door, kind: type[StandIn], members: dict[str, Any], field: str
) -> None:
    async with kind(kind.text("Fine.")) as upstream:
        agent = await agent_of(door, upstream, FUNCTION)
        with pytest.raises(CallError, match=field) as refused:
            await door.create_completion(**{"agent_id": agent, "messages": [QUESTION], **members})

    assert refused.value.status == 400
    assert upstream.requests == []


# --- from one provider to another ---------------------------------------------------------------------------


@PAIRS
async def test_conversation_that_goes_on_with_another_provider(
    rest: Door, first: type[StandIn], second: type[StandIn]
) -> None:
    async with (
        Upstream(FOUND) as tools,
        first(
            [
                first.calls(a1="look", a2="look"),
                first.text("Clear."),
                first.calls(b1="weather"),
                first.text("Clear as ever."),
            ]
        ) as one,
        second([second.calls(a1="look"), second.text("Still clear."), second.text("Sunny.")]) as other,
    ):
        agents = [await agent_of(rest, upstream, run_here(tools), FUNCTION) for upstream in (one, other)]
        chat = await rest.create_chat(input="How is the sky?", assistantId=agents[0])
        for agent, text in (
            (agents[1], "And now?"),
            (agents[0], "And tomorrow?"),
            (agents[1], "Never mind."),
            (agents[0], "Back again."),
        ):
            chat = await rest.create_chat(input=text, previousChatId=chat["id"], assistantId=agent)

    assert (one.flaws, other.flaws) == ([], [])
    assert chat["output"][0]["content"] == "Clear as ever."


@PAIRS
async def test_squad_of_two_providers(rest: Door, first: type[StandIn], second: type[StandIn]) -> None:
    async with (
        Upstream(FOUND) as tools,
        first(
            [first.calls(a1="look"), first.calls(a2="handoff_to_sales"), first.text("Front again.")]
        ) as one,
        second(
            [
                second.calls(a1="look", a2="look"),
                second.text("Sales here."),
                second.text("Sales still."),
                second.calls(a3="handoff_to_front"),
            ]
        ) as other,
    ):
        members = [
            {"assistant": {"name": name, **assistant(upstream, run_here(tools))}}
            for name, upstream in (("Front", one), ("Sales", other))
        ]
        session = (await rest.create_session(squad={"members": members}))["id"]
        chats = [
            await rest.create_chat(input=text, sessionId=session)
            for text in ("To sales, please.", "Are you there?", "Back to the front, please.")
        ]

    assert (one.flaws, other.flaws) == ([], [])
    assert [chat["output"][-1]["content"] for chat in chats] == [
        "Sales here.",
        "Sales still.",
        "Front again.",
    ]


@PROVIDERS
async def test_squad_at_every_streaming_door(door: Door, kind: type[StandIn]) -> None:
    answers = [kind.calls(a1="handoff_to_sales"), kind.text("Sales here.")]
    async with kind(answers * 2) as upstream:
        squad = (
            await door.create_squad(
                document={
                    "members": [
                        {"assistant": {"name": name, **assistant(upstream)}} for name in ("Front", "Sales")
                    ]
                }
            )
        )["id"]
        streamed = [
            await read(door.stream_chat(input="To sales, please.", squadId=squad)),
            await read(door.stream_response(input="To sales, please.", squadId=squad)),
        ]

    assert upstream.flaws == []
    assert [stream.text for stream in streamed] == ["Sales here.", "Sales here."]


# --- what providers want back -------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [DeepSeekUpstream, GeminiUpstream], ids=lambda kind: kind.provider)
async def test_what_a_provider_wants_back_is_sent_back_as_it_was(
    door: Door, kind: type[OpenAIUpstream]
) -> None:
    async with (
        Upstream(FOUND) as tools,
        kind([kind.calls(a1="look", a2="look"), kind.text("Clear.")]) as upstream,
    ):
        agent = await agent_of(door, upstream, run_here(tools))
        first = await door.create_chat(input="How is the sky?", assistantId=agent)
        await door.create_chat(input="Thanks!", previousChatId=first["id"])

    (_, calling, *_, answer, _) = upstream.requests[-1].body["messages"][1:]
    assert upstream.flaws == []
    assert calling["tool_calls"][0].items() >= kind.in_calls.items()
    assert calling.items() >= kind.in_answers.items() <= answer.items()
    assert calling["tool_calls"][1].keys() == {"id", "type", "function"}


# --- a server of one's own that answers JSON although a stream was asked for --------------------------------


def whole(message: dict[str, Any], finish: str, content_type: str) -> Answer:
    completion = {
        "object": "chat.completion",
        "model": "own-1",
        "usage": {"prompt_tokens": 7, "completion_tokens": 2},
        "choices": [{"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish}],
    }
    return Answer([json.dumps(completion, indent=2).encode()], headers={"content-type": content_type})


@pytest.mark.parametrize(
    "content_type", ["application/json", "application/json; charset=utf-8", "text/event-stream"]
)
async def test_answers_that_come_whole_are_read(door: Door, content_type: str) -> None:
    calls = [
        {"id": f"c{number}", "type": "function", "function": {"name": "look", "arguments": "{}"}}
        for number in (1, 2)
    ]
    answers = [
        whole({"content": None, "tool_calls": calls}, "tool_calls", content_type),
        whole({"content": "Clear."}, "stop", content_type),
        whole({"content": "Cl"}, "length", content_type),
    ]
    async with Upstream(FOUND) as tools, CustomUpstream(answers) as upstream:
        agent = await agent_of(door, upstream, run_here(tools))
        chat = await door.create_chat(input="How is the sky?", assistantId=agent)
        completion = await door.create_completion(agent_id=agent, messages=[QUESTION])

    assert upstream.flaws == []
    assert roles(chat) == ["assistant", "tool", "tool", "assistant"]
    assert chat["output"][-1]["content"] == "Clear."
    assert chat["costs"][0]["promptTokens"] == 14
    assert (completion["choices"][0]["message"]["content"], completion["choices"][0]["finish_reason"]) == (
        "Cl",
        "length",
    )
    assert (completion["usage"]["prompt_tokens"], completion["usage"]["completion_tokens"]) == (7, 2)


@pytest.mark.parametrize("send_text", DOORS.values(), ids=DOORS)
async def test_whole_answer_is_returned_at_every_door(
    door: Door, send_text: Callable[[Door, str, str, str], Awaitable[Any]]
) -> None:
    async with CustomUpstream(whole({"content": "Clear."}, "stop", "application/json")) as upstream:
        agent = await agent_of(door, upstream)
        session = (await door.create_session(assistantId=agent))["id"]
        await send_text(door, session, agent, "How is the sky?")
        messages = (await door.get_session(id=session))["messages"]

    assert messages[-1]["content"] == "Clear."


async def test_error_that_comes_with_a_200_is_an_error(door: Door) -> None:
    refused = Answer(
        [b'{"error": {"message": "UPSTREAM TEXT"}}'], headers={"content-type": "application/json"}
    )
    async with CustomUpstream(refused) as upstream:
        agent = await agent_of(door, upstream)
        with pytest.raises(CallError) as failed:
            await door.create_chat(input="How is the sky?", assistantId=agent)

    assert failed.value.status == 503  # a 502 over HTTP
    assert "UPSTREAM TEXT" not in failed.value.text


def test_there_is_a_stand_in_for_every_kind_of_provider() -> None:
    assert {kind.provider for kind in STRICT} == {
        "openai",
        "custom-llm",
        "mistral",
        "deep-seek",
        "google",
        "anthropic",
    }
