"""`POST /chat` over HTTP: one Chat, or data lines without `event:` and without `[DONE]` (contract §4).

The documented client JSON-parses every data line and takes `id` for its next `previousChatId`.
"""

from collections.abc import Iterable
from typing import Any

import orjson
from google.api.httpbody_pb2 import HttpBody

from generated.parley.v1.chat_pb2 import Chat, ChatEvent
from server.json_values import to_python
from server.wire import sse
from server.wire.proto_json import to_json


def chat_body(chat: Chat) -> HttpBody:
    return HttpBody(content_type="application/json", data=orjson.dumps(to_json(chat)))


def chat_frames(events: Iterable[ChatEvent]) -> bytes:
    """The frames of some events; nothing for events that this form does not show."""
    return b"".join(_frame(event) for event in events)


def _frame(event: ChatEvent) -> bytes:
    kind = event.WhichOneof("event")
    if kind == "delta" and event.delta.choice == 0:
        path = f"chat.output[{event.delta.output_index}].content"
        return sse.data({**_head(event), "path": path, "delta": event.delta.text})
    if kind == "completed":
        return _calls_frame(event)
    if kind == "failed":
        error = event.failed.error
        return sse.data({**_head(event), "error": {"message": error.message, "code": error.code}})
    return b""


def _calls_frame(event: ChatEvent) -> bytes:
    """The tool calls that the caller is to answer, whole and without `delta`: the documented client prints every delta."""
    last = len(event.completed.output) - 1
    if last < 0 or not event.completed.output[last].HasField("tool_calls"):
        return b""
    calls = to_python(event.completed.output[last].tool_calls)
    return sse.data({**_head(event), "path": f"chat.output[{last}].tool_calls", "tool_calls": calls})


def _head(event: ChatEvent) -> dict[str, Any]:
    head = {"id": event.chat_id}
    if event.HasField("session_id"):
        head["sessionId"] = event.session_id
    return head
