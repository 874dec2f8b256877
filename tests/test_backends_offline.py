"""The offline model, as the design promises it."""

import json

import pytest

from generated.parley.v1.chat_pb2 import ContentDelta, ToolCallDelta
from generated.parley.v1.message_pb2 import Message
from server.backends.backend import Finish, ModelRequest, Ran, Usage
from server.backends.offline import OfflineBackend
from server.content.json_values import from_python
from server.core.errors import InvalidArgument
from tests.pulled import pulled

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {
            "type": "object",
            "properties": {
                "location": {"type": "string"},
                "unit": {"enum": ["C", "F"]},
                "days": {"type": "integer"},
            },
            "required": ["location", "unit"],
        },
    },
}
CLOCK = {"type": "function", "function": {"name": "readClock"}}


def message_of(role: str, content: object, **members: object) -> Message:
    return Message(role=role, content=from_python(content), **members)


def model_request(*messages: Message, **members: object) -> ModelRequest:
    return ModelRequest(provider="offline", model="offline-1", messages=messages, **members)


async def events_of(request: ModelRequest) -> list:
    return [event async for event in pulled(OfflineBackend(), request)]


async def text_of(request: ModelRequest, choice: int = 0) -> str:
    events = await events_of(request)
    return "".join(
        event.text for event in events if isinstance(event, ContentDelta) and event.choice == choice
    )


async def call_of(request: ModelRequest) -> tuple[str, object] | None:
    calls = [event for event in await events_of(request) if isinstance(event, ToolCallDelta)]
    return (calls[0].name, json.loads(calls[0].arguments)) if calls else None


async def test_answer_repeats_the_user_word_by_word_and_counts_words():
    events = await events_of(
        model_request(message_of("system", "Be brief."), message_of("user", "hello big  world"))
    )

    assert events == [
        Ran("offline-1", "fp_offline"),
        ContentDelta(text="You"),
        ContentDelta(text=" said:"),
        ContentDelta(text=" hello"),
        ContentDelta(text=" big"),
        ContentDelta(text="  world"),
        Finish(0, "stop"),
        Usage(5, 5),
    ]


@pytest.mark.parametrize(
    "message",
    [
        message_of("user", "hi there"),
        message_of("user", [{"type": "text", "text": "hi "}, {"type": "input_text", "text": "there"}]),
        message_of("user", ["hi ", {"type": "image_url", "image_url": {"url": "x"}}, "there"]),
        Message(role="user", message="hi there"),
    ],
    ids=["string", "parts", "mixed", "message"],
)
async def test_every_form_of_a_message_is_read(message):
    assert await text_of(model_request(message)) == "You said: hi there"


@pytest.mark.parametrize("text", ["", " ", "\n", "ends with space ", "a\nb\t c\n\n"])
async def test_pieces_concatenate_to_the_exact_text(text):
    assert await text_of(model_request(message_of("user", text))) == f"You said: {text}"


async def test_without_user_message_says_nothing_was_said():
    assert await text_of(model_request(message_of("system", "Be brief."))) == "You said: "


@pytest.mark.parametrize(
    "question", ["What is my name?", "what's my name", "What’s my name?", "And WHAT WAS MY NAME?"]
)
async def test_name_question_is_answered_from_the_context(question):
    messages = [
        message_of("user", "Hi, my name is Alice."),
        message_of("assistant", "Hi"),
        message_of("user", question),
    ]

    assert await text_of(model_request(*messages)) == "Your name is Alice."


@pytest.mark.parametrize(
    ("context", "name"),
    [
        ([message_of("user", "My name is Bob"), message_of("user", "My name is Eve")], "Eve"),
        ([message_of("user", "My name is Bob, no, my name is Eve.")], "Eve"),
        ([message_of("user", "My name is Bob my name is Eve")], "Eve"),
        ([message_of("system", "The caller says: my name is Ada Lovelace and more")], "Ada Lovelace"),
        ([message_of("developer", "My name's O’Neil\nRemember it")], "O’Neil"),
        ([message_of("user", "my name is 李雷。")], "李雷"),
        ([message_of("user", "My name is Bob"), message_of("assistant", "My name is Robot")], "Bob"),
    ],
    ids=["latest", "latest-in-message", "no-comma", "system", "developer", "chinese", "not-the-assistant"],
)
async def test_name_is_the_latest_one_given(context, name):
    assert (
        await text_of(model_request(*context, message_of("user", "What is my name?")))
        == f"Your name is {name}."
    )


async def test_unknown_name_is_admitted():
    assert await text_of(model_request(message_of("user", "What is my name?"))) == "I don't know your name."


async def test_tool_named_by_the_user_is_called_with_required_arguments():
    events = await events_of(
        model_request(message_of("user", "How is the WEATHER in Paris?"), tools=[CLOCK, WEATHER])
    )

    call = ToolCallDelta(
        index=0, id="call_offline_0", name="get_weather", arguments='{"location": "", "unit": "C"}'
    )
    assert events[1:] == [call, Finish(0, "tool_calls"), Usage(6, 5)]


@pytest.mark.parametrize(
    ("text", "choice", "called"),
    [
        ("read it", None, "readClock"),
        ("what says the clock", "auto", "readClock"),
        ("get it", None, None),
        ("the clock", "none", None),
        ("hello", "required", "get_weather"),
        ("the clock", "required", "readClock"),
        ("hello", {"type": "function", "function": {"name": "readClock"}}, "readClock"),
        ("hello", {"type": "function", "name": "readClock"}, "readClock"),
    ],
)
async def test_tool_choice(text, choice, called):
    request = model_request(message_of("user", text), tools=[WEATHER, CLOCK], tool_choice=choice)

    assert ((await call_of(request)) or (None,))[0] == called


@pytest.mark.parametrize(
    ("text", "names", "called"),
    [
        ("Call get_weather for Paris", ["get_weather"], "get_weather"),
        ("Call get-weather, please", ["get_weather"], "get_weather"),
        ("call getWeather(Paris)", ["get_weather"], "get_weather"),
        ("WEATHER2", ["get_weather"], "get_weather"),
        ("What is the weather?", ["get", "weather_in"], "weather_in"),
        ("Call get_weather for Paris", ["get", "weather_in"], "weather_in"),
        ("Call get_weather for Paris", ["weather_alerts", "get_weather"], "get_weather"),
        ("What is the weather?", ["weather_alerts", "get_weather"], "weather_alerts"),
        ("How is the weatherman?", ["get_weather"], None),
        ("Wo ist der Fußball?", ["get_ball"], None),
        ("Überwetter", ["get_wetter"], None),
        ("Call get", ["get", "get_it"], None),
    ],
)
async def test_text_is_split_into_words_as_names_are(text, names, called):
    tools = [{"type": "function", "function": {"name": name}} for name in names]

    assert ((await call_of(model_request(message_of("user", text), tools=tools))) or (None,))[0] == called


@pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "other"}}])
async def test_choice_of_a_tool_that_is_not_offered_is_refused(choice):
    with pytest.raises(InvalidArgument, match="tool_choice"):
        await events_of(model_request(message_of("user", "hi"), tool_choice=choice))


async def test_tool_result_is_in_the_answer_and_the_tool_not_called_again():
    calls = from_python(
        [{"id": "c1", "type": "function", "function": {"name": "get_weather", "arguments": "{}"}}]
    )
    messages = [
        message_of("user", "the weather?"),
        Message(role="assistant", tool_calls=calls),
        message_of("tool", "sunny", tool_call_id="c1"),
    ]

    assert (
        await text_of(model_request(*messages, tools=[WEATHER], tool_choice="required"))
        == "get_weather returned: sunny"
    )


async def test_json_schema_is_filled():
    schema = {
        "type": "object",
        "properties": {
            "name": {"type": "string"}, "age": {"type": ["integer", "null"]}, "score": {"type": "number"},
            "ok": {"type": "boolean"}, "color": {"enum": ["red", "blue"]}, "kind": {"const": 7},
            "tags": {"type": "array", "items": {"type": "string"}}, "item": {"$ref": "#/$defs/Item"},
            "either": {"anyOf": [{"type": "string"}, {"type": "null"}]}, "optional": {"type": "string"},
        },
        "required": ["name", "age", "score", "ok", "color", "kind", "tags", "item", "either", "undescribed"],
        "$defs": {"Item": {"type": "object", "properties": {"id": {"type": "integer"}}, "required": ["id"]}},
    }  # fmt: skip
    format_ = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}

    assert json.loads(await text_of(model_request(message_of("user", "hi"), response_format=format_))) == {
        "name": "", "age": 0, "score": 0, "ok": False, "color": "red", "kind": 7, "tags": [], "item": {"id": 0},
        "either": "", "undescribed": None,
    }  # fmt: skip


async def test_schema_that_refers_to_itself_is_bounded():
    names = [f"m{i}" for i in range(50)]
    schema = {"type": "object", "properties": {name: {"$ref": "#"} for name in names}, "required": names}
    format_ = {"type": "json_schema", "json_schema": {"schema": schema}}

    assert len(await text_of(model_request(message_of("user", "hi"), response_format=format_))) < 100_000


REFERRED = {
    "a long constant": {"const": "x" * 10_000},
    "a long choice": {"enum": ["x" * 10_000]},
    "many names": {"type": "object", "required": [f"n{index}" for index in range(10_000)]},
    "a long name": {"type": "object", "required": ["x" * 10_000]},
    "a long reference": {"$ref": "#/$defs" + "/a" * 5_000},
    "many types": {"type": ["null"] * 10_000},
}


@pytest.mark.parametrize("referred", REFERRED.values(), ids=REFERRED)
async def test_what_a_schema_refers_to_again_and_again_is_bounded(referred):
    names = [f"m{i}" for i in range(900)]
    schema = {
        "type": "object",
        "properties": {name: {"$ref": "#/$defs/it"} for name in names},
        "required": names,
        "$defs": {"it": referred},
    }
    format_ = {"type": "json_schema", "json_schema": {"schema": schema}}

    assert len(await text_of(model_request(message_of("user", "hi"), response_format=format_))) < 200_000


async def test_constant_of_a_schema_is_given_as_it_is():
    constant = {"text": "x" * 50_000, "list": [1, None]}
    format_ = {"type": "json_schema", "json_schema": {"schema": {"const": constant}}}

    assert (
        json.loads(await text_of(model_request(message_of("user", "hi"), response_format=format_)))
        == constant
    )


async def test_json_object_is_an_object():
    assert (
        await text_of(model_request(message_of("user", "hi"), response_format={"type": "json_object"}))
        == "{}"
    )


async def test_choices_from_the_second_on_are_numbered():
    request = model_request(message_of("user", "hi"), n=3)

    assert [await text_of(request, choice) for choice in range(3)] == [
        "You said: hi",
        "You said: hi (2)",
        "You said: hi (3)",
    ]
    assert [event for event in await events_of(request) if isinstance(event, Finish)] == [
        Finish(0, "stop"),
        Finish(1, "stop"),
        Finish(2, "stop"),
    ]


async def test_stop_sequence_ends_the_answer():
    assert (
        await text_of(model_request(message_of("user", "one two three"), stop=["three", "two"]))
        == "You said: one "
    )


async def test_max_tokens_counts_words():
    events = await events_of(model_request(message_of("user", "one two three"), max_tokens=3))

    assert [event.text for event in events if isinstance(event, ContentDelta)] == ["You", " said:", " one"]
    assert events[-2:] == [Finish(0, "length"), Usage(3, 3)]


async def test_answer_of_exactly_max_tokens_is_complete():
    assert Finish(0, "stop") in await events_of(model_request(message_of("user", "one"), max_tokens=3))


async def test_seed_shows_in_the_fingerprint():
    assert (await events_of(model_request(message_of("user", "hi"), seed=42)))[0] == Ran(
        "offline-1", "fp_offline_42"
    )


async def test_delay_comes_before_each_word():
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    backend = OfflineBackend(0.25, sleep=sleep)
    words = [
        e
        async for e in pulled(backend, model_request(message_of("user", "hi")))
        if isinstance(e, ContentDelta)
    ]

    assert slept == [0.25] * len(words) == [0.25] * 3
