"""Conversations as text for a person: who said what, tool calls, tokens and cost. Prints nothing itself."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from generated.parley.v1.chat_pb2 import Chat, Cost
from generated.parley.v1.message_pb2 import Message
from server.cli.tables import printable
from server.content.json_values import to_python
from server.content.messages import parts_of, text_of
from server.core.accepted import TEXT_PARTS


def own_input(chat: Chat) -> list[Message]:
    """Return the messages that a chat added to its context, without the answers before them."""
    begin = len(chat.messages)
    while begin and chat.messages[begin - 1].role != "assistant":
        begin -= 1
    return list(chat.messages[begin:])


def input_line(chat: Chat) -> str:
    """Return the last input of a chat as text."""
    return text_of(chat.messages[-1]) if chat.messages else ""


def lines_of(messages: Iterable[Message]) -> Iterator[str]:
    """Return messages as paragraphs, each with its role before it."""
    for message in messages:
        yield from _paragraphs(message)


def _paragraphs(message: Message) -> Iterator[str]:
    name = f" ({printable(message.name)})" if message.HasField("name") else ""
    role = printable(message.role)
    text = "\n".join(part for part in (text_of(message), message.refusal, *_other_parts(message)) if part)
    if text or not message.HasField("tool_calls"):
        yield f"{role}{name}: {printable(text)}"
    for call in to_python(message.tool_calls) or [] if message.HasField("tool_calls") else []:
        yield f"{role}{name} → {call_text(call)}"


def call_text(call: Any) -> str:
    """Return a tool call as NAME(ARGUMENTS)."""
    if isinstance(call, dict) and isinstance(custom := call.get("custom"), dict):
        return printable(f"{custom.get('name', '')}({custom.get('input', '')})")
    function = call.get("function") if isinstance(call, dict) else None
    if not isinstance(function, dict):
        return printable(str(call))
    return printable(f"{function.get('name', '')}({function.get('arguments', '')})")


def _other_parts(message: Message) -> Iterator[str]:
    """Return images, files and the like by their type alone: their content may be megabytes."""
    if message.content.WhichOneof("kind") == "list_value":
        for part in parts_of(message):
            if part.get("type", "text") not in TEXT_PARTS:
                yield f"[{part.get('type')}]"


def tokens_of(costs: Sequence[Cost]) -> str:
    """Return prompt and completion tokens, such as 16/6; ~ before estimates."""
    models = [one for one in costs if one.type == "model"]
    prompt, completion = (sum(getattr(one, name) for one in models) for name in _COUNTS)
    return f"{'~' if any(one.estimated for one in models) else ''}{prompt:.0f}/{completion:.0f}"


_COUNTS = ("prompt_tokens", "completion_tokens")


def models_of(costs: Sequence[Cost]) -> str | None:
    """Return the models that ran, as provider/model."""
    models = [to_python(one.model) for one in costs if one.type == "model"]
    return ", ".join(f"{one.get('provider')}/{one.get('model')}" for one in models) or None


def outcome(chat: Chat) -> str:
    """Return in one line how an exchange ended."""
    error = f": {printable(chat.error.message)} ({chat.error.code})" if chat.HasField("error") else ""
    return f"{chat.status}{error}"
