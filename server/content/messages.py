"""What a Message says, whichever of its forms says it.

Does not validate messages and does not make them.
"""

from typing import Any

from generated.parley.v1.message_pb2 import Message
from server.content.json_values import to_python

TEXT_PARTS = frozenset({"text", "input_text", "output_text"})


def text_of(message: Message) -> str:
    """The text of `content` (its text parts joined), else of `message`, else nothing."""
    content = message.content
    kind = content.WhichOneof("kind")
    if kind == "string_value":
        return content.string_value
    if kind == "list_value":
        return "".join(
            part["text"] for part in parts_of(message) if part.get("type", "text") in TEXT_PARTS and "text" in part
        )
    return message.message


def answer_of(message: Message) -> tuple[str, str]:
    """What an assistant answered, and behind it why it refused; its text has both, for whoever knows no refusals."""
    text, refusal = text_of(message), message.refusal
    return text.removesuffix(refusal) if refusal else text, refusal


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
