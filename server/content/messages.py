"""What a Message says, whichever of its forms says it.

Does not validate messages and does not make them.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from generated.parley.v1.message_pb2 import Message
from server.content.json_values import to_python
from server.core.accepted import TEXT_PARTS
from server.core.ids import hex_of


def text_of(message: Message) -> str:
    """The text of `content` (its text parts joined), else of `message`, else nothing."""
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
    """What an assistant answered, and behind it why it refused; its text has both, for whoever knows no
    refusals."""
    text, refusal = text_of(message), message.refusal
    return (text.removesuffix(refusal), refusal) if refusal else (text, _refusal_in(message))


def _refusal_in(message: Message) -> str:
    """The refusal that the parts of a message have, as the Responses interface sends it."""
    if message.content.WhichOneof("kind") != "list_value":
        return ""
    refusals = (part.get("refusal") for part in parts_of(message) if part.get("type") == "refusal")
    return "".join(refusal for refusal in refusals if isinstance(refusal, str))


class Stretch(NamedTuple):
    """A part of what an assistant said in which no tool call begins: the text, and how it is cut into answer
    and refusal."""

    answer: str
    refusal: str


def in_order(message: Message) -> list[Stretch | int]:
    """What an assistant said in the order in which it began: stretches of text, and the places of tool calls.

    A message that says nothing and calls nothing is one empty stretch.
    """
    answer, refusal = answer_of(message)
    text, at = answer + refusal, 0
    order: list[Stretch | int] = []
    for index, place in enumerate(_places(message, len(text))):
        if place > at:
            order.append(Stretch(answer[at:place], text[max(at, len(answer)) : place]))
            at = place
        order.append(index)
    if at < len(text) or not order:
        order.append(Stretch(answer[at:], text[max(at, len(answer)) :]))
    return order


def stretch_id(message_id: str, number: int) -> str:
    """Id of the item that a stretch of a message's text is: the first one has the message's own."""
    return f"msg_{hex_of(message_id)}{f'{number:02x}' if number else ''}"


def _places(message: Message, length: int) -> list[int]:
    """How much text comes before each call."""
    given = [int(value.number_value) for value in message.text_before_calls.values]
    count = len(tool_calls_of(message))
    return [min(place, length) for place in (given + [length] * count)[:count]]


def mark_run(messages: Sequence[Message]) -> None:
    """Note that the server ran the calls of the first message, of which the others are the results, in
    order."""
    calling, *results = messages
    calling.run_by_server.SetInParent()
    for call, result in zip(tool_calls_of(calling), results, strict=False):
        result.run_by_server.arguments = call["arguments"]


def refusal_beside(message: Message) -> str:
    """Why an assistant refused, unless its text says so already: what refused here has the refusal as its
    text, too."""
    return "" if text_of(message).endswith(message.refusal) else message.refusal


def parts_of(message: Message) -> list[dict[str, Any]]:
    """The content as a list of parts; a string is one text part, and nothing said is no part.

    A bare string in the array is a text part too. `type` and `text` of a part are strings or absent.
    """
    if message.content.WhichOneof("kind") != "list_value":
        text = text_of(message)
        return [{"type": "text", "text": text}] if text else []
    return [part for item in to_python(message.content) if (part := _part(item)) is not None]


def tool_calls_of(message: Message) -> list[dict[str, Any]]:
    """The tool calls as {id, name, arguments}, all strings; entries of another shape are left out."""
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
    function = item.get("function") if isinstance(item, dict) else None
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        return None
    call_id, arguments = item.get("id"), function.get("arguments")
    return {
        "id": call_id if isinstance(call_id, str) else "",
        "name": function["name"],
        "arguments": arguments if isinstance(arguments, str) else "{}",
    }
