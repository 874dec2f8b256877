"""The official OpenAI Python SDK, unchanged, through the real Envoy.

Does not test what the bodies look like to other clients.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI, OpenAI
from pydantic import BaseModel

from server.core.ids import new_id
from tests.conftest import Org, Service

# The SDK insists on a model; under /chat it is ignored beside an assistantId.
ANY = "gpt-4o"
HELLO: list[Any] = [{"role": "user", "content": "Hello there"}]
WEATHER = "What is the weather in Rome?"
PARAMETERS = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
FLAT_TOOLS: list[Any] = [
    {"type": "function", "name": "get_weather", "parameters": PARAMETERS, "strict": True}
]
TOOLS: list[Any] = [
    {"type": "function", "function": {"name": "get_weather", "parameters": PARAMETERS, "strict": True}}
]
LIFECYCLE = [
    "response.created",
    "response.in_progress",
    "response.output_item.added",
    "response.content_part.added",
    *["response.output_text.delta"] * 4,
    "response.output_text.done",
    "response.content_part.done",
    "response.output_item.done",
    "response.completed",
]
CALL_LIFECYCLE = [
    "response.created",
    "response.in_progress",
    "response.output_item.added",
    "response.function_call_arguments.delta",
    "response.function_call_arguments.done",
    "response.output_item.done",
    "response.completed",
]


class City(BaseModel):
    name: str
    people: int
    capital: bool


EMPTY_CITY = City(name="", people=0, capital=False)


def client_of(service: Service, path: str, key: str) -> AsyncOpenAI:
    return AsyncOpenAI(api_key=key, base_url=service.http_url + path, max_retries=0)


def completions_path(assistant_id: str) -> str:
    return f"/api/v1/compatibility/openai/v1/assistants/{assistant_id}"


@pytest.fixture
async def chat(service: Service, org: Org) -> AsyncIterator[AsyncOpenAI]:
    async with client_of(service, "/chat", org.api) as client:
        yield client


@pytest.fixture
async def v1(service: Service, org: Org) -> AsyncIterator[AsyncOpenAI]:
    async with client_of(service, "/v1", org.api) as client:
        yield client


@pytest.fixture
async def agent(service: Service, org: Org) -> AsyncIterator[AsyncOpenAI]:
    async with client_of(service, completions_path(org.assistant_id), org.api) as client:
        yield client


@pytest.fixture
def named(org: Org) -> dict[str, Any]:
    """The member by which this service's callers name who answers."""
    return {"assistantId": org.assistant_id}


# Responses, at /chat


async def test_response_to_a_string_is_a_typed_response(chat, named):
    response = await chat.responses.create(model=ANY, input="Hello there", extra_body=named)

    assert response.output_text == "You said: Hello there"
    assert (response.object, response.status, response.model, response.error) == (
        "response",
        "completed",
        "offline-1",
        None,
    )
    assert response.usage.total_tokens == response.usage.input_tokens + response.usage.output_tokens
    assert response.completed_at >= response.created_at


async def test_response_to_a_list_answers_its_last_message(chat, named):
    response = await chat.responses.create(
        model=ANY,
        extra_body=named,
        input=[
            {"role": "user", "content": "My name is Ada"},
            {"role": "assistant", "content": "Hello, Ada"},
            {"role": "user", "content": [{"type": "input_text", "text": "What is my name?"}]},
        ],
    )

    assert response.output_text == "Your name is Ada."


async def test_instructions_are_read_in_their_own_response_only(chat, named):
    first = await chat.responses.create(
        model=ANY, input="What is my name?", instructions="My name is Ada", extra_body=named
    )
    second = await chat.responses.create(model=ANY, input="What is my name?", previous_response_id=first.id)

    assert (first.output_text, first.instructions) == ("Your name is Ada.", "My name is Ada")
    assert (second.output_text, second.instructions) == ("I don't know your name.", None)


async def test_chain_of_responses_remembers(chat, named):
    first = await chat.responses.create(model=ANY, input="My name is Ada", extra_body=named)
    second = await chat.responses.create(model=ANY, input="Nice weather", previous_response_id=first.id)
    third = await chat.responses.create(model=ANY, input="What is my name?", previous_response_id=second.id)

    assert third.output_text == "Your name is Ada."
    assert [response.previous_response_id for response in (first, second, third)] == [
        None,
        first.id,
        second.id,
    ]


async def test_response_echoes_what_was_asked(chat, named):
    options = {
        "metadata": {"order": "7"},
        "temperature": 0.5,
        "top_p": 0.25,
        "max_output_tokens": 50,
        "user": "u-1",
        "parallel_tool_calls": False,
        "truncation": "auto",
        "store": True,
    }
    response = await chat.responses.create(model=ANY, input="Hello", extra_body=named, **options)

    assert {name: response.to_dict()[name] for name in options} == options


async def test_max_output_tokens_makes_a_response_incomplete(chat, named):
    response = await chat.responses.create(
        model=ANY, input="one two three", max_output_tokens=3, extra_body=named
    )

    assert (response.status, response.incomplete_details.reason) == ("incomplete", "max_output_tokens")
    assert response.output_text == "You said: one"


async def test_streamed_response_has_the_whole_lifecycle(chat, named):
    async with await chat.responses.create(
        model=ANY, input="Hello there", stream=True, extra_body=named
    ) as stream:
        events = [event async for event in stream]

    assert [event.type for event in events] == LIFECYCLE
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert "".join(event.delta for event in events[4:8]) == "You said: Hello there"
    assert events[-1].response.id == events[0].response.id


async def test_response_stream_helper_ends_in_the_final_response(chat, named):
    async with chat.responses.stream(model=ANY, input="Hello there", extra_body=named) as stream:
        kinds = [event.type async for event in stream]
        final = await stream.get_final_response()

    assert kinds == LIFECYCLE
    assert (final.status, final.output_text) == ("completed", "You said: Hello there")
    assert (
        await chat.responses.create(model=ANY, input="Hi", previous_response_id=final.id)
    ).status == "completed"


async def test_response_text_is_parsed_into_a_model(chat, named):
    response = await chat.responses.parse(
        model=ANY, input="Tell me of Rome", text_format=City, extra_body=named
    )

    assert response.output_parsed == EMPTY_CITY


async def test_response_calls_a_tool_and_gets_its_result(chat, named):
    called = await chat.responses.create(model=ANY, input=WEATHER, tools=FLAT_TOOLS, extra_body=named)
    call = called.output[0]
    answered = await chat.responses.create(
        model=ANY,
        tools=FLAT_TOOLS,
        previous_response_id=called.id,
        input=[{"type": "function_call_output", "call_id": call.call_id, "output": "sunny"}],
    )

    assert (call.type, call.name, json.loads(call.arguments)) == (
        "function_call",
        "get_weather",
        {"city": ""},
    )
    assert answered.output_text == "get_weather returned: sunny"


async def test_tool_result_may_come_with_the_whole_exchange_in_place_of_a_chain(chat, named):
    called = await chat.responses.create(model=ANY, input=WEATHER, tools=FLAT_TOOLS, extra_body=named)
    answered = await chat.responses.create(
        model=ANY,
        tools=FLAT_TOOLS,
        extra_body=named,
        input=[
            {"role": "user", "content": WEATHER},
            *called.output,
            {"type": "function_call_output", "call_id": called.output[0].call_id, "output": "sunny"},
        ],
    )

    assert answered.output_text == "get_weather returned: sunny"


async def test_streamed_response_calls_a_tool(chat, named):
    async with chat.responses.stream(model=ANY, input=WEATHER, tools=FLAT_TOOLS, extra_body=named) as stream:
        kinds = [event.type async for event in stream]
        final = await stream.get_final_response()

    assert kinds == CALL_LIFECYCLE
    assert (final.output[0].name, final.output[0].arguments) == ("get_weather", '{"city": ""}')


async def test_sync_client_gets_and_streams_responses(service, org, named):
    def run() -> tuple[str, str]:
        with OpenAI(api_key=org.api, base_url=service.http_url + "/chat", max_retries=0) as client:
            whole = client.responses.create(model=ANY, input="My name is Ada", extra_body=named)
            with client.responses.stream(
                model=ANY, input="What is my name?", previous_response_id=whole.id
            ) as stream:
                return whole.output_text, stream.get_final_response().output_text

    assert await asyncio.to_thread(run) == ("You said: My name is Ada", "Your name is Ada.")


async def test_every_answer_has_a_request_id(chat, named):
    raw = await chat.responses.with_raw_response.create(model=ANY, input="Hello", extra_body=named)
    parsed = raw.parse()
    with pytest.raises(openai.NotFoundError) as failure:
        await chat.responses.create(model=ANY, input="Hello", extra_body={"assistantId": new_id()})

    assert raw.headers["x-request-id"] == raw.request_id == parsed._request_id
    assert failure.value.request_id not in (None, raw.request_id)


# Responses, at /v1


@pytest.mark.parametrize("by", ["id", "name"])
async def test_model_names_the_assistant(by, v1, org):
    response = await v1.responses.create(
        model={"id": org.assistant_id, "name": "demo"}[by], input="Hello there"
    )

    assert (response.output_text, response.model) == ("You said: Hello there", "offline-1")


async def test_model_names_the_assistant_of_a_stream(v1):
    async with v1.responses.stream(model="demo", input="Hello there") as stream:
        assert (await stream.get_final_response()).output_text == "You said: Hello there"


# Chat completions


@pytest.mark.parametrize("model", ["", "offline-1"])
async def test_completion_is_typed(model, agent):
    completion = await agent.chat.completions.create(model=model, messages=HELLO)
    choice = completion.choices[0]

    assert (completion.object, completion.model) == ("chat.completion", "offline-1")
    assert (choice.index, choice.finish_reason, choice.message.role) == (0, "stop", "assistant")
    assert (choice.message.content, choice.message.tool_calls) == ("You said: Hello there", None)
    assert (
        completion.usage.total_tokens == completion.usage.prompt_tokens + completion.usage.completion_tokens
    )


async def test_n_choices_are_numbered_and_the_seed_is_in_the_fingerprint(agent):
    completion = await agent.chat.completions.create(model="", messages=HELLO, n=2, seed=7)

    assert [(choice.index, choice.message.content) for choice in completion.choices] == [
        (0, "You said: Hello there"),
        (1, "You said: Hello there (2)"),
    ]
    assert completion.system_fingerprint == "fp_offline_7"


@pytest.mark.parametrize(
    ("options", "content", "reason"),
    [
        ({"stop": "two"}, "You said: one ", "stop"),
        ({"stop": ["three", "two"]}, "You said: one ", "stop"),
        ({"max_tokens": 3}, "You said: one", "length"),
        ({"max_completion_tokens": 4}, "You said: one two", "length"),
    ],
    ids=["stop", "stops", "max_tokens", "max_completion_tokens"],
)
async def test_completion_ends_where_it_was_asked_to(options, content, reason, agent):
    completion = await agent.chat.completions.create(
        model="", messages=[{"role": "user", "content": "one two three"}], **options
    )

    assert (completion.choices[0].message.content, completion.choices[0].finish_reason) == (content, reason)


async def test_streamed_completion_begins_with_the_role_and_ends_with_the_reason(agent):
    async with await agent.chat.completions.create(model="", messages=HELLO, stream=True) as stream:
        chunks = [chunk async for chunk in stream]
    deltas = [chunk.choices[0].delta for chunk in chunks]

    assert [delta.role for delta in deltas] == ["assistant"] + [None] * (len(chunks) - 1)
    assert "".join(delta.content or "" for delta in deltas) == "You said: Hello there"
    assert [chunk.choices[0].finish_reason for chunk in chunks] == [None] * (len(chunks) - 1) + ["stop"]
    assert {(chunk.id, chunk.usage) for chunk in chunks} == {(chunks[0].id, None)}


async def test_streamed_completion_tells_its_usage_when_asked(agent):
    whole = await agent.chat.completions.create(model="", messages=HELLO)
    async with await agent.chat.completions.create(
        model="", messages=HELLO, stream=True, stream_options={"include_usage": True}
    ) as stream:
        chunks = [chunk async for chunk in stream]

    assert (chunks[-1].choices, chunks[-1].usage) == ([], whole.usage)
    assert [chunk.usage for chunk in chunks[:-1]] == [None] * (len(chunks) - 1)


async def test_completion_stream_helper_puts_every_choice_together(agent):
    async with agent.chat.completions.stream(model="", messages=HELLO, n=2) as stream:
        kinds = [event.type async for event in stream]
        final = await stream.get_final_completion()

    assert kinds.count("content.done") == 2
    assert [choice.message.content for choice in final.choices] == [
        "You said: Hello there",
        "You said: Hello there (2)",
    ]


async def test_session_made_by_a_completion_is_continued_by_the_next(agent):
    made = await agent.chat.completions.create(
        model="",
        messages=[{"role": "user", "content": "My name is Ada"}],
        extra_body={"create_session": True},
    )
    continued = await agent.chat.completions.create(
        model="",
        messages=[{"role": "user", "content": "What is my name?"}],
        extra_body={"store_in_session": made.session_id},
    )
    async with await agent.chat.completions.create(
        model="",
        messages=[{"role": "user", "content": "What was my name?"}],
        stream=True,
        extra_body={"store_in_session": made.session_id},
    ) as stream:
        chunks = [chunk async for chunk in stream]

    assert continued.choices[0].message.content == "Your name is Ada."
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "Your name is Ada."
    assert {made.session_id} == {continued.session_id} | {chunk.session_id for chunk in chunks}


async def test_completion_is_parsed_into_a_model(agent):
    completion = await agent.chat.completions.parse(model="", messages=HELLO, response_format=City)

    assert completion.choices[0].message.parsed == EMPTY_CITY


async def test_completion_calls_a_tool_and_gets_its_result(agent):
    options: list[Any] = [{"role": "user", "content": WEATHER}]
    called = await agent.chat.completions.create(model="", messages=options, tools=TOOLS)
    message = called.choices[0].message
    call = message.tool_calls[0]
    answered = await agent.chat.completions.create(
        model="",
        tools=TOOLS,
        messages=[*options, message, {"role": "tool", "tool_call_id": call.id, "content": "sunny"}],
    )

    assert (called.choices[0].finish_reason, message.content) == ("tool_calls", None)
    assert (call.type, call.function.name, json.loads(call.function.arguments)) == (
        "function",
        "get_weather",
        {"city": ""},
    )
    assert answered.choices[0].finish_reason == "stop"
    assert answered.choices[0].message.content == "get_weather returned: sunny"


async def test_streamed_completion_calls_a_tool(agent):
    async with agent.chat.completions.stream(
        model="", messages=[{"role": "user", "content": WEATHER}], tools=TOOLS
    ) as stream:
        final = await stream.get_final_completion()
    choice = final.choices[0]

    assert choice.finish_reason == "tool_calls"
    assert choice.message.tool_calls[0].function.parsed_arguments == {"city": ""}


@pytest.mark.parametrize(
    "choice",
    ["required", {"type": "function", "function": {"name": "get_weather"}}],
    ids=["required", "named"],
)
async def test_tool_choice_forces_the_call(choice, agent):
    completion = await agent.chat.completions.create(
        model="", messages=HELLO, tools=TOOLS, tool_choice=choice
    )

    assert completion.choices[0].message.tool_calls[0].function.name == "get_weather"


# Errors


async def fails(kind: type[openai.APIStatusError], call: Any) -> dict[str, Any]:
    """The error body that the SDK hands on, after a check that `code`, `type` and `param` were read from
    it."""
    with pytest.raises(openai.APIStatusError) as failure:
        await call
    error = failure.value

    assert type(error) is kind
    assert {"code": error.code, "type": error.type, "param": error.param}.items() <= error.body.items()
    return error.body


@pytest.mark.parametrize("path", ["/chat", "/v1", "completions"])
async def test_unknown_key_is_an_authentication_error(path, service, org):
    path = completions_path(org.assistant_id) if path == "completions" else path
    async with client_of(service, path, "api_unknown") as client:
        call = (
            client.responses.create(model="demo", input="Hello")
            if path in ("/chat", "/v1")
            else client.chat.completions.create(model="", messages=HELLO)
        )
        body = await fails(openai.AuthenticationError, call)

    assert (body["type"], body["code"]) == ("authentication_error", "unauthenticated")


async def test_unknown_assistant_of_a_response_is_not_found(chat, other_org):
    for unknown in (new_id(), other_org.assistant_id):
        body = await fails(
            openai.NotFoundError,
            chat.responses.create(model=ANY, input="Hello", extra_body={"assistantId": unknown}),
        )

        assert body == {
            "message": "assistant not found",
            "type": "not_found_error",
            "param": None,
            "code": "assistant_not_found",
        }


async def test_response_that_nobody_answers_says_what_to_send(chat):
    body = await fails(openai.BadRequestError, chat.responses.create(model=ANY, input="Hello"))

    assert (body["type"], body["param"]) == ("invalid_request_error", "model")
    assert "assistantId" in body["message"]


async def test_unknown_previous_response_is_not_found(chat):
    body = await fails(
        openai.NotFoundError,
        chat.responses.create(model=ANY, input="Hello", previous_response_id="resp_" + "0" * 32),
    )

    assert body["type"] == "not_found_error"


async def test_invalid_response_request_names_the_field(chat, named):
    body = await fails(
        openai.BadRequestError,
        chat.responses.create(model=ANY, input=[{"role": "wizard", "content": "Hello"}], extra_body=named),
    )

    assert (body["type"], body["param"]) == ("invalid_request_error", "input[0].role")


async def test_error_before_a_stream_is_a_typed_error(chat):
    body = await fails(
        openai.NotFoundError,
        chat.responses.create(model=ANY, input="Hello", stream=True, extra_body={"assistantId": new_id()}),
    )

    assert body["code"] == "assistant_not_found"


async def test_unknown_model_under_v1_is_model_not_found(v1):
    body = await fails(openai.NotFoundError, v1.responses.create(model="gpt-4o", input="Hello"))

    assert (body["type"], body["code"], body["param"]) == ("not_found_error", "model_not_found", "model")


async def test_unknown_assistant_of_a_completion_is_not_found(service, org, other_org):
    for unknown in (new_id(), other_org.assistant_id):
        async with client_of(service, completions_path(unknown), org.api) as client:
            body = await fails(openai.NotFoundError, client.chat.completions.create(model="", messages=HELLO))

        assert (body["type"], body["code"]) == ("not_found_error", "assistant_not_found")


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"model": "gpt-4o"}, "unexpected_model"),
        ({"messages": [{"role": "system", "content": "Be rude"}]}, "unsupported_role"),
    ],
    ids=["model", "role"],
)
async def test_completion_that_the_assistant_refuses_is_a_bad_request(options, code, agent):
    body = await fails(
        openai.BadRequestError, agent.chat.completions.create(**{"model": "", "messages": HELLO, **options})
    )

    assert (body["type"], body["code"]) == ("invalid_request_error", code)


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"messages": []}, "messages"),
        ({"temperature": 3}, "temperature"),
        ({"n": 0}, "n"),
        ({"stop": []}, "stop"),
        ({"extra_body": {"store_in_session": "no-uuid"}}, "store_in_session"),
    ],
    ids=["messages", "temperature", "n", "stop", "store_in_session"],
)
async def test_invalid_completion_request_is_unprocessable_and_names_the_field(options, field, agent):
    with pytest.raises(openai.UnprocessableEntityError) as failure:
        await agent.chat.completions.create(**{"model": "", "messages": HELLO, **options})

    assert [detail["loc"] for detail in failure.value.body["detail"]] == [["body", field]]
