"""What callers say, turned into messages; what is wrong is named by its place."""

import pytest

from generated.parley.v1.message_pb2 import Message
from server.content.inputs import body_id, checked_text, parse_input, parse_messages
from server.content.json_values import MAX_DEPTH, from_python, struct_from, to_python
from server.core.accepted import IGNORED, ROLES
from server.core.errors import InvalidArgument
from server.core.ids import hex_of, new_id

CALL = {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}


def user(content, **members):
    return Message(role="user", content=from_python(content), **members)


def nested(levels):
    value = "x"
    for _ in range(levels):
        value = [value]
    return value


READ = {
    "string": ("hello", [user("hello")]),
    "empty string": ("", [user("")]),
    "content": ([{"role": "user", "content": "a"}], [user("a")]),
    "message, as the schema says": ([{"role": "user", "message": "a"}], [user("a")]),
    "content wins over message": ([{"role": "user", "content": "a", "message": "b"}], [user("a")]),
    "several": (
        [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}],
        [user("a"), Message(role="assistant", content=from_python("b"))],
    ),
    "parts": (
        [{"role": "user", "content": [{"type": "text", "text": "a"}]}],
        [user([{"type": "text", "text": "a"}])],
    ),
    "parts of the Responses interface": (
        [{"role": "user", "content": [{"type": "input_text", "text": "a"}]}],
        [user([{"type": "input_text", "text": "a"}])],
    ),
    "parts of other kinds stay as they are": (
        [
            {
                "role": "user",
                "content": [{"type": "image_url", "image_url": {"url": "https://a.example/u.png"}}],
            }
        ],
        [user([{"type": "image_url", "image_url": {"url": "https://a.example/u.png"}}])],
    ),
    "typed message item": ([{"type": "message", "role": "user", "content": "a"}], [user("a")]),
    "name and metadata": (
        [{"role": "user", "content": "a", "name": "n", "metadata": {"k": [1]}}],
        [user("a", name="n", metadata=struct_from({"k": [1]}))],
    ),
    "assistant that only calls tools": (
        [{"role": "assistant", "content": None, "tool_calls": [CALL]}],
        [Message(role="assistant", tool_calls=from_python([CALL]))],
    ),
    "assistant that only refuses": (
        [{"role": "assistant", "refusal": "no"}],
        [Message(role="assistant", refusal="no")],
    ),
    "tool": (
        [{"role": "tool", "tool_call_id": "1", "content": "sunny"}],
        [Message(role="tool", tool_call_id="1", content=from_python("sunny"))],
    ),
    "function call item": (
        [{"type": "function_call", "call_id": "1", "name": "f", "arguments": "{}"}],
        [Message(role="assistant", tool_calls=from_python([CALL]))],
    ),
    "function call item without arguments": (
        [{"type": "function_call", "call_id": "1", "name": "f"}],
        [Message(role="assistant", tool_calls=from_python([CALL]))],
    ),
    "function call output item": (
        [{"type": "function_call_output", "call_id": "1", "output": "sunny"}],
        [Message(role="tool", tool_call_id="1", content=from_python("sunny"))],
    ),
    "function call output item of parts": (
        [{"type": "function_call_output", "call_id": "1", "output": [{"type": "input_text", "text": "a"}]}],
        [Message(role="tool", tool_call_id="1", content=from_python([{"type": "input_text", "text": "a"}]))],
    ),
    "reasoning between two calls of one answer": (
        [
            {"type": "function_call", "call_id": "1", "name": "f", "arguments": "{}"},
            {"type": "reasoning", "id": "rs_1", "summary": []},
            {"type": "function_call", "call_id": "2", "name": "f", "arguments": "{}"},
        ],
        [
            Message(
                role="assistant",
                tool_calls=from_python(
                    [
                        {"id": one, "type": "function", "function": {"name": "f", "arguments": "{}"}}
                        for one in ("1", "2")
                    ]
                ),
            )
        ],
    ),
    "call of a custom tool and its output": (
        [
            {"type": "custom_tool_call", "call_id": "1", "name": "run", "input": "ls"},
            {"type": "custom_tool_call_output", "call_id": "1", "output": "a.txt"},
        ],
        [
            Message(
                role="assistant",
                tool_calls=from_python(
                    [
                        {
                            "id": "1",
                            "type": "custom",
                            "custom": {"name": "run", "input": "ls"},
                        }
                    ]
                ),
            ),
            Message(role="tool", tool_call_id="1", content=from_python("a.txt"), custom_tool=True),
        ],
    ),
    "call of a shell and its output": (
        [
            {"type": "shell_call", "call_id": "1", "action": {"commands": ["ls"]}},
            {"type": "shell_call_output", "call_id": "1", "output": [{"stdout": "a"}]},
        ],
        [
            Message(
                role="assistant",
                tool_calls=from_python(
                    [
                        {
                            "id": "1",
                            "type": "function",
                            "function": {"name": "shell", "arguments": '{"action": {"commands": ["ls"]}}'},
                        }
                    ]
                ),
            ),
            Message(role="tool", tool_call_id="1", content=from_python('[{"stdout": "a"}]')),
        ],
    ),
    "output of a local shell, which names its call by its own id": (
        [
            {"type": "local_shell_call", "call_id": "1", "action": {}},
            {"type": "local_shell_call_output", "id": "1", "output": "a"},
        ],
        [
            Message(
                role="assistant",
                tool_calls=from_python(
                    [
                        {
                            "id": "1",
                            "type": "function",
                            "function": {"name": "local_shell", "arguments": '{"action": {}}'},
                        }
                    ]
                ),
            ),
            Message(role="tool", tool_call_id="1", content=from_python("a")),
        ],
    ),
    **{
        f"{kind}, which is passed over": ([{"type": kind}, {"role": "user", "content": "a"}], [user("a")])
        for kind in sorted(IGNORED)
    },
    "unicode": ("ü 😀 \u202e \ufeff", [user("ü 😀 \u202e \ufeff")]),
}


@pytest.mark.parametrize(("value", "messages"), READ.values(), ids=READ)
def test_input_is_read(value, messages):
    assert parse_input(from_python(value)) == messages


def test_content_may_be_as_deep_as_json_may_be():
    content = [{"type": "x", "y": nested(MAX_DEPTH - 2)}]

    assert parse_messages([{"role": "user", "content": content}], "input") == [user(content)]


@pytest.mark.parametrize("role", ROLES)
def test_every_documented_role_is_welcome(role):
    item = {"role": role, "content": "a", "tool_call_id": "1"}

    assert parse_messages([item], "input")[0].role == role


def message(**members):
    return [{"role": "user", "content": "a"}, {"role": "user", "content": "a", **members}]


REFUSED = {
    "number": (1, "input"),
    "null": (None, "input"),
    "boolean": (True, "input"),
    "object": ({"role": "user", "content": "a"}, "input"),
    "empty array": ([], "input"),
    "NUL in a string": ("a\0b", "input"),
    "item that is a string": (["a"], "input[0]"),
    "item that is null": ([{"role": "user", "content": "a"}, None], "input[1]"),
    "item that is an array": ([[]], "input[0]"),
    "unknown type": (message(type="thought", role=None), "input[1].type"),
    "type that is no string": (message(type=1, role=None), "input[1].type"),
    "reference where nothing is looked up": ([{"type": "item_reference", "id": "msg_1"}], "input[0].type"),
    "nothing but what is passed over": ([{"type": "reasoning", "summary": []}], "input"),
    "call of a custom tool without name": ([{"type": "custom_tool_call", "call_id": "1"}], "input[0].name"),
    "output of a shell without call_id": ([{"type": "shell_call_output", "output": []}], "input[0].call_id"),
    "no role": ([{"content": "a"}], "input[0].role"),
    "unknown role": (message(role="bot"), "input[1].role"),
    "role that is no string": (message(role=1), "input[1].role"),
    "role that is an array": (message(role=["user"]), "input[1].role"),
    "no content": ([{"role": "user"}], "input[0].content"),
    "null content": (message(content=None), "input[1].content"),
    "number as content": (message(content=1), "input[1].content"),
    "object as content": (message(content={"type": "text", "text": "a"}), "input[1].content"),
    "NUL in content": (message(content="\0"), "input[1].content"),
    "part that is a string": (message(content=["a"]), "input[1].content[0]"),
    "part without a type": (message(content=[{"text": "a"}]), "input[1].content[0]"),
    "part with a type that is no string": (message(content=[{"type": ["text"]}]), "input[1].content[0]"),
    "text part without text": (message(content=[{"type": "text"}]), "input[1].content[0].text"),
    "text that is no string": (
        message(content=[{"type": "x"}, {"type": "input_text", "text": 1}]),
        "input[1].content[1].text",
    ),
    "NUL in a part": (message(content=[{"type": "output_text", "text": "\0"}]), "input[1].content[0].text"),
    "name that is no string": (message(name=1), "input[1].name"),
    "NUL in a name": (message(name="\0"), "input[1].name"),
    "refusal that is no string": (message(role="assistant", refusal=[]), "input[1].refusal"),
    "tool without its call": ([{"role": "tool", "content": "a"}], "input[0].tool_call_id"),
    "tool with an empty call": (
        [{"role": "tool", "content": "a", "tool_call_id": ""}],
        "input[0].tool_call_id",
    ),
    "tool call id that is no string": (
        [{"role": "tool", "content": "a", "tool_call_id": 1}],
        "input[0].tool_call_id",
    ),
    "tool calls that are no array": (
        message(role="assistant", tool_calls={"id": "1"}),
        "input[1].tool_calls",
    ),
    "tool calls that are an empty text": (message(tool_calls=""), "input[1].tool_calls"),
    "metadata that is no object": (message(metadata="a"), "input[1].metadata"),
    "tool call that is a string": (
        message(role="assistant", tool_calls=["f"]),
        "input[1].tool_calls[0].function.name",
    ),
    "tool call with a type that is no string": (
        message(role="assistant", tool_calls=[{**CALL, "type": 1}]),
        "input[1].tool_calls[0].type",
    ),
    "tool call with arguments that are no text": (
        message(role="assistant", tool_calls=[{**CALL, "function": {"name": "f", "arguments": {"a": 1}}}]),
        "input[1].tool_calls[0].function.arguments",
    ),
    "tool call without a name": (
        message(role="assistant", tool_calls=[CALL, {"id": "2", "function": {}}]),
        "input[1].tool_calls[1].function.name",
    ),
    "tool call without an id": (
        message(role="assistant", tool_calls=[{"function": {"name": "f"}}]),
        "input[1].tool_calls[0].id",
    ),
    "function call item without call_id": ([{"type": "function_call", "name": "f"}], "input[0].call_id"),
    "function call item without name": ([{"type": "function_call", "call_id": "1"}], "input[0].name"),
    "function call item with arguments that are no text": (
        [{"type": "function_call", "call_id": "1", "name": "f", "arguments": {"a": 1}}],
        "input[0].arguments",
    ),
    "output item without call_id": ([{"type": "function_call_output", "output": "a"}], "input[0].call_id"),
    "output item without output": ([{"type": "function_call_output", "call_id": "1"}], "input[0].output"),
    "output item with a number": (
        [{"type": "function_call_output", "call_id": "1", "output": 1}],
        "input[0].output",
    ),
}


@pytest.mark.parametrize(("value", "place"), REFUSED.values(), ids=REFUSED)
def test_what_is_wrong_is_named_by_its_place(value, place):
    with pytest.raises(InvalidArgument) as error:
        parse_input(from_python(value))

    [violation] = error.value.violations
    assert violation.field == place
    assert error.value.message == f"{place} {violation.message}"


@pytest.mark.parametrize(
    ("items", "place"),
    [
        ([{"role": "user", "content": [{"type": "x", "y": nested(MAX_DEPTH - 1)}]}], "input[0].content"),
        ([{"role": "user", "content": "a", "metadata": {"k": nested(MAX_DEPTH)}}], "input[0].metadata"),
        ([{"role": "assistant", "tool_calls": [{**CALL, "more": nested(MAX_DEPTH)}]}], "input[0].tool_calls"),
        (
            [{"type": "function_call_output", "call_id": "1", "output": [{"type": "x", "y": nested(500)}]}],
            "input[0].output",
        ),
    ],
    ids=["content", "metadata", "tool calls", "output"],
)
def test_what_is_nested_too_deeply_is_named_by_its_place(items, place):
    with pytest.raises(InvalidArgument, match=f"must not be nested deeper than {MAX_DEPTH} levels") as error:
        parse_messages(items, "input")

    assert error.value.violations[0].field == place


def test_too_many_messages_are_refused_with_their_number():
    with pytest.raises(InvalidArgument, match="at most 10000 messages, this one has 10001"):
        parse_messages([{"role": "user", "content": "a"}] * 10_001, "messages")


def test_place_begins_with_the_name_the_caller_used():
    with pytest.raises(InvalidArgument, match=r"^messages\[0\]\.role "):
        parse_messages([{}], "messages")


def test_no_messages_where_there_may_be_none():
    assert parse_messages([], "messages", may_be_empty=True) == []


def test_input_is_not_changed_by_reading_it():
    value = from_python([{"role": "user", "content": [{"type": "text", "text": "a"}], "unknown": {"b": 1}}])
    before = to_python(value)

    parse_input(value)

    assert to_python(value) == before


@pytest.mark.parametrize(
    "text", ["", "a", "\x01\x7f\u2028", "😀" * 1000], ids=["empty", "plain", "odd", "long"]
)
def test_text_without_nul_is_text(text):
    assert checked_text(text, "content") == text


def test_id_in_a_body_may_be_prefixed():
    made = new_id()

    assert (body_id(made, "x"), body_id(f"resp_{hex_of(made)}", "x")) == (made, made)


@pytest.mark.parametrize("text", ["", "chat-1", "1"], ids=["empty", "word", "number"])
def test_what_is_no_id_in_a_body_is_named(text):
    with pytest.raises(InvalidArgument) as error:
        body_id(text, "previousChatId")

    assert error.value.violations[0].field == "previousChatId"
