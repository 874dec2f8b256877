"""Function tools at every door: offered, called, streamed, answered; through Envoy with the official SDK, and
over gRPC."""

import json
from collections.abc import AsyncIterator
from typing import Any

import openai
import pytest

from generated.parley.v1.chat_service_pb2 import CreateChatRequest
from generated.parley.v1.chat_service_pb2_grpc import ChatServiceStub
from generated.parley.v1.completion_service_pb2 import CreateChatCompletionRequest
from generated.parley.v1.completion_service_pb2_grpc import CompletionServiceStub
from generated.parley.v1.response_service_pb2 import CreateResponseRequest
from generated.parley.v1.response_service_pb2_grpc import ResponseServiceStub
from server.cli.first_start import DEMO
from server.content.json_values import from_python, struct_from
from server.content.messages import text_of, tool_calls_of
from tests.sdk import official_client

PARAMETERS = {
    "type": "object",
    "properties": {"city": {"type": "string", "enum": ["Paris", "Rome"]}},
    "required": ["city"],
}
FUNCTION = {"name": "get_weather", "description": "Tells the weather.", "parameters": PARAMETERS}
NESTED = {"type": "function", "function": FUNCTION}
FLAT = {"type": "function", **FUNCTION, "strict": False}
QUESTION = "How is the weather?"
ARGUMENTS = {"city": "Paris"}
ANSWER = "get_weather returned: sunny"


async def with_tools(service, org, *tools: dict[str, Any]) -> str:
    """An assistant that offers them."""
    made = await service.store.assistants.create(
        org.id, {**DEMO, "model": {**DEMO["model"], "tools": list(tools)}}
    )
    return made.id


@pytest.fixture
async def sdk(service, org) -> AsyncIterator[openai.AsyncOpenAI]:
    async with official_client(f"{service.http_url}/v1", org.api) as client:
        yield client


@pytest.fixture
async def completions(service, org) -> AsyncIterator[openai.AsyncOpenAI]:
    url = f"{service.http_url}/api/v1/compatibility/openai/v1/assistants/{org.assistant_id}"
    async with official_client(url, org.api) as client:
        yield client


# --- responses ----------------------------------------------------------------------------------------------


async def test_sdk_loop_over_responses_by_previous_response_id(sdk):
    first = await sdk.responses.create(model="demo", input=QUESTION, tools=[FLAT])
    (call,) = first.output

    second = await sdk.responses.create(
        model="demo",
        previous_response_id=first.id,
        tools=[FLAT],
        input=[{"type": "function_call_output", "call_id": call.call_id, "output": "sunny"}],
    )

    assert (call.type, call.name, json.loads(call.arguments)) == ("function_call", "get_weather", ARGUMENTS)
    assert second.output_text == ANSWER


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("link", ["previous_response_id", "conversation"])
@pytest.mark.parametrize("base", ["/v1", "/chat"])
async def test_sdk_loop_until_the_model_calls_nothing(service, org, base, link, streamed):
    """The loop of an agent, as the SDK's users write it: run what is called, send the outputs, until there is
    a text."""
    async with (
        official_client(f"{service.http_url}/v1", org.api) as conversations,
        official_client(f"{service.http_url}{base}", org.api) as client,
    ):
        known = (
            {"conversation": (await conversations.conversations.create()).id}
            if link == "conversation"
            else {}
        )
        sent_items: list[Any] = [{"role": "user", "content": QUESTION}]
        ids = []
        while sent_items:
            completion_request = {"model": "demo", "input": sent_items, "tools": [FLAT], **known}
            if streamed:
                async with client.responses.stream(**completion_request) as stream:
                    response = await stream.get_final_response()
            else:
                response = await client.responses.create(**completion_request)
            calls = [item for item in response.output if item.type == "function_call"]
            ids += [call.call_id for call in calls]
            sent_items = [
                {"type": "function_call_output", "call_id": call.call_id, "output": "sunny"} for call in calls
            ]
            known = known if link == "conversation" else {"previous_response_id": response.id}
        again = await client.responses.create(model="demo", input=QUESTION, tools=[FLAT], **known)

    assert response.output_text == ANSWER
    assert len(ids) == 1
    assert again.output[0].call_id not in ids


async def test_sdk_loop_over_responses_with_items_sent_back(sdk):
    items: list[Any] = [{"role": "user", "content": QUESTION}]
    first = await sdk.responses.create(model="demo", input=items, tools=[FLAT])
    items += [item.model_dump() for item in first.output]
    items += [
        {"type": "function_call_output", "call_id": item.call_id, "output": "sunny"} for item in first.output
    ]

    second = await sdk.responses.create(model="demo", input=items, tools=[FLAT])

    assert second.output_text == ANSWER


async def test_sdk_stream_of_a_function_call(sdk):
    async with sdk.responses.stream(model="demo", input=QUESTION, tools=[FLAT]) as stream:
        kinds = [event.type async for event in stream]
        response = await stream.get_final_response()

    (call,) = response.output
    assert kinds == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.function_call_arguments.delta",
        "response.function_call_arguments.done",
        "response.output_item.done",
        "response.completed",
    ]
    assert (call.name, json.loads(call.arguments)) == ("get_weather", ARGUMENTS)


async def test_sdk_stream_of_the_answer_to_a_tool_output(sdk):
    first = await sdk.responses.create(model="demo", input=QUESTION, tools=[FLAT])
    output = {"type": "function_call_output", "call_id": first.output[0].call_id, "output": "sunny"}

    async with sdk.responses.stream(
        model="demo", previous_response_id=first.id, input=[output], tools=[FLAT]
    ) as stream:
        response = await stream.get_final_response()

    assert response.output_text == ANSWER


async def test_several_calls_of_one_answer_are_one_message(sdk):
    calls = [
        {"type": "function_call", "call_id": f"c{n}", "name": "get_weather", "arguments": "{}"}
        for n in (1, 2)
    ]
    outputs = [{"type": "function_call_output", "call_id": f"c{n}", "output": f"result {n}"} for n in (1, 2)]

    response = await sdk.responses.create(
        model="demo", input=[{"role": "user", "content": QUESTION}, *calls, *outputs], tools=[FLAT]
    )

    chat = await sdk.get(f"{str(sdk.base_url).removesuffix('v1/')}chat/{response.id}", cast_to=object)
    assert response.output_text == "get_weather returned: result 1\nget_weather returned: result 2"
    assert [len(message.get("tool_calls") or []) for message in chat["messages"]] == [0, 2, 0, 0]


async def test_tool_of_the_assistant_is_offered_without_being_sent(sdk, service, org):
    assistant_id = await with_tools(service, org, NESTED)

    response = await sdk.responses.create(model=assistant_id, input=QUESTION)

    assert [item.name for item in response.output] == ["get_weather"]


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        pytest.param("none", ["message"], id="none"),
        pytest.param("auto", ["message"], id="auto"),
        pytest.param("required", ["function_call"], id="required"),
        pytest.param({"type": "function", "name": "get_weather"}, ["function_call"], id="named"),
    ],
)
async def test_tool_choice_of_a_response(sdk, choice, expected):
    response = await sdk.responses.create(
        model="demo", input="Hello!", tools=[FLAT], tool_choice=choice, parallel_tool_calls=False
    )

    assert [item.type for item in response.output] == expected
    assert response.parallel_tool_calls is False
    assert response.to_dict()["tool_choice"] == choice


OTHER = {"name": "book_flight", "parameters": {"type": "object"}}


@pytest.mark.parametrize(
    ("mode", "sent_items", "called"),
    [
        ("auto", "How is the weather?", []),
        ("auto", "Book it!", ["book_flight"]),
        ("required", "Hello!", ["book_flight"]),
    ],
)
async def test_only_allowed_tools_are_offered(sdk, completions, mode, sent_items, called):
    response = await sdk.responses.create(
        model="demo",
        input=sent_items,
        tools=[FLAT, {"type": "function", **OTHER, "strict": False}],
        tool_choice={
            "type": "allowed_tools",
            "mode": mode,
            "tools": [{"type": "function", "name": "book_flight"}],
        },
    )
    completion = await completions.chat.completions.create(
        model="",
        messages=[{"role": "user", "content": sent_items}],
        tools=[NESTED, {"type": "function", "function": OTHER}],
        tool_choice={
            "type": "allowed_tools",
            "allowed_tools": {
                "mode": mode,
                "tools": [{"type": "function", "function": {"name": "book_flight"}}],
            },
        },
    )

    assert [item.name for item in response.output if item.type == "function_call"] == called
    assert [call.function.name for call in completion.choices[0].message.tool_calls or []] == called


MCP = {
    "type": "mcp",
    "server_label": "deepwiki",
    "server_url": "https://user:hunter2@mcp.example.com/mcp",
    "headers": {"x-token": "hunter2"},
    "authorization": "hunter2",
    "require_approval": "never",
}


@pytest.mark.parametrize("stream", [False, True])
async def test_tools_of_an_mcp_server_are_refused_with_what_to_send_instead(sdk, stream):
    with pytest.raises(openai.BadRequestError) as refused:
        await sdk.responses.create(model="demo", input=QUESTION, tools=[FLAT, MCP], stream=stream)
    with pytest.raises(openai.BadRequestError) as not_counted:
        await sdk.responses.input_tokens.count(model="demo", input=QUESTION, tools=[FLAT, MCP])

    for error in refused.value, not_counted.value:
        assert error.param == "tools[1].type"
        assert "MCP servers are not called from here" in error.message
        assert "send each as a function" in error.message
        assert "hunter2" not in error.message


@pytest.mark.parametrize(
    ("tool", "param"),
    [
        pytest.param({"type": "function"}, "tools[0].name", id="no name"),
        pytest.param({"type": "function", "name": "a b"}, "tools[0].name", id="a name with a space"),
        pytest.param(
            {"type": "function", "name": "f", "parameters": "none"}, "tools[0].parameters", id="parameters"
        ),
    ],
)
async def test_tool_that_is_none_is_refused(sdk, tool, param):
    with pytest.raises(openai.BadRequestError) as refused:
        await sdk.responses.create(model="demo", input=QUESTION, tools=[tool])

    assert refused.value.param == param


# --- completions --------------------------------------------------------------------------------------------


async def test_sdk_loop_over_completions(completions):
    messages: list[Any] = [{"role": "user", "content": QUESTION}]
    first = await completions.chat.completions.create(model="", messages=messages, tools=[NESTED])
    (call,) = first.choices[0].message.tool_calls
    messages += [first.choices[0].message, {"role": "tool", "tool_call_id": call.id, "content": "sunny"}]

    second = await completions.chat.completions.create(model="", messages=messages, tools=[NESTED])

    assert first.choices[0].finish_reason == "tool_calls"
    assert (call.function.name, json.loads(call.function.arguments)) == ("get_weather", ARGUMENTS)
    assert second.choices[0].message.content == ANSWER


async def test_sdk_loop_over_streamed_completions(completions):
    messages: list[Any] = [{"role": "user", "content": QUESTION}]
    async with completions.chat.completions.stream(model="", messages=messages, tools=[NESTED]) as stream:
        message = (await stream.get_final_completion()).choices[0].message
    messages += [message, {"role": "tool", "tool_call_id": message.tool_calls[0].id, "content": "sunny"}]

    async with completions.chat.completions.stream(model="", messages=messages, tools=[NESTED]) as stream:
        answer = (await stream.get_final_completion()).choices[0].message

    assert message.tool_calls[0].function.name == "get_weather"
    assert answer.content == ANSWER


async def test_tool_call_is_answered_in_its_session(completions):
    first = await completions.chat.completions.create(
        model="",
        messages=[{"role": "user", "content": QUESTION}],
        tools=[NESTED],
        extra_body={"create_session": True},
    )
    (call,) = first.choices[0].message.tool_calls

    second = await completions.chat.completions.create(
        model="",
        messages=[{"role": "tool", "tool_call_id": call.id, "content": "sunny"}],
        tools=[NESTED],
        extra_body={"store_in_session": first.session_id},
    )

    assert second.choices[0].message.content == ANSWER


async def test_tool_choice_of_a_completion_names_the_function(completions):
    completion = await completions.chat.completions.create(
        model="",
        messages=[{"role": "user", "content": "Hello!"}],
        tools=[NESTED],
        tool_choice={"type": "function", "function": {"name": "get_weather"}},
        parallel_tool_calls=True,
    )

    assert completion.choices[0].message.tool_calls[0].function.name == "get_weather"


async def test_hosted_tool_is_refused_by_completions(completions):
    with pytest.raises(openai.UnprocessableEntityError) as refused:
        await completions.chat.completions.create(
            model="",
            messages=[{"role": "user", "content": "Hi"}],
            tools=[{"type": "web_search"}],
        )

    assert refused.value.response.json()["detail"][0]["loc"] == ["body", "tools", 0, "type"]


# --- chats --------------------------------------------------------------------------------------------------


async def test_tool_call_of_a_chat_is_answered_by_a_tool_message(http, org, service):
    assistant_id = await with_tools(service, org, NESTED)
    first = (
        await http.post("/chat", headers=org.bearer, json={"assistantId": assistant_id, "input": QUESTION})
    ).json()
    (call,) = first["output"][0]["tool_calls"]

    second = (
        await http.post(
            "/chat",
            headers=org.bearer,
            json={
                "previousChatId": first["id"],
                "input": [{"role": "tool", "tool_call_id": call["id"], "content": "sunny"}],
            },
        )
    ).json()

    assert call["function"] == {"name": "get_weather", "arguments": json.dumps(ARGUMENTS)}
    assert [message["content"] for message in second["output"]] == [ANSWER]


async def test_streamed_chat_tells_its_tool_calls_whole(http, org, service):
    assistant_id = await with_tools(service, org, NESTED)

    answer = await http.post(
        "/chat", headers=org.bearer, json={"assistantId": assistant_id, "input": QUESTION, "stream": True}
    )

    (frame,) = [json.loads(line.removeprefix("data: ")) for line in answer.text.splitlines() if line]
    assert "delta" not in frame
    assert frame["path"] == "chat.output[0].tool_calls"
    assert frame["tool_calls"][0]["function"]["name"] == "get_weather"


async def test_agents_door_shows_no_tool_traffic(http, org, service):
    assistant_id = await with_tools(service, org, NESTED)
    secret = {"x-api-key": org.secret}
    chat = (await http.post("/chat", headers=secret, json={"agentId": assistant_id})).json()

    await http.post(f"/chat/{chat['id']}/message", headers=secret, json={"role": "user", "content": QUESTION})
    shown = (await http.get(f"/chat/{chat['id']}/message", headers=secret)).json()["messages"]

    assert [message["content"] for message in shown] == [QUESTION]


# --- gRPC ---------------------------------------------------------------------------------------------------


async def test_loop_over_grpc_chats(channel, org, service):
    stub = ChatServiceStub(channel)
    assistant_id = await with_tools(service, org, NESTED)
    first = await stub.CreateChat(
        CreateChatRequest(assistant_id=assistant_id, input=from_python(QUESTION)), metadata=org.metadata
    )
    (call,) = tool_calls_of(first.output[0])
    result = [{"role": "tool", "tool_call_id": call["id"], "content": "sunny"}]

    second = await stub.CreateChat(
        CreateChatRequest(previous_chat_id=first.id, input=from_python(result)), metadata=org.metadata
    )

    assert text_of(second.output[0]) == ANSWER


async def test_call_streams_over_grpc_as_it_came(channel, org, service):
    assistant_id = await with_tools(service, org, NESTED)

    events = [
        event
        async for event in ChatServiceStub(channel).StreamChat(
            CreateChatRequest(assistant_id=assistant_id, input=from_python(QUESTION)), metadata=org.metadata
        )
    ]

    assert [event.WhichOneof("event") for event in events] == ["started", "tool_call", "completed"]
    assert events[1].tool_call.name == "get_weather"


async def test_loop_over_grpc_responses(channel, org):
    stub = ResponseServiceStub(channel)
    first = await stub.CreateResponse(
        CreateResponseRequest(
            assistant_id=org.assistant_id, input=from_python(QUESTION), tools=[struct_from(FLAT)]
        ),
        metadata=org.metadata,
    )
    output = [{"type": "function_call_output", "call_id": first.output[0].call_id, "output": "sunny"}]

    second = await stub.CreateResponse(
        CreateResponseRequest(previous_response_id=first.id, input=from_python(output)), metadata=org.metadata
    )

    assert second.output[0].content[0].text == ANSWER


async def test_call_over_grpc_completions(channel, org):
    request = CreateChatCompletionRequest(agent_id=org.assistant_id, tools=[struct_from(NESTED)])
    request.messages.add(role="user", content=from_python(QUESTION))

    completion = await CompletionServiceStub(channel).CreateChatCompletion(request, metadata=org.metadata)

    assert completion.choices[0].finish_reason == "tool_calls"
    assert completion.choices[0].message.tool_calls[0].function.name == "get_weather"
