"""The output items of the Responses interface: those of a complete message, and the parts from which a stream
builds them."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from google.protobuf.struct_pb2 import ListValue

from generated.parley.v1.message_pb2 import Message, ProviderState
from generated.parley.v1.response_pb2 import ResponseContentPart, ResponseItem
from server.content.custom_tools import text_of_call
from server.content.messages import (
    Stretch,
    Thought,
    in_order,
    stretch_id,
    text_of,
    thought_id,
    tool_calls_of,
)
from server.content.reasoning import Kept, with_reasoning
from server.content.well_formed import is_object
from server.core.ids import hex_of

MEMBERS = {"output_text": "text", "refusal": "refusal", "reasoning_text": "text", "summary_text": "text"}
"""The member that has the text of a part, by the part's type."""


_NOT_RUN: Mapping[str, str] = {}


class View(NamedTuple):
    """What a caller sees of reasoning."""

    publishable: bool = True
    seal: Callable[[ProviderState, bool], str] | None = None
    """Makes the `encrypted_content` of what a provider wants back, which may come behind the items of its
    message; None when the request does not include it."""

    def of(self, message: Message, kept: Kept) -> Message:
        """Return a message with the reasoning that the caller may read."""
        return with_reasoning(message, kept, publishable=self.publishable)

    def encrypted(
        self,
        items: Sequence[ResponseItem],
        message_id: str,
        kept: Kept,
        run: Mapping[str, str] = _NOT_RUN,
    ) -> list[ResponseItem]:
        """Encrypt what the provider wants back with a message into the first item of its reasoning. Return the
        items that this adds: one at the end, for a message without reasoning items.

        `run` has the item ids of calls that the server ran, by their own ids: clients send those back.
        """
        if self.seal is None:
            return []
        state = ProviderState()
        if message_id in kept:
            state.CopyFrom(kept[message_id].provider_state)
        for extra in state.extra_content:
            extra.call_id = run.get(extra.call_id, extra.call_id)
        for item in items:
            if item.type == "reasoning":
                item.encrypted_content = self.seal(state, False)
                return []
        if not state.provider:
            return []
        added = reasoning_item(message_id, 0, "completed")
        added.encrypted_content = self.seal(state, True)
        return [added]


DEFAULT_VIEW = View()
"""Of whoever may read no more than a publishable key."""


def items_of(message: Message, status: str) -> list[ResponseItem]:
    """Return the output items of an assistant message, in the order in which they began.

    `status` applies to the last one, and to earlier ones that were incomplete when it began.
    """
    items, calls, stretches, thoughts = [], tool_calls_of(message), 0, 0
    for one in in_order(message):
        if isinstance(one, Stretch):
            logprobs = None if stretches else message.logprobs  # all of them come with the first text
            items.append(message_item(message.id, stretches, status, _parts_of(one, logprobs)))
            stretches += 1
        elif isinstance(one, Thought):
            items.append(_thought_item(message.id, thoughts, status, one))
            thoughts += 1
        else:
            call = calls[one]
            made = call_item(message.id, one, status, call["id"], call["name"], custom="input" in call)
            set_text(made, text_of_call(call))
            items.append(made)
    for item in items[:-1]:
        if item.type == "custom_tool_call" or (item.type == "function_call" and not is_whole(item.arguments)):
            break
        item.status = "completed"
    return items


def own_items(message: Message) -> list[ResponseItem]:
    """Return the items of a round before its calls: its reasoning and its text."""
    own = Message(
        id=message.id,
        role=message.role,
        content=message.content,
        message=message.message,
        reasoning=message.reasoning if message.HasField("reasoning") else None,
    )
    own.logprobs.CopyFrom(message.logprobs)
    return items_of(own, "completed") if text_of(own) or own.HasField("reasoning") else []


def run_items(message: Message, results: Sequence[Message]) -> list[ResponseItem]:
    """Return the items of the calls of a round that the server ran.

    They are mcp_call items, which no caller tries to answer; a client that loops over function_call items
    would.
    """
    return [_run_item(call, result) for call, result in zip(tool_calls_of(message), results, strict=False)]


def run_ids(message: Message, results: Sequence[Message]) -> dict[str, str]:
    """Return the ids of these items, by the ids of the calls."""
    return {
        call["id"]: f"mcp_{hex_of(result.id)}"
        for call, result in zip(tool_calls_of(message), results, strict=False)
    }


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


def reasoning_item(message_id: str, number: int, status: str) -> ResponseItem:
    """Return an item of reasoning in a message, still without any."""
    return ResponseItem(id=thought_id(message_id, number), type="reasoning", status=status)


def _thought_item(message_id: str, number: int, status: str, thought: Thought) -> ResponseItem:
    item = reasoning_item(message_id, number, status)
    for part in thought.parts:
        if part.text:
            kind = "summary_text" if part.summary else "reasoning_text"
            (item.summary if part.summary else item.content).append(part_of(kind, part.text))
    return item


def call_item(
    message_id: str, index: int, status: str, call_id: str, name: str, *, custom: bool
) -> ResponseItem:
    """Return the item of a call of a function or a custom tool, still with an empty text."""
    item = ResponseItem(
        id=f"{'ctc' if custom else 'fc'}_{hex_of(message_id)}{index:02x}",
        type="custom_tool_call" if custom else "function_call",
        status=status,
        call_id=call_id,
        name=name,
    )
    set_text(item, "")
    return item


def set_text(item: ResponseItem, text: str) -> None:
    """Set what the model wrote for a call: the input of a custom tool, the arguments of a function."""
    if item.type == "custom_tool_call":
        item.input = text
    else:
        item.arguments = text


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
