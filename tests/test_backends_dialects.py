"""What is sent to servers that speak chat completions, each in its own way; that they take it, the contract
tests show."""

from typing import Any

import pytest

from generated.parley.v1.message_pb2 import Message
from server.backends.anthropic import request_body as anthropic_body
from server.backends.backend import ModelRequest
from server.backends.openai import request_body
from server.content.json_values import from_python
from server.core.errors import InvalidArgument

CALL = {"id": "abcdefghi", "type": "function", "function": {"name": "f", "arguments": "{}"}}
TOOLS = [{"type": "function", "function": {"name": "f"}}]


def message_of(role: str, content: Any = None, **members: Any) -> Message:
    return Message(role=role, content=None if content is None else from_python(content), **members)


SYSTEM, USER, ANSWER = (
    message_of("system", "Be brief."),
    message_of("user", "Hi"),
    message_of("assistant", "Hello"),
)
CALLING = message_of("assistant", tool_calls=from_python([CALL]))
RESULT = message_of("tool", "done", tool_call_id="abcdefghi")
REFUSAL = message_of("assistant", refusal="I cannot.")


def model_request(provider: str, *messages: Message, **members: Any) -> ModelRequest:
    return ModelRequest(
        provider=provider, model=members.pop("model", "m"), messages=messages or (USER,), **members
    )


def sent(provider: str, *messages: Message) -> list[tuple[str, Any]]:
    return [
        (message["role"], message["content"])
        for message in request_body(model_request(provider, *messages))["messages"]
    ]


@pytest.mark.parametrize(
    ("provider", "expected"),
    [
        (
            "openai",
            {"max_completion_tokens", "seed", "frequency_penalty", "presence_penalty", "stream_options"},
        ),
        ("custom-llm", {"max_tokens", "seed", "frequency_penalty", "presence_penalty", "stream_options"}),
        ("mistral", {"max_tokens", "random_seed", "frequency_penalty", "presence_penalty"}),
    ],
)
def test_members_have_the_names_that_the_provider_knows(provider, expected):
    body = request_body(
        model_request(
            provider, max_tokens=1, seed=2, frequency_penalty=0.1, presence_penalty=0.2, temperature=0.3
        )
    )

    assert body.keys() == {"model", "messages", "stream", "temperature", *expected}


@pytest.mark.parametrize("provider", ["mistral", "groq"])
def test_names_of_speakers_are_left_out_where_they_are_refused(provider):
    user = message_of("user", "Hi", name="Ann")

    assert request_body(model_request(provider, user))["messages"] == [{"role": "user", "content": "Hi"}]
    assert request_body(model_request("openai", user))["messages"][0]["name"] == "Ann"


@pytest.mark.parametrize(
    ("message", "text"),
    [
        (REFUSAL, "I cannot."),
        (message_of("assistant", "Hm.", refusal="I cannot."), "Hm.\n\nI cannot."),
        (message_of("assistant", "I cannot.", refusal="I cannot."), "I cannot."),
        (
            message_of("assistant", [{"type": "output_text", "text": "Hm."}], refusal="I cannot."),
            [{"type": "text", "text": "Hm."}, {"type": "text", "text": "I cannot."}],
        ),
        (
            message_of("assistant", [{"type": "refusal", "refusal": "I cannot."}]),
            [{"type": "text", "text": "I cannot."}],
        ),
    ],
)
def test_refusal_is_text_for_whom_it_is_no_member(message, text):
    assert sent("mistral", USER, message, USER)[1] == ("assistant", text)


@pytest.mark.parametrize(
    ("parameters", "whole"),
    [
        (None, {"type": "object", "properties": {}}),
        ({}, {"type": "object", "properties": {}}),
        ({"type": "object"}, {"type": "object", "properties": {}}),
        (
            {"properties": {"x": {}}, "required": ["x"]},
            {"type": "object", "properties": {"x": {}}, "required": ["x"]},
        ),
    ],
)
def test_schemas_of_parameters_are_sent_whole(parameters, whole):
    function = {"name": "f", "strict": True, **({} if parameters is None else {"parameters": parameters})}
    tools = [{"type": "function", "function": function}]
    [sent] = request_body(model_request("openai", tools=tools))["tools"]
    [to_gemini] = request_body(model_request("google", tools=tools))["tools"]

    assert sent == {"type": "function", "function": {"name": "f", "strict": True, "parameters": whole}}
    assert to_gemini["function"].get("parameters") == (whole if whole["properties"] else None)


@pytest.mark.parametrize(
    ("body", "provider", "name"),
    [
        *(
            (request_body, provider, name)
            for provider in ("openai", "groq", "google")
            for name in ("a.b", "a b", 65 * "f")
        ),
        *((anthropic_body, "anthropic", name) for name in ("a.b", "", "f" * 65)),
        *((request_body, "google", name) for name in ("1f", "-f")),
    ],
)
def test_tools_of_names_that_a_provider_refuses_are_refused_by_name(body, provider, name):
    tools = [*TOOLS, {"type": "function", "function": {"name": name}}]

    with pytest.raises(InvalidArgument, match="tools must"):
        body(model_request(provider, tools=tools))
    assert len(request_body(model_request("custom-llm", tools=tools))["tools"]) == 2


@pytest.mark.parametrize("provider", ["openai", "deep-seek"])
def test_more_tools_than_a_provider_takes_are_refused_by_name(provider):
    tools = [{"type": "function", "function": {"name": f"f{number}"}} for number in range(129)]

    assert len(request_body(model_request(provider, tools=tools[:128]))["tools"]) == 128
    with pytest.raises(InvalidArgument, match=f"tools must be at most 128 for provider {provider}"):
        request_body(model_request(provider, tools=tools))


def test_refusal_is_a_member_for_openai():
    assert request_body(model_request("openai", USER, REFUSAL, USER))["messages"][1] == {
        "role": "assistant",
        "content": "",
        "refusal": "I cannot.",
    }


def test_refusal_is_text_for_claude():
    assert anthropic_body(model_request("anthropic", USER, REFUSAL, USER))["messages"][1] == {
        "role": "assistant",
        "content": [{"type": "text", "text": "I cannot."}],
    }


def test_mistral_is_sent_what_the_system_says_first_and_an_answer_behind_results():
    assert sent("mistral", USER, CALLING, RESULT, SYSTEM, USER) == [
        ("system", "Be brief."),
        ("user", "Hi"),
        ("assistant", None),
        ("tool", "done"),
        ("assistant", "(No answer was given.)"),
        ("user", "Hi"),
    ]


def test_mistral_gets_its_last_message_as_a_prefix_to_continue():
    assert request_body(model_request("mistral", USER, ANSWER))["messages"][1] == {
        "role": "assistant",
        "content": "Hello",
        "prefix": True,
    }


def test_gemini_is_sent_one_system_message_and_calls_in_turn_and_results_with_names():
    body = request_body(
        model_request(
            "google", USER, SYSTEM, ANSWER, CALLING, RESULT, message_of("developer", "Be kind."), USER
        )
    )

    assert [(message["role"], message.get("content")) for message in body["messages"]] == [
        ("system", "Be brief.\n\nBe kind."),
        ("user", "Hi"),
        ("assistant", "Hello"),
        ("user", "(The conversation goes on.)"),
        ("assistant", None),
        ("tool", "done"),
        ("user", "Hi"),
    ]
    assert "content" not in body["messages"][4]  # it takes no null
    assert body["messages"][5] == {
        "role": "tool",
        "tool_call_id": "abcdefghi",
        "content": "done",
        "name": "f",
    }


def test_gemini_is_sent_system_messages_of_parts_as_one():
    parts = message_of("system", [{"type": "text", "text": "Be kind."}])

    assert sent("google", SYSTEM, parts, USER)[0] == (
        "system",
        [{"type": "text", "text": "Be brief."}, {"type": "text", "text": "Be kind."}],
    )


def test_gemini_is_sent_no_blank_text():
    blank = [{"type": "text", "text": " "}, {"type": "text", "text": "Hi"}]

    assert sent(
        "google",
        message_of("system", ""),
        message_of("user", ""),
        message_of("user", " \n"),
        message_of("user", blank),
    ) == [("user", [{"type": "text", "text": "Hi"}])]


@pytest.mark.parametrize("messages", [[SYSTEM], [SYSTEM, message_of("user", " ")]])
def test_gemini_request_without_text_is_refused(messages):
    with pytest.raises(InvalidArgument, match="input must say something for provider google"):
        request_body(model_request("google", *messages))


def test_gemini_is_sent_its_placeholder_when_the_call_that_it_signed_broke_off():
    message = message_of("assistant", tool_calls=from_python([CALL]))
    message.provider_state.provider, message.provider_state.model_family = "google", "gemini"
    message.provider_state.extra_content.add(call_id="another", json='{"google":{"thought_signature":"s"}}')
    [_, calling, _] = request_body(model_request("google", USER, message, RESULT, model="gemini-3-pro"))[
        "messages"
    ]

    assert calling["tool_calls"][0]["extra_content"] == {
        "google": {"thought_signature": "skip_thought_signature_validator"}
    }


def test_deepseek_is_sent_reasoning_with_every_answer():
    messages = request_body(model_request("deep-seek", USER, CALLING, RESULT, ANSWER, USER))["messages"]

    assert [message.get("reasoning_content") for message in messages] == [None, "", None, "", None]


@pytest.mark.parametrize(
    ("provider", "given"), [("mistral", False), ("google", False), ("groq", False), ("xai", True)]
)
def test_reasoning_is_not_sent_to_whom_it_is_unknown(provider, given):
    answer = message_of("assistant", "Hello")
    answer.provider_state.provider, answer.provider_state.model_family = provider, "m"
    answer.provider_state.reasoning_content = "hm"
    answer.provider_state.reasoning_details.append('{"type":"reasoning.text"}')
    sent = request_body(model_request(provider, USER, answer, USER))["messages"][1]

    assert ("reasoning_content" in sent, "reasoning_details" in sent) == (given, given)


@pytest.mark.parametrize(
    ("members", "field"),
    [
        ({"response_format": {"type": "json_schema", "json_schema": {}}}, "response_format"),
        ({"tool_choice": "required", "tools": TOOLS, "model": "deepseek-v4-pro"}, "tool_choice"),
        (
            {
                "tool_choice": {"type": "function", "function": {"name": "f"}},
                "tools": TOOLS,
                "model": "deepseek-reasoner",
            },
            "tool_choice",
        ),
    ],
)
def test_deepseek_is_not_sent_what_it_refuses(members, field):
    with pytest.raises(InvalidArgument) as refused:
        request_body(model_request("deep-seek", **members))

    assert [violation.field for violation in refused.value.violations] == [field]


@pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "f"}}])
@pytest.mark.parametrize("thinking", [{"type": "enabled", "budgetTokens": 1024}, {"type": "adaptive"}])
def test_claude_cannot_be_forced_to_call_a_tool_while_it_thinks(choice, thinking):
    with pytest.raises(InvalidArgument, match="tool_choice must be auto or none"):
        anthropic_body(model_request("anthropic", tools=TOOLS, tool_choice=choice, thinking=thinking))
    assert anthropic_body(model_request("anthropic", tools=TOOLS, tool_choice=choice))["tool_choice"][
        "type"
    ] in (
        "any",
        "tool",
    )
    assert anthropic_body(model_request("anthropic", tools=TOOLS, tool_choice="auto", thinking=thinking))[
        "thinking"
    ]


def test_deepseek_is_not_asked_to_go_on_with_an_answer_while_it_thinks():
    with pytest.raises(InvalidArgument, match="input must not end with an answer"):
        request_body(model_request("deep-seek", USER, ANSWER))
    assert (
        request_body(model_request("deep-seek", USER, ANSWER, model="deepseek-chat"))["messages"][1][
            "content"
        ]
        == "Hello"
    )


@pytest.mark.parametrize(
    "members",
    [
        {"response_format": {"type": "json_object"}},
        {"tool_choice": "none", "tools": TOOLS, "model": "deepseek-v4-pro"},
        {"tool_choice": "required", "tools": TOOLS, "model": "deepseek-chat"},
        {"tool_choice": "required", "model": "deepseek-v4-pro"},  # without tools it is not sent
    ],
)
def test_deepseek_is_sent_what_it_takes(members):
    assert request_body(model_request("deep-seek", **members))["messages"] == [
        {"role": "user", "content": "Hi"}
    ]
