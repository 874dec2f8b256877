"""The OpenAI form of an exchange: Response objects and their events, at /chat/responses and /v1/responses."""

import json
from typing import Any

import httpx
import pytest

from tests.conftest import Org
from tests.contract.doors import UNKNOWN_ID, CallError, Door, read
from tests.upstream import OpenAIUpstream, chunk, openai_stream, usage_chunk

WHO = "What is my name?"
# What the public compliance suite requires of every Response, and what its readers take besides.
MEMBERS = {
    "id",
    "object",
    "created_at",
    "completed_at",
    "status",
    "incomplete_details",
    "model",
    "previous_response_id",
    "instructions",
    "output",
    "error",
    "tools",
    "tool_choice",
    "truncation",
    "parallel_tool_calls",
    "text",
    "top_p",
    "presence_penalty",
    "frequency_penalty",
    "top_logprobs",
    "temperature",
    "reasoning",
    "usage",
    "max_output_tokens",
    "max_tool_calls",
    "store",
    "background",
    "service_tier",
    "metadata",
    "safety_identifier",
    "prompt_cache_key",
}
STREAMED = [
    "response.created",
    "response.in_progress",
    "response.output_item.added",
    "response.content_part.added",
    "response.output_text.delta",
    "response.output_text.done",
    "response.content_part.done",
    "response.output_item.done",
    "response.completed",
]


def reply_text(response: dict[str, Any]) -> str:
    """The text of the answer."""
    found: str = response["output"][0]["content"][0]["text"]
    return found


def text_of(message: dict[str, Any]) -> str:
    """The text of a message, in whichever form it was sent."""
    found: str = message["message"]
    return found


def bare(prefixed: str) -> str:
    """`resp_<hex>` as the UUID it shows."""
    digits = prefixed.partition("_")[2]
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def frames(body: bytes) -> list[tuple[str | None, Any]]:
    """The frames of a stream as (event, data); data that is JSON parsed."""
    assert body.endswith(b"\n\n") and b"\r" not in body
    parsed = []
    for frame in body.decode().removesuffix("\n\n").split("\n\n"):
        *event, data = frame.split("\n")
        name = event[0].removeprefix("event: ") if event else None
        text = data.removeprefix("data: ")
        parsed.append((name, text if text == "[DONE]" else json.loads(text)))
    return parsed


# --- the answer ---------------------------------------------------------------------------------------------


async def test_response_is_the_chat_in_another_form(door: Door, org: Org) -> None:
    response = await door.create_response(input="Hello", assistantId=org.assistant_id, name="mine")

    chat = await door.get_chat(id=bare(response["id"]))
    assert (chat["input"], chat["name"], chat["output"][0]["content"]) == ("Hello", "mine", "You said: Hello")
    assert (await door.list_chats())["results"][0]["id"] == chat["id"]
    [item] = response["output"]
    assert (response["id"], item["id"]) == (
        f"resp_{chat['id'].replace('-', '')}",
        f"msg_{chat['output'][0]['id'].replace('-', '')}",
    )
    assert (response["object"], response["status"], response["model"]) == (
        "response",
        "completed",
        "offline-1",
    )


async def test_response_over_http_has_every_member_with_nulls_explicit(rest: Door, org: Org) -> None:
    response = await rest.create_response(input="Hello", assistantId=org.assistant_id)

    [item] = response["output"]
    assert set(response) >= MEMBERS
    assert response == {
        "id": response["id"],
        "object": "response",
        "created_at": response["created_at"],
        "completed_at": response["completed_at"],
        "status": "completed",
        "background": False,
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "max_output_tokens": None,
        "max_tool_calls": None,
        "model": "offline-1",
        "parallel_tool_calls": True,
        "previous_response_id": None,
        "prompt_cache_key": None,
        "prompt_cache_retention": None,
        "reasoning": {"effort": None, "summary": None},
        "safety_identifier": None,
        "service_tier": "default",
        "store": True,
        "temperature": 1,
        "text": {"format": {"type": "text"}},
        "tool_choice": "auto",
        "tools": [],
        "top_logprobs": 0,
        "top_p": 1,
        "truncation": "disabled",
        "user": None,
        "metadata": {},
        "frequency_penalty": 0,
        "presence_penalty": 0,
        "conversation": None,
        "usage": {
            "input_tokens": 13,
            "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
            "output_tokens": 3,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": 16,
        },
        "output": [
            {
                "id": item["id"],
                "type": "message",
                "status": "completed",
                "role": "assistant",
                "content": [
                    {"type": "output_text", "text": "You said: Hello", "annotations": [], "logprobs": []}
                ],
            }
        ],
    }
    assert response["completed_at"] >= response["created_at"] > 1_700_000_000


async def test_what_was_asked_for_is_echoed(door: Door, org: Org) -> None:
    members_sent = {
        "instructions": "Be brief.",
        "temperature": 0.5,
        "top_p": 0.25,
        "max_output_tokens": 50,
        "max_tool_calls": 3,
        "metadata": {"k": "v"},
        "store": False,
        "parallel_tool_calls": False,
        "truncation": "auto",
        "user": "u1",
        "safety_identifier": "s1",
        "prompt_cache_key": "c1",
        "top_logprobs": 2,
        "frequency_penalty": 0.5,
        "presence_penalty": -0.5,
        "tool_choice": "none",
        "text": {"format": {"type": "text"}, "verbosity": "low"},
        "tools": [
            {
                "type": "function",
                "name": "look",
                "parameters": {"type": "object", "properties": {}},
                "strict": True,
                "description": "Looks.",
            },
            {"type": "custom", "name": "run", "format": {"type": "text"}},
        ],
    }

    response = await door.create_response(input="Hello", assistantId=org.assistant_id, **members_sent)

    assert {name: response[name] for name in members_sent} == members_sent
    assert response["usage"]["input_tokens"] == 15  # the instructions were read


@pytest.mark.parametrize(
    "member",
    [
        "tool_choice",
        "tools",
        "text",
        "metadata",
        "truncation",
        "temperature",
        "top_p",
        "parallel_tool_calls",
        "store",
        "service_tier",
        "background",
        "top_logprobs",
    ],
)
async def test_null_is_answered_as_what_is_left_out(door: Door, org: Org, member: str) -> None:
    common = {"input": "x", "assistantId": org.assistant_id}

    left_out = await door.create_response(**common)
    given = await door.create_response(**common, **{member: None})

    assert given[member] == left_out[member] is not None


async def test_null_format_is_answered_as_text(door: Door, org: Org) -> None:
    response = await door.create_response(input="x", assistantId=org.assistant_id, text={"format": None})

    assert response["text"] == {"format": {"type": "text"}}


@pytest.mark.parametrize("strict", [{}, {"strict": None}, {"strict": True}], ids=["left out", "null", "true"])
async def test_echoed_function_and_format_have_every_member_of_the_schema(
    door: Door, http: httpx.AsyncClient, org: Org, strict: dict[str, Any]
) -> None:
    form = {"type": "json_schema", "name": "place", "schema": {"type": "object", "properties": {}}, **strict}

    response = await door.create_response(
        input="x",
        assistantId=org.assistant_id,
        text={"format": form},
        tools=[{"type": "function", "name": "look", **strict}],
        tool_choice="none",
    )

    again = (await http.get(f"/v1/responses/{response['id']}", headers=org.bearer)).json()
    for reported in (response, again):
        assert reported["tools"] == [
            {
                "type": "function",
                "name": "look",
                "description": None,
                "parameters": None,
                "strict": bool(strict.get("strict")),
            }
        ]
        assert reported["text"]["format"] == {
            **form,
            "description": None,
            "strict": bool(strict.get("strict")),
        }


NAMED = {"type": "function", "name": "look"}
ALLOWED = {"type": "allowed_tools", "tools": [NAMED]}
ECHOED = {
    "nested tool": (
        {"tools": [{"type": "function", "function": {"name": "look", "strict": True}}]},
        {"tools": [{**NAMED, "description": None, "parameters": None, "strict": True}]},
    ),
    "tool without a type": (
        {"tools": [{"name": "look"}]},
        {"tools": [{**NAMED, "description": None, "parameters": None, "strict": False}]},
    ),
    "nested choice": (
        {"tools": [NAMED], "tool_choice": {"type": "function", "function": {"name": "look"}}},
        {"tool_choice": NAMED},
    ),
    "choice": ({"tools": [NAMED], "tool_choice": NAMED}, {"tool_choice": NAMED}),
    "allowed tools": (
        {"tools": [NAMED], "tool_choice": ALLOWED},
        {"tool_choice": {**ALLOWED, "mode": "auto"}},
    ),
    "allowed tools with a mode": (
        {"tools": [NAMED], "tool_choice": {**ALLOWED, "mode": "required"}},
        {"tool_choice": {**ALLOWED, "mode": "required"}},
    ),
    "nested allowed tools": (
        {
            "tools": [NAMED],
            "tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [NAMED]}},
        },
        {"tool_choice": {**ALLOWED, "mode": "auto"}},
    ),
    "form without a type": ({"text": {"format": {}}}, {"text": {"format": {"type": "text"}}}),
    "no verbosity": ({"text": {"verbosity": None}}, {"text": {"format": {"type": "text"}}}),
    "object": ({"text": {"format": {"type": "json_object"}}}, {"text": {"format": {"type": "json_object"}}}),
    "effort": ({"reasoning": {"effort": "low"}}, {"reasoning": {"effort": "low", "summary": None}}),
    "no reasoning": ({"reasoning": None}, {"reasoning": {"effort": None, "summary": None}}),
}


@pytest.mark.parametrize(("members_sent", "reported"), ECHOED.values(), ids=ECHOED)
async def test_what_is_echoed_has_the_form_of_the_public_schema(
    rest: Door, org: Org, members_sent: dict[str, Any], reported: dict[str, Any]
) -> None:
    response = await rest.create_response(input="x", assistantId=org.assistant_id, **members_sent)

    assert {name: response[name] for name in reported} == reported


@pytest.mark.parametrize(
    "instructions",
    ["My name is Ada.", [{"role": "developer", "content": "My name is Ada."}]],
    ids=["string", "array"],
)
async def test_instructions_hold_for_one_exchange_only(door: Door, org: Org, instructions: Any) -> None:
    first = await door.create_response(input=WHO, assistantId=org.assistant_id, instructions=instructions)

    second = await door.create_response(input=WHO, previous_response_id=first["id"])

    assert (reply_text(first), reply_text(second)) == ("Your name is Ada.", "I don't know your name.")


async def test_temperature_of_the_assistant_is_echoed(door: Door) -> None:
    assistant = await door.create_assistant(
        document={"model": {"provider": "offline", "model": "offline-1", "temperature": 0.25}}
    )

    response = await door.create_response(input="x", assistantId=assistant["id"])

    assert response["temperature"] == 0.25


async def test_answer_cut_at_max_output_tokens_is_incomplete(door: Door, org: Org) -> None:
    response = await door.create_response(
        input="one two three", assistantId=org.assistant_id, max_output_tokens=3
    )

    chat = await door.get_chat(id=bare(response["id"]))
    assert (response["status"], response["incomplete_details"]) == (
        "incomplete",
        {"reason": "max_output_tokens"},
    )
    assert (reply_text(response), response["output"][0]["status"]) == ("You said: one", "incomplete")
    assert response.get("completed_at") is None
    assert (chat["status"], chat["error"]["code"]) == ("incomplete", "max_output_tokens")


async def test_json_schema_is_honoured(door: Door, org: Org) -> None:
    schema = {
        "type": "object",
        "required": ["city", "warm"],
        "properties": {"city": {"type": "string", "enum": ["Oslo", "Rome"]}, "warm": {"type": "boolean"}},
    }

    response = await door.create_response(
        input="where?",
        assistantId=org.assistant_id,
        text={"format": {"type": "json_schema", "name": "place", "schema": schema, "strict": True}},
    )

    assert json.loads(reply_text(response)) == {"city": "Oslo", "warm": False}


async def test_offered_function_is_called_and_its_output_answered(door: Door, org: Org) -> None:
    tool = {
        "type": "function",
        "name": "get_weather",
        "parameters": {"type": "object", "required": ["city"], "properties": {"city": {"type": "string"}}},
    }
    first = await door.create_response(
        input="the weather in Rome?", assistantId=org.assistant_id, tools=[tool]
    )

    [call] = first["output"]
    second = await door.create_response(
        previous_response_id=first["id"],
        input=[{"type": "function_call_output", "call_id": call["call_id"], "output": "sunny"}],
    )

    assert (call["type"], call["name"], call["arguments"], call["status"]) == (
        "function_call",
        "get_weather",
        '{"city": ""}',
        "completed",
    )
    assert reply_text(second) == "get_weather returned: sunny"


@pytest.mark.parametrize(
    "given",
    [
        pytest.param([{"type": "message", "role": "user", "content": "hi"}], id="message items"),
        pytest.param([{"role": "user", "content": [{"type": "input_text", "text": "hi"}]}], id="input_text"),
        pytest.param([{"role": "user", "message": "hi"}], id="the chat's own form"),
        pytest.param("hi", id="string"),
    ],
)
async def test_input_items_are_taken(door: Door, org: Org, given: Any) -> None:
    response = await door.create_response(input=given, assistantId=org.assistant_id)

    assert reply_text(response) == "You said: hi"
    assert (await door.get_chat(id=bare(response["id"])))["input"] == given


# --- items that clients replay ------------------------------------------------------------------------------

LOOK = {"type": "function", "name": "look", "parameters": {"type": "object", "properties": {}}}


async def test_referenced_message_is_read(door: Door, org: Org) -> None:
    first = await door.create_response(input="My name is Ada", assistantId=org.assistant_id)
    given_input = [
        {"type": "item_reference", "id": first["output"][0]["id"]},
        {"role": "user", "content": "x"},
    ]

    second = await door.create_response(input=given_input, assistantId=org.assistant_id)

    chat = await door.get_chat(id=bare(second["id"]))
    assert [text_of(one) for one in chat["messages"]] == ["You said: My name is Ada", "x"]
    assert chat["input"] == given_input


@pytest.mark.parametrize("typed", [True, False], ids=["with its type", "without"])
async def test_referenced_call_is_answered(door: Door, org: Org, typed: bool) -> None:
    first = await door.create_response(input="look", assistantId=org.assistant_id, tools=[LOOK])
    [call] = first["output"]
    reference = {"id": call["id"], **({"type": "item_reference"} if typed else {})}

    second = await door.create_response(
        assistantId=org.assistant_id,
        input=[
            {"role": "user", "content": "look"},
            {"type": "item_reference", "id": "rs_0123"},
            reference,
            {"type": "function_call_output", "call_id": call["call_id"], "output": "sunny"},
        ],
    )

    assert reply_text(second) == "look returned: sunny"


async def test_item_of_a_forked_and_of_a_session_is_read(door: Door, org: Org) -> None:
    session = await door.create_session(assistantId=org.assistant_id)
    root = await door.create_response(input="root", sessionId=session["id"])
    fork = await door.create_response(input="fork", previous_response_id=root["id"])

    answer = await door.create_response(
        assistantId=org.assistant_id,
        input=[
            *({"type": "item_reference", "id": one["output"][0]["id"]} for one in (root, fork)),
            {"role": "user", "content": "x"},
        ],
    )

    chat = await door.get_chat(id=bare(answer["id"]))
    assert [text_of(one) for one in chat["messages"]] == ["You said: root", "You said: fork", "x"]


async def test_referenced_item_that_is_not_there_is_named(door: Door, org: Org, other_org: Org) -> None:
    mine = await door.create_response(input="x", assistantId=org.assistant_id)
    theirs = await door.of(other_org).create_response(input="x", assistantId=other_org.assistant_id)
    publishable = door.having(org.publishable)
    unknown = f"msg_{UNKNOWN_ID.replace('-', '')}"

    for caller_door, missing in (
        (door, theirs["output"][0]["id"]),
        (door, unknown),
        (door, "msg_123"),
        (door, mine["output"][0]["id"].replace("msg_", "fc_") + "00"),
        (publishable, mine["output"][0]["id"]),
    ):
        with pytest.raises(CallError) as refused:
            await caller_door.create_response(
                assistantId=org.assistant_id,
                input=[{"role": "user", "content": "x"}, {"type": "item_reference", "id": missing}],
            )
        assert (refused.value.status, refused.value.text) == (
            404,
            "input[1].id names no item that is there: send the item itself",
        )


async def test_item_of_a_deleted_response_is_not_there(door: Door, org: Org) -> None:
    first = await door.create_response(input="x", assistantId=org.assistant_id)
    await door.create_response(input="y", previous_response_id=first["id"])
    await door.delete_chat(id=bare(first["id"]))

    with pytest.raises(CallError) as refused:
        await door.create_response(
            assistantId=org.assistant_id, input=[{"type": "item_reference", "id": first["output"][0]["id"]}]
        )

    assert refused.value.status == 404


@pytest.mark.parametrize(
    ("item", "named"),
    [
        ({"type": "item_reference"}, "input[1].id must be"),
        ({"type": "item_reference", "id": 1}, "input[1].id must be"),
        ({"type": "thought", "text": "x"}, "input[1].type 'thought'"),
    ],
)
async def test_item_that_cannot_be_used_is_named_by_its_type(
    door: Door, org: Org, item: dict[str, Any], named: str
) -> None:
    with pytest.raises(CallError) as refused:
        await door.create_response(
            assistantId=org.assistant_id, input=[{"role": "user", "content": "x"}, item]
        )

    assert (refused.value.status, refused.value.text[: len(named)]) == (400, named)


async def test_item_is_named_once(door: Door, org: Org) -> None:
    first = await door.create_response(input="x", assistantId=org.assistant_id)

    with pytest.raises(CallError) as refused:
        await door.create_response(
            assistantId=org.assistant_id,
            input=[{"type": "item_reference", "id": first["output"][0]["id"]}] * 2,
        )

    assert (refused.value.status, refused.value.text) == (
        400,
        "input[1].id names the same item as input[0]: send it once",
    )


@pytest.mark.parametrize(
    "item",
    [
        {"type": "reasoning", "id": "rs_1", "summary": []},
        {"type": "reasoning", "summary": [], "content": None, "encrypted_content": None, "status": None},
        {
            "type": "web_search_call",
            "id": "ws_1",
            "status": "completed",
            "action": {"type": "search", "query": "x"},
        },
    ],
)
async def test_item_without_a_use_here_is_passed_over(door: Door, org: Org, item: dict[str, Any]) -> None:
    response = await door.create_response(
        assistantId=org.assistant_id,
        input=[{"role": "user", "content": "My name is Ada"}, item, {"role": "user", "content": WHO}],
    )

    assert reply_text(response) == "Your name is Ada."


# --- chains and sessions ------------------------------------------------------------------------------------


@pytest.mark.parametrize("member", ["previous_response_id", "previousChatId"])
@pytest.mark.parametrize("form", ["bare", "prefixed"])
async def test_previous_response_is_continued(door: Door, org: Org, member: str, form: str) -> None:
    first = await door.create_response(input="My name is Ada", assistantId=org.assistant_id)
    previous = first["id"] if form == "prefixed" else bare(first["id"])

    second = await door.create_response(input=WHO, **{member: previous})

    assert (reply_text(second), second["previous_response_id"]) == ("Your name is Ada.", first["id"])
    chat = await door.get_chat(id=bare(second["id"]))
    assert (chat["previousChatId"], chat["assistantId"]) == (bare(first["id"]), org.assistant_id)


async def test_response_may_continue_a_chat_and_a_chat_a_response(door: Door, org: Org) -> None:
    chat = await door.create_chat(input="My name is Ada", assistantId=org.assistant_id)
    response = await door.create_response(input="Hello", previousChatId=chat["id"])

    continued = await door.create_chat(input=WHO, previousChatId=response["id"])

    assert continued["output"][0]["content"] == "Your name is Ada."


async def test_response_joins_a_session(door: Door, org: Org) -> None:
    session = await door.create_session(assistantId=org.assistant_id)
    await door.create_response(input="My name is Ada", sessionId=session["id"])

    streamed = await read(door.stream_response(input=WHO, sessionId=session["id"]))

    assert streamed.text == "Your name is Ada."
    assert len((await door.get_session(id=session["id"]))["messages"]) == 4


async def test_transient_assistant_and_squad_answer_with_variables(door: Door) -> None:
    named = {"model": {"provider": "offline", "model": "offline-1", "systemPrompt": "My name is {{who}}."}}
    overrides = {"variableValues": {"who": "Ada"}}

    alone = await door.create_response(input=WHO, assistant=named, assistantOverrides=overrides)
    in_squad = await door.create_response(
        input=WHO, squad={"members": [{"assistant": named}]}, assistantOverrides=overrides
    )

    assert (reply_text(alone), reply_text(in_squad)) == ("Your name is Ada.", "Your name is Ada.")


# --- what is refused ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("members", "named"),
    [
        pytest.param(
            {"previous_response_id": UNKNOWN_ID, "previousChatId": UNKNOWN_ID},
            ["previous_response_id", "previousChatId"],
            id="two previous",
        ),
        pytest.param(
            {"sessionId": UNKNOWN_ID, "previous_response_id": UNKNOWN_ID},
            ["sessionId", "previous_response_id"],
            id="session and previous",
        ),
        pytest.param(
            {"sessionId": UNKNOWN_ID, "assistantId": UNKNOWN_ID},
            ["sessionId", "assistantId"],
            id="session and assistant",
        ),
        pytest.param(
            {"sessionId": UNKNOWN_ID, "transport": {"customer": {}}},
            ["sessionId", "transport.customer"],
            id="session and transport",
        ),
        pytest.param(
            {"assistantId": UNKNOWN_ID, "assistant": {}}, ["assistantId", "assistant"], id="two assistants"
        ),
        pytest.param({}, ["assistantId"], id="nobody"),
        pytest.param({"assistantId": UNKNOWN_ID, "name": "n" * 41}, ["name", "40"], id="name"),
        pytest.param({"assistantId": UNKNOWN_ID, "temperature": 2.1}, ["temperature"], id="temperature"),
        pytest.param({"assistantId": UNKNOWN_ID, "top_p": -0.1}, ["top_p"], id="top_p"),
        pytest.param(
            {"assistantId": UNKNOWN_ID, "max_output_tokens": 0}, ["max_output_tokens"], id="max_output_tokens"
        ),
        pytest.param({"assistantId": UNKNOWN_ID, "truncation": "some"}, ["truncation"], id="truncation"),
        pytest.param({"assistantId": UNKNOWN_ID, "top_logprobs": 21}, ["top_logprobs"], id="top_logprobs"),
        pytest.param(
            {"previous_response_id": "resp_1"}, ["previous_response_id"], id="previous that is no id"
        ),
        pytest.param({"assistantId": UNKNOWN_ID, "instructions": 7}, ["instructions"], id="instructions"),
    ],
)
@pytest.mark.parametrize("streaming", [False, True], ids=["whole", "streamed"])
async def test_wrong_request_is_refused_and_names_the_members(
    door: Door, members: dict[str, Any], named: list[Any], streaming: bool
) -> None:
    call = (
        read(door.stream_response(input="x", **members))
        if streaming
        else door.create_response(input="x", **members)
    )

    with pytest.raises(CallError) as refused:
        await call

    assert refused.value.status == 400
    assert [name for name in named if name not in refused.value.text] == []


# --- who answers, by model ----------------------------------------------------------------------------------


async def _ada(door: Door) -> dict[str, Any]:
    found: dict[str, Any] = await door.create_assistant(
        document={
            "name": "ada",
            "model": {"provider": "offline", "model": "offline-1", "systemPrompt": "My name is Ada."},
        }
    )
    return found


@pytest.mark.parametrize("by", ["id", "name"])
async def test_model_alone_names_an_assistant(door: Door, by: str) -> None:
    ada = await _ada(door)

    response = await door.create_response(input=WHO, model=ada[by])

    assert (reply_text(response), response["model"]) == ("Your name is Ada.", "offline-1")


async def test_model_beside_an_assistant_is_ignored(door: Door, org: Org) -> None:
    response = await door.create_response(input="x", model="gpt-4o", assistantId=org.assistant_id)

    assert (reply_text(response), response["model"]) == ("You said: x", "offline-1")


async def test_model_that_is_no_assistant_is_ignored_beside_a_previous_response(door: Door, org: Org) -> None:
    first = await door.create_response(input="x", assistantId=org.assistant_id)

    assert (
        reply_text(await door.create_response(input="y", model="gpt-4o", previous_response_id=first["id"]))
        == "You said: y"
    )


async def test_model_that_is_no_assistant_is_refused_with_a_remedy(door: Door, other_org: Org) -> None:
    theirs = await _ada(door.of(other_org))

    for model in ("gpt-4o", theirs["name"], theirs["id"]):
        with pytest.raises(CallError) as refused:
            await door.create_response(input="x", model=model)
        assert (refused.value.status, refused.value.text) == (
            400,
            "model is not an assistant's id or name: send assistantId (the OpenAI SDK: extra_body={'assistantId': …}), "
            "or an assistant's id or name as model",
        )


@pytest.mark.parametrize("by", ["id", "name"])
async def test_assistant_that_model_names_goes_on_from_a_response(door: Door, org: Org, by: str) -> None:
    first = await door.create_response(input="x", assistantId=org.assistant_id)

    second = await door.create_response(
        input=WHO, model=(await _ada(door))[by], previous_response_id=first["id"]
    )

    assert reply_text(second) == "Your name is Ada."
    assert [one["content"] for one in (await door.get_chat(id=bare(second["id"])))["messages"]] == [
        "x",
        "You said: x",
        WHO,
    ]


async def test_overrides_hold_where_model_names_who_answers_and_who_answered(door: Door) -> None:
    named = await door.create_assistant(
        document={
            "name": "named",
            "model": {"provider": "offline", "model": "offline-1", "systemPrompt": "My name is {{who}}."},
        }
    )
    first = await door.create_response(
        input=WHO, model="named", assistantOverrides={"variableValues": {"who": "Ada"}}
    )

    second = await door.create_response(input=WHO, model=named["id"], previous_response_id=first["id"])

    assert (reply_text(first), reply_text(second)) == ("Your name is Ada.", "Your name is Ada.")


async def test_model_that_names_another_assistant_than_the_session_is_refused(door: Door, org: Org) -> None:
    session = await door.create_session(assistantId=org.assistant_id)

    with pytest.raises(CallError) as refused:
        await door.create_response(input="x", model=(await _ada(door))["id"], sessionId=session["id"])

    assert (refused.value.status, "model names another assistant" in refused.value.text) == (400, True)
    assert (
        reply_text(await door.create_response(input="x", model=org.assistant_id, sessionId=session["id"]))
        == "You said: x"
    )


@pytest.mark.parametrize("member", ["previous_response_id", "previousChatId", "sessionId"])
async def test_conversation_excludes_what_else_is_continued(door: Door, org: Org, member: str) -> None:
    conversation = await door.create_session()

    with pytest.raises(CallError) as refused:
        await door.create_response(
            input="x", assistantId=org.assistant_id, conversation=conversation["id"], **{member: UNKNOWN_ID}
        )

    assert refused.value.status == 400
    assert all(name in refused.value.text for name in ("conversation", member))
    assert (await door.get_session(id=conversation["id"]))["messages"] == []


async def test_null_conversation_is_none(door: Door, org: Org) -> None:
    first = await door.create_response(input="x", assistantId=org.assistant_id, conversation=None)

    assert (
        reply_text(await door.create_response(input="y", conversation=None, previous_response_id=first["id"]))
        == "You said: y"
    )


async def test_nobody_answers_in_a_conversation_unless_the_request_names_who(door: Door, org: Org) -> None:
    conversation = await door.create_session()

    with pytest.raises(CallError) as refused:
        await door.create_response(input="x", conversation=conversation["id"])
    named = await door.create_response(
        input="x", model=org.assistant_id, conversation={"id": conversation["id"]}
    )

    assert (refused.value.status, "assistantId" in refused.value.text) == (400, True)
    assert reply_text(named) == "You said: x"
    assert len((await door.get_session(id=conversation["id"]))["messages"]) == 2


async def test_missing_previous_response_is_an_error_that_clients_know(
    door: Door, http: httpx.AsyncClient, org: Org
) -> None:
    with pytest.raises(CallError) as refused:
        await door.create_response(input="x", previous_response_id=UNKNOWN_ID)
    answer = await http.post(
        "/v1/responses",
        headers=org.bearer,
        json={"model": org.assistant_id, "input": "x", "previous_response_id": "resp_" + "0" * 32},
    )

    assert refused.value.status == 404
    assert (answer.status_code, {**answer.json()["error"], "message": None}) == (
        404,
        {
            "message": None,
            "type": "not_found_error",
            "param": "previous_response_id",
            "code": "previous_response_not_found",
        },
    )


async def test_records_that_are_not_there_have_the_names_of_this_interface(
    http: httpx.AsyncClient, org: Org
) -> None:
    chained = await http.post(
        "/v1/responses",
        headers=org.bearer,
        json={"model": org.assistant_id, "input": "x", "conversation": UNKNOWN_ID},
    )
    read = [
        await http.get(f"/v1/{path}", headers=org.bearer)
        for path in (
            f"conversations/{UNKNOWN_ID}",
            f"conversations/{UNKNOWN_ID}/items",
            f"conversations/{UNKNOWN_ID}/items/msg_1",
            f"responses/{UNKNOWN_ID}",
            f"responses/{UNKNOWN_ID}/input_items",
        )
    ]

    assert [
        (one.status_code, one.json()["error"]["message"], one.json()["error"]["code"])
        for one in (chained, *read)
    ] == [
        (404, f"{noun} not found", f"{noun}_not_found") for noun in ("conversation",) * 4 + ("response",) * 2
    ]


@pytest.mark.parametrize("by", ["id", "name"])
async def test_v1_model_names_an_assistant(rest: Door, http: httpx.AsyncClient, org: Org, by: str) -> None:
    ada = await _ada(rest)

    answer = await http.post("/v1/responses", json={"model": ada[by], "input": WHO}, headers=org.bearer)

    assert (answer.status_code, reply_text(answer.json())) == (200, "Your name is Ada.")


@pytest.mark.parametrize("goes_on", [False, True], ids=["alone", "beside previous_response_id"])
@pytest.mark.parametrize("model", ["gpt-4o", UNKNOWN_ID])
async def test_v1_model_that_is_no_assistant_does_not_exist(
    rest: Door, http: httpx.AsyncClient, org: Org, model: Any, goes_on: bool
) -> None:
    body = {"model": model, "input": "x"}
    if goes_on:
        body["previous_response_id"] = (await rest.create_response(input="x", assistantId=org.assistant_id))[
            "id"
        ]

    answer = await http.post("/v1/responses", json=body, headers=org.bearer)

    assert (answer.status_code, answer.json()) == (
        404,
        {
            "error": {
                "message": f"The model '{model}' does not exist; send the id or the name of an assistant.",
                "type": "not_found_error",
                "param": "model",
                "code": "model_not_found",
            }
        },
    )


async def test_v1_may_name_who_answers_as_chat_may(http: httpx.AsyncClient, org: Org) -> None:
    body = {"model": "gpt-4o", "assistantId": org.assistant_id, "input": "x"}

    answer = await http.post("/v1/responses", json=body, headers=org.bearer)

    assert (answer.status_code, reply_text(answer.json())) == (200, "You said: x")


# --- streams ------------------------------------------------------------------------------------------------


async def test_events_come_in_the_documented_order_without_gaps(door: Door, org: Org) -> None:
    streamed = await read(door.stream_response(input="a b", assistantId=org.assistant_id))

    names = [event["type"] for event in streamed.events]
    assert names == [name for name in STREAMED for _ in range(4 if name.endswith("text.delta") else 1)]
    assert [event["sequence_number"] for event in streamed.events] == list(range(len(names)))
    assert (streamed.text, streamed.error) == ("You said: a b", None)
    assert [event["path"] for event in streamed.events if "delta" in event] == ["chat.output[0].content"] * 4


@pytest.mark.parametrize("order", ["call text", "text call", "call text call", "call call text"])
async def test_output_has_one_order_however_it_is_read(
    rest: Door, native: Door, http: httpx.AsyncClient, org: Org, order: str
) -> None:
    names = iter(range(2))
    pieces = [
        chunk({"content": "words"}) if kind == "text" else called(next(names)) for kind in order.split()
    ]
    async with OpenAIUpstream(
        openai_stream(*pieces, chunk(finish="tool_calls"), usage_chunk(3, 2))
    ) as upstream:
        common = {
            "input": "x",
            "assistantId": (
                await rest.create_assistant(
                    document={"model": {"provider": "custom-llm", "url": upstream.base_url, "model": "m"}}
                )
            )["id"],
        }
        whole = [await door.create_response(**common) for door in (rest, native)]
        events = [(await read(door.stream_response(**common))).events for door in (rest, native)]
    completed = [events_read[-1]["response"] for events_read in events]
    again = [
        (await http.get(f"/v1/responses/{one['id']}", headers=org.bearer)).json()
        for one in (*whole, *completed)
    ]
    replayed = [
        (await http.get(f"/v1/responses/{one['id']}?stream=true", headers=org.bearer)).content
        for one in whole
    ]

    expected = [{"text": "message", "call": "function_call"}[kind] for kind in order.split()]
    for response in (*whole, *completed, *again, *(frames(body)[-2][1]["response"] for body in replayed)):
        assert [item["type"] for item in response["output"]] == expected
    for events_read in events:
        added = {
            event["output_index"]: event["item"]["type"]
            for event in events_read
            if event["type"].endswith("item.added")
        }
        assert [added[index] for index in range(len(added))] == expected


REFUSALS = {
    "refusal alone": ([{"refusal": "I can't "}, {"refusal": "help."}], [("refusal", "I can't help.")]),
    "behind a text": (
        [{"content": "Well. "}, {"refusal": "I can't."}],
        [("output_text", "Well. "), ("refusal", "I can't.")],
    ),
}


@pytest.mark.parametrize(("deltas", "parts"), REFUSALS.values(), ids=REFUSALS)
async def test_refusal_is_a_part_of_its_own_however_it_is_read(
    door: Door, http: httpx.AsyncClient, org: Org, deltas: Any, parts: Any
) -> None:
    answer = openai_stream(*map(chunk, deltas), chunk(finish="stop"), usage_chunk(3, 2))
    async with OpenAIUpstream(answer) as upstream:
        common = {
            "input": "x",
            "assistantId": (
                await door.create_assistant(
                    document={"model": {"provider": "custom-llm", "url": upstream.base_url, "model": "m"}}
                )
            )["id"],
        }
        whole = await door.create_response(**common)
        events_read = (await read(door.stream_response(**common))).events
        await door.create_response(input="y", previous_response_id=whole["id"])
    again = [
        (await http.get(f"/v1/responses/{one['id']}", headers=org.bearer)).json()
        for one in (whole, events_read[-1]["response"])
    ]
    replayed = (
        await http.get(f"/v1/responses/{events_read[-1]['response']['id']}?stream=true", headers=org.bearer)
    ).content

    for response in (whole, events_read[-1]["response"], *again):
        assert [
            (part["type"], part.get("text", part.get("refusal"))) for part in response["output"][0]["content"]
        ] == parts
    names = [event["type"] for event in events_read]
    assert names == [event["type"] for _, event in frames(replayed)[:-1]]
    assert names[3:-1] == [
        *(
            name
            for kind, _ in parts
            for name in (
                "response.content_part.added",
                *[f"response.{kind}.delta"] * (3 - len(parts)),
                f"response.{kind}.done",
                "response.content_part.done",
            )
        ),
        "response.output_item.done",
    ]
    assert (
        next(event["refusal"] for event in events_read if event["type"] == "response.refusal.done")
        == parts[-1][1]
    )
    [sent] = [one for one in upstream.requests[-1].body["messages"] if one["role"] == "assistant"]
    assert sent == {"role": "assistant", "content": "".join(text for _, text in parts)}


def called(index: int) -> dict[str, Any]:
    """The chunk of a call."""
    return chunk(
        {
            "tool_calls": [
                {
                    "index": index,
                    "id": f"call_{index}",
                    "type": "function",
                    "function": {"name": "f", "arguments": "{}"},
                }
            ]
        }
    )


async def test_ids_do_not_change_between_events(door: Door, org: Org) -> None:
    events = (await read(door.stream_response(input="a b", assistantId=org.assistant_id))).events

    chat = (await door.list_chats())["results"][0]
    responses = {event["response"]["id"] for event in events if "response" in event}
    items = {
        event.get("item_id") or event["item"]["id"]
        for event in events
        if "item_id" in event or "item" in event
    }
    assert {bare(one) for one in responses} == {chat["id"]}
    assert {bare(one) for one in items} == {chat["output"][0]["id"]}
    assert events[-1]["response"]["output"][0]["id"] == items.pop()


async def test_last_event_is_the_response_as_it_would_have_been_answered(door: Door, org: Org) -> None:
    events = (await read(door.stream_response(input="a b", assistantId=org.assistant_id, user="u"))).events

    whole = await door.create_response(input="a b", assistantId=org.assistant_id, user="u")
    last_shown = events[-1]["response"]
    varying = ("id", "created_at", "completed_at")
    assert {**last_shown, **dict.fromkeys(varying), "output": None} == {
        **whole,
        **dict.fromkeys(varying),
        "output": None,
    }
    assert {**last_shown["output"][0], "id": ""} == {**whole["output"][0], "id": ""}


async def test_streamed_answer_that_is_cut_ends_incomplete(door: Door, org: Org) -> None:
    events = (
        await read(door.stream_response(input="a b", assistantId=org.assistant_id, max_output_tokens=2))
    ).events

    last = events[-1]
    assert (last["type"], last["response"]["status"]) == ("response.incomplete", "incomplete")
    assert last["response"]["incomplete_details"] == {"reason": "max_output_tokens"}
    assert reply_text(last["response"]) == "You said:"


async def test_streamed_function_call_has_events_of_its_own(door: Door, org: Org) -> None:
    tool = {"type": "function", "name": "get_weather", "parameters": {"type": "object"}}

    events = (
        await read(door.stream_response(input="weather?", assistantId=org.assistant_id, tools=[tool]))
    ).events

    assert [event["type"] for event in events] == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.function_call_arguments.delta",
        "response.function_call_arguments.done",
        "response.output_item.done",
        "response.completed",
    ]
    assert events[-1]["response"]["output"] == [events[-2]["item"]]


async def test_frames_are_event_and_data_and_end_in_done(http: httpx.AsyncClient, org: Org) -> None:
    answer = await http.post(
        "/chat/responses",
        json={"input": "a b", "assistantId": org.assistant_id},
        headers={**org.bearer, "accept": "text/event-stream"},
    )

    *parsed, done = frames(answer.content)
    assert answer.headers["content-type"] == "text/event-stream"
    assert done == (None, "[DONE]")
    assert [(name, event["type"]) for name, event in parsed] == [
        (event["type"], event["type"]) for _, event in parsed
    ]


async def test_events_over_http_have_every_member_that_sdks_read(http: httpx.AsyncClient, org: Org) -> None:
    body = {"input": "a", "assistantId": org.assistant_id, "stream": True}

    answer = await http.post("/v1/responses", json=body, headers=org.bearer)

    by_type = {name: event for name, event in frames(answer.content)[:-1]}
    item_id = by_type["response.output_item.added"]["item"]["id"]
    part = {"type": "output_text", "text": "You said: a", "annotations": [], "logprobs": []}
    item = {"id": item_id, "type": "message", "status": "completed", "role": "assistant", "content": [part]}
    at = {"item_id": item_id, "output_index": 0, "content_index": 0}
    assert by_type["response.content_part.added"] == {
        "type": "response.content_part.added",
        "sequence_number": 3,
        **at,
        "part": {**part, "text": ""},
    }
    assert by_type["response.output_text.delta"] == {
        "type": "response.output_text.delta",
        "sequence_number": 6,
        **at,
        "delta": " a",
        "logprobs": [],
        "path": "chat.output[0].content",
    }
    assert by_type["response.output_text.done"] == {
        "type": "response.output_text.done",
        "sequence_number": 7,
        **at,
        "text": "You said: a",
        "logprobs": [],
    }
    assert by_type["response.output_item.done"] == {
        "type": "response.output_item.done",
        "sequence_number": 9,
        "output_index": 0,
        "item": item,
    }
    for name in ("response.created", "response.in_progress", "response.completed"):
        assert set(by_type[name]["response"]) >= MEMBERS
    assert by_type["response.created"]["response"]["usage"] is None
    assert by_type["response.completed"]["response"]["output"] == [item]


@pytest.mark.parametrize(
    ("path", "stream", "headers", "streamed"),
    [
        pytest.param("/chat/responses", None, {"accept": "*/*"}, True, id="nothing said"),
        pytest.param("/chat/responses", None, {}, True, id="no accept"),
        pytest.param("/chat/responses", None, {"accept": "text/event-stream"}, True, id="accept of a stream"),
        pytest.param("/chat/responses", None, {"accept": "application/json"}, False, id="accept of JSON"),
        pytest.param(
            "/chat/responses",
            None,
            {"accept": "text/plain, application/json;q=0.9"},
            False,
            id="accept lists JSON",
        ),
        pytest.param(
            "/chat/responses", None, {"accept": "*/*", "x-fern-language": "Python"}, False, id="Fern client"
        ),
        pytest.param("/chat/responses", True, {"accept": "application/json"}, True, id="explicit stream"),
        pytest.param(
            "/chat/responses",
            True,
            {"x-fern-language": "Python"},
            True,
            id="explicit stream of a Fern client",
        ),
        pytest.param(
            "/chat/responses", False, {"accept": "text/event-stream"}, False, id="explicit no stream"
        ),
        pytest.param("/v1/responses", None, {"accept": "*/*"}, False, id="v1"),
        pytest.param("/v1/responses", None, {"accept": "text/event-stream"}, False, id="v1 with accept"),
        pytest.param("/v1/responses", True, {"accept": "*/*"}, True, id="v1 explicit"),
        pytest.param("/chat", None, {"accept": "text/event-stream"}, False, id="chat"),
    ],
)
async def test_stream_is_the_default_where_the_caller_can_read_one(
    http: httpx.AsyncClient, org: Org, path: str, stream: bool | None, headers: dict[str, Any], streamed: bool
) -> None:
    body = {"input": "x", "assistantId": org.assistant_id, **({} if stream is None else {"stream": stream})}
    request = http.build_request("POST", path, json=body, headers=org.bearer | headers)
    if "accept" not in headers:
        del request.headers["accept"]

    answer = await http.send(request)

    assert answer.status_code == 200
    assert answer.headers["content-type"] == ("text/event-stream" if streamed else "application/json")
