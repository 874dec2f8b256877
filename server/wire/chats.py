"""`POST /chat` over HTTP: one Chat, or data lines without `event:` and without `[DONE]`.

The documented client parses every data line as JSON and uses `id` as its next `previousChatId`.
"""

from collections.abc import Iterable
from functools import lru_cache
from typing import Any

import orjson
from google.api.httpbody_pb2 import HttpBody

from generated.parley.v1.chat_pb2 import Chat, ChatError, ChatEvent
from server.content.json_values import to_python
from server.content.proto_json import to_json
from server.core.errors import BROKEN_OFF
from server.wire import sse


def chat_body(chat: Chat) -> HttpBody:
    """Return a chat as a JSON body."""
    return HttpBody(content_type="application/json", data=orjson.dumps(to_json(chat)))


def chat_frames(events: Iterable[ChatEvent]) -> bytes:
    """Return the frames of some events; nothing for events that this form does not show."""
    return b"".join(_frame(event) for event in events)


def _frame(event: ChatEvent) -> bytes:
    if event.HasField("delta"):
        delta = event.delta
        beginning = _beginning(event.chat_id, event.session_id, delta.output_index)
        return b"" if delta.choice else b"%b%b}\n\n" % (beginning, orjson.dumps(delta.text))
    kind = event.WhichOneof("event")
    if kind == "completed":
        ended = event.completed.error
        ending = _error_frame(event, ended) if ended.code in BROKEN_OFF else _calls_frame(event)
        return _warnings_frame(event, event.completed) + ending
    return (
        _warnings_frame(event, event.failed) + _error_frame(event, event.failed.error)
        if kind == "failed"
        else b""
    )


def _error_frame(event: ChatEvent, error: ChatError) -> bytes:
    """Return the frame that ends an incomplete answer."""
    return sse.data({**_head(event), "error": {"message": error.message, "code": error.code}})


@lru_cache(maxsize=1024)
def _beginning(chat_id: str, session_id: str, output_index: int) -> bytes:
    """Return a delta's frame up to its text, which is the same for all deltas of a message."""
    head = {"id": chat_id, **({"sessionId": session_id} if session_id else {})}
    return b'data: %b,"delta":' % orjson.dumps({**head, "path": f"chat.output[{output_index}].content"})[:-1]


def _calls_frame(event: ChatEvent) -> bytes:
    """Return the complete tool calls that the caller must answer, without `delta`: the documented client
    prints every delta."""
    last = len(event.completed.output) - 1
    if last < 0 or not event.completed.output[last].HasField("tool_calls"):
        return b""
    calls = to_python(event.completed.output[last].tool_calls)
    return sse.data({**_head(event), "path": f"chat.output[{last}].tool_calls", "tool_calls": calls})


def _warnings_frame(event: ChatEvent, chat: Chat) -> bytes:
    """Return the frame of the warnings, also without `delta`."""
    return (
        sse.data({**_head(event), "warnings": to_python(chat.warnings)}) if chat.HasField("warnings") else b""
    )


def _head(event: ChatEvent) -> dict[str, Any]:
    head = {"id": event.chat_id}
    if event.HasField("session_id"):
        head["sessionId"] = event.session_id
    return head
