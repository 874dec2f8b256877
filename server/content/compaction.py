"""Summaries that replace a context (compaction). Calls no model; defines the request for one."""

import base64
import binascii
from collections.abc import Sequence
from typing import Any

from google.protobuf.struct_pb2 import Value

from generated.parley.v1.message_pb2 import Message
from server.content.messages import text_of, tool_calls_of
from server.core.ids import hex_of

_INSTRUCTION = (
    "Summarise this conversation so that it can go on from your summary alone. Keep names, facts, decisions, open "
    "questions and the results of tools; leave out pleasantries."
)
_HEAD = "Summary of the conversation so far:\n"


def summary_request(context: Sequence[Message]) -> Message:
    """Return the message that requests a summary of `context` from a model."""
    text = "\n".join(_line(message) for message in context)
    return Message(role="user", content=Value(string_value=f"{_INSTRUCTION}\n\n{text}"))


def summary_of(answer: Message, role: str) -> Message:
    """Return a model's summary as the context that replaces the summarised one, by `role`."""
    summary = Message(role=role, id=answer.id, time=answer.time, seconds_from_start=answer.seconds_from_start)
    summary.content.string_value = _HEAD + text_of(answer)
    return summary


def compaction_item(summary: Message) -> dict[str, Any]:
    """Return the summary as an item that a client stores and sends back."""
    return {
        "id": f"cmp_{hex_of(summary.id)}",
        "type": "compaction",
        "encrypted_content": base64.b64encode(text_of(summary).encode()).decode(),
    }


def text_of_compaction(content: Any) -> str | None:
    """Return the text in the `encrypted_content` of such an item; None when this server did not make it."""
    try:
        return base64.b64decode(content, validate=True).decode()
    except (TypeError, ValueError, binascii.Error):
        return None


def _line(message: Message) -> str:
    calls = "".join(f" [calls {call['name']} {call['arguments']}]" for call in tool_calls_of(message))
    return f"{message.role}: {text_of(message)}{calls}"
