"""The output items of the Responses interface: those of a complete message, and the parts from which a stream
builds them."""

from collections.abc import Sequence
from typing import Any

from google.protobuf.struct_pb2 import ListValue

from generated.parley.v1.message_pb2 import Message
from generated.parley.v1.response_pb2 import ResponseContentPart, ResponseItem
from server.content.messages import Stretch, in_order, stretch_id, text_of, tool_calls_of
from server.content.well_formed import is_object
from server.core.ids import hex_of

MEMBERS = {"output_text": "text", "refusal": "refusal"}
"""The member that has the text of a part, by the part's type."""


def items_of(message: Message, status: str) -> list[ResponseItem]:
    """Return the output items of an assistant message, in the order in which they began.

    `status` applies to the last one, and to earlier ones that were incomplete when it began.
    """
    items, calls, stretches = [], tool_calls_of(message), 0
    for one in in_order(message):
        if isinstance(one, Stretch):
            logprobs = None if stretches else message.logprobs  # all of them come with the first text
            items.append(message_item(message.id, stretches, status, _parts_of(one, logprobs)))
            stretches += 1
        else:
            call = calls[one]
            items.append(call_item(message.id, one, status, call["id"], call["name"], call["arguments"]))
    for item in items[:-1]:
        if item.type == "function_call" and not is_whole(item.arguments):
            break
        item.status = "completed"
    return items


def round_items(message: Message, results: Sequence[Message]) -> list[ResponseItem]:
    """Return the items of a round: its text, then the calls that the server ran.

    The calls are mcp_call items, which no caller tries to answer; a client that loops over function_call
    items would.
    """
    own = Message(id=message.id, role=message.role, content=message.content, message=message.message)
    own.logprobs.CopyFrom(message.logprobs)
    items = items_of(own, "completed") if text_of(own) else []
    return items + [
        _run_item(call, result) for call, result in zip(tool_calls_of(message), results, strict=False)
    ]


def is_whole(arguments: str) -> bool:
    """Return whether the arguments of a call look complete before its provider says so."""
    return bool(arguments.strip()) and is_object(arguments)


def part_of(kind: str, text: str, logprobs: ListValue | None = None) -> ResponseContentPart:
    """Return a part of a message item with this text; only text has log probabilities."""
    part = ResponseContentPart(type=kind)
    setattr(part, MEMBERS[kind], text)
    if kind == "output_text" and logprobs is not None and logprobs.values:
        part.logprobs.CopyFrom(logprobs)
    return part


def message_item(
    message_id: str, number: int, status: str, content: Sequence[ResponseContentPart] = ()
) -> ResponseItem:
    """Return the item for one stretch of a message's text: the first one, unless calls began between its
    texts."""
    return ResponseItem(
        id=stretch_id(message_id, number), type="message", status=status, role="assistant", content=content
    )


def call_item(
    message_id: str, index: int, status: str, call_id: str, name: str, arguments: str
) -> ResponseItem:
    """Return the item of a function call."""
    return ResponseItem(
        id=f"fc_{hex_of(message_id)}{index:02x}",
        type="function_call",
        status=status,
        call_id=call_id,
        name=name,
        arguments=arguments,
    )


def _parts_of(stretch: Stretch, logprobs: ListValue | None) -> list[ResponseContentPart]:
    parts = (
        [part_of("output_text", stretch.answer, logprobs)] if stretch.answer or not stretch.refusal else []
    )
    return [*parts, part_of("refusal", stretch.refusal)] if stretch.refusal else parts


def _run_item(call: dict[str, Any], result: Message) -> ResponseItem:
    failed = "failure" in result.metadata
    return ResponseItem(
        id=f"mcp_{hex_of(result.id)}",
        type="mcp_call",
        server_label="parley",
        status="failed" if failed else "completed",
        name=call["name"],
        arguments=call["arguments"],
        output=text_of(result),
    )
