"""The completions door over HTTP: chat.completion objects and chunks, byte for byte as OpenAI clients read
them.

Serializes typed messages; `completion_chunks.py` decides their order.
"""

from collections.abc import Iterable
from typing import Any

import orjson
from google.api.httpbody_pb2 import HttpBody

from generated.parley.v1.chat_completion_pb2 import (
    ChatCompletion,
    ChatCompletionChoice,
    ChatCompletionChunk,
    ChatCompletionChunkChoice,
    ChatCompletionList,
    CompletionUsage,
)
from server.content.json_values import to_python
from server.content.proto_json import to_json
from server.core.errors import ServiceError
from server.wire import sse
from server.wire.errors import http_status, openai_error


def completion_body(completion: ChatCompletion) -> HttpBody:
    """Return a completion as a JSON body."""
    return HttpBody(content_type="application/json", data=orjson.dumps(_whole(completion)))


def completions_body(page: ChatCompletionList) -> HttpBody:
    """Return a page of completions as a JSON body."""
    json = {
        "object": page.object,
        "data": [_whole(completion) for completion in page.data],
        "first_id": page.first_id if page.HasField("first_id") else None,
        "last_id": page.last_id if page.HasField("last_id") else None,
        "has_more": page.has_more,
    }
    return HttpBody(content_type="application/json", data=orjson.dumps(json))


def _whole(completion: ChatCompletion) -> dict[str, Any]:
    json = _head(completion)
    json["choices"] = [_choice(choice) for choice in completion.choices]
    json["usage"] = _usage(completion.usage)
    if completion.HasField("metadata"):
        json["metadata"] = to_python(completion.metadata)
    return json


def chunk_frames(
    chunks: Iterable[ChatCompletionChunk], *, with_usage: bool, filled_up: bool = False
) -> bytes:
    """Return the frames of some chunks. When the usage was requested, every other chunk has it as null, as
    documented.

    Frames can be padded (`filled_up`) so that their sizes do not reveal their content.
    """
    frames = (_chunk(chunk, with_usage) for chunk in chunks)
    return b"".join(sse.data(sse.filled_up(frame) if filled_up else frame) for frame in frames)


def error_frame(error: ServiceError) -> bytes:
    """Return the frame that ends a stream which failed after it began."""
    return sse.data({"error": openai_error(error, http_status(error, "completions"))})


def _head(message: ChatCompletion | ChatCompletionChunk) -> dict[str, Any]:
    json: dict[str, Any] = {
        "id": message.id,
        "object": message.object,
        "created": int(message.created),
        "model": message.model,
        "service_tier": message.service_tier,
        "system_fingerprint": message.system_fingerprint if message.HasField("system_fingerprint") else None,
    }
    if message.HasField("session_id"):
        json["session_id"] = message.session_id
    if message.HasField("warnings"):
        json["warnings"] = to_python(message.warnings)
    return json


def _choice(choice: ChatCompletionChoice) -> dict[str, Any]:
    answered = choice.message
    message: dict[str, Any] = {
        "role": answered.role,
        "content": answered.content if answered.HasField("content") else None,
        "refusal": answered.refusal if answered.HasField("refusal") else None,
        "annotations": [],
    }
    if answered.tool_calls:
        message["tool_calls"] = [to_json(call) for call in answered.tool_calls]
    if answered.HasField("reasoning_content"):
        message["reasoning_content"] = answered.reasoning_content
    return {
        "index": choice.index,
        "message": message,
        "logprobs": to_python(choice.logprobs) if choice.HasField("logprobs") else None,
        "finish_reason": choice.finish_reason,
    }


def _chunk(chunk: ChatCompletionChunk, with_usage: bool) -> dict[str, Any]:
    json = _head(chunk)
    json["choices"] = [_chunk_choice(choice) for choice in chunk.choices]
    if with_usage:
        json["usage"] = _usage(chunk.usage) if chunk.HasField("usage") else None
    return json


def _chunk_choice(choice: ChatCompletionChunkChoice) -> dict[str, Any]:
    delta = {
        name: getattr(choice.delta, name)
        for name in ("role", "content", "refusal", "reasoning_content")
        if choice.delta.HasField(name)
    }
    if "role" in delta:
        delta.setdefault("content", None)
    if choice.delta.tool_calls:
        delta["tool_calls"] = [to_json(call) for call in choice.delta.tool_calls]
    return {
        "index": choice.index,
        "delta": delta,
        "logprobs": to_python(choice.logprobs) if choice.HasField("logprobs") else None,
        "finish_reason": choice.finish_reason if choice.HasField("finish_reason") else None,
    }


def _usage(usage: CompletionUsage) -> dict[str, Any]:
    json = to_json(usage)
    json["prompt_tokens_details"]["audio_tokens"] = 0
    json["completion_tokens_details"] |= {
        "audio_tokens": 0,
        "accepted_prediction_tokens": 0,
        "rejected_prediction_tokens": 0,
    }
    return json
