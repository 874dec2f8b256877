"""Reads the content of a Message in any of its forms.

Does not validate messages and does not create them.
"""

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

from generated.parley.v1.message_pb2 import Message, ReasoningPart
from server.content.json_values import to_python
from server.core.accepted import TEXT_PARTS
from server.core.ids import hex_of


def text_of(message: Message) -> str:
    """Return the text of `content` (its text parts joined), otherwise of `message`, otherwise an empty
    string."""
    content = message.content
    kind = content.WhichOneof("kind")
    if kind == "string_value":
        return content.string_value
    if kind == "list_value":
        return "".join(
            part["text"]
            for part in parts_of(message)
            if part.get("type", "text") in TEXT_PARTS and "text" in part
        )
    return message.message


def answer_of(message: Message) -> tuple[str, str]:
    """Return an assistant's answer and its refusal; the message's text contains both, for readers without
    refusals."""
    text, refusal = text_of(message), message.refusal
    return (text.removesuffix(refusal), refusal) if refusal else (text, _refusal_in(message))


def _refusal_in(message: Message) -> str:
    """Return the refusal in the parts of a message, as the Responses interface sends it."""
    if message.content.WhichOneof("kind") != "list_value":
        return ""
    refusals = (part.get("refusal") for part in parts_of(message) if part.get("type") == "refusal")
    return "".join(refusal for refusal in refusals if isinstance(refusal, str))


class Stretch(NamedTuple):
    """A stretch of an assistant's text in which no tool call begins, split into answer and refusal."""

    answer: str
    refusal: str


class Thought(NamedTuple):
    """Parts of an assistant's reasoning between which nothing else comes."""

    first: int
    """Index of the first part in the message's reasoning."""
    parts: list[ReasoningPart]


def in_order(message: Message) -> list[Stretch | Thought | int]:
    """Return an assistant's content in the order in which it began: reasoning, stretches of text, and the
    indexes of tool calls.

    A message without any of them is one empty stretch.
    """
    answer, refusal = answer_of(message)
    text, at, thought = answer + refusal, 0, 0
    order: list[Stretch | Thought | int] = []

    def add_text(end: int) -> None:
        nonlocal at
        if (end := min(end, len(text))) > at:
            order.append(Stretch(answer[at:end], text[max(at, len(answer)) : end]))
            at = end

    def add_thoughts(calls: int | None) -> None:
        nonlocal thought
        for part in message.reasoning.parts[thought:]:
            if calls is not None and part.calls_before > calls:
                return
            add_text(part.characters_before)
            if not (order and isinstance(order[-1], Thought)):
                order.append(Thought(thought, []))
            order[-1].parts.append(part)  # type: ignore[union-attr]
            thought += 1

    for index, place in enumerate(_places(message, len(text))):
        add_thoughts(index)
        add_text(place)
        order.append(index)
    add_thoughts(None)
    add_text(len(text))
    return order or [Stretch("", "")]


def thought_id(message_id: str, number: int) -> str:
    """Return the item id of reasoning in a message, by its number among those of the message."""
    return f"rs_{hex_of(message_id)}{f'{number:02x}' if number else ''}"


def stretch_id(message_id: str, number: int) -> str:
    """Return the item id of a stretch of a message's text: the first one has the message's own."""
    return f"msg_{hex_of(message_id)}{f'{number:02x}' if number else ''}"


def _places(message: Message, length: int) -> list[int]:
    """Return the length of the text before each call."""
    given = [int(value.number_value) for value in message.text_before_calls.values]
    count = len(tool_calls_of(message))
    return [min(place, length) for place in (given + [length] * count)[:count]]


def mark_run(messages: Sequence[Message]) -> None:
    """Mark the calls of the first message as run by the server; the other messages are their results, in
    order."""
    calling, *results = messages
    calling.run_by_server.SetInParent()
    for call, result in zip(tool_calls_of(calling), results, strict=False):
        result.run_by_server.arguments = call["arguments"]


def refusal_beside(message: Message) -> str:
    """Return an assistant's refusal, unless its text contains it already: refusals here are part of the text,
    too."""
    return "" if text_of(message).endswith(message.refusal) else message.refusal


def parts_of(message: Message) -> list[dict[str, Any]]:
    """Return the content as a list of parts; a string is one text part, and empty content is no part.

    A bare string in the array is a text part too. `type` and `text` of a part are strings or absent.
    """
    if message.content.WhichOneof("kind") != "list_value":
        text = text_of(message)
        return [{"type": "text", "text": text}] if text else []
    return [part for item in to_python(message.content) if (part := _part(item)) is not None]


def tool_calls_of(message: Message) -> list[dict[str, Any]]:
    """Return the tool calls as {id, name, arguments}, all strings; entries of another shape are left out.

    Calls of custom tools have their text as `input`, too; their arguments are a JSON object with it.
    """
    if message.tool_calls.WhichOneof("kind") != "list_value":
        return []
    return [call for item in to_python(message.tool_calls) if (call := _tool_call(item)) is not None]


def _part(item: Any) -> dict[str, Any] | None:
    if isinstance(item, str):
        return {"type": "text", "text": item}
    if not isinstance(item, dict):
        return None
    return item if isinstance(item.get("type", ""), str) and isinstance(item.get("text", ""), str) else None


def _tool_call(item: Any) -> dict[str, Any] | None:
    custom = item.get("custom") if isinstance(item, dict) and item.get("type") == "custom" else None
    if isinstance(custom, dict):
        return _custom_call(item, custom)
    function = item.get("function") if isinstance(item, dict) else None
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        return None
    call_id, arguments = item.get("id"), function.get("arguments")
    return {
        "id": call_id if isinstance(call_id, str) else "",
        "name": function["name"],
        "arguments": arguments if isinstance(arguments, str) else "{}",
    }


def _custom_call(item: dict[str, Any], custom: dict[str, Any]) -> dict[str, Any] | None:
    name, text, call_id = custom.get("name"), custom.get("input"), item.get("id")
    if not isinstance(name, str) or not isinstance(text, str | None):
        return None
    return {
        "id": call_id if isinstance(call_id, str) else "",
        "name": name,
        "arguments": json.dumps({"input": text or ""}, ensure_ascii=False),
        "input": text or "",
    }
