"""`POST /chat/responses` and `/v1/responses` over HTTP: the Response object with explicit nulls, and its
events.

Serializes typed messages; `response_stream.py` decides their order.
"""

from collections.abc import Iterable
from typing import Any

import orjson
from google.api.httpbody_pb2 import HttpBody

from generated.parley.v1.response_pb2 import Response, ResponseContentPart, ResponseItem, ResponseStreamEvent
from server.content.json_values import to_python
from server.content.proto_json import to_json
from server.wire import sse

_REASONING = {"effort": None, "summary": None}


def response_body(response: Response) -> HttpBody:
    """Return a response as a JSON body."""
    return HttpBody(content_type="application/json", data=orjson.dumps(_response(response)))


def event_frames(events: Iterable[ResponseStreamEvent], *, filled_up: bool = False) -> bytes:
    """Return the frames of some events; deltas can be padded so that their sizes do not reveal their content."""
    return b"".join(
        sse.named(
            event.type,
            sse.filled_up(event_json(event)) if filled_up and event.HasField("delta") else event_json(event),
        )
        for event in events
    )


def event_json(event: ResponseStreamEvent) -> dict[str, Any]:
    """Return an event as JSON, with the members that the public schema wants of it."""
    if event.type == "response.output_text.delta":
        return {
            "type": event.type,
            "sequence_number": event.sequence_number,
            "item_id": event.item_id,
            "output_index": event.output_index,
            "content_index": event.content_index,
            "delta": event.delta,
            "logprobs": to_python(event.logprobs) if event.HasField("logprobs") else [],
            "path": event.path,
        }
    json = to_json(event)
    if event.HasField("response"):
        json["response"] = _response(event.response)
    if event.HasField("item"):
        json["item"] = _item(event.item)
    if event.HasField("part"):
        json["part"] = _part(event.part)
    if event.type == "response.output_text.done":
        json.setdefault("logprobs", [])
    if event.type == "error":
        json["param"] = None
    return json


def _response(response: Response) -> dict[str, Any]:
    json = to_json(response, nulls=True)
    json["output"] = [_item(item) for item in response.output]
    json["reasoning"] = {**_REASONING, **(json["reasoning"] or {})}
    for name in (
        "transport",
        "prompt_cache_options",
        "warnings",
    ):  # members that the public schema does not have
        if not json[name]:
            del json[name]
    return json


def _item(item: ResponseItem) -> dict[str, Any]:
    json = to_json(item)
    if item.type == "message":
        json["content"] = [_part(part) for part in item.content]
    elif not item.content:
        del json["content"]
    if item.type != "reasoning":
        del json["summary"]
    return json


def _part(part: ResponseContentPart) -> dict[str, Any]:
    json = to_json(part)
    if part.type == "output_text":
        json |= {"annotations": [], "logprobs": json.get("logprobs", [])}
    return json
