"""Messages as the items of the Responses interface, and pages of them. Reads no store."""

from collections.abc import Iterable, Iterator
from typing import Any

from generated.parley.v1.item_pb2 import ItemList
from generated.parley.v1.message_pb2 import Message
from server.errors import NotFound
from server.ids import hex_of
from server.json_values import struct_from
from server.messages import TEXT_PARTS, parts_of, text_of, tool_calls_of
from server.parts import as_input

_DEFAULT_LIMIT = 20


def items_of(messages: Iterable[Message]) -> list[dict[str, Any]]:
    """The items of a conversation, oldest first."""
    return [item for message in messages for item in _items(message)]


def message_of_item(messages: Iterable[Message], item_id: str) -> Message:
    """The message that an item is, or is a part of. Raises NotFound."""
    for message in messages:
        if any(item["id"] == item_id for item in _items(message)):
            return message
    raise NotFound("item not found", reason="ITEM_NOT_FOUND")


def page_of(items: list[dict[str, Any]], request: Any) -> ItemList:
    """One page, by the `after`, `limit` and `order` of a list request. Raises NotFound for an `after` that is no item."""
    if request.order != "asc":
        items = items[::-1]
    if request.HasField("after"):
        places = [index for index, item in enumerate(items) if item["id"] == request.after]
        if not places:
            raise NotFound("the item named by `after` is not in this list", reason="ITEM_NOT_FOUND")
        items = items[places[0] + 1:]
    limit = request.limit if request.HasField("limit") else _DEFAULT_LIMIT
    return list_of(items[:limit], has_more=len(items) > limit)


def list_of(items: list[dict[str, Any]], *, has_more: bool = False) -> ItemList:
    page = ItemList(object="list", data=[struct_from(item) for item in items], has_more=has_more)
    if items:
        page.first_id, page.last_id = items[0]["id"], items[-1]["id"]
    return page


def _items(message: Message) -> Iterator[dict[str, Any]]:
    identifier = hex_of(message.id)
    if message.role == "tool":
        yield {"id": f"fco_{identifier}", "type": "function_call_output", "status": "completed",
               "call_id": message.tool_call_id, "output": _output(message)}
        return
    calls = tool_calls_of(message)
    content = _content(message)
    if content or not calls:
        yield {"id": f"msg_{identifier}", "type": "message", "status": "completed", "role": message.role,
               "content": content}
    for index, call in enumerate(calls):
        yield {"id": f"fc_{identifier}{index:02x}", "type": "function_call", "status": "completed",
               "call_id": call["id"], "name": call["name"], "arguments": call["arguments"]}


def _output(message: Message) -> str | list[dict[str, Any]]:
    """What a tool returned: text, or parts when that was sent."""
    parts = parts_of(message)
    return text_of(message) if all(part.get("type", "text") in TEXT_PARTS for part in parts) else _content(message)


def _content(message: Message) -> list[dict[str, Any]]:
    if message.role == "assistant":
        text = text_of(message)
        return [{"type": "output_text", "text": text, "annotations": [], "logprobs": []}] if text else []
    return [as_input(part) for part in parts_of(message)]
