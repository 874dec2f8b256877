"""Messages as the items of the Responses interface, and pages of them. Reads no store."""

import re
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from generated.parley.v1.item_pb2 import ItemList
from generated.parley.v1.message_pb2 import Message
from server.content.json_values import struct_from, to_python
from server.content.messages import (
    Stretch,
    Thought,
    in_order,
    parts_of,
    stretch_id,
    text_of,
    thought_id,
    tool_calls_of,
)
from server.content.parts import as_input
from server.core.accepted import TEXT_PARTS
from server.core.errors import NotFound
from server.core.ids import hex_of, parse_id

_DEFAULT_LIMIT = 20
_NOT_AFTER = "the item named by `after` is not in this list"
_ITEM_ID = re.compile(r"(?:msg_|rs_|fc_|fco_|ctc_|ctco_|mcp_)([0-9a-f]{32})[0-9a-f]*")


def items_of(messages: Iterable[Message]) -> list[dict[str, Any]]:
    """The items of a conversation, oldest first."""
    return [item for message in messages for item in _items(message)]


class Page(NamedTuple):
    """The page that a list request selects."""

    after: str | None
    """An item's id."""
    ascending: bool
    limit: int

    @property
    def messages(self) -> int:
        """Number of messages to read: one message may have no item, but then its neighbour has one."""
        return self.limit + 1

    @property
    def after_message(self) -> str | None:
        """Return the id of the message to which the item `after` belongs. Raises NotFound for an invalid item
        id."""
        return None if self.after is None else message_id_of(self.after, _NOT_AFTER)


def page_of(request: Any) -> Page:
    """Return the page that a request selects."""
    return Page(
        request.after if request.HasField("after") else None,
        request.order == "asc",
        request.limit if request.HasField("limit") else _DEFAULT_LIMIT,
    )


def item_not_found(message: str = "item not found") -> NotFound:
    """Return the error for an unknown item."""
    return NotFound(message, reason="ITEM_NOT_FOUND")


def message_id_of(item_id: str, otherwise: str = "item not found") -> str:
    """Return the id of the message to which an item belongs. Raises NotFound for an invalid item id."""
    message_id = message_of_item(item_id)
    if message_id is None:
        raise item_not_found(otherwise)
    return message_id


def message_of_item(item_id: str) -> str | None:
    """Return the id of the message to which an item belongs; None for an invalid item id."""
    match = _ITEM_ID.fullmatch(item_id)
    return parse_id(match[1]) if match else None


def items_page(messages: Iterable[Message], page: Page, *, has_more: bool) -> ItemList:
    """Return the items of some messages as a page; the messages are in the page's order and begin with the
    one of `after`.

    `has_more`: whether there are more messages. Raises NotFound for an `after` that is no item.
    """
    items = [
        item
        for message in messages
        for item in (_items(message) if page.ascending else reversed([*_items(message)]))
    ]
    if page.after is not None:
        place = next((index for index, item in enumerate(items) if item["id"] == page.after), None)
        if place is None:
            raise item_not_found(_NOT_AFTER)
        items = items[place + 1 :]
    return list_of(items[: page.limit], has_more=has_more or len(items) > page.limit)


def list_of(items: list[dict[str, Any]], *, has_more: bool = False) -> ItemList:
    """Return items as a list."""
    page = ItemList(object="list", data=[struct_from(item) for item in items], has_more=has_more)
    if items:
        page.first_id, page.last_id = items[0]["id"], items[-1]["id"]
    return page


def _items(message: Message) -> Iterator[dict[str, Any]]:
    """Yield the items of a message in the order in which they began, each with the id that an answer shows."""
    if message.role == "tool":
        yield _run_item(message) if message.HasField("run_by_server") else _output_item(message)
    elif message.role == "assistant":
        yield from _message_items(message)
    else:
        yield _message_item(
            stretch_id(message.id, 0), message.role, [as_input(part) for part in parts_of(message)]
        )


def _message_items(message: Message) -> Iterator[dict[str, Any]]:
    """Yield an assistant's reasoning, text and calls; calls that the server ran include their results."""
    calls, stretches, thoughts = tool_calls_of(message), 0, 0
    runs = message.HasField("run_by_server")
    for one in in_order(message):
        if isinstance(one, Stretch):
            logprobs = [] if stretches else to_python(message.logprobs)  # all come with the first text
            yield _message_item(stretch_id(message.id, stretches), message.role, _parts_of(one, logprobs))
            stretches += 1
        elif isinstance(one, Thought):
            yield _thought_item(thought_id(message.id, thoughts), one)
            thoughts += 1
        elif not runs:
            yield _call_item(f"{hex_of(message.id)}{one:02x}", calls[one])


def _call_item(number: str, call: dict[str, Any]) -> dict[str, Any]:
    custom = "input" in call
    return {
        "id": f"ctc_{number}" if custom else f"fc_{number}",
        "type": "custom_tool_call" if custom else "function_call",
        "status": "completed",
        "call_id": call["id"],
        "name": call["name"],
        **({"input": call["input"]} if custom else {"arguments": call["arguments"]}),
    }


def _thought_item(identifier: str, thought: Thought) -> dict[str, Any]:
    item: dict[str, Any] = {"id": identifier, "type": "reasoning", "status": "completed", "summary": []}
    for part in thought.parts:
        if part.text:
            kind, member = ("summary_text", "summary") if part.summary else ("reasoning_text", "content")
            item.setdefault(member, []).append({"type": kind, "text": part.text})
    return item


def _message_item(identifier: str, role: str, content: list[dict[str, Any]]) -> dict[str, Any]:
    return {"id": identifier, "type": "message", "status": "completed", "role": role, "content": content}


def _parts_of(stretch: Stretch, logprobs: list[Any]) -> list[dict[str, Any]]:
    text, refusal = stretch
    parts = [{"type": "output_text", "text": text, "annotations": [], "logprobs": logprobs}] if text else []
    return [*parts, {"type": "refusal", "refusal": refusal}] if refusal else parts


def _output_item(message: Message) -> dict[str, Any]:
    return {
        "id": f"{'ctco' if message.custom_tool else 'fco'}_{hex_of(message.id)}",
        "type": "custom_tool_call_output" if message.custom_tool else "function_call_output",
        "status": "completed",
        "call_id": message.tool_call_id,
        "output": _output(message),
    }


def _run_item(message: Message) -> dict[str, Any]:
    return {
        "id": f"mcp_{hex_of(message.id)}",
        "type": "mcp_call",
        "server_label": "parley",
        "status": "failed" if "failure" in message.metadata else "completed",
        "name": message.name,
        "arguments": message.run_by_server.arguments,
        "output": text_of(message),
    }


def _output(message: Message) -> str | list[dict[str, Any]]:
    """Return a tool's output: text, or parts when parts were sent."""
    parts = parts_of(message)
    if all(part.get("type", "text") in TEXT_PARTS for part in parts):
        return text_of(message)
    return [as_input(part) for part in parts]
