"""The history in a form that providers accept: every tool call is complete and followed by its result, and no
answer is blank.

Changes only the messages for a model, never the stored ones. Does not check user and system messages.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import orjson
from google.protobuf.struct_pb2 import Value

from generated.parley.v1.message_pb2 import Message
from server.content.custom_tools import sent_call
from server.content.json_values import from_python
from server.content.messages import parts_of, text_of, tool_calls_of
from server.core.accepted import TEXT_PARTS

NO_RESULT = "No result was given."
"""The result that a model gets for a call without one."""
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_-]")
_MOST_NAME = 64


@dataclass(slots=True)
class _Call:
    """One tool call, and the message that answers it."""

    id: str
    name: str
    arguments: str
    input: str | None = None
    """The text of a custom tool's call."""
    result: Message | None = None

    @property
    def can_be_sent(self) -> bool:
        """Return whether the call has a name, and complete arguments; an answered call is sent in any case."""
        return bool(self.name) and (self.result is not None or is_object(self.arguments))

    @property
    def sent(self) -> dict[str, str]:
        """Return the call with a name that providers accept; arguments that are no JSON object are wrapped in
        one."""
        arguments = self.arguments if self.arguments.strip() else "{}"
        if not is_object(arguments):
            arguments = orjson.dumps({"arguments": arguments}).decode()
        sent = {"id": self.id, "name": _NOT_IN_NAMES.sub("_", self.name)[:_MOST_NAME], "arguments": arguments}
        return sent if self.input is None else {**sent, "input": self.input}


def well_formed(messages: Sequence[Message]) -> list[Message]:
    """Return the messages that can be sent, in an order that providers accept. Unchanged messages are the
    same objects.

    A call without a result receives one that reports so. An incomplete call, a blank answer, and a result
    without its call are left out. A late result is moved behind its call; a question that some clients send again
    with the results of its calls is left out, otherwise the model would read it as asked anew.
    """
    remaining: list[tuple[Message, list[_Call]]] = []
    latest: dict[str, list[_Call]] = {}  # several servers reuse the same ids in every answer
    for message in messages:
        if message.role == "tool":
            if calls := latest.get(message.tool_call_id):
                _drop_repeated_question(remaining, calls)
                next((call for call in calls if call.result is None), calls[-1]).result = message
            continue
        calls = [_Call(**call) for call in tool_calls_of(message)] if message.role == "assistant" else []
        latest.update({call.id: [] for call in calls})
        for call in calls:
            latest[call.id].append(call)
        remaining.append((message, calls))
    return [one for message, calls in remaining for one in _sent(message, calls)]


def _drop_repeated_question(messages: list[tuple[Message, list[_Call]]], answered: list[_Call]) -> None:
    """Remove the last message where it is the user's question before the call in front of it, word for word."""
    if len(messages) < 3:
        return
    *_, (_, calls), (last, _) = messages
    if last.role != "user" or not any(call is one for call in calls for one in answered):
        return
    asked = next((message for message, _ in reversed(messages[:-1]) if message.role == "user"), None)
    if asked is not None and parts_of(asked) == parts_of(last):
        messages.pop()


def is_object(arguments: str) -> bool:
    """Return whether the arguments of a call are a JSON object; empty arguments count as one."""
    try:
        return isinstance(orjson.loads(arguments), dict) if arguments.strip() else True
    except orjson.JSONDecodeError:
        return False


def _sent(message: Message, calls: Sequence[_Call]) -> Iterator[Message]:
    sent = [call for call in calls if call.can_be_sent]
    blank = message.role == "assistant" and _is_blank(message)
    if blank and not sent:
        return
    yield (
        _with_calls(message, [call.sent for call in sent], blank=blank)
        if message.HasField("tool_calls")
        else message
    )
    for call in sent:
        yield call.result or Message(role="tool", tool_call_id=call.id, content=Value(string_value=NO_RESULT))


def _with_calls(message: Message, calls: list[dict[str, str]], *, blank: bool) -> Message:
    """Return the message with these calls: the same object when it has them and no blank text."""
    if calls == tool_calls_of(message) and not (blank and text_of(message)):
        return message
    changed = Message()
    changed.CopyFrom(message)
    changed.ClearField("tool_calls")
    if calls:
        changed.tool_calls.CopyFrom(from_python([sent_call(call) for call in calls]))
    if blank:
        changed.ClearField("content")
        changed.ClearField("message")
    return changed


def _is_blank(message: Message) -> bool:
    """Return whether a message is empty: it has neither text other than white space nor anything else."""
    return not message.refusal and not any(
        part["text"].strip() if part.get("type", "text") in TEXT_PARTS and "text" in part else True
        for part in parts_of(message)
    )
