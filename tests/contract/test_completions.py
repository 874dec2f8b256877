"""The completions door: OpenAI-compatible chat completions of one assistant, with sessions."""

import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.conftest import Org
from tests.contract.doors import COMPLETIONS, UNKNOWN_ID, CallError, Door, read
from tests.upstream import OpenAIUpstream, chunk, openai_stream, usage_chunk

# The two requests of the interface document.
SAMPLE, TEMPLATE = json.loads(
    (Path(__file__).parent.parent / "golden" / "completion_requests.json").read_text()
)
WHO = "What is my name?"
OFFLINE = {"provider": "offline", "model": "offline-1"}


def user(text: Any) -> list[dict[str, Any]]:
    return [{"role": "user", "content": text}]


def reply_texts(completion: dict[str, Any]) -> list[str]:
    """The text of each choice."""
    return [choice["message"]["content"] for choice in completion["choices"]]


def chat_id(completion: dict[str, Any]) -> str:
    """The UUID that `chatcmpl-<hex>` shows."""
    digits = completion["id"].removeprefix("chatcmpl-")
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


async def allowing(door: Door, **members: Any) -> dict[str, Any]:
    """An assistant that takes system messages."""
    found: dict[str, Any] = await door.create_assistant(
        document={"chatSystemInstructionMode": "allow", "model": OFFLINE, **members}
    )
    return found


# --- the answer ---------------------------------------------------------------------------------------------


async def test_completion_is_answered_and_is_a_chat(door: Door, org: Org) -> None:
    completion = await door.create_completion(agent_id=org.assistant_id, messages=user("Hello!"))

    chat = await door.get_chat(id=chat_id(completion))
    assert (chat["input"], chat["output"][0]["content"], chat["assistantId"]) == (
        user("Hello!"),
        "You said: Hello!",
        org.assistant_id,
    )
    assert (await door.list_chats())["results"][0]["id"] == chat["id"]
    assert (
        reply_texts(completion),
        completion["object"],
        completion["model"],
        completion["system_fingerprint"],
    ) == (["You said: Hello!"], "chat.completion", "offline-1", "fp_offline")
    assert completion["choices"][0]["finish_reason"] == "stop"
    assert {
        name: completion["usage"][name] for name in ("prompt_tokens", "completion_tokens", "total_tokens")
    } == {"prompt_tokens": 13, "completion_tokens": 3, "total_tokens": 16}
    assert "session_id" not in completion


async def test_completion_over_http_has_every_documented_member(rest: Door, org: Org) -> None:
    completion = await rest.create_completion(agent_id=org.assistant_id, messages=user("Hello!"))

    assert completion == {
        "id": completion["id"],
        "object": "chat.completion",
        "created": completion["created"],
        "model": "offline-1",
        "service_tier": "default",
        "system_fingerprint": "fp_offline",
        "choices": [
            {
                "index": 0,
                "logprobs": None,
                "finish_reason": "stop",
                "message": {
                    "role": "assistant",
                    "content": "You said: Hello!",
                    "refusal": None,
                    "annotations": [],
                },
            }
        ],
        "usage": {
            "prompt_tokens": 13,
            "completion_tokens": 3,
            "total_tokens": 16,
            "prompt_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0, "audio_tokens": 0},
            "completion_tokens_details": {
                "reasoning_tokens": 0,
                "audio_tokens": 0,
                "accepted_prediction_tokens": 0,
                "rejected_prediction_tokens": 0,
            },
        },
    }


async def test_sample_request_is_answered_where_the_assistant_allows_it(door: Door) -> None:
    assistant = await allowing(door)

    completion = await door.create_completion(agent_id=assistant["id"], **SAMPLE)

    assert reply_texts(completion) == ["You said: Hello!"]


async def test_whole_conversation_is_read(door: Door, org: Org) -> None:
    completion = await door.create_completion(
        agent_id=org.assistant_id,
        messages=[*user("My name is Ada"), {"role": "assistant", "content": "Hello Ada"}, *user(WHO)],
    )

    assert reply_texts(completion) == ["Your name is Ada."]


# --- options ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "text", "reason"),
    [
        pytest.param({"stop": "three"}, "You said: one two ", "stop", id="stop string"),
        pytest.param({"stop": ["four", "two"]}, "You said: one ", "stop", id="stop array"),
        pytest.param(
            {"stop": None},
            "You said: one two three four",
            "stop",
            id="stop null, as the public schema has it",
        ),
        pytest.param(
            {"stop": ["nine"]}, "You said: one two three four", "stop", id="stop that does not occur"
        ),
        pytest.param({"max_tokens": 3}, "You said: one", "length", id="max_tokens"),
        pytest.param(
            {"max_completion_tokens": 3, "max_tokens": 1},
            "You said: one",
            "length",
            id="max_completion_tokens",
        ),
        pytest.param({"max_tokens": 99}, "You said: one two three four", "stop", id="max_tokens not reached"),
        pytest.param({"temperature": 0}, "You said: one two three four", "stop", id="temperature 0"),
        pytest.param(
            {
                "temperature": 2,
                "top_p": 1,
                "frequency_penalty": -2,
                "presence_penalty": 2,
                "user": "u",
                "response_format": {"type": "text"},
            },
            "You said: one two three four",
            "stop",
            id="others",
        ),
        pytest.param(
            {"model": "offline-1"}, "You said: one two three four", "stop", id="the assistant's model"
        ),
        pytest.param({"model": ""}, "You said: one two three four", "stop", id="empty model"),
    ],
)
@pytest.mark.parametrize("streaming", [False, True], ids=["whole", "streamed"])
async def test_options_are_honoured(
    door: Door, org: Org, options: dict[str, Any], text: str, reason: str, streaming: bool
) -> None:
    call = {"agent_id": org.assistant_id, "messages": user("one two three four"), **options}

    if streaming:
        streamed = await read(door.stream_completion(**call))
        answered = streamed.text, streamed.events[-1]["choices"][0]["finish_reason"]
    else:
        completion = await door.create_completion(**call)
        answered = reply_texts(completion)[0], completion["choices"][0]["finish_reason"]

    assert answered == (text, reason)


@pytest.mark.parametrize("n", [1, 2, 16])
async def test_n_answers_are_given_and_kept(door: Door, org: Org, n: int) -> None:
    completion = await door.create_completion(agent_id=org.assistant_id, messages=user("x"), n=n)

    expected = ["You said: x", *(f"You said: x ({k})" for k in range(2, n + 1))]
    assert reply_texts(completion) == expected
    assert [choice["index"] for choice in completion["choices"]] == list(range(n))
    chat = await door.get_chat(id=chat_id(completion))
    assert [message["content"] for message in chat["output"]] == expected


async def test_first_of_several_answers_is_what_a_session_goes_on_from(door: Door, org: Org) -> None:
    first = await door.create_completion(
        agent_id=org.assistant_id, messages=user("x"), n=3, create_session=True
    )

    messages = (await door.get_session(id=first["session_id"]))["messages"]

    assert [message["content"] for message in messages] == ["x", "You said: x"]


@pytest.mark.parametrize(
    ("seed", "fingerprint"),
    [
        (None, "fp_offline"),
        (0, "fp_offline_0"),
        (7, "fp_offline_7"),
        (-(2**31), "fp_offline_-2147483648"),
        (2**31, "fp_offline_2147483648"),
        (2**63 - 1, f"fp_offline_{2**63 - 1}"),
    ],
)
async def test_seed_reaches_the_model(door: Door, org: Org, seed: int | None, fingerprint: str) -> None:
    given = {} if seed is None else {"seed": seed}
    call = {"agent_id": org.assistant_id, "messages": user("x"), **given}

    completion = await door.create_completion(**call)
    streamed = await read(door.stream_completion(**call))

    assert completion["system_fingerprint"] == fingerprint
    assert {chunk["system_fingerprint"] for chunk in streamed.events} == {fingerprint}


async def test_json_schema_is_honoured(door: Door, org: Org) -> None:
    schema = {"type": "object", "required": ["n"], "properties": {"n": {"type": "integer"}}}

    completion = await door.create_completion(
        agent_id=org.assistant_id,
        messages=user("x"),
        response_format={"type": "json_schema", "json_schema": {"name": "s", "schema": schema}},
    )

    assert reply_texts(completion) == ['{"n": 0}']


async def test_tools_are_called_and_answered(door: Door, org: Org) -> None:
    tool = {
        "type": "function",
        "function": {
            "name": "get_weather",
            "parameters": {
                "type": "object",
                "required": ["city"],
                "properties": {"city": {"type": "string"}},
            },
        },
    }
    question = user("the weather in Rome?")

    completion = await door.create_completion(agent_id=org.assistant_id, messages=question, tools=[tool])

    [choice] = completion["choices"]
    [call] = choice["message"]["tool_calls"]
    assert choice["finish_reason"] == "tool_calls"
    assert call["function"] == {"name": "get_weather", "arguments": '{"city": ""}'}
    answer = await door.create_completion(
        agent_id=org.assistant_id,
        tools=[tool],
        messages=[
            *question,
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": call["id"], "content": "sunny"},
        ],
    )
    assert reply_texts(answer) == ["get_weather returned: sunny"]


# --- streams ------------------------------------------------------------------------------------------------


async def test_chunks_begin_with_the_role_and_end_with_the_reason(door: Door, org: Org) -> None:
    streamed = await read(door.stream_completion(agent_id=org.assistant_id, messages=user("a b")))

    first, *middle, last = [chunk["choices"][0] for chunk in streamed.events]
    assert (first["delta"]["role"], first["delta"]["content"], first.get("finish_reason")) == (
        "assistant",
        "",
        None,
    )
    assert [choice["delta"]["content"] for choice in middle] == ["You", " said:", " a", " b"]
    assert all("role" not in choice["delta"] and choice.get("finish_reason") is None for choice in middle)
    assert (last["delta"].get("content"), last["finish_reason"]) == (None, "stop")
    assert {chunk["object"] for chunk in streamed.events} == {"chat.completion.chunk"}
    assert {chat_id(chunk) for chunk in streamed.events} == {(await door.list_chats())["results"][0]["id"]}
    assert not any("session_id" in chunk or chunk.get("usage") for chunk in streamed.events)


async def test_usage_chunk_comes_last_when_asked_for(door: Door, org: Org) -> None:
    streamed = await read(
        door.stream_completion(
            agent_id=org.assistant_id, messages=user("a b"), stream_options={"include_usage": True}
        )
    )

    *others, last = streamed.events
    assert last["choices"] == []
    assert {name: last["usage"][name] for name in ("prompt_tokens", "completion_tokens", "total_tokens")} == {
        "prompt_tokens": 14,
        "completion_tokens": 4,
        "total_tokens": 18,
    }
    assert all(chunk["choices"] and not chunk.get("usage") for chunk in others)
    assert others[-1]["choices"][0]["finish_reason"] == "stop"


async def test_every_choice_of_a_stream_has_its_role_text_and_reason(door: Door, org: Org) -> None:
    streamed = await read(door.stream_completion(agent_id=org.assistant_id, messages=user("x"), n=2))

    choices = [choice for chunk in streamed.events for choice in chunk["choices"]]
    for index, text in enumerate(["You said: x", "You said: x (2)"]):
        mine = [choice for choice in choices if choice["index"] == index]
        assert mine[0]["delta"]["role"] == "assistant"
        assert "".join(choice["delta"].get("content", "") for choice in mine) == text
        assert [choice["finish_reason"] for choice in mine if choice.get("finish_reason")] == ["stop"]


async def test_frames_are_data_lines_and_end_in_done(http: httpx.AsyncClient, org: Org) -> None:
    body = {
        "messages": user("a"),
        "stream": True,
        "create_session": True,
        "stream_options": {"include_usage": True},
    }

    answer = await http.post(COMPLETIONS.format(agent_id=org.assistant_id), json=body, headers=org.bearer)

    *frames, done, rest = answer.content.split(b"\n\n")
    chunks = [json.loads(frame.removeprefix(b"data: ")) for frame in frames]
    head = {name: chunks[0][name] for name in ("id", "created", "session_id")} | {
        "object": "chat.completion.chunk",
        "model": "offline-1",
        "service_tier": "default",
        "system_fingerprint": "fp_offline",
    }
    assert (answer.headers["content-type"], done, rest) == ("text/event-stream", b"data: [DONE]", b"")
    assert chunks == [
        {
            **head,
            "usage": None,
            "choices": [{"index": 0, "logprobs": None, "finish_reason": None, "delta": delta}],
        }
        for delta in (
            {"role": "assistant", "content": ""},
            {"content": "You"},
            {"content": " said:"},
            {"content": " a"},
        )
    ] + [
        {
            **head,
            "usage": None,
            "choices": [{"index": 0, "logprobs": None, "finish_reason": "stop", "delta": {}}],
        },
        {**head, "choices": [], "usage": chunks[-1]["usage"]},
    ]


# --- sessions -----------------------------------------------------------------------------------------------


async def test_created_session_is_returned_and_continued(door: Door, org: Org) -> None:
    first = await door.create_completion(
        agent_id=org.assistant_id, messages=user("My name is Ada"), create_session=True
    )

    second = await door.create_completion(
        agent_id=org.assistant_id, messages=user(WHO), store_in_session=first["session_id"]
    )

    assert (reply_texts(second), second["session_id"]) == (["Your name is Ada."], first["session_id"])
    session = await door.get_session(id=first["session_id"])
    assert session["assistantId"] == org.assistant_id
    assert [message["content"] for message in session["messages"]] == [
        "My name is Ada",
        "You said: My name is Ada",
        WHO,
        "Your name is Ada.",
    ]
    assert (await door.get_chat(id=chat_id(second)))["sessionId"] == first["session_id"]


async def test_session_is_in_every_chunk(door: Door, org: Org) -> None:
    first = await read(
        door.stream_completion(
            agent_id=org.assistant_id,
            messages=user("My name is Ada"),
            create_session=True,
            stream_options={"include_usage": True},
        )
    )
    [session_id] = {chunk["session_id"] for chunk in first.events}

    second = await read(
        door.stream_completion(agent_id=org.assistant_id, messages=user(WHO), store_in_session=session_id)
    )

    assert second.text == "Your name is Ada."
    assert {chunk["session_id"] for chunk in second.events} == {session_id}


async def test_session_is_not_made_unless_asked_for(door: Door, org: Org) -> None:
    await door.create_completion(agent_id=org.assistant_id, messages=user("x"), create_session=False)

    assert (await door.list_sessions())["results"] == []


async def test_session_of_another_assistant_is_refused(door: Door, org: Org) -> None:
    other = await door.create_assistant(document={})
    session = await door.create_session(assistantId=other["id"])

    with pytest.raises(CallError) as refused:
        await door.create_completion(
            agent_id=org.assistant_id, messages=user("x"), store_in_session=session["id"]
        )

    assert (refused.value.status, refused.value.text) == (
        400,
        "store_in_session names a session of another assistant: use that assistant's path",
    )


# --- what is refused ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("agent_id", [UNKNOWN_ID, "no-uuid", " "], ids=["unknown", "no id", "space"])
async def test_unknown_agent_is_not_found(door: Door, agent_id: Any) -> None:
    with pytest.raises(CallError) as refused:
        await door.create_completion(agent_id=agent_id, messages=user("x"))

    assert (refused.value.status, refused.value.text) == (404, "assistant not found")


async def test_agent_of_another_org_is_not_found(door: Door, other_org: Org) -> None:
    with pytest.raises(CallError) as refused:
        await door.create_completion(agent_id=other_org.assistant_id, messages=user("x"))

    assert (refused.value.status, refused.value.text) == (404, "assistant not found")


async def test_session_that_is_unknown_or_anothers_is_not_found(door: Door, org: Org, other_org: Org) -> None:
    theirs = await door.of(other_org).create_session(assistantId=other_org.assistant_id)

    for session_id in (UNKNOWN_ID, theirs["id"]):
        with pytest.raises(CallError) as refused:
            await door.create_completion(
                agent_id=org.assistant_id, messages=user("x"), store_in_session=session_id
            )
        assert (refused.value.status, refused.value.text) == (404, "session not found")


@pytest.mark.parametrize("role", ["system", "developer"])
async def test_instructing_role_is_refused_with_the_way_to_allow_it(door: Door, org: Org, role: str) -> None:
    with pytest.raises(CallError) as refused:
        await door.create_completion(
            agent_id=org.assistant_id, messages=[{"role": role, "content": "x"}, *user("y")]
        )

    assert (refused.value.status, refused.value.text) == (
        400,
        f"Unsupported role '{role}': this assistant has its own instructions; to allow it, set "
        'chatSystemInstructionMode to "allow" on the assistant',
    )


@pytest.mark.parametrize("role", ["system", "developer"])
async def test_instructing_role_is_heard_where_the_assistant_allows_it(door: Door, role: str) -> None:
    assistant = await allowing(door)

    completion = await door.create_completion(
        agent_id=assistant["id"], messages=[{"role": role, "content": "My name is Ada."}, *user(WHO)]
    )

    assert reply_texts(completion) == ["Your name is Ada."]


@pytest.mark.parametrize("role", ["robot", "User", "function"])
async def test_unknown_role_is_refused(door: Door, role: str) -> None:
    assistant = await allowing(door)

    with pytest.raises(CallError) as refused:
        await door.create_completion(agent_id=assistant["id"], messages=[{"role": role, "content": "x"}])

    assert (refused.value.status, refused.value.text) == (
        400,
        f"Unsupported role '{role}': use user, assistant or tool",
    )


@pytest.mark.parametrize("model", ["gpt-4o", "Offline-1", "offline/offline-1"])
async def test_another_model_than_the_assistants_is_refused(door: Door, org: Org, model: str) -> None:
    with pytest.raises(CallError) as refused:
        await door.create_completion(agent_id=org.assistant_id, messages=user("x"), model=model)

    assert (refused.value.status, refused.value.text) == (
        400,
        "model must be 'offline-1', the model of this assistant, or be left out",
    )


async def test_create_session_and_store_in_session_exclude_each_other(door: Door, org: Org) -> None:
    session = await door.create_session(assistantId=org.assistant_id)

    with pytest.raises(CallError) as refused:
        await door.create_completion(
            agent_id=org.assistant_id, messages=user("x"), create_session=True, store_in_session=session["id"]
        )

    assert (refused.value.status, refused.value.text) == (
        400,
        "create_session and store_in_session are mutually exclusive: send one of them",
    )


async def test_template_of_the_request_breaks_every_rule_at_once(http: httpx.AsyncClient, org: Org) -> None:
    """The interface document's body with placeholders for values; `temperature` has to be a number to be read
    at all."""
    answer = await http.post(
        COMPLETIONS.format(agent_id=org.assistant_id),
        json={**TEMPLATE, "temperature": -1},
        headers=org.bearer,
    )

    assert answer.status_code == 422
    assert [error["loc"] for error in answer.json()["detail"]] == [
        ["body", "temperature"],
        ["body", "n"],
        ["body", "max_tokens"],
        ["body", "store_in_session"],
    ]


@pytest.mark.parametrize(
    ("members", "location", "message"),
    [
        pytest.param({"messages": []}, ["messages"], "must contain at least 1 item(s)", id="no messages"),
        pytest.param(
            {"messages": None}, ["messages"], "must contain at least 1 item(s)", id="messages missing"
        ),
        pytest.param(
            {"messages": [{"role": "", "content": "x"}]},
            ["messages", 0, "role"],
            "must be at least 1 characters",
            id="role",
        ),
        pytest.param(
            {"messages": [{"role": "user"}]},
            ["messages", 0, "content"],
            "must be a string or an array of parts",
            id="content",
        ),
        pytest.param(
            {"messages": [{"role": "user", "content": "x"}, {"role": "tool", "content": "x"}]},
            ["messages", 1, "tool_call_id"],
            "must name the tool call that the message answers",
            id="tool call",
        ),
        pytest.param(
            {"n": 0}, ["n"], "must be greater than or equal to 1 and less than or equal to 16", id="n 0"
        ),
        pytest.param(
            {"n": 17}, ["n"], "must be greater than or equal to 1 and less than or equal to 16", id="n 17"
        ),
        pytest.param({"stop": []}, ["stop"], "must be a string or an array of 1 to 4 strings", id="stop []"),
        pytest.param(
            {"stop": [1]}, ["stop"], "must be a string or an array of 1 to 4 strings", id="stop of numbers"
        ),
        pytest.param(
            {"stop": {"at": "x"}},
            ["stop"],
            "must be a string or an array of 1 to 4 strings",
            id="stop object",
        ),
        pytest.param(
            {"max_tokens": 0}, ["max_tokens"], "must be greater than or equal to 1", id="max_tokens"
        ),
        pytest.param(
            {"max_completion_tokens": 0},
            ["max_completion_tokens"],
            "must be greater than or equal to 1",
            id="max_completion_tokens",
        ),
        pytest.param(
            {"temperature": -0.1},
            ["temperature"],
            "must be greater than or equal to 0 and less than or equal to 2",
            id="temperature below",
        ),
        pytest.param(
            {"temperature": 2.1},
            ["temperature"],
            "must be greater than or equal to 0 and less than or equal to 2",
            id="temperature above",
        ),
        pytest.param(
            {"top_p": 1.1},
            ["top_p"],
            "must be greater than or equal to 0 and less than or equal to 1",
            id="top_p",
        ),
        pytest.param(
            {"frequency_penalty": 3},
            ["frequency_penalty"],
            "must be greater than or equal to -2 and less than or equal to 2",
            id="frequency_penalty",
        ),
        pytest.param(
            {"store_in_session": "no-uuid"},
            ["store_in_session"],
            "must be a valid UUID",
            id="store_in_session",
        ),
    ],
)
@pytest.mark.parametrize("streaming", [False, True], ids=["whole", "streamed"])
async def test_wrong_member_is_422_with_its_place(
    http: httpx.AsyncClient,
    org: Org,
    members: dict[str, Any],
    location: list[Any],
    message: str,
    streaming: bool,
) -> None:
    body = {"messages": user("x"), "stream": streaming, **members}
    body = {name: value for name, value in body.items() if value is not None}

    answer = await http.post(COMPLETIONS.format(agent_id=org.assistant_id), json=body, headers=org.bearer)

    [detail] = answer.json()["detail"]
    assert (answer.status_code, list(answer.json())) == (422, ["detail"])
    assert detail == {"loc": ["body", *location], "msg": message, "type": detail["type"]}
    assert detail["type"]


@pytest.mark.parametrize(
    ("members", "status", "code"),
    [
        pytest.param({"messages": [{"role": "system", "content": "x"}]}, 400, "unsupported_role", id="role"),
        pytest.param({"model": "gpt-4o"}, 400, "unexpected_model", id="model"),
        pytest.param(
            {"create_session": True, "store_in_session": UNKNOWN_ID}, 400, "invalid_argument", id="both"
        ),
        pytest.param({"store_in_session": UNKNOWN_ID}, 404, "session_not_found", id="session"),
    ],
)
async def test_other_errors_are_read_by_fastapi_and_openai_clients(
    http: httpx.AsyncClient, org: Org, members: dict[str, Any], status: int, code: str
) -> None:
    answer = await http.post(
        COMPLETIONS.format(agent_id=org.assistant_id),
        json={"messages": user("x"), **members},
        headers=org.bearer,
    )

    body = answer.json()
    kind = "not_found_error" if status == 404 else "invalid_request_error"
    assert answer.status_code == status
    assert body == {
        "detail": body["detail"],
        "error": {"message": body["detail"], "type": kind, "param": None, "code": code},
    }


# --- what providers say -------------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def agent_answering(door: Door, *events: Any, provider: str = "custom-llm") -> AsyncIterator[str]:
    """The id of an assistant whose model answers so."""
    async with OpenAIUpstream(openai_stream(*events)) as upstream:
        yield (
            await door.create_assistant(
                document={
                    "model": {"provider": provider, "url": upstream.base_url, "model": "m"},
                    "credentials": [{"provider": provider, "apiKey": "k"}],
                }
            )
        )["id"]


async def test_answer_that_fills_the_context_of_mistral_is_cut_at_its_length(door: Door) -> None:
    events = chunk({"content": "a long answer"}), chunk(finish="model_length"), usage_chunk(3, 2)
    async with agent_answering(door, *events, provider="mistral") as agent_id:
        completion = await door.create_completion(agent_id=agent_id, messages=user("x"))
        response = await door.create_response(input="x", assistantId=agent_id)

    assert (reply_texts(completion), completion["choices"][0]["finish_reason"]) == (
        ["a long answer"],
        "length",
    )
    assert (response["status"], response["incomplete_details"]) == (
        "incomplete",
        {"reason": "max_output_tokens"},
    )


async def test_usage_has_cached_and_reasoning_tokens(door: Door) -> None:
    usage = usage_chunk(
        30,
        20,
        prompt_tokens_details={"cached_tokens": 24},
        completion_tokens_details={"reasoning_tokens": 16},
    )
    async with agent_answering(door, chunk({"content": "a"}), chunk(finish="stop"), usage) as agent_id:
        call = {"agent_id": agent_id, "messages": user("x")}
        whole = await door.create_completion(**call)
        streamed = await read(door.stream_completion(**call, stream_options={"include_usage": True}))

    for usage_shown in (whole["usage"], streamed.events[-1]["usage"]):
        assert (
            usage_shown["total_tokens"],
            usage_shown["prompt_tokens_details"]["cached_tokens"],
            usage_shown["completion_tokens_details"]["reasoning_tokens"],
        ) == (50, 24, 16)


async def test_refusal_is_returned_as_one(door: Door) -> None:
    events = (
        chunk({"refusal": "I can't "}),
        chunk({"refusal": "help."}),
        chunk(finish="stop"),
        usage_chunk(3, 2),
    )
    async with agent_answering(door, *events) as agent_id:
        completion = await door.create_completion(agent_id=agent_id, messages=user("x"))
        chunks = (await read(door.stream_completion(agent_id=agent_id, messages=user("x")))).events
        chat = await door.create_chat(input="x", assistantId=agent_id)

    [choice] = completion["choices"]
    deltas = [one["choices"][0]["delta"] for one in chunks]
    assert (choice["message"].get("content"), choice["message"]["refusal"]) == (None, "I can't help.")
    assert [delta["refusal"] for delta in deltas if "refusal" in delta] == ["I can't ", "help."]
    assert not any(delta.get("content") for delta in deltas)
    assert [(one["content"], one["refusal"]) for one in chat["output"]] == [
        ("I can't help.", "I can't help.")
    ]
