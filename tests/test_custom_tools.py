"""Custom tools, whose calls are free text: offered, called, answered and repeated, at every door that has them;
through the real Envoy.

The stand-ins of the providers refuse what the real ones refuse (`strict.py` has the sources).
"""

import json
from typing import Any

import openai
import pytest
from openai.types.chat import ChatCompletion, ChatCompletionMessageCustomToolCall
from openai.types.responses import CustomTool, ResponseCustomToolCall, ResponseCustomToolCallOutput

from server.core.ids import parse_id
from tests.connected import WebSocketTalk, websocket
from tests.sdk import official_client
from tests.test_reasoning import events_of
from tests.upstream import OpenAIUpstream, chunk, openai_stream, usage_chunk

FLAT = {
    "type": "custom",
    "name": "query_sql",
    "description": "Runs SQL.",
    "format": {"type": "grammar", "syntax": "regex", "definition": "SELECT .*"},
}
NESTED = {
    "type": "custom",
    "custom": {
        "name": "query_sql",
        "description": "Runs SQL.",
        "format": {"type": "grammar", "grammar": {"syntax": "regex", "definition": "SELECT .*"}},
    },
}
LOOK = {"type": "function", "name": "look", "parameters": {}}
SQL = 'SELECT "ü"}'
CALL = {"id": "call_1", "type": "custom", "custom": {"name": "query_sql", "input": SQL}}
SAID = {"call_id": "call_1", "name": "query_sql", "input": SQL}
OUTPUT = {"type": "custom_tool_call_output", "call_id": "call_1", "output": "1 row"}
ASKED = "query sql for me"


def piece(**members: Any) -> dict[str, Any]:
    return chunk({"tool_calls": [{"index": 0, "id": None, "type": None, "function": None, **members}]})


CALLS = openai_stream(
    chunk({"role": "assistant", "content": None}),
    piece(id="call_1", type="custom", custom={"name": "query_sql", "input": ""}),
    piece(custom={"input": SQL[:7]}),
    piece(custom={"input": SQL[7:]}),
    chunk(finish="tool_calls"),
    usage_chunk(3, 2),
)
DONE = OpenAIUpstream.text("One row.")


@pytest.fixture
async def upstream():
    async with OpenAIUpstream([CALLS, DONE]) as started:
        yield started


@pytest.fixture
async def client(service, org, upstream):
    await service.store.assistants.create(
        org.id,
        {
            "name": "sql",
            "model": {"provider": "openai", "model": "m", "url": upstream.base_url},
            "credentials": [{"provider": "openai", "apiKey": "k"}],
        },
    )
    async with official_client(f"{service.http_url}/v1", org.api) as made:
        yield made


@pytest.fixture
async def offline(service, org) -> str:
    return (await service.store.assistants.create(org.id, {"name": "Offline"})).id


def told(item: Any) -> dict[str, Any]:
    """What the model wrote for a call."""
    ResponseCustomToolCall.model_validate(item.to_dict(), strict=True)
    return {name: getattr(item, name) for name in SAID}


async def streamed(client: Any, **members: Any) -> list[Any]:
    return [event async for event in await client.responses.create(model="sql", stream=True, **members)]


async def test_response_calls_a_custom_tool_and_goes_on_with_its_output(client, upstream):
    first = await client.responses.create(model="sql", input=ASKED, tools=[LOOK, FLAT])
    second = await client.responses.create(
        model="sql", input=[OUTPUT], tools=[FLAT], previous_response_id=first.id
    )
    items = (await client.responses.input_items.list(second.id, order="asc")).data

    assert [told(item) for item in first.output] == [SAID]
    assert first.output[0].id.startswith("ctc_")
    assert CustomTool.model_validate(first.tools[1].to_dict(), strict=True).to_dict() == FLAT
    assert second.output_text == "One row."
    sent, repeated = (request.body for request in upstream.requests)
    assert sent["tools"][1] == NESTED
    assert repeated["messages"][1]["tool_calls"] == [CALL]
    assert repeated["messages"][2] == {"role": "tool", "tool_call_id": "call_1", "content": "1 row"}
    assert [item.type for item in items] == ["custom_tool_call_output"]
    ResponseCustomToolCallOutput.model_validate(items[-1].to_dict(), strict=True)
    assert upstream.flaws == []


async def test_streamed_response_has_the_events_of_a_custom_tool(client):
    events = await streamed(client, input=ASKED, tools=[FLAT])
    read = await client.responses.retrieve(events[-1].response.id)
    again = [event async for event in await client.responses.retrieve(read.id, stream=True)]

    kinds = [event.type for event in events]
    assert kinds[2:-1] == [
        "response.output_item.added",
        "response.custom_tool_call_input.delta",
        "response.custom_tool_call_input.delta",
        "response.custom_tool_call_input.done",
        "response.output_item.done",
    ]
    assert (events[2].item.input, events[3].delta + events[4].delta, events[5].input) == ("", SQL, SQL)
    assert told(events[6].item) == told(events[-1].response.output[0]) == told(read.output[0]) == SAID
    assert [event.to_dict() for event in again] == [event.to_dict() for event in events]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
async def test_output_goes_to_the_provider_of_a_call_that_is_stored_nowhere(client, upstream, stream):
    if stream:
        output = (await streamed(client, input=ASKED, tools=[FLAT], store=False))[-1].response.output
    else:
        output = (await client.responses.create(model="sql", input=ASKED, tools=[FLAT], store=False)).output
    sent = [{"role": "user", "content": ASKED}, *(item.to_dict() for item in output), OUTPUT]
    last = await client.responses.create(model="sql", input=sent, tools=[FLAT], store=False)

    assert last.output_text == "One row."
    assert upstream.requests[1].body["messages"][1]["tool_calls"] == [CALL]


async def test_completion_calls_a_custom_tool_whole_and_goes_on(client, upstream):
    messages: list[Any] = [{"role": "user", "content": ASKED}]
    first = await client.chat.completions.create(model="sql", messages=messages, tools=[NESTED])
    answer = ChatCompletion.model_validate(first.to_dict()).choices[0]
    assert answer.message.tool_calls
    call = ChatCompletionMessageCustomToolCall.model_validate(
        answer.message.tool_calls[0].to_dict(), strict=True
    )
    messages += [
        first.choices[0].message.to_dict(),
        {"role": "tool", "tool_call_id": "call_1", "content": "1 row"},
    ]
    second = await client.chat.completions.create(model="sql", messages=messages, tools=[NESTED])

    assert (answer.finish_reason, call.to_dict()) == ("tool_calls", CALL)
    assert second.choices[0].message.content == "One row."
    assert upstream.requests[0].body["tools"] == [NESTED]
    assert upstream.requests[1].body["messages"][1]["tool_calls"] == [CALL]


async def test_completion_streams_the_input_of_a_custom_tool(client):
    chunks = [
        one.to_dict()
        async for one in await client.chat.completions.create(
            model="sql", messages=[{"role": "user", "content": ASKED}], tools=[NESTED], stream=True
        )
    ]

    calls = [
        call for one in chunks for choice in one["choices"] for call in choice["delta"].get("tool_calls", ())
    ]
    assert calls[0] == {"index": 0, **CALL, "custom": {"name": "query_sql", "input": ""}}
    assert calls[1:] == [{"index": 0, "custom": {"input": text}} for text in (SQL[:7], SQL[7:])]


@pytest.mark.parametrize("provider", ["anthropic", "deep-seek", "google", "groq", "mistral"])
async def test_provider_without_custom_tools_refuses_them_by_name(service, http, org, provider):
    made = await service.store.assistants.create(
        org.id, {"name": "other", "model": {"provider": provider, "model": "m"}}
    )
    body = {"model": made.id, "input": ASKED, "tools": [LOOK, FLAT]}
    answer = await http.post("/v1/responses", headers=org.bearer, json=body)
    chosen = {**body, "tools": [LOOK], "tool_choice": {"type": "custom", "name": "query_sql"}}
    choice = await http.post("/v1/responses", headers=org.bearer, json=chosen)

    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "tools[1]")
    assert f"cannot be custom for provider {provider}" in answer.json()["error"]["message"]
    assert (choice.status_code, choice.json()["error"]["param"]) == (400, "tool_choice")


@pytest.mark.parametrize(
    ("tool", "param"),
    [
        ({"type": "custom"}, "tools[0].name"),
        ({"type": "custom", "custom": "run"}, "tools[0].custom"),
        ({"type": "custom", "name": "query sql"}, "tools[0].name"),
        ({**FLAT, "description": 1}, "tools[0].description"),
        ({**FLAT, "format": {"type": "json"}}, "tools[0].format.type"),
        ({**FLAT, "format": {"type": "grammar", "syntax": "ebnf"}}, "tools[0].format.syntax"),
        ({**FLAT, "format": {"type": "grammar", "syntax": "lark"}}, "tools[0].format.definition"),
        ({**FLAT, "format": {"type": "grammar", "grammar": 1}}, "tools[0].format.grammar"),
    ],
)
async def test_definition_that_is_none_is_refused_by_name(http, org, offline, tool, param):
    body = {"model": offline, "input": ASKED, "tools": [tool]}
    answer = await http.post("/v1/responses", headers=org.bearer, json=body)

    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)


@pytest.mark.parametrize(
    ("choice", "called"),
    [("auto", True), ("none", False), ({"type": "custom", "name": "query_sql"}, True),
     ({"type": "allowed_tools", "mode": "auto", "tools": [{"type": "custom", "name": "query_sql"}]}, True),
     ({"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "look"}]}, False)],
)  # fmt: skip
async def test_offline_model_calls_a_custom_tool_with_the_users_words(http, org, offline, choice, called):
    body = {"model": offline, "input": ASKED, "tools": [LOOK, FLAT], "tool_choice": choice, "stream": True}
    events = events_of((await http.post("/v1/responses", headers=org.bearer, json=body)).text)

    item = events[-1]["response"]["output"][0]
    assert (item["type"] == "custom_tool_call", item.get("input")) == (called, ASKED if called else None)


async def test_conversation_lists_calls_and_outputs_of_custom_tools(http, org, offline):
    conversation = (await http.post("/v1/conversations", headers=org.bearer, json={})).json()["id"]
    body = {"model": offline, "conversation": conversation, "tools": [FLAT]}
    first = (await http.post("/v1/responses", headers=org.bearer, json={**body, "input": ASKED})).json()
    call = first["output"][0]
    output = {**OUTPUT, "call_id": call["call_id"]}
    await http.post("/v1/responses", headers=org.bearer, json={**body, "input": [output]})
    path = f"/v1/conversations/{conversation}/items"
    items = (await http.get(path, headers=org.bearer, params={"order": "asc"})).json()["data"]
    one = (await http.get(f"{path}/{items[2]['id']}", headers=org.bearer)).json()

    assert [item["type"] for item in items] == [
        "message", "custom_tool_call", "custom_tool_call_output", "message",
    ]  # fmt: skip
    assert items[1] == call
    assert one == items[2]
    assert items[3]["content"][0]["text"] == "query_sql returned: 1 row"


async def test_session_goes_on_with_the_output_of_a_custom_tool(http, org, offline):
    session = (await http.post("/session", headers=org.bearer, json={"assistantId": offline})).json()
    body = {"sessionId": session["id"], "tools": [FLAT], "stream": False}
    first = (await http.post("/chat/responses", headers=org.bearer, json={**body, "input": ASKED})).json()
    output = {**OUTPUT, "call_id": first["output"][0]["call_id"]}
    second = (await http.post("/chat/responses", headers=org.bearer, json={**body, "input": [output]})).json()
    last = (await http.get(f"/chat/{parse_id(second['id'])}", headers=org.bearer)).json()

    assert second["output"][0]["content"][0]["text"] == "query_sql returned: 1 row"
    calls = [call for message in last["messages"] for call in message.get("tool_calls", ())]
    assert [(call["type"], call["custom"]) for call in calls] == [
        ("custom", {"name": "query_sql", "input": ASKED})
    ]


async def test_connection_goes_on_with_the_output_of_a_custom_tool(service, org, offline):
    async with websocket(service.http_url, org.api) as socket:
        talk = WebSocketTalk(socket)
        members = {"model": offline, "tools": [FLAT], "store": False}
        first = await talk.ask(**members, input=ASKED)
        output = {**OUTPUT, "call_id": first["output"][0]["call_id"]}
        second = await talk.ask(**members, input=[output], previous_response_id=first["id"])

    assert first["output"][0]["input"] == ASKED
    assert second["output"][0]["content"][0]["text"] == "query_sql returned: 1 row"


async def test_offline_completion_goes_on_with_a_repeated_call(http, org, offline):
    body = {"model": offline, "tools": [NESTED]}
    asked = {**body, "messages": [{"role": "user", "content": ASKED}]}
    first = (await http.post("/v1/chat/completions", headers=org.bearer, json=asked)).json()
    message = first["choices"][0]["message"]
    history = [*asked["messages"], message]
    result = {"role": "tool", "tool_call_id": message["tool_calls"][0]["id"], "content": "1 row"}
    last = await http.post(
        "/v1/chat/completions", headers=org.bearer, json={**body, "messages": [*history, result]}
    )

    assert message["tool_calls"][0]["custom"] == {"name": "query_sql", "input": ASKED}
    assert last.json()["choices"][0]["message"]["content"] == "query_sql returned: 1 row"


async def test_call_of_a_custom_tool_is_that_of_a_function_for_a_provider_without_them(service, http, org):
    async with OpenAIUpstream([DONE]) as upstream:
        made = await service.store.assistants.create(
            org.id,
            {
                "name": "other",
                "model": {"provider": "groq", "model": "m", "url": upstream.base_url},
                "credentials": [{"provider": "groq", "apiKey": "k"}],
            },
        )
        history = [{"role": "user", "content": ASKED}, {"type": "custom_tool_call", **SAID}, OUTPUT]
        answer = await http.post(
            "/v1/responses", headers=org.bearer, json={"model": made.id, "input": history}
        )

    assert answer.status_code == 200, answer.text
    call = upstream.requests[0].body["messages"][1]["tool_calls"][0]
    assert (call["type"], json.loads(call["function"]["arguments"])) == ("function", {"input": SQL})


@pytest.mark.parametrize(
    ("call", "param"),
    [
        ({"id": "1", "type": "custom", "custom": {"name": "a"}}, "messages[0].tool_calls[0].custom.input"),
        ({"id": "1", "type": "custom", "custom": {"input": "a"}}, "messages[0].tool_calls[0].custom.name"),
        ({"type": "custom", "custom": {"name": "a", "input": "a"}}, "messages[0].tool_calls[0].id"),
    ],
)
async def test_repeated_call_that_is_none_is_refused_by_name(client, call, param):
    with pytest.raises(openai.BadRequestError) as refused:
        await client.chat.completions.create(
            model="sql", messages=[{"role": "assistant", "content": None, "tool_calls": [call]}]
        )

    assert refused.value.param == param


BESIDE = [
    {"index": 0, "id": "call_1", "type": "custom", "custom": {"name": "query_sql", "input": ""}},
    {"index": 1, "id": "call_2", "type": "function", "function": {"name": "look", "arguments": "{}"}},
]


@pytest.mark.parametrize("finish", ["tool_calls", "length"])
async def test_call_beside_a_function_is_streamed_as_it_is_stored(service, http, org, finish):
    late = piece(custom={"input": SQL})
    answer = openai_stream(chunk({"tool_calls": BESIDE}), late, chunk(finish=finish), usage_chunk(3, 2))
    async with OpenAIUpstream([answer]) as upstream:
        made = await service.store.assistants.create(
            org.id,
            {
                "name": "both",
                "model": {"provider": "custom-llm", "model": "m", "url": upstream.base_url},
                "credentials": [{"provider": "custom-llm", "apiKey": "k"}],
            },
        )
        body = {"model": made.id, "input": ASKED, "tools": [LOOK, FLAT], "stream": True}
        events = events_of((await http.post("/v1/responses", headers=org.bearer, json=body)).text)
    output = events[-1]["response"]["output"]
    read = (await http.get(f"/v1/responses/{events[-1]['response']['id']}", headers=org.bearer)).json()

    assert [item["type"] for item in output] == ["custom_tool_call", "function_call"]
    assert (output[0]["input"], output[1]["arguments"]) == (SQL, "{}")
    assert read["output"] == output
    assert [event["item"] for event in events if event["type"] == "response.output_item.done"] == output


async def test_input_of_a_custom_tool_may_be_empty(service, http, org):
    answer = openai_stream(chunk({"tool_calls": BESIDE[:1]}), chunk(finish="tool_calls"), usage_chunk(3, 2))
    async with OpenAIUpstream([answer]) as upstream:
        made = await service.store.assistants.create(
            org.id,
            {"name": "none", "model": {"provider": "custom-llm", "model": "m", "url": upstream.base_url}},
        )
        body = {"model": made.id, "input": ASKED, "tools": [FLAT]}
        whole = (await http.post("/v1/responses", headers=org.bearer, json=body)).json()
        streamed = await http.post("/v1/responses", headers=org.bearer, json={**body, "stream": True})

    assert whole["output"][0]["input"] == ""
    assert events_of(streamed.text)[-1]["response"]["output"][0]["input"] == ""
