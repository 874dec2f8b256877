"""Requests for a response that are made of requests for something else: a compaction, a count of tokens."""

from collections.abc import Sequence

from google.protobuf.message import Message

from generated.parley.v1.response_service_pb2 import (
    CompactResponseRequest,
    CountInputTokensRequest,
    CreateResponseRequest,
)

_COMPACTED = (
    "model",
    "input",
    "instructions",
    "prompt_cache_options",
    "previous_response_id",
    "assistant_id",
    "prompt_cache_key",
    "prompt_cache_retention",
    "service_tier",
)
_COUNTED = (
    "model",
    "input",
    "conversation",
    "instructions",
    "previous_response_id",
    "tool_choice",
    "text",
    "reasoning",
    "parallel_tool_calls",
    "truncation",
    "assistant_id",
)


def compacting(request: CompactResponseRequest) -> CreateResponseRequest:
    """Return the request for a response that has the context to be summarised."""
    requested = _with(request, _COMPACTED)
    if not requested.HasField("input"):
        requested.input.list_value.SetInParent()
    return requested


def counting(request: CountInputTokensRequest) -> CreateResponseRequest:
    """Return the request for a response that has the context to be counted."""
    requested = _with(request, _COUNTED)
    requested.tools.extend(request.tools)
    return requested


def _with(
    request: CompactResponseRequest | CountInputTokensRequest, names: Sequence[str]
) -> CreateResponseRequest:
    """Return a request for a response with the members of this one that have these names."""
    requested = CreateResponseRequest()
    for name in names:
        if request.HasField(name):
            value = getattr(request, name)
            if isinstance(value, Message):
                getattr(requested, name).CopyFrom(value)
            else:
                setattr(requested, name, value)
    return requested
