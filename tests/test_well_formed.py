"""What is made of a history before a provider is sent it."""

from typing import Any

import pytest

from generated.parley.v1.message_pb2 import Message
from server.content.json_values import from_python, to_python
from server.content.well_formed import NO_RESULT, well_formed

USER = Message(role="user", content=from_python("hello"))


def call(call_id: str = "c1", arguments: str = "{}", name: str = "f") -> dict[str, Any]:
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}


def calling(*calls: dict[str, Any], text: Any = None) -> Message:
    content = None if text is None else from_python(text)
    return Message(role="assistant", content=content, tool_calls=from_python(list(calls)))


def message_of(text: Any, role: str = "assistant") -> Message:
    return Message(role=role, content=from_python(text))


def result(call_id: str = "c1", text: str = "done") -> Message:
    return Message(role="tool", tool_call_id=call_id, content=from_python(text))


def missing(call_id: str = "c1") -> Message:
    return result(call_id, NO_RESULT)


SOUND = {
    "nothing": [],
    "texts": [message_of("Be brief.", "system"), USER, message_of("hi"), USER],
    "answered": [USER, calling(call(), text="wait"), result(), message_of("fine")],
    "parallel": [USER, calling(call("a"), call("b")), result("a"), result("b")],
    "other parts": [message_of([{"type": "image_url", "image_url": {"url": "https://x.example/i.png"}}])],
    "refusal": [Message(role="assistant", refusal="No.")],
    "same ids again": [calling(call()), result(text="one"), calling(call()), result(text="two")],
}


@pytest.mark.parametrize("messages", SOUND.values(), ids=SOUND)
def test_sound_history_stays_as_it_is(messages):
    assert [id(message) for message in well_formed(messages)] == [id(message) for message in messages]


UNSOUND = {
    "unanswered": ([USER, calling(call()), USER], [USER, calling(call()), missing(), USER]),
    "half answered": (
        [calling(call("a"), call("b")), result("b"), USER],
        [calling(call("a"), call("b")), missing("a"), result("b"), USER],
    ),
    "last": ([USER, calling(call())], [USER, calling(call()), missing()]),
    "answered late": (
        [calling(call()), USER, message_of("fine"), result()],
        [calling(call()), result(), USER, message_of("fine")],
    ),
    "question repeated before the results": (
        [USER, calling(call("a"), call("b")), USER, result("a"), result("b")],
        [USER, calling(call("a"), call("b")), result("a"), result("b")],
    ),
    "question repeated in every round": (
        [USER, calling(call("a")), USER, result("a"), calling(call("b")), USER, result("a"), result("b")],
        [USER, calling(call("a")), result("a"), calling(call("b")), result("b")],
    ),
    "another question before the result": (
        [USER, calling(call()), message_of("bye", "user"), result()],
        [USER, calling(call()), result(), message_of("bye", "user")],
    ),
    "in another order": (
        [calling(call("a"), call("b")), result("b"), result("a")],
        [calling(call("a"), call("b")), result("a"), result("b")],
    ),
    "something between": (
        [calling(call()), message_of("Hurry.", "system"), result()],
        [calling(call()), result(), message_of("Hurry.", "system")],
    ),
    "result of nothing": ([result(), USER, result("c2")], [USER]),
    "result before its call": ([result(), calling(call())], [calling(call()), missing()]),
    "two results": (
        [calling(call()), result(text="one"), result(text="two")],
        [calling(call()), result(text="two")],
    ),
    "ids of one message": (
        [calling(call(), call()), result(text="one"), result(text="two")],
        [calling(call(), call()), result(text="one"), result(text="two")],
    ),
    "ids of every message": (
        [calling(call()), USER, calling(call()), result()],
        [calling(call()), missing(), USER, calling(call()), result()],
    ),
    "half a call": ([USER, calling(call(arguments='{"x":')), USER], [USER, USER]),
    "half a call and text": ([calling(call(arguments='{"x":'), text="wait")], [message_of("wait")]),
    "half of two calls": ([calling(call("a"), call("b", '{"x":'))], [calling(call("a")), missing("a")]),
    "no object": ([calling(call(arguments="[1]"))], []),
    "no object, answered": (
        [calling(call(arguments='{"x":')), result()],
        [calling(call(arguments='{"arguments":"{\\"x\\":"}')), result()],
    ),
    "no arguments": ([calling(call(arguments="")), result()], [calling(call()), result()]),
    "no name": ([calling(call(name="")), result()], []),
    "name of another form": (
        [calling(call(name="functions.f g")), result()],
        [calling(call(name="functions_f_g")), result()],
    ),
    "long name": ([calling(call(name="f" * 65)), result()], [calling(call(name="f" * 64)), result()]),
    "blank": ([USER, message_of(" \n"), USER], [USER, USER]),
    "empty": ([USER, message_of(""), USER], [USER, USER]),
    "blank parts": ([message_of([{"type": "text", "text": "\n"}, {"type": "output_text", "text": ""}])], []),
    "blank beside a call": ([calling(call(), text="\n"), result()], [calling(call()), result()]),
    "call of a user": (
        [Message(role="user", content=from_python("hello"), tool_calls=from_python([call()]))],
        [USER],
    ),
}


@pytest.mark.parametrize(("messages", "expected"), UNSOUND.values(), ids=UNSOUND)
def test_unsound_history_is_made_sound(messages, expected):
    before = [message.SerializeToString(deterministic=True) for message in messages]

    assert well_formed(messages) == expected
    assert [message.SerializeToString(deterministic=True) for message in messages] == before  # what is stored


def test_what_was_made_sound_is_sound():
    messages = [message for history, _ in UNSOUND.values() for message in history]
    once = well_formed(messages)

    assert well_formed(once) == once
    assert [to_python(message.tool_calls) for message in once if message.role == "user"] == [None] * sum(
        message.role == "user" for message in once
    )
