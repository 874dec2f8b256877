"""The frames of the WebSocket mode of `/v1/responses`: `response.create` from the client, and an event each from
the server.

The same messages as gRPC's ConnectResponses, in the JSON of the Responses interface. Opens no socket.
"""

from typing import Any

import orjson

from generated.parley.v1.response_service_pb2 import (
    ConnectResponsesEvent,
    ConnectResponsesRequest,
    RequestError,
)
from server.content.from_json import fill
from server.core.errors import InvalidArgument, Violation
from server.wire.responses import event_json

_CREATE = "response.create"
_OF_THE_FRAME = ("generate", "idempotency_key")
"""Members of a frame that are not the exchange's own."""
_ONE_BY_ONE = (
    "must be left out: responses of one connection run one after the other here; open a connection for each "
    "that is to run beside another"
)


def request_of(raw: bytes) -> ConnectResponsesRequest:
    """Return the request in a text frame. Raises InvalidArgument."""
    try:
        frame = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise _unreadable(f"the frame is not JSON: {error.msg} (at character {error.pos + 1})") from None
    if not isinstance(frame, dict):
        raise _unreadable("the frame must be a JSON object with `type`: `response.create`")
    if frame.get("type") != _CREATE:
        raise InvalidArgument.of("type", f"must be {_CREATE}; no other event of a client is taken here")
    if frame.get("stream_id") is not None:
        raise InvalidArgument.of("stream_id", _ONE_BY_ONE)
    request = ConnectResponsesRequest()
    fill(request, {name: frame[name] for name in _OF_THE_FRAME if name in frame})
    request.create.SetInParent()
    fill(request.create, frame)
    return request


def frame_of(event: ConnectResponsesEvent | bytes) -> bytes:
    """Return an event, serialized when it is answered again, as the text of a frame."""
    if isinstance(event, bytes):
        event = ConnectResponsesEvent.FromString(event)
    if event.HasField("error"):
        return orjson.dumps(_error(event.error))
    return orjson.dumps(event_json(event.response))


def _error(error: RequestError) -> dict[str, Any]:
    members: dict[str, Any] = {
        "type": error.type,
        "code": error.code,
        "message": error.message,
        "param": error.param if error.HasField("param") else None,
    }
    if error.HasField("retry_after"):
        members["headers"] = {"retry-after": f"{error.retry_after:g}"}
    return {"type": "error", "status": error.status, "error": members}


def _unreadable(message: str) -> InvalidArgument:
    return InvalidArgument(message, violations=(Violation("", message, "json_invalid"),))
