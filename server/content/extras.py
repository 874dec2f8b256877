"""The members of a request that only some providers accept. Does not know which; the backends do."""

from typing import Any

from google.protobuf.message import Message
from google.protobuf.struct_pb2 import Struct

from server.content.json_values import to_python

_NAMES = (
    "logit_bias",
    "logprobs",
    "prediction",
    "prompt_cache_key",
    "prompt_cache_options",
    "prompt_cache_retention",
    "safety_identifier",
    "service_tier",
    "top_logprobs",
    "user",
    "verbosity",
)


def extras_of(request: Message) -> dict[str, Any]:
    """Return those members of a request that are set."""
    found: dict[str, Any] = {}
    for name in _NAMES:
        # top_logprobs asks for nothing by itself, and a response may have it without asking
        if name == "top_logprobs" and "logprobs" not in found:
            continue
        if name in request.DESCRIPTOR.fields_by_name and request.HasField(name):
            value = getattr(request, name)
            if plain := to_python(value) if isinstance(value, Struct) else value:
                found[name] = plain
    return found
